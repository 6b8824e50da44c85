//! Power cuts in the middle of a write, offline: what a box has written to its
//! card is written again to a copy, and torn in every sector.

use std::{fmt, path::PathBuf};

use pinhole::init::state::{SLOT_LEN, SLOTS, State};

use crate::{
    card::{BOOT_PARTITION, Card, CardError, PINHOLE_TOML, STATE_PARTITION},
    checks::CheckError,
    write_log::{SECTOR, Write},
};

/// What a torn sector may hold behind the tear, beside what was there before:
/// an erased sector of a card is one or the other.
const ERASED: [u8; 2] = [0x00, 0xFF];

/// Bytes of an erase block that a slot of the state has for itself.
const ERASE_BLOCK: usize = 512 << 10;

/// Bytes between two tears in a sector of the state, which checks itself.
const STATE_TEARS: usize = 1;

/// Bytes between two tears in a sector of the boot partition.
const BOOT_TEARS: usize = 256;

/// A copy of a card that the box's writes are replayed on.
#[derive(Debug)]
pub struct Replay {
    card: Card,
    /// The box's settings, which nothing that it writes may change.
    settings: Vec<u8>,
    /// Sectors that the box wrote.
    sectors: u64,
    /// Power cuts that were survived.
    cuts: u64,
}

impl fmt::Display for Replay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sectors, cuts, .. } = self;
        write!(formatter, "{cuts} power cuts in {sectors} written sectors")
    }
}

/// A record that is being written to one of the state's slots.
#[derive(Debug)]
struct Record {
    /// What the box finds if the record does not count.
    before: Option<State>,
    /// What it finds if it does.
    after: Option<State>,
}

impl Replay {
    /// Begins with `card` as it is now, and keeps its copy at `file`.
    ///
    /// # Errors
    /// When the card cannot be copied or has no settings.
    pub fn new(card: &Card, file: PathBuf) -> Result<Self, CheckError> {
        let card = Card::write(card.file(), file).map_err(scene_error)?;
        Ok(Self {
            settings: card.get(PINHOLE_TOML).map_err(scene_error)?,
            sectors: 0,
            cuts: 0,
            card,
        })
    }

    /// Carries out `writes`, and cuts the power before, in and after each of
    /// their sectors. Whatever the cut leaves, the state is that of the last
    /// whole record or of the one being written, and the settings can be read.
    ///
    /// # Errors
    /// When that is not so, or the box wrote to another place of the card.
    pub fn cut_in_each(&mut self, writes: &[Write]) -> Result<(), CheckError> {
        let boot = self.card.partition(BOOT_PARTITION).map_err(scene_error)?;
        let state = self.card.partition(STATE_PARTITION).map_err(scene_error)?;
        let sectors: Vec<_> = writes.iter().flat_map(sectors).collect();
        let mut record = Record {
            before: None,
            after: None,
        };
        for (index, (offset, new)) in sectors.iter().enumerate() {
            if boot.contains(offset) {
                self.cuts += self.tear(*offset, new, BOOT_TEARS, |card| {
                    Ok(card.get(PINHOLE_TOML)? == self.settings)
                })?;
            } else if let Some(slot) = slot_at(offset.wrapping_sub(state.start)) {
                let slot = state.start + slot;
                if *offset == slot {
                    record = self.record(slot, &sectors[index..]).map_err(scene_error)?;
                    self.lose_erase_block(slot, &record)?;
                }
                self.cuts += self.tear(*offset, new, STATE_TEARS, |card| {
                    let found = card.state()?;
                    Ok(found == record.before || found == record.after)
                })?;
            } else {
                return Err(CheckError::Broken(format!(
                    "the box wrote at byte {offset} of its card, which is neither its state nor \
                     on the boot partition"
                )));
            }
            self.card.write_at(*offset, new).map_err(scene_error)?;
            self.sectors += 1;
        }
        Ok(())
    }

    /// What the box finds before and after the record in the slot at `start`,
    /// which the first of `sectors` are.
    fn record(&self, start: u64, sectors: &[(u64, &[u8])]) -> Result<Record, CardError> {
        let before = self.card.state()?;
        let mut old = [0; SLOT_LEN];
        self.card.read_at(start, &mut old)?;
        for (offset, new) in sectors.iter().take(SLOT_LEN / SECTOR) {
            self.card.write_at(*offset, new)?;
        }
        let after = self.card.state()?;
        self.card.write_at(start, &old)?;
        Ok(Record { before, after })
    }

    /// A card that loses power may lose the whole erase block around what it
    /// writes: then it is as if the record had not been written.
    fn lose_erase_block(&mut self, slot: u64, record: &Record) -> Result<(), CheckError> {
        let mut old = vec![0; ERASE_BLOCK];
        self.card.read_at(slot, &mut old).map_err(scene_error)?;
        for filler in ERASED {
            let erased = vec![filler; ERASE_BLOCK];
            self.card.write_at(slot, &erased).map_err(scene_error)?;
            if self.card.state().map_err(scene_error)? != record.before {
                return Err(lost("in an erase block", slot));
            }
            self.cuts += 1;
        }
        self.card.write_at(slot, &old).map_err(scene_error)
    }

