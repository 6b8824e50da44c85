//! `status.txt` is overwritten in place on a FAT filesystem that `mkfs.vfat`
//! has made and that other programs have changed: only its own bytes differ
//! afterwards, and other programs read what was written.

// What a test's helpers do is as good as done in the test.
#![allow(clippy::panic, clippy::unwrap_used)]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use pinhole::init::fat::{Extent, locate};

const NAME: &str = "status.txt";

/// An image of the card's first partition, as `images/card.cfg` has it made.
struct Partition {
    folder: tempfile::TempDir,
}

impl Partition {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let partition = Self { folder };
        File::create(partition.image())
            .unwrap()
            .set_len(64 << 20)
            .unwrap();
        let image = partition.image();
        run(
            "mkfs.vfat",
            &[
                "-F",
                "32",
                "-s",
                "1",
                "-S",
                "512",
                "-n",
                "PINHOLE",
                text(&image),
            ],
        );
        partition
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("boot.vfat")
    }

    /// Runs one of the mtools on the partition.
    fn mtool(&self, tool: &str, arguments: &[&str]) -> Vec<u8> {
        let image = self.image();
        run(tool, &[&["-i", text(&image)], arguments].concat())
    }

    /// Puts a file there as a computer would.
    fn put(&self, name: &str, contents: impl AsRef<[u8]>) {
        let source = self.folder.path().join("source");
        fs::write(&source, contents).unwrap();
        self.mtool("mcopy", &["-o", text(&source), &format!("::{name}")]);
    }

    fn read(&self, name: &str) -> Vec<u8> {
        self.mtool("mtype", &[&format!("::{name}")])
    }

    fn locate(&self) -> std::io::Result<Vec<Extent>> {
        locate(File::open(self.image()).unwrap(), NAME)
    }

    /// Overwrites the file in place, and checks that nothing else has changed.
    #[track_caller]
    fn overwrite(&self) {
        let before = fs::read(self.image()).unwrap();
        let extents = self.locate().unwrap();
        let length = extents.iter().map(|extent| extent.length).sum();
        let words = "Wi-Fi password rejected.\r\n".bytes();
        let status: Vec<u8> = words.cycle().take(length).collect();
        let image = File::options().write(true).open(self.image()).unwrap();
        let mut expected = before;
        let mut rest = &status[..];
        for Extent { offset, length } in extents {
            let (piece, behind) = rest.split_at(length);
            image.write_all_at(piece, offset).unwrap();
            let start = usize::try_from(offset).unwrap();
            expected[start..start + length].copy_from_slice(piece);
            rest = behind;
        }
        assert_eq!(self.read(NAME), status);
        let is_as_expected = fs::read(self.image()).unwrap() == expected;
        assert!(is_as_expected, "bytes outside the file have changed");
        run("fsck.vfat", &["-n", text(&self.image())]);
    }

    /// What says how the rest is laid out.
    fn boot_sector(&self) -> [u8; 512] {
        let mut sector = [0; 512];
        let image = File::open(self.image()).unwrap();
        image.read_exact_at(&mut sector, 0).unwrap();
        sector
    }
}

/// What the boot sector says of the filesystem (Microsoft's FAT specification,
/// section 3), in sectors; a cluster is one.
struct Layout {
    total: u64,
    reserved: u64,
    tables: u64,
}

impl Layout {
    fn of(sector: &[u8; 512]) -> Self {
        let number = |at: usize| u32::from_le_bytes(sector[at..at + 4].try_into().unwrap());
        Self {
            total: number(32).into(),
            reserved: (number(14) & 0xFFFF).into(),
            tables: u64::from(sector[16]) * u64::from(number(36)),
        }
    }

    fn clusters(&self) -> u64 {
        self.total - self.reserved - self.tables
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .env("MTOOLS_SKIP_CHECK", "1")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}: install dosfstools and mtools"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
    output.stdout
}

/// What the image brings along.
fn shipped() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../images/boot/status.txt");
    fs::read(path).unwrap()
}

#[test]
fn the_file_of_the_image_is_overwritten_and_nothing_else() {
    let partition = Partition::new();
    partition.put("pinhole.toml", "[box]\n");
    partition.put(NAME, shipped());
    let [whole] = partition.locate().unwrap()[..] else {
        panic!("it is in pieces");
    };
    assert_eq!(whole.length, 4096);
    partition.overwrite();
    assert_eq!(partition.read("pinhole.toml"), b"[box]\n");
}

#[test]
fn what_a_computer_has_moved_is_found_where_it_is_now() {
    let partition = Partition::new();
    for number in 0..40 {
        partition.put(&format!("a long file name {number}.txt"), [b'x'; 400]);
    }
    // Next to nothing is left, but for holes of one cluster each.
    let clusters = Layout::of(&partition.boot_sector()).clusters() - 54;
    partition.put("filler", vec![0; usize::try_from(512 * clusters).unwrap()]);
    for number in (0..40).step_by(2) {
        partition.mtool("mdel", &[&format!("::a long file name {number}.txt")]);
    }
    partition.put(NAME, [b' '; 14 * 512]);
    assert!(partition.locate().unwrap().len() > 3, "it is in few pieces");
    partition.overwrite();
    assert_eq!(partition.read("a long file name 1.txt"), [b'x'; 400]);
}

#[test]
fn what_a_computer_has_shrunk_keeps_its_size() {
    for length in [0, 1, 511, 513, 1700] {
        let partition = Partition::new();
        partition.put("STATUS.TXT", vec![b' '; length]);
        let extents = partition.locate().unwrap();
        assert_eq!(
            extents.iter().map(|extent| extent.length).sum::<usize>(),
            length
        );
        partition.overwrite();
    }
}

#[test]
fn what_is_not_there_is_an_error() {
    let partition = Partition::new();
    assert!(partition.locate().is_err());
    partition.put(NAME, "x");
    partition.mtool("mdel", &[&format!("::{NAME}")]);
    assert!(partition.locate().is_err());
    partition.mtool("mmd", &[&format!("::{NAME}")]);
    assert!(partition.locate().is_err());
}

#[test]
fn what_is_no_fat_is_an_error_that_comes_soon() {
    let partition = Partition::new();
    partition.put(NAME, shipped());
    let image = File::options()
        .write(true)
        .read(true)
        .open(partition.image())
        .unwrap();
    let sector = partition.boot_sector();
    for byte in 0..90 {
        for value in [0, 1, 0x7F, 0xFF] {
            let mut damaged = sector;
            damaged[byte] = value;
            image.write_all_at(&damaged, 0).unwrap();
            // Found or not, it comes back.
            let _ = partition.locate();
        }
    }
    image.write_all_at(&sector, 0).unwrap();
    // The root folder is full, and its chain leads back to itself.
    let layout = Layout::of(&sector);
    let root = 512 * (layout.reserved + layout.tables);
    image.write_all_at(&[b'A'; 512], root).unwrap();
    let entry = 512 * layout.reserved + 2 * 4;
    image.write_all_at(&2_u32.to_le_bytes(), entry).unwrap();
    let error = partition.locate().unwrap_err().to_string();
    assert!(error.contains("circles"), "{error}");
}
