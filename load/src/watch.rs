//! Viewers of any server on this machine, and what they see.

use std::{
    collections::HashSet,
    error::Error,
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use crate::{
    certificate,
    experiment::wait_for_pictures,
    figures::percentile,
    process,
    viewers::{Behaviour, Crowd, Stamped, Target, Viewer},
};

/// Who watches what.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The server, on this machine: viewers come from all over 127.0.0.0/8
    #[arg(value_name = "ADDRESS:PORT")]
    server: SocketAddr,
    /// The stream's path
    #[arg(value_name = "PATH")]
    path: String,
    /// The server's own certificate, for localhost, a PEM file
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Viewers that read all
    #[arg(long, default_value_t = 1)]
    normal: usize,
    /// Viewers that read slowly
    #[arg(long, default_value_t = 0)]
    slow: usize,
    /// Bytes a second that a slow viewer reads: a fifth of 12 pictures of 60 KB
    #[arg(long, default_value_t = 144_000.0)]
    slow_rate: f64,
    /// Viewers that stop to read after the first picture
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// Viewers that leave after each third picture and come again
    #[arg(long, default_value_t = 0)]
    churning: usize,
    /// How long they watch
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The server's process, to tell what it and its children use
    #[arg(long)]
    pid: Option<u32>,
}

/// What viewers saw.
pub(crate) struct Report(Vec<String>);

/// Watches.
///
/// # Errors
/// When a viewer gets no picture, or it is to stop.
pub(crate) fn run(options: &Options, stopped: &Arc<AtomicBool>) -> Result<Report, Box<dyn Error>> {
    let target = Target {
        address: options.server,
        path: options.path.clone(),
        tls: certificate::client_config_for(&options.certificate)?,
    };
    let mut crowd = Crowd::new(target, stopped)?;
    let slow = Behaviour::Slow {
        bytes_per_second: options.slow_rate,
    };
    let churning = Behaviour::Churning {
        pictures: 3,
        pause: Duration::from_millis(100),
    };
    let groups = [
        ("normal", options.normal, Behaviour::Normal),
        ("slow", options.slow, slow),
        ("stalled", options.stalled, Behaviour::Stalled),
        ("churning", options.churning, churning),
    ];
    for (_, count, behaviour) in groups {
        crowd.add(count, behaviour, Stamped::Comment);
    }
    wait_for_pictures(&mut crowd)?;
    crowd.reset();
    let pids: HashSet<_> = options.pid.into_iter().collect();
    let before = process::usage(&pids)?;
    crowd.run(Duration::from_secs(options.seconds))?;
    let after = process::usage(&pids)?;
    let mut report = Report(Vec::new());
    let mut viewers = crowd.viewers();
    for (name, count, _) in groups.into_iter().filter(|(_, count, _)| *count > 0) {
        let (group, rest) = viewers.split_at(count);
        viewers = rest;
        report.add(name, group, options.seconds);
    }
    if !pids.is_empty() {
        let bytes: u64 = crowd
            .viewers()
            .iter()
            .map(|viewer| viewer.figures.bytes)
            .sum();
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        report.0.push(format!(
            "server: {:.3} CPU seconds per GB, {:.1} MB",
            cpu / bytes as f64 * 1e9,
            after.memory as f64 / 1e6,
        ));
    }
    Ok(report)
}

impl Report {
    fn add(&mut self, name: &str, viewers: &[Viewer], seconds: u64) {
        let rate = |viewer: &Viewer| viewer.figures.pictures as f64 / seconds as f64;
        let rates = Spread(viewers.iter().map(rate).collect());
        let sum = |figure: fn(&Viewer) -> u64| viewers.iter().map(figure).sum::<u64>();
        let seconds_of = |figure: fn(&Viewer) -> &Vec<Duration>| {
            let times = viewers.iter().flat_map(figure);
            Spread(times.map(Duration::as_secs_f64).collect())
        };
        let gaps = seconds_of(|viewer| &viewer.figures.gaps);
        let ages = seconds_of(|viewer| &viewer.figures.ages);
        let joins = seconds_of(|viewer| &viewer.figures.joins);
        self.0.push(format!(
            "{} {name}: pictures a second {rates}; {} missed; \
             gap in s {gaps}; age in s {ages}; \
             first picture in s {joins}; {} broken",
            viewers.len(),
            sum(|viewer| viewer.figures.missed),
            sum(|viewer| viewer.figures.broken),
        ));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

/// Least, median, 99th percentile and largest of some values.
struct Spread(Vec<f64>);

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values = self.0.clone();
        if values.is_empty() {
            return formatter.write_str("-");
        }
        for (number, share) in [0.0, 0.5, 0.99, 1.0].into_iter().enumerate() {
            let value = percentile(&mut values, share).unwrap_or(f64::NAN);
            let between = if number == 0 { "" } else { " / " };
            write!(formatter, "{between}{value:.3}")?;
        }
        Ok(())
    }
}
