//! A box's card: the image that it boots from, the settings that a person puts
//! on it, and what the box remembers there.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use pinhole::init::state::{self, State};

/// The box's one file of settings.
pub const PINHOLE_TOML: &str = "pinhole.toml";

/// Bytes of a card. QEMU's cards have a power of two.
const LEN: u64 = 256 << 20;

/// The partitions of `images/card.cfg` that are looked into here.
pub const BOOT_PARTITION: u64 = 1;
/// That of the box's state.
pub const STATE_PARTITION: u64 = 4;

/// A card in a file.
#[derive(Clone, Debug)]
pub struct Card {
    file: PathBuf,
}

/// A card that cannot be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file on the boot partition cannot be read or changed.
    #[error("{program}: {name} on {card}: {said}")]
    BootPartition {
        /// The program of mtools.
        program: &'static str,
        /// The file on the boot partition.
        name: String,
        /// The card.
        card: PathBuf,
        /// What it said.
        said: String,
    },
}

impl Card {
    /// Writes a card to `file` from the image at `image`.
    ///
    /// # Errors
    /// When the image cannot be read, or the file not be written.
    pub fn write(image: &Path, file: PathBuf) -> Result<Self, CardError> {
        let failed = |path: &Path, source| CardError::File {
            path: path.to_owned(),
            source,
        };
        fs::copy(image, &file).map_err(|source| failed(image, source))?;
        let opened = OpenOptions::new().write(true).open(&file);
        opened
            .and_then(|opened| opened.set_len(LEN))
            .map_err(|source| failed(&file, source))?;
        Ok(Self { file })
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    /// When the card cannot be written.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), CardError> {
        let card = OpenOptions::new().write(true).open(&self.file);
        let written = card.and_then(|card| card.write_all_at(bytes, offset));
        written.map_err(|source| self.failed(source))
    }

    /// The bytes from `offset` on that `bytes` has room for.
    ///
    /// # Errors
    /// When the card cannot be read.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), CardError> {
        let card = File::open(&self.file);
        let read = card.and_then(|card| card.read_exact_at(bytes, offset));
        read.map_err(|source| self.failed(source))
    }

    /// The file that it is in.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Puts `file` on the boot partition as `name`, in the place of one that
    /// is there.
    ///
    /// # Errors
    /// When mtools cannot.
    pub fn put(&self, file: &Path, name: &str) -> Result<(), CardError> {
        let options = [OsStr::new("-o"), file.as_os_str()];
        self.mtools("mcopy", &options, name, &[]).map(drop)
    }

    /// What `name` on the boot partition holds.
    ///
    /// # Errors
    /// When mtools cannot, or no such file is there.
    pub fn get(&self, name: &str) -> Result<Vec<u8>, CardError> {
        self.mtools("mcopy", &[], name, &[OsStr::new("-")])
    }

    /// Deletes `name` from the boot partition.
    ///
    /// # Errors
    /// When mtools cannot, or no such file is there.
    pub fn delete(&self, name: &str) -> Result<(), CardError> {
        self.mtools("mdel", &[], name, &[]).map(drop)
    }

    /// The box's newest saved state, as its own reader finds it.
    ///
    /// # Errors
    /// When the card cannot be read.
    pub fn state(&self) -> Result<Option<State>, CardError> {
        let start = self.partition(STATE_PARTITION)?.start;
        let mut slots = [[0; state::SLOT_LEN]; 2];
        for (slot, offset) in slots.iter_mut().zip(state::SLOTS) {
            self.read_at(start + offset, slot)?;
        }
        Ok(state::newest_state(
            slots.each_ref().map(<[u8; _]>::as_slice),
        ))
    }

    /// Makes `state` the newest one, whatever the box has saved.
    ///
    /// # Errors
    /// When the card cannot be written.
    pub fn set_state(&self, state: &State) -> Result<(), CardError> {
        /// More than any box has counted.
        const SEQUENCE: u64 = 1 << 40;
        let start = self.partition(STATE_PARTITION)?.start;
        self.write_at(start + state::SLOTS[0], &state::encode(SEQUENCE, state))
    }

    /// Overwrites all that the box has saved with zeros, which are no state.
    ///
    /// # Errors
    /// When the card cannot be written.
    pub fn erase_state(&self) -> Result<(), CardError> {
        let start = self.partition(STATE_PARTITION)?.start;
        for slot in state::SLOTS {
            self.write_at(start + slot, &[0; state::SLOT_LEN])?;
        }
        Ok(())
    }

    /// Where a partition is on the card, in bytes. The first one is number 1.
    ///
    /// # Errors
    /// When the card cannot be read.
    pub fn partition(&self, number: u64) -> Result<Range<u64>, CardError> {
        /// The table in a master boot record, and the length of its entries.
        const TABLE: u64 = 446;
        const ENTRY: u64 = 16;
        const SECTOR: u64 = 512;
        let mut place = [[0; 4]; 2];
        let entry = TABLE + ENTRY * (number - 1);
        self.read_at(entry + 8, place.as_flattened_mut())?;
        let [start, length] = place.map(|field| SECTOR * u64::from(u32::from_le_bytes(field)));
        Ok(start..start + length)
    }

    fn failed(&self, source: io::Error) -> CardError {
        let path = self.file.clone();
        CardError::File { path, source }
    }

    /// Runs a program of mtools on `name` on the boot partition, which begins
    /// at 1 MiB (`images/card.cfg`), and returns its output.
    fn mtools(
        &self,
        program: &'static str,
        before: &[&OsStr],
        name: &str,
        behind: &[&OsStr],
    ) -> Result<Vec<u8>, CardError> {
        let output = Command::new(program)
            .arg("-i")
            .arg(format!("{}@@1M", self.file.display()))
            .args(before)
            .arg(format!("::{name}"))
            .args(behind)
            .output()
            .map_err(|source| CardError::File {
                path: program.into(),
                source,
            })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(CardError::BootPartition {
            program,
            name: name.to_owned(),
            card: self.file.clone(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}
