//! What a server says, by way of its guest's first process, that it has used.

use std::time::Duration;

/// What a process has used so far, and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// User and system time.
    pub(super) processor: Duration,
    /// Resident memory, in bytes.
    pub(super) resident: u64,
    /// That part of it which is no file's and no device's, in bytes.
    pub(super) own: u64,
}

/// What `rig/yardsticks/camera-init` begins its lines with.
pub(super) const MARK: &str = "camera-init: ";

impl Usage {
    /// Reads a line of `camera-init`.
    pub(super) fn read(line: &str) -> Option<Self> {
        let (_, told) = line.split_once(MARK)?;
        let number = |unit: &str| -> Option<u64> {
            let part = told
                .trim_end()
                .split(", ")
                .find_map(|part| part.strip_suffix(unit))?;
            part.parse().ok()
        };
        Some(Self {
            processor: Duration::from_millis(10 * number(" hundredths")?),
            resident: 1024 * number(" kB resident")?,
            own: 1024 * number(" kB of its own")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_was_used() {
        let line =
            "[   12.345678] camera-init: 57 hundredths, 9120 kB resident, 2048 kB of its own\r";
        let usage = Usage {
            processor: Duration::from_millis(570),
            resident: 9120 << 10,
            own: 2 << 20,
        };
        assert_eq!(Usage::read(line), Some(usage));
        assert_eq!(Usage::read("camera-init: 57 hundredths"), None);
        assert_eq!(
            Usage::read("57 hundredths, 1 kB resident, 1 kB of its own"),
            None
        );
    }
}
