//! What must survive a reboot, in a partition without a filesystem.
//!
//! Two slots hold one record each. A record is written to the slot that does
//! not hold the newest one, and a record that was cut or altered counts as
//! absent, so that a power cut at any byte leaves the older record. The slots
//! are half a mebibyte apart: a card that loses power while it rewrites an
//! erase block may damage all of that block, not only the sectors asked for.
//!
//! A record, numbers little-endian:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | `pinhole\n` |
//! | 8 | 4 | CRC-32 (IEEE 802.3) of all that follows |
//! | 12 | 4 | version of this format: 1 |
//! | 16 | 8 | sequence number, one more than the record before |
//! | 24 | 4 | length of the text |
//! | 28 | | text, `name = value` lines; unknown names are ignored |

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::system::System;

/// Where the two slots start in the partition.
pub const SLOTS: [u64; 2] = [0, 512 << 10];
/// Size of a slot, in bytes: one read, and aligned for any card.
pub const SLOT_LEN: usize = 4096;
const MAGIC: &[u8; 8] = b"pinhole\n";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 28;
/// What the checksum covers starts here.
const CHECKED_FROM: usize = 12;

/// What survives a reboot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The wall clock when it was last saved, to the second.
    pub clock: Option<SystemTime>,
}

/// The partition that holds a [`State`].
#[derive(Debug)]
pub struct Store {
    device: PathBuf,
    /// Which slot the next record goes to.
    slot: usize,
    /// The next record's sequence number.
    sequence: u64,
}

impl Store {
    /// Reads the newest record. A partition without one, or with garbage in
    /// it, gives the default state. So does a slot that cannot be read: where
    /// a power cut has damaged an erase block, a card answers with an error.
    ///
    /// # Errors
    /// When neither slot can be read.
    pub fn open(system: &mut impl System, device: PathBuf) -> io::Result<(Self, State)> {
        let first = system.read_device(&device, SLOTS[0], SLOT_LEN);
        let second = system.read_device(&device, SLOTS[1], SLOT_LEN);
        let slots = match (first, second) {
            (Err(error), Err(_)) => return Err(error),
            (first, second) => [first, second].map(Result::unwrap_or_default),
        };
        let (slot, sequence, state) = match newest(slots.each_ref().map(Vec::as_slice)) {
            Some((slot, record)) => (1 - slot, record.sequence.saturating_add(1), record.state),
            None => (0, 1, State::default()),
        };
        let store = Self {
            device,
            slot,
            sequence,
        };
        Ok((store, state))
    }

    /// Writes a record and returns when it is on the card.
    ///
    /// # Errors
    /// When the partition cannot be written; the next record then goes to the
    /// same slot, as the other one still holds the newest.
    pub fn save(&mut self, system: &mut impl System, state: &State) -> io::Result<()> {
        let record = encode(self.sequence, state);
        system.write_device(&self.device, SLOTS[self.slot], &record)?;
        self.slot = 1 - self.slot;
        self.sequence = self.sequence.saturating_add(1);
        Ok(())
    }
}

