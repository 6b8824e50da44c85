//! What a box has written to its card, in order, to cut its power offline
//! between any two bytes of it.
//!
//! QEMU's `blklogwrites` driver keeps the log in the format of the kernel's
//! `dm-log-writes` (`Documentation/admin-guide/device-mapper/log-writes.rst`):
//! a superblock and then, for each write, a header and the data, each padded
//! to whole sectors. Numbers are little-endian.

use std::{fs, io, path::Path};

/// `WRITE_LOG_MAGIC` in `drivers/md/dm-log-writes.c`.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
/// `LOG_DISCARD_FLAG`: a write without data.
const DISCARD: u64 = 4;
/// Bytes of a sector of the card.
pub const SECTOR: usize = 512;

/// One write to a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where on the card it begins, in bytes.
    pub offset: u64,
    /// What was written: whole sectors.
    pub data: Vec<u8>,
}

/// A log that is not one.
#[derive(Debug, thiserror::Error)]
pub enum WriteLogError {
    /// The file cannot be read.
    #[error("cannot read the log of writes: {0}")]
    File(#[from] io::Error),
    /// It has another format.
    #[error("no log of writes in sectors of {SECTOR} bytes")]
    Format,
    /// It ends before its last write.
    #[error("the log of writes ends in write {write} of {writes}")]
    Cut {
        /// The write that is not whole.
        write: u64,
        /// How many there should be.
        writes: u64,
    },
}

/// The writes in the log at `path`, in the order in which the card took them.
/// A file that is still empty has none.
///
/// # Errors
/// When it cannot be read, or is no such log.
pub fn read(path: &Path) -> Result<Vec<Write>, WriteLogError> {
    match fs::read(path)?.as_slice() {
        [] => Ok(Vec::new()),
        log => parse(log),
    }
}

fn parse(log: &[u8]) -> Result<Vec<Write>, WriteLogError> {
    let (superblock, mut rest) = log.split_at_checked(SECTOR).ok_or(WriteLogError::Format)?;
    let sector_size = number(superblock, 3) & u64::from(u32::MAX);
    if [number(superblock, 0), number(superblock, 1), sector_size]
        != [MAGIC, VERSION, SECTOR as u64]
    {
        return Err(WriteLogError::Format);
    }
    let writes = number(superblock, 2);
    let mut found = Vec::new();
    for write in 0..writes {
        let (entry, behind) = next_entry(rest).ok_or(WriteLogError::Cut { write, writes })?;
        rest = behind;
        found.extend(entry.filter(|write| !write.data.is_empty()));
    }
    Ok(found)
}

/// The first entry, if it is a write with data, and what is behind it.
fn next_entry(log: &[u8]) -> Option<(Option<Write>, &[u8])> {
    let (header, rest) = log.split_at_checked(SECTOR)?;
    let [sector, sectors, flags] = [0, 1, 2].map(|field| number(header, field));
    if flags & DISCARD != 0 {
        return Some((None, rest));
    }
    let length = usize::try_from(sectors).ok()?.checked_mul(SECTOR)?;
    let (data, rest) = rest.split_at_checked(length)?;
    let write = Write {
        offset: sector.checked_mul(SECTOR as u64)?,
        data: data.to_vec(),
    };
    Some((Some(write), rest))
}

/// The `field`th number of 8 bytes in a sector.
fn number(sector: &[u8], field: usize) -> u64 {
    let bytes = sector.get(8 * field..8 * field + 8);
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    u64::from_le_bytes(bytes.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(numbers: &[u64]) -> Vec<u8> {
        let mut sector: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        sector.resize(SECTOR, 0);
        sector
    }

    fn log() -> Vec<u8> {
        [
            sector(&[MAGIC, VERSION, 3, SECTOR as u64]),
            sector(&[8, 1, 0, 0]),
            vec![7; SECTOR],
            // A flush.
            sector(&[0, 0, 1, 0]),
            sector(&[16, 2, 2, 0]),
            vec![9; 2 * SECTOR],
        ]
        .concat()
    }

    #[test]
    fn writes_are_found_in_order() {
        let expected = [(8, vec![7; SECTOR]), (16, vec![9; 2 * SECTOR])];
        let expected = expected.map(|(sector, data)| Write {
            offset: sector * SECTOR as u64,
            data,
        });
        assert_eq!(parse(&log()).unwrap(), expected);
    }

    #[test]
    fn what_is_no_whole_log_is_an_error() {
        let whole = log();
        let error = parse(&whole[..whole.len() - 1]).unwrap_err().to_string();
        assert_eq!(error, "the log of writes ends in write 2 of 3");
        for other in [&whole[1..], &[]] {
            assert!(matches!(parse(other), Err(WriteLogError::Format)));
        }
    }
}
