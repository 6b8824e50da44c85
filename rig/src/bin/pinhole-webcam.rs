//! Plugs an emulated webcam into a virtual machine, until either ends.
//!
//! Give QEMU `-device qemu-xhci -chardev socket,id=cam,path=cam.sock,server=on,wait=off
//! -device usb-redir,chardev=cam`, and this program that socket. Ending it
//! unplugs the webcam.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use pinhole_rig::{
    uvc::descriptor::{Identity, Transport},
    webcam::{Webcam, WebcamOptions},
};

/// An emulated USB webcam for a virtual machine of QEMU's.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The socket of the usb-redir device's chardev.
    socket: PathBuf,
    /// How pictures travel.
    #[arg(long, value_enum, default_value = "bulk")]
    transport: TransportArgument,
    /// Leave the Huffman tables out of each JPEG, as most webcams do.
    #[arg(long)]
    no_huffman_tables: bool,
    /// The manufacturer's name.
    #[arg(long, default_value_t = Identity::default().manufacturer_name)]
    manufacturer: String,
    /// The product's name, which the guest shows as the camera's.
    #[arg(long, default_value_t = Identity::default().product_name)]
    product: String,
    /// The serial number.
    #[arg(long, default_value_t = Identity::default().serial_number)]
    serial: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum TransportArgument {
    /// The guest asks for each piece; nothing is lost.
    Bulk,
    /// A packet at each interval, as most webcams do.
    Isochronous,
}

impl From<Arguments> for WebcamOptions {
    fn from(arguments: Arguments) -> Self {
        Self {
            identity: Identity {
                manufacturer_name: arguments.manufacturer,
                product_name: arguments.product,
                serial_number: arguments.serial,
                ..Identity::default()
            },
            transport: match arguments.transport {
                TransportArgument::Bulk => Transport::Bulk,
                TransportArgument::Isochronous => Transport::Isochronous,
            },
            huffman_tables: !arguments.no_huffman_tables,
        }
    }
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let socket = arguments.socket.clone();
    let webcam = match Webcam::plug_in(&socket, arguments.into()) {
        Ok(webcam) => webcam,
        Err(error) => {
            let socket = socket.display();
            tracing::error!("cannot plug in at {socket}: {error}; is QEMU running?");
            return ExitCode::FAILURE;
        }
    };
    match webcam.wait() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