    /// Writes a part of `new` at `offset`, for every part whose length is a
    /// multiple of `step`, and sees each time whether the card `is_good`.
    /// Leaves the sector as it was, and returns how many parts there were.
    fn tear(
        &self,
        offset: u64,
        new: &[u8],
        step: usize,
        is_good: impl Fn(&Card) -> Result<bool, CardError>,
    ) -> Result<u64, CheckError> {
        let mut old = [0; SECTOR];
        self.card.read_at(offset, &mut old).map_err(scene_error)?;
        let behind = [old, [ERASED[0]; SECTOR], [ERASED[1]; SECTOR]];
        let mut cuts = 0;
        for length in (0..=SECTOR).step_by(step) {
            for behind in &behind {
                let torn = [&new[..length], &behind[length..]].concat();
                self.card.write_at(offset, &torn).map_err(scene_error)?;
                if !is_good(&self.card).map_err(scene_error)? {
                    return Err(lost(&format!("behind {length} bytes of a sector"), offset));
                }
                cuts += 1;
            }
        }
        self.card.write_at(offset, &old).map_err(scene_error)?;
        Ok(cuts)
    }
}

fn lost(tear: &str, offset: u64) -> CheckError {
    CheckError::Broken(format!(
        "a power cut {tear} at byte {offset} of the card lost what was there before"
    ))
}

/// The sectors of a write, each with its place on the card.
fn sectors(write: &Write) -> impl Iterator<Item = (u64, &[u8])> {
    let places = (write.offset..).step_by(SECTOR);
    places.zip(write.data.chunks(SECTOR))
}

/// Where in the state's partition the slot begins that has `offset` in it.
fn slot_at(offset: u64) -> Option<u64> {
    let length = SLOT_LEN as u64;
    SLOTS
        .into_iter()
        .find(|slot| (*slot..slot + length).contains(&offset))
}

fn scene_error(error: CardError) -> CheckError {
    CheckError::Scene(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinhole::init::state;
    use std::{fs, process::Command, time::SystemTime};

    /// A card with settings on its boot partition, of 4 MiB, and a state of
    /// 1 MiB behind it.
    fn card(directory: &std::path::Path) -> Card {
        const MIB: u64 = 1 << 20;
        let (image, settings) = (directory.join("image"), directory.join("settings"));
        fs::write(&image, []).unwrap();
        fs::write(&settings, "a = 1\n").unwrap();
        let card = Card::write(&image, directory.join("card")).unwrap();
        let sectors = |bytes: u64| ((bytes / SECTOR as u64) as u32).to_le_bytes();
        let entry = |start, length| [sectors(start), sectors(length)].concat();
        card.write_at(446 + 8, &entry(MIB, 4 * MIB)).unwrap();
        card.write_at(446 + 3 * 16 + 8, &entry(5 * MIB, MIB))
            .unwrap();
        let made = Command::new("/usr/sbin/mkfs.fat")
            .args(["--offset", "2048"])
            .arg(card.file())
            .arg("4096")
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        card.put(&settings, PINHOLE_TOML).unwrap();
        card
    }

    fn record(slot: usize, sequence: u64) -> Write {
        let clock = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(sequence);
        let state = State { clock: Some(clock) };
        Write {
            offset: (5 << 20) + SLOTS[slot],
            data: state::encode(sequence, &state),
        }
    }

    #[test]
    fn records_in_turn_survive_every_cut() {
        let directory = tempfile::tempdir().unwrap();
        let card = card(directory.path());
        let mut replay = Replay::new(&card, directory.path().join("copy")).unwrap();
        let writes = [record(0, 1), record(1, 2), record(0, 3)];
        replay.cut_in_each(&writes).unwrap();
        assert_eq!(replay.to_string(), "36942 power cuts in 24 written sectors");
    }

    #[test]
    fn a_record_over_the_newest_one_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let card = card(directory.path());
        let mut replay = Replay::new(&card, directory.path().join("copy")).unwrap();
        let error = replay
            .cut_in_each(&[record(0, 1), record(0, 2)])
            .unwrap_err();
        assert!(error.to_string().contains("in an erase block"), "{error}");
    }

    #[test]
    fn what_overwrites_the_settings_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let card = card(directory.path());
        let mut replay = Replay::new(&card, directory.path().join("copy")).unwrap();
        let mut places = (1 << 20..5 << 20).step_by(SECTOR);
        let settings = places.find(|place| {
            let mut found = [0; SECTOR];
            card.read_at(*place, &mut found).unwrap();
            found.starts_with(b"a = 1")
        });
        let over = |offset| Write {
            offset,
            data: vec![b'x'; SECTOR],
        };
        let error = replay.cut_in_each(&[over(settings.unwrap())]).unwrap_err();
        assert!(error.to_string().contains("lost what was there"), "{error}");
        let error = replay.cut_in_each(&[over(0)]).unwrap_err();
        assert!(error.to_string().contains("neither its state"), "{error}");
    }
}
