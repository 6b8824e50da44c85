//! Which webcam is which, whatever the number of its node.
//!
//! The kernel numbers nodes in the order in which it finds devices, so a number
//! says nothing after a reboot or a replug. What stays is what USB knows: maker,
//! product and serial number, and the port, which tells apart two webcams that
//! are otherwise the same (many have no serial number, or all of a make have one
//! and the same).

use std::{
    fmt,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use super::device::text;

/// How far above a node's device its USB device may be in sysfs: the interface
/// is below it, and some drivers put something of their own in between.
const MAX_CLIMB: usize = 4;

/// Longest attribute of sysfs that is read, in bytes: a page.
const MAX_ATTRIBUTE: u64 = 4096;

/// A webcam's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The device's name for itself.
    pub(super) name: String,
    /// What USB knows of it; nothing of a device that is on no USB.
    pub(super) usb: Option<Usb>,
}

/// A USB device (Linux, Documentation/ABI/testing/sysfs-bus-usb).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Usb {
    vendor: u16,
    product: u16,
    serial: Option<String>,
    /// Bus and ports on the way to it, such as `1-1.2`.
    port: String,
}

impl Identity {
    /// What is known of the device with the name `name` behind `node`, by the
    /// folder of sysfs that lists video devices.
    pub(super) fn new(name: String, node: &Path, video_devices: &Path) -> Self {
        let usb = node
            .file_name()
            .and_then(|node| Usb::of(&video_devices.join(node).join("device")));
        Self { name, usb }
    }

    /// Whether it is what the user chose: by a part of its name, its USB IDs,
    /// its serial number or its port.
    pub(super) fn is_chosen_by(&self, device: &str) -> bool {
        let device = device.to_lowercase();
        let by_usb = |usb: &Usb| {
            let serial = usb.serial.as_ref().map(|serial| serial.to_lowercase());
            usb.ids() == device || usb.port == device || serial == Some(device.clone())
        };
        self.name.to_lowercase().contains(&device) || self.usb.as_ref().is_some_and(by_usb)
    }

    /// Whether it may be the same webcam, if perhaps at another port.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (&self.usb, &other.usb) {
            (Some(usb), Some(other)) => usb.ids() == other.ids() && usb.serial == other.serial,
            (None, None) => self.name == other.name,
            _ => false,
        }
    }
}

impl Usb {
    /// The USB device that a device of sysfs belongs to.
    fn of(device: &Path) -> Option<Self> {
        let device = fs::canonicalize(device).ok()?;
        device.ancestors().take(MAX_CLIMB).find_map(Self::at)
    }

    fn at(folder: &Path) -> Option<Self> {
        let id = |name| u16::from_str_radix(&attribute(folder.join(name))?, 16).ok();
        Some(Self {
            vendor: id("idVendor")?,
            product: id("idProduct")?,
            serial: attribute(folder.join("serial")),
            port: folder.file_name()?.to_str()?.to_owned(),
        })
    }

    /// Vendor and product as people write them.
    fn ids(&self) -> String {
        format!("{:04x}:{:04x}", self.vendor, self.product)
    }

    /// Where it is plugged in.
    pub(super) fn port(&self) -> &str {
        &self.port
    }
}

/// An attribute's text; `None` if there is none.
fn attribute(path: PathBuf) -> Option<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(MAX_ATTRIBUTE).read_to_end(&mut bytes).ok()?;
    Some(text(&bytes)).filter(|shown| !shown.is_empty())
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.name)?;
        let Some(usb) = &self.usb else {
            return Ok(());
        };
        write!(formatter, " ({}, ", usb.ids())?;
        if let Some(serial) = &usb.serial {
            write!(formatter, "serial number {serial}, ")?;
        }
        write!(formatter, "USB port {})", usb.port)
    }
}

