//! What a process of this machine holds (proc(5)).

use std::fs;

/// Descriptors, threads and memory of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) descriptors: usize,
    pub(crate) threads: u64,
    /// Resident, in KiB.
    pub(crate) memory: u64,
}

impl Held {
    /// What the process of that ID holds now.
    pub(crate) fn by(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.unwrap().split_ascii_whitespace().next();
            number.unwrap().parse().unwrap()
        };
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        Self {
            descriptors: descriptors.count(),
            threads: number("Threads:"),
            memory: number("VmRSS:"),
        }
    }
}
