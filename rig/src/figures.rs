//! Figures that are reported, not checked: time and memory to the first
//! frame, sizes, and how busy the machine was.

use std::{fmt, fs, io, path::Path, process::Command, time::Duration};

use crate::{
    checks::CheckError,
    process::Mark,
    qemu::kernel_time,
    scene::{BoxKind, Scene, SceneError, SceneOptions},
    webcam::WebcamOptions,
};

/// What a boot took, from the start of the kernel to the first frame at a
/// viewer, and before it.
#[derive(Clone, Copy, Debug)]
pub struct BootFigures {
    /// What U-Boot took to read the kernel, by its own clock: nearly all that
    /// it does.
    pub kernel_read: Duration,
    /// When the first frame had left the box.
    pub first_frame: FirstFrame,
}

/// How a machine was when it had delivered its first frame.
#[derive(Clone, Copy, Debug)]
pub struct FirstFrame {
    /// Guest time since the start of the kernel.
    pub time: Duration,
    /// Memory in use in the guest, in MB.
    pub memory_used: f64,
}

impl fmt::Display for BootFigures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.2} guest seconds from kernel start to the first frame at the viewer, \
             {:.1} MB of memory in use; before it U-Boot read the kernel in {:.2} s",
            self.first_frame.time.as_secs_f64(),
            self.first_frame.memory_used,
            self.kernel_read.as_secs_f64(),
        )
    }
}

/// Boots the box once with a webcam plugged in from the start, its time
/// counted in instructions on one processor, while a viewer waits.
///
/// # Errors
/// When no frame comes.
pub fn boot(options: &SceneOptions) -> Result<BootFigures, CheckError> {
    let mut options = options.clone();
    if let BoxKind::Virtual { machine, .. } = &mut options.camera_box {
        machine.icount = true;
    }
    options.port = 0;
    let mut scene = Scene::start(&options, &|_| ())?;
    scene.plug_in(WebcamOptions::default())?;
    scene.wait_for_picture()?.next_picture()?;
    // The viewer is on the host, whose clock is not the guest's: the guest's
    // time is that of the box's own line when the frame has left.
    let (served, _) = scene.wait_for_box("camera: first frame served", Mark::default())?;
    let (read, _) = scene.wait_for_box(" bytes read in ", Mark::default())?;
    Ok(BootFigures {
        kernel_read: read_time(&read)
            .ok_or_else(|| CheckError::Broken(format!("no time on {read:?}")))?,
        first_frame: first_frame(&served)
            .ok_or_else(|| CheckError::Broken(format!("no time or no memory on {served:?}")))?,
    })
}

/// What a line of the kernel's log says of the first frame: `[    2.204116] …,
/// 27.4 MB of memory in use`.
pub(crate) fn first_frame(line: &str) -> Option<FirstFrame> {
    let (before, _) = line.split_once(" MB of memory in use")?;
    let (_, memory_used) = before.rsplit_once(' ')?;
    Some(FirstFrame {
        time: kernel_time(line)?,
        memory_used: memory_used.parse().ok()?,
    })
}

/// The time on a line of U-Boot's: `10078216 bytes read in 35920 ms (…)`.
fn read_time(line: &str) -> Option<Duration> {
    let (_, time) = line.split_once(" bytes read in ")?;
    let (milliseconds, _) = time.split_once(" ms")?;
    Some(Duration::from_millis(milliseconds.parse().ok()?))
}

/// The sizes of what `scripts/build-image` made in `image`.
///
/// # Errors
/// When a file is missing, or there is no `xz` to compress the card with.
pub fn sizes(image: &Path) -> Result<String, CheckError> {
    let size = |name: &str| {
        let path = image.join(name);
        let length = fs::metadata(&path).map(|metadata| metadata.len());
        length.map_err(|source| SceneError::File { path, source })
    };
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    Ok(format!(
        "sizes: firmware {}, kernel {}, slot (root.squashfs with the kernel) {}, card {} by xz",
        megabytes(size("pinhole")?),
        megabytes(size("kernel")?),
        megabytes(size("root.squashfs")?),
        megabytes(compressed(&image.join("card.img"))?),
    ))
}

/// How many bytes `xz` makes of a file.
fn compressed(path: &Path) -> Result<u64, CheckError> {
    let output = Command::new("xz")
        .args(["--stdout", "--threads=0"])
        .arg(path)
        .output()
        .map_err(|source| SceneError::File {
            path: "xz".into(),
            source,
        })?;
    match output.status.success() {
        true => Ok(output.stdout.len() as u64),
        false => Err(CheckError::Broken(format!(
            "xz: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}

/// How busy this machine was, as `/proc/loadavg` has it.
///
/// # Errors
/// When the kernel does not tell.
pub fn load() -> Result<String, CheckError> {
    let told: io::Result<String> = fs::read_to_string("/proc/loadavg");
    let told = told.map_err(|source| SceneError::File {
        path: "/proc/loadavg".into(),
        source,
    })?;
    let averages: Vec<_> = told.split_whitespace().take(3).collect();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(format!(
        "this machine: {processors} processors, load {} over 1, 5 and 15 minutes",
        averages.join(" "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_read_is_found() {
        let line = "10078216 bytes read in 35920 ms (273.4 KiB/s)";
        assert_eq!(read_time(line), Some(Duration::from_millis(35_920)));
        assert_eq!(read_time("10078216 bytes read"), None);
    }

    #[test]
    fn a_line_tells_of_the_first_frame() {
        let line = "[    3.184020] yardstick: first JPEG, 66.0 MB of memory in use";
        let told = first_frame(line).map(|frame| (frame.time.as_micros(), frame.memory_used));
        assert_eq!(told, Some((3_184_020, 66.0)));
        for other in [
            "yardstick: first JPEG, 66.0 MB of memory in use",
            "[    3.184020] yardstick: first JPEG",
            "[    3.184020] yardstick: first JPEG, much MB of memory in use",
        ] {
            assert!(first_frame(other).is_none(), "{other}");
        }
    }
}
