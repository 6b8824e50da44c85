//! `status.txt` on the card: found once, and from then on overwritten in place.

use std::{io, path::PathBuf, time::Duration};

use crate::init::{fat::Extent, log, system::System};

/// The file's name on the FAT partition. The image brings it along, with room
/// for a long text.
const NAME: &str = "status.txt";

/// The shortest time between two writes: a card wears out.
const INTERVAL: Duration = Duration::from_secs(30);

/// Less room than this is of no use, in bytes.
const MIN_LEN: usize = 256;

/// The place of the text, and when to write it.
#[derive(Debug)]
pub(super) struct StatusFile {
    place: Option<Place>,
    /// Whether something is new since the last write.
    changed: bool,
    /// When the next write may be, as uptime.
    earliest: Duration,
    /// Whether a fault was told since the start.
    fault_told: bool,
}

#[derive(Debug)]
struct Place {
    device: PathBuf,
    extents: Vec<Extent>,
}

impl StatusFile {
    /// Finds the file on the FAT partition `device`. Where a computer has
    /// deleted it, nothing is written.
    pub(super) fn find(system: &mut impl System, device: Option<PathBuf>) -> Self {
        let place = device.and_then(|device| match located(system, &device) {
            Ok(extents) => Some(Place { device, extents }),
            Err(error) => {
                log::warn(system, &format!("{NAME}: not kept: {error}"));
                None
            }
        });
        Self {
            place,
            changed: false,
            earliest: INTERVAL,
            fault_told: false,
        }
    }

    /// When there is something to be written, as uptime.
    pub(super) fn next_write(&self) -> Option<Duration> {
        let waits = self.place.is_some() && self.changed;
        waits.then_some(self.earliest)
    }

    /// Takes note that there is something new to be told. The first fault
    /// since the start is told at once.
    pub(super) fn changed(&mut self, now: Duration, is_fault: bool) {
        self.changed = true;
        if is_fault && !self.fault_told {
            self.fault_told = true;
            self.earliest = now;
        }
    }

    /// Whether the time to write has come.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.next_write().is_some_and(|when| when <= now)
    }

    /// Writes the text over the old one, cut or filled up to the file's size.
    pub(super) fn write(&mut self, system: &mut impl System, text: &str) {
        self.changed = false;
        self.earliest = system.uptime() + INTERVAL;
        let Some(Place { device, extents }) = &self.place else {
            return;
        };
        let bytes = fill(text, extents.iter().map(|extent| extent.length).sum());
        let mut rest = &bytes[..];
        for extent in extents {
            let (piece, behind) = rest.split_at(extent.length);
            rest = behind;
            if let Err(error) = system.write_device(device, extent.offset, piece) {
                log::warn(system, &format!("{NAME}: not kept from here on: {error}"));
                self.place = None;
                return;
            }
        }
    }
}

fn located(system: &mut impl System, device: &std::path::Path) -> io::Result<Vec<Extent>> {
    let extents = system.locate_on_fat(device, NAME)?;
    let length: usize = extents.iter().map(|extent| extent.length).sum();
    match length {
        0..MIN_LEN => Err(io::Error::other(format!(
            "it has {length} bytes, and at least {MIN_LEN} are needed"
        ))),
        _ => Ok(extents),
    }
}

/// The text with the line ends of Windows, in exactly `length` bytes: cut
/// between two letters, or filled up with spaces.
fn fill(text: &str, length: usize) -> Vec<u8> {
    let text = text.replace('\n', "\r\n");
    let mut bytes = text.as_bytes()[..text.floor_char_boundary(length)].to_vec();
    bytes.resize(length, b' ');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_takes_exactly_the_room_that_there_is() {
        assert_eq!(fill("a\nb\n", 8), b"a\r\nb\r\n  ");
        assert_eq!(fill("a\nb\n", 3), b"a\r\n");
        assert_eq!(fill("aé", 2), b"a ");
        assert_eq!(fill("", 0), b"");
    }

    #[test]
    fn the_first_fault_is_told_at_once_and_all_else_in_its_time() {
        let mut file = StatusFile {
            place: Some(Place {
                device: PathBuf::new(),
                extents: Vec::new(),
            }),
            changed: false,
            earliest: INTERVAL,
            fault_told: false,
        };
        let at = Duration::from_secs;
        assert_eq!(file.next_write(), None);
        file.changed(at(1), false);
        assert_eq!(file.next_write(), Some(INTERVAL));
        file.changed(at(2), true);
        assert!(file.is_due(at(2)));
        (file.changed, file.earliest) = (false, at(32));
        file.changed(at(3), true);
        assert!(!file.is_due(at(31)) && file.is_due(at(32)));
    }
}