#[cfg(test)]
impl Identity {
    /// A webcam of vendor 1 at a USB port.
    pub(super) fn on_usb(product: u16, port: &str) -> Self {
        Self {
            name: format!("Camera {product}"),
            usb: Some(Usb {
                vendor: 1,
                product,
                serial: None,
                port: port.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A webcam in sysfs: node, port, attributes.
    type Listed<'test> = (&'test str, &'test str, &'test [(&'test str, &'test str)]);

    fn sysfs(webcams: &[Listed<'_>]) -> tempfile::TempDir {
        let sys = tempfile::tempdir().unwrap();
        fs::create_dir_all(sys.path().join("class")).unwrap();
        for (node, port, attributes) in webcams {
            let usb = sys.path().join("devices/pci0/usb1").join(port);
            let interface = usb.join(format!("{port}:1.0"));
            fs::create_dir_all(&interface).unwrap();
            for (name, text) in *attributes {
                fs::write(usb.join(name), format!("{text}\n")).unwrap();
            }
            let class = sys.path().join("class").join(node);
            fs::create_dir(&class).unwrap();
            symlink(&interface, class.join("device")).unwrap();
        }
        sys
    }

    fn identity(sys: &tempfile::TempDir, name: &str, node: &str) -> Identity {
        let node = Path::new("/dev").join(node);
        Identity::new(name.to_owned(), &node, &sys.path().join("class"))
    }

    const C270: [(&str, &str); 3] = [
        ("idVendor", "046d"),
        ("idProduct", "0825"),
        ("serial", "5A2B"),
    ];

    #[test]
    fn a_webcam_is_known_by_what_usb_knows() {
        let sys = sysfs(&[
            ("video0", "1-1.2", &C270),
            (
                "video2",
                "1-1.4",
                &[("idVendor", "1BCF"), ("idProduct", "28c4")],
            ),
        ]);
        let first = identity(&sys, "UVC Camera", "video0");
        assert_eq!(
            first.to_string(),
            "\"UVC Camera\" (046d:0825, serial number 5A2B, USB port 1-1.2)"
        );
        for chosen in ["camera", "UVC Camera", "046D:0825", "5a2b", "1-1.2"] {
            assert!(first.is_chosen_by(chosen), "{chosen}");
        }
        for other in ["HD Camera", "046d", "046d:0826", "5a2", "1-1", "1-1.4"] {
            assert!(!first.is_chosen_by(other), "{other}");
        }
        let second = identity(&sys, "UVC Camera", "video2");
        assert_eq!(
            second.to_string(),
            "\"UVC Camera\" (1bcf:28c4, USB port 1-1.4)"
        );
        assert!(!second.is_like(&first));
    }

    #[test]
    fn it_stays_the_same_under_another_number_and_at_another_port() {
        let before = identity(&sysfs(&[("video0", "1-1.2", &C270)]), "Cam", "video0");
        let renumbered = identity(&sysfs(&[("video7", "1-1.2", &C270)]), "Cam", "video7");
        assert_eq!(renumbered, before);
        let moved = identity(&sysfs(&[("video0", "1-1.3", &C270)]), "Cam", "video0");
        assert!(moved.is_like(&before) && moved != before);
    }

    #[test]
    fn what_is_on_no_usb_has_its_name_alone() {
        let sys = sysfs(&[("video0", "1-1", &[])]);
        let platform = identity(&sys, "bcm2835-unicam", "video0");
        assert_eq!(platform.to_string(), "\"bcm2835-unicam\"");
        assert!(platform.is_like(&identity(&sys, "bcm2835-unicam", "video9")));
        assert!(!platform.is_like(&identity(&sys, "vivid", "video9")));
    }

    #[test]
    fn odd_attributes_are_no_fault() {
        let odd = [
            ("idVendor", "046d"),
            ("idProduct", "0825"),
            ("serial", "\u{1b}[2J\n\0"),
        ];
        let sys = sysfs(&[
            ("video0", "1-1", &odd),
            (
                "video1",
                "1-2",
                &[("idVendor", "camera"), ("idProduct", "1")],
            ),
        ]);
        let first = identity(&sys, "Cam", "video0");
        assert!(!first.to_string().contains(char::is_control));
        assert_eq!(identity(&sys, "Cam", "video1").usb, None);
    }
}
