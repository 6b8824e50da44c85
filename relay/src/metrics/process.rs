//! What this process takes, by the names that Prometheus's own clients use.

use std::{fs, time::SystemTime};

use nix::{
    sys::resource::{Resource, UsageWho, getrlimit, getrusage},
    sys::time::TimeValLike as _,
};

use super::{
    exposition::{Exposition, Kind},
    families::since_1970,
};

/// Adds what the system tells. What it does not tell is left out.
pub(super) fn write(text: &mut Exposition, started: SystemTime) {
    text.single(
        "process_start_time_seconds",
        Kind::Gauge,
        "When the relay was started.",
        since_1970(started),
    );
    let mut gauge = |name, help, value: Option<u64>| {
        if let Some(value) = value {
            text.single(name, Kind::Gauge, help, value);
        }
    };
    gauge(
        "process_resident_memory_bytes",
        "Memory in use.",
        resident_bytes(),
    );
    gauge(
        "process_open_fds",
        "Open files and connections.",
        open_files(),
    );
    gauge(
        "process_max_fds",
        "Most files and connections that may be open.",
        getrlimit(Resource::RLIMIT_NOFILE)
            .ok()
            .map(|(soft, _)| soft),
    );
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let time = usage.user_time() + usage.system_time();
        text.single(
            "process_cpu_seconds_total",
            Kind::Counter,
            "Processor time taken.",
            time.num_microseconds() as f64 / 1e6,
        );
    }
}

/// proc_pid_status(5).
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = kibibytes.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

fn open_files() -> Option<u64> {
    let listed = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // The listing itself is one.
    listed.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_of_this_process() {
        let memory = resident_bytes().unwrap();
        assert!((1 << 20..1 << 40).contains(&memory), "{memory}");
        let before = open_files().unwrap();
        assert!(before > 2, "{before}");
    }
}
