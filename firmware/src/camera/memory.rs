//! How much of the machine's memory is in use.

use std::fs;

/// Bytes of memory that neither are free nor could be made free at once:
/// `MemTotal` less `MemAvailable` (proc_meminfo(5)). `None` where the kernel
/// does not tell.
pub(super) fn in_use() -> Option<u64> {
    of(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn of(meminfo: &str) -> Option<u64> {
    let kibibytes = |name: &str| -> Option<u64> {
        let mut lines = meminfo.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().strip_suffix(" kB")?.parse().ok()
    };
    let in_use = kibibytes("MemTotal")?.checked_sub(kibibytes("MemAvailable")?)?;
    Some(in_use * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_total_less_what_is_available() {
        let meminfo = "MemTotal:         496 kB\nMemFree: 1 kB\nMemAvailable:      96 kB\n";
        assert_eq!(of(meminfo), Some(400 * 1024));
        assert_eq!(of("MemTotal: 496 kB\n"), None);
        assert!(in_use().is_some());
    }
}
