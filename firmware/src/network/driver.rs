//! Takes the driver off a device and puts it on again, which starts the device
//! anew: what helps a radio whose own program has crashed.

use std::{fs, io, path::Path, thread, time::Duration};

use crate::paths;

/// How long the device is left without a driver.
const PAUSE: Duration = Duration::from_secs(1);

/// Does it to the device that an interface belongs to. The interface goes, and
/// another one comes. It may take as long as the driver likes.
///
/// # Errors
/// When the interface belongs to no device with a driver, or sysfs refuses.
pub(super) fn rebind(interface: &str) -> io::Result<()> {
    let device = Path::new(paths::INTERFACES)
        .join(interface)
        .join("device")
        .canonicalize()?;
    let name = device.file_name().ok_or(io::ErrorKind::NotFound)?;
    let driver = device.join("driver").canonicalize()?;
    fs::write(driver.join("unbind"), name.as_encoded_bytes())?;
    thread::sleep(PAUSE);
    fs::write(driver.join("bind"), name.as_encoded_bytes())
}
