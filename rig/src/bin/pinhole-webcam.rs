//! Plugs an emulated webcam into a virtual machine, until either ends.
//!
//! Give QEMU `-device qemu-xhci -chardev socket,id=cam,path=cam.sock,server=on,wait=off
//! -device usb-redir,chardev=cam`, and this program that socket. Ending it
//! unplugs the webcam.

use std::{num::NonZeroU32, path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use pinhole_rig::{
    uvc::{
        ControlSet, Format, Formats,
        descriptor::{Identity, Transport},
    },
    webcam::{Misbehaviour, Trouble, Webcam, WebcamOptions},
};

/// An emulated USB webcam for a virtual machine of QEMU's.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The socket of the usb-redir device's chardev.
    socket: PathBuf,
    /// A format to offer, by V4L2's name; may be given several times, the
    /// first one being the default.
    #[arg(long = "format", value_enum, default_values = ["mjpg", "yuyv"])]
    formats: Vec<FormatArgument>,
    /// How pictures travel.
    #[arg(long, value_enum, default_value = "bulk")]
    transport: TransportArgument,
    /// What can be set at it.
    #[arg(long, value_enum, default_value = "usual")]
    controls: ControlsArgument,
    /// Leave the Huffman tables out of each JPEG, as most webcams do.
    #[arg(long)]
    no_huffman_tables: bool,
    /// Something to do wrong.
    #[arg(long, value_enum)]
    misbehaviour: Option<Misbehaviour>,
    /// Do it at each frame of this number, counted from the first.
    #[arg(long, default_value = "1", requires = "misbehaviour")]
    every: NonZeroU32,
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
enum FormatArgument {
    /// JPEG pictures.
    Mjpg,
    /// Raw colours, 4:2:2, two bytes a pixel.
    Yuyv,
    /// Raw colours, 4:2:0, a plane of brightness and one of colour pairs.
    Nv12,
    /// Raw colours, 4:2:0, three planes.
    Yu12,
    /// Raw brightness, a byte a pixel.
    Grey,
    /// Raw colours, blue, green and red.
    Bgr3,
    /// Raw brightness, 16 bits a pixel, which pinhole cannot use.
    Y16,
}

impl From<FormatArgument> for Format {
    fn from(argument: FormatArgument) -> Self {
        match argument {
            FormatArgument::Mjpg => Self::Mjpg,
            FormatArgument::Yuyv => Self::Yuyv,
            FormatArgument::Nv12 => Self::Nv12,
            FormatArgument::Yu12 => Self::Yu12,
            FormatArgument::Grey => Self::Grey,
            FormatArgument::Bgr3 => Self::Bgr3,
            FormatArgument::Y16 => Self::Y16,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum TransportArgument {
    /// The guest asks for each piece; nothing is lost.
    Bulk,
    /// A packet at each interval, as most webcams do.
    Isochronous,
}

#[derive(Clone, Copy, ValueEnum)]
enum ControlsArgument {
    /// Nothing.
    Nothing,
    /// What webcams on sale have.
    Usual,
    /// All that a descriptor can announce, with senseless limits.
    Odd,
}

impl From<Arguments> for WebcamOptions {
    fn from(arguments: Arguments) -> Self {
        let mut formats = arguments.formats.into_iter().map(Format::from);
        Self {
            formats: match formats.next() {
                Some(first) => Formats::new(first, formats),
                None => Formats::default(),
            },
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
            controls: match arguments.controls {
                ControlsArgument::Nothing => ControlSet::Nothing,
                ControlsArgument::Usual => ControlSet::Usual,
                ControlsArgument::Odd => ControlSet::Odd,
            },
            huffman_tables: !arguments.no_huffman_tables,
            trouble: arguments.misbehaviour.map(|misbehaviour| Trouble {
                misbehaviour,
                every: arguments.every,
            }),
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
