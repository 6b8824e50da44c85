//! A box's card: the image that it boots from, the settings that a person puts
//! on it, and what the box remembers there.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// The box's one file of settings.
pub const PINHOLE_TOML: &str = "pinhole.toml";

/// Bytes of a card. QEMU's cards have a power of two.
const LEN: u64 = 256 << 20;

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
    /// The files on the boot partition could not be changed.
    #[error("{program} cannot change {name} on {card}: {said}")]
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
        self.mtools("mcopy", "-oi", Some(file), name)
    }

    /// Deletes `name` from the boot partition.
    ///
    /// # Errors
    /// When mtools cannot, or no such file is there.
    pub fn delete(&self, name: &str) -> Result<(), CardError> {
        self.mtools("mdel", "-i", None, name)
    }

    /// Runs a program of mtools on the boot partition, which begins at 1 MiB
    /// (`images/card.cfg`).
    fn mtools(
        &self,
        program: &'static str,
        options: &str,
        file: Option<&Path>,
        name: &str,
    ) -> Result<(), CardError> {
        let output = Command::new(program)
            .arg(options)
            .arg(format!("{}@@1M", self.file.display()))
            .args(file)
            .arg(format!("::{name}"))
            .output()
            .map_err(|source| CardError::File {
                path: program.into(),
                source,
            })?;
        if output.status.success() {
            return Ok(());
        }
        Err(CardError::BootPartition {
            program,
            name: name.to_owned(),
            card: self.file.clone(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}
