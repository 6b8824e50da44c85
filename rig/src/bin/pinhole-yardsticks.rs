//! The box's figures beside those of its yardsticks, measured in one run.
//!
//! Each system boots on the same virtual machine with the same webcam, its time
//! counted in instructions. The box's first frame is at a viewer of the relay,
//! the others' at their own loopback. `scripts/yardsticks` builds what is
//! needed and calls this.

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Parser;
use pinhole_rig::{
    figures::{self, FirstFrame},
    program::{self, print},
    qemu::MachineOptions,
    scene::{BoxKind, SceneOptions},
    yardstick::Yardstick,
};

/// The box's figures beside those of its yardsticks.
#[derive(Parser)]
struct Arguments {
    /// The directory of the yardsticks' kernel and cards, which are written to.
    #[arg(long)]
    yardsticks: PathBuf,
    /// The directory of the box's image.
    #[arg(long)]
    image: PathBuf,
    /// The pinhole-relay binary.
    #[arg(long)]
    relay: PathBuf,
    /// Where the consoles' logs are kept.
    #[arg(long, default_value = "build/yardsticks-run")]
    directory: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    program::run("pinhole-yardsticks", || run(&arguments))
}

/// Measures all systems, one after the other, and prints the table.
fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut table = vec![row("", "to first frame", "memory in use")];
    let mut add = |name: &str, figures: FirstFrame| {
        let time = format!("{:.2} s", figures.time.as_secs_f64());
        let memory = format!("{:.1} MB", figures.memory_used);
        table.push(row(name, &time, &memory));
    };
    print("Booting the box");
    add("pinhole", figures::boot(&scene(arguments))?.first_frame);
    for yardstick in Yardstick::ALL {
        print(&format!("Booting {}", yardstick.name()));
        let figures = yardstick.measure(&arguments.yardsticks, &arguments.directory)?;
        add(yardstick.name(), figures);
    }
    print(&format!("\n{}\n", table.join("\n")));
    print(
        "Guest seconds from the start of the kernel to the first frame: pinhole's at the relay's",
    );
    print("viewer, the others' at their own loopback. Memory is MemTotal less MemAvailable then.");
    print(&figures::load()?);
    Ok(())
}

/// The whole of pinhole, as the demo boots it.
fn scene(arguments: &Arguments) -> SceneOptions {
    SceneOptions {
        relay: arguments.relay.clone(),
        camera_box: BoxKind::Virtual {
            image: arguments.image.clone(),
            machine: MachineOptions::virt_from_card(&arguments.image),
        },
        settings: String::new(),
        directory: arguments.directory.join("pinhole"),
        port: 0,
    }
}

fn row(name: &str, time: &str, memory: &str) -> String {
    format!("{name:<34}{time:>14}{memory:>16}")
}
