//! Where the bytes of a file on a FAT partition are, so that they can be
//! overwritten in place without the filesystem being mounted for writing: its
//! tables and directories are never touched, and no power cut can damage more
//! than the file's own text.

use std::{
    cell::Cell,
    io::{self, Read, Seek, SeekFrom, Write},
    rc::Rc,
};

use fatfs::{FileSystem, FsOptions};

use crate::contain::contained;

/// The most of a file that is looked for, in bytes.
const MAX_LEN: u64 = 64 << 10;
/// The most that is read to find it, in bytes: a table that leads in circles
/// must come to an end.
const MAX_READ: u64 = 1 << 20;
/// One sector: no cluster is smaller, so a piece of this size is in one.
const PIECE: usize = 512;

/// A run of bytes of a file that lie side by side on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where they begin on the device.
    pub offset: u64,
    /// How many they are.
    pub length: usize,
}

/// Finds the bytes of the file `name` in the top folder of the FAT filesystem
/// on `device`. Nothing is written.
///
/// # Errors
/// When there is no such file, or no FAT that can be read.
pub fn locate(device: impl Read + Seek, name: &str) -> io::Result<Vec<Extent>> {
    let position = Rc::new(Cell::new(0));
    let device = ReadOnly {
        device,
        position: Rc::clone(&position),
        left: MAX_READ,
    };
    let find = || -> io::Result<Vec<Extent>> {
        let options = FsOptions::new().update_accessed_date(false);
        let filesystem = FileSystem::new(device, options)?;
        let mut file = filesystem.root_dir().open_file(name)?.take(MAX_LEN);
        let mut extents: Vec<Extent> = Vec::new();
        loop {
            let length = file.read(&mut [0; PIECE])?;
            if length == 0 {
                return Ok(extents);
            }
            // What it read last are the file's own bytes.
            let offset = position.get() - length as u64;
            match extents.last_mut() {
                Some(last) if last.offset + last.length as u64 == offset => last.length += length,
                _ => extents.push(Extent { offset, length }),
            }
        }
    };
    contained(find).unwrap_or_else(|| Err(io::Error::other("it is no FAT filesystem")))
}

/// A device that refuses to be written, and tells where it stands.
struct ReadOnly<D> {
    device: D,
    position: Rc<Cell<u64>>,
    /// How much may still be read.
    left: u64,
}

impl<D: Read> Read for ReadOnly<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.device.read(buffer)?;
        self.left = self
            .left
            .checked_sub(length as u64)
            .ok_or_else(|| io::Error::other("its tables lead in circles"))?;
        self.position.set(self.position.get() + length as u64);
        Ok(length)
    }
}

impl<D: Seek> Seek for ReadOnly<D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = self.device.seek(to)?;
        self.position.set(position);
        Ok(position)
    }
}

impl<D> Write for ReadOnly<D> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
