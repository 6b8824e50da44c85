//! The box's frames beside ustreamer's, measured in one run.
//!
//! Both serve the same webcam in the same guest, one after the other, to a
//! viewer of the same relay. `scripts/frame-figures` builds what is needed and
//! calls this.

use std::{error::Error, io, path::PathBuf, process::ExitCode, thread, time::Duration};

use clap::{Parser, ValueEnum};
use pinhole_rig::{
    comparison::{Ages, Guest, GuestOptions, Needs, Processors, Server},
    figures,
    program::{self, print},
    uplink::Uplink,
    uvc::Size,
};

/// The rate that the webcam is asked for, in pictures a second.
const RATE: u32 = 15;

/// The sizes that the camera process' needs are measured at; ages at the first.
const SIZES: [Size; 2] = [
    Size {
        width: 640,
        height: 480,
    },
    Size {
        width: 1280,
        height: 720,
    },
];

/// What part of the stream's own rate a narrow uplink carries: one in so many.
const NARROW: [u64; 2] = [2, 10];

/// Longer than the relay goes on pulling for nobody, so that what is measured
/// next begins with a stream of its own.
const LINGER: Duration = Duration::from_secs(12);

/// How long a server serves before its memory is looked at.
const SETTLED: Duration = Duration::from_secs(10);

/// The box's frames beside ustreamer's.
#[derive(Parser)]
struct Arguments {
    /// The guest's card.
    #[arg(long)]
    guest: PathBuf,
    /// The box's kernel.
    #[arg(long)]
    kernel: PathBuf,
    /// The pinhole-relay binary.
    #[arg(long)]
    relay: PathBuf,
    /// Where logs are kept.
    #[arg(long, default_value = "build/frame-figures-run")]
    directory: PathBuf,
    /// How long each stream is watched, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["free", "narrow", "needs"])]
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Ages with an uplink that carries the stream.
    Free,
    /// Ages with one that does not. Needs root.
    Narrow,
    /// Processor time and memory of the camera process.
    Needs,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    program::run("pinhole-frame-figures", || run(&arguments))
}

/// Measures both servers, one after the other, and prints the tables.
fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut tables = Vec::new();
    if arguments.has(Part::Free) {
        tables.extend(free(arguments)?);
    }
    if arguments.has(Part::Narrow) {
        tables.extend(narrow(arguments)?);
    }
    if arguments.has(Part::Needs) {
        tables.extend(needs(arguments)?);
    }
    print(&format!("\n{}\n", tables.join("\n")));
    print(&figures::load()?);
    Ok(())
}

/// The head of a table of ages.
const AGES_HEAD: [&str; 2] = [
    "| uplink | | pictures/s | bytes each | median age | 95% below | in the first third | in the last |",
    "|---|---|--:|--:|--:|--:|--:|--:|",
];

/// Ages with an uplink that carries the stream.
fn free(arguments: &Arguments) -> Result<Vec<String>, Box<dyn Error>> {
    let mut table = AGES_HEAD.map(str::to_owned).to_vec();
    for server in Server::ALL {
        print(&format!("Watching {} with a free uplink", server.name()));
        let guest = Guest::start(&arguments.options(SIZES[0], Processors::Four), server, None)?;
        let ages = arguments.ages(&guest)?;
        table.push(row("free", server, &ages));
    }
    Ok(table)
}

/// Ages with uplinks that carry a half and a tenth of it. The stream's own rate
/// is taken from the first server, for both.
fn narrow(arguments: &Arguments) -> Result<Vec<String>, Box<dyn Error>> {
    let mut table = AGES_HEAD.map(str::to_owned).to_vec();
    let mut own_rate = None;
    for server in Server::ALL {
        print(&format!("Booting {} behind an uplink", server.name()));
        let uplink = Uplink::new().map_err(uplink_error)?;
        let options = arguments.options(SIZES[0], Processors::Four);
        let guest = Guest::start(&options, server, Some(&uplink))?;
        let rate = match own_rate {
            Some(rate) => rate,
            None => {
                let ages = guest.arrivals(Duration::from_secs(10))?.ages();
                let ages = ages.ok_or("no pictures came")?;
                let rate = (ages.rate * ages.bytes as f64 * 8.0) as u64;
                *own_rate.insert(rate)
            }
        };
        for part in NARROW {
            let rate = rate / part;
            uplink.limit(rate).map_err(uplink_error)?;
            thread::sleep(LINGER);
            let name = format!("{} kbit/s (1/{part})", rate / 1000);
            print(&format!("Watching {} with {name}", server.name()));
            let ages = arguments.ages(&guest)?;
            table.push(row(&name, server, &ages));
            print(&format!(
                "one of its pictures takes {:.0} ms",
                ages.bytes as f64 * 8e3 / rate as f64
            ));
        }
    }
    Ok(table)
}

/// What the camera process needs: processor time by counted instructions, and
/// memory with as many processors as most boxes have.
fn needs(arguments: &Arguments) -> Result<Vec<String>, Box<dyn Error>> {
    let mut table = vec![
        "| size | | processor time a picture | pictures | resident | its own |".to_owned(),
        "|---|---|--:|--:|--:|--:|".to_owned(),
    ];
    for size in SIZES {
        for server in Server::ALL {
            print(&format!("Counting for {} at {size}", server.name()));
            let seconds = Duration::from_secs(arguments.seconds);
            let time = arguments.needs(size, Processors::Counted, server, seconds)?;
            let memory = arguments.needs(size, Processors::Four, server, SETTLED)?;
            let megabytes = |bytes: u64| format!("{:.2} MB", bytes as f64 / 1e6);
            table.push(format!(
                "| {size} | {} | {:.3} ms | {} | {} | {} |",
                server.name(),
                time.per_picture.as_secs_f64() * 1e3,
                time.pictures,
                megabytes(memory.resident),
                megabytes(memory.own),
            ));
        }
    }
    Ok(table)
}

impl Arguments {
    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    fn options(&self, size: Size, processors: Processors) -> GuestOptions {
        GuestOptions {
            card: self.guest.clone(),
            kernel: self.kernel.clone(),
            relay: self.relay.clone(),
            directory: self.directory.clone(),
            size,
            rate: RATE,
            processors,
        }
    }

    fn needs(
        &self,
        size: Size,
        processors: Processors,
        server: Server,
        duration: Duration,
    ) -> Result<Needs, Box<dyn Error>> {
        let guest = Guest::start(&self.options(size, processors), server, None)?;
        Ok(guest.needs(duration)?)
    }

    fn ages(&self, guest: &Guest) -> Result<Ages, Box<dyn Error>> {
        let arrivals = guest.arrivals(Duration::from_secs(self.seconds))?;
        Ok(arrivals.ages().ok_or("no pictures came")?)
    }
}

/// A row of a table of ages.
fn row(uplink: &str, server: Server, ages: &Ages) -> String {
    let (first, last) = ages.first_and_last;
    let milliseconds = [ages.median, ages.most, first, last]
        .map(|age| format!("{:.0} ms", age.as_secs_f64() * 1e3))
        .join(" | ");
    format!(
        "| {uplink} | {} | {:.1} | {} | {milliseconds} |",
        server.name(),
        ages.rate,
        ages.bytes,
    )
}

fn uplink_error(error: io::Error) -> String {
    format!("the uplink cannot be limited: {error}; this needs root and iproute2")
}