/// Overwrites both records.
///
/// # Errors
/// When the partition cannot be written.
pub fn erase(system: &mut impl System, device: &Path) -> io::Result<()> {
    for slot in SLOTS {
        system.write_device(device, slot, &[0; SLOT_LEN])?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Record {
    sequence: u64,
    state: State,
}

/// The valid record with the higher sequence number, and its slot.
fn newest(slots: [&[u8]; 2]) -> Option<(usize, Record)> {
    let records = slots.into_iter().map(decode).enumerate();
    records
        .filter_map(|(slot, record)| Some((slot, record?)))
        .max_by_key(|(_, record)| record.sequence)
}

/// What the newest valid record in the two slots holds.
pub fn newest_state(slots: [&[u8]; 2]) -> Option<State> {
    newest(slots).map(|(_, record)| record.state)
}

/// A record in a whole slot, so that nothing of an older one stays behind it.
pub fn encode(sequence: u64, state: &State) -> Vec<u8> {
    let text = state.to_text();
    let mut record = Vec::with_capacity(SLOT_LEN);
    record.extend_from_slice(MAGIC);
    record.extend_from_slice(&[0; 4]);
    record.extend_from_slice(&VERSION.to_le_bytes());
    record.extend_from_slice(&sequence.to_le_bytes());
    // The text is a handful of short lines, far below 4 GiB and the slot.
    record.extend_from_slice(&(text.len() as u32).to_le_bytes());
    record.extend_from_slice(text.as_bytes());
    let checksum = crc32fast::hash(&record[CHECKED_FROM..]);
    record[MAGIC.len()..CHECKED_FROM].copy_from_slice(&checksum.to_le_bytes());
    record.resize(SLOT_LEN, 0);
    record
}

/// The record in a slot, if there is a whole one.
fn decode(slot: &[u8]) -> Option<Record> {
    let (header, rest) = slot.split_first_chunk::<HEADER_LEN>()?;
    let number = |at: usize| Some(u32::from_le_bytes(header[at..at + 4].try_into().ok()?));
    let length = usize::try_from(number(24)?).ok()?;
    let text = rest.get(..length)?;
    let checked = &slot[CHECKED_FROM..HEADER_LEN + length];
    let whole = header.starts_with(MAGIC)
        && number(8)? == crc32fast::hash(checked)
        && number(12)? == VERSION;
    whole.then_some(Record {
        sequence: u64::from_le_bytes(header[16..24].try_into().ok()?),
        state: State::from_text(std::str::from_utf8(text).ok()?),
    })
}

impl State {
    fn to_text(&self) -> String {
        let mut text = String::new();
        if let Some(seconds) = self
            .clock
            .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
        {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "clock = {}", seconds.as_secs());
        }
        text
    }

    fn from_text(text: &str) -> Self {
        let mut state = Self::default();
        for line in text.lines() {
            if let Some(("clock", value)) = line.split_once(" = ") {
                state.clock = parse_time(value);
            }
        }
        state
    }
}

/// A time from its seconds since 1970. None after 2199: the kernel's clock
/// ends in 2232, and such a time is a fault wherever it was written.
pub(crate) fn parse_time(seconds: &str) -> Option<SystemTime> {
    const END: u64 = 7_258_118_400;
    let seconds = seconds.parse().ok().filter(|seconds| *seconds < END)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state(seconds: u64) -> State {
        State {
            clock: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
        }
    }

    #[test]
    fn the_newest_valid_record_wins_whichever_slot_it_is_in() {
        let (older, newer) = (encode(7, &state(100)), encode(8, &state(200)));
        assert_eq!(newest_state([&older, &newer]), Some(state(200)));
        assert_eq!(newest_state([&newer, &older]), Some(state(200)));
        assert_eq!(newest_state([&[0; SLOT_LEN], &older]), Some(state(100)));
        assert_eq!(newest_state([&[0xFF; SLOT_LEN], &[]]), None);
    }

    #[test]
    fn a_write_cut_at_any_byte_leaves_the_older_record_or_is_whole() {
        let newest = encode(8, &state(1_800_000_000));
        let behind = [
            encode(7, &state(1_700_000_000)),
            vec![0; SLOT_LEN],
            vec![0xA5; SLOT_LEN],
        ];
        let written = encode(9, &state(1_900_000_001));
        let length = HEADER_LEN + state(1_900_000_001).to_text().len();
        for behind in behind {
            for cut in 0..=SLOT_LEN {
                let torn = [&written[..cut], &behind[cut..]].concat();
                let is_whole = torn[..length] == written[..length];
                let expected = state(if is_whole {
                    1_900_000_001
                } else {
                    1_800_000_000
                });
                assert_eq!(
                    newest_state([&torn, &newest]),
                    Some(expected),
                    "cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_noticed() {
        let record = encode(9, &state(1_900_000_000));
        let length = HEADER_LEN + state(1_900_000_000).to_text().len();
        for bit in 0..length * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_is_none() {
        for seconds in ["7258118400", "18446744073709551615", "-1", ""] {
            assert_eq!(parse_time(seconds), None);
        }
        assert_eq!(
            State::from_text("clock = soon\nother = 1\nclock\n"),
            State::default()
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            decode(&bytes);
            let mut with_magic = MAGIC.to_vec();
            with_magic.extend(&bytes);
            decode(&with_magic);
        }

        #[test]
        fn what_is_written_is_read(sequence: u64, seconds in 0..7_258_118_400_u64) {
            let expected = Record { sequence, state: state(seconds) };
            prop_assert_eq!(decode(&encode(sequence, &state(seconds))), Some(expected));
        }
    }
}
