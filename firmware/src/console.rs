//! The log: one line an event, `pinhole: WHO: WHAT`.
//!
//! On the box all lines go through `/dev/kmsg` into the kernel's log and from
//! there to the serial console. So they stand in one order with what the
//! kernel says, carry its uptime stamps, and a console that is stopped
//! (Ctrl-S) or absent cannot block the process that logs. Pid 1 makes
//! `/dev/kmsg` its standard error and every child inherits it; a process whose
//! standard error is something else writes plain lines there. `WHO` is the
//! role that speaks: `init`, `network`, `camera`.
//!
//! The kernel drops lines of a process that writes many; pid 1 turns that off
//! (`printk_devkmsg`), as a line that a test waits for must not be lost.

use std::{
    fmt::{self, Write as _},
    io::{self, Write as _},
};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    Layer,
    filter::LevelFilter,
    layer::{Context, SubscriberExt as _},
};

/// The longest line, in bytes. The kernel refuses a record of more than 1024
/// less its own prefix (`LOG_LINE_MAX` in kernel/printk/printk.c).
const MAX_LINE: usize = 960;

/// Device number of `/dev/kmsg`: Linux's Documentation/admin-guide/devices.txt.
const KERNEL_LOG_DEVICE: (u64, u64) = (1, 11);

/// Starts the log for this process: whatever `tracing` reports at level INFO
/// or above. Called a second time it does nothing.
pub fn start() {
    let subscriber = tracing_subscriber::registry().with(Lines.with_filter(LevelFilter::INFO));
    // The only error is that there is a log already, which serves as well.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Writes one line on standard error, as `pinhole: who: text`, without going
/// through `tracing`: for a panic, which may have come from there.
pub fn write_line(level: Level, who: &str, text: &str) {
    let line = line(level, who, text, is_kernel_log());
    // There is nowhere to report that the log cannot be written.
    let _ = io::stderr().write_all(line.as_bytes());
}

struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        write_line(
            *metadata.level(),
            role(metadata.target()),
            &(text.message + &text.fields),
        );
    }
}

/// An event's message and, behind it, its fields as ` name=value`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

/// The role that a module belongs to: `pinhole::camera::serve` is `camera`, and
/// so is all of `pinhole_link`, which no other role uses; another crate is its
/// own name.
fn role(target: &str) -> &str {
    let path = target.strip_prefix("pinhole::").unwrap_or(target);
    match path.split("::").next() {
        Some("pinhole_link") => "camera",
        first => first.unwrap_or(path),
    }
}

/// One line that is safe to print: control characters, which could forge
/// further lines or steer a terminal, become spaces; what is too long is cut.
fn line(level: Level, who: &str, text: &str, for_kernel: bool) -> String {
    // The priorities of syslog(2), which the kernel takes in angle brackets.
    let priority = match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    };
    let mut line = String::new();
    if for_kernel {
        line.push_str(priority);
    }
    for character in format!("pinhole: {who}: {text}").chars() {
        if line.len() + character.len_utf8() >= MAX_LINE {
            break;
        }
        line.push(if character.is_control() {
            ' '
        } else {
            character
        });
    }
    line.push('\n');
    line
}

/// Whether standard error is the kernel's log. Asked for each line, as pid 1
/// changes it while it runs, and it costs one system call.
fn is_kernel_log() -> bool {
    let Ok(status) = nix::sys::stat::fstat(io::stderr()) else {
        return false;
    };
    let device = (
        nix::sys::stat::major(status.st_rdev),
        nix::sys::stat::minor(status.st_rdev),
    );
    status.st_mode & nix::libc::S_IFMT == nix::libc::S_IFCHR && device == KERNEL_LOG_DEVICE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_role() {
        assert_eq!(role("pinhole::camera::serve"), "camera");
        assert_eq!(role("pinhole::init"), "init");
        assert_eq!(role("pinhole_link::tunnel"), "camera");
        assert_eq!(role("polling"), "polling");
        assert_eq!(
            line(Level::INFO, "init", "mounts ready", false),
            "pinhole: init: mounts ready\n"
        );
    }

    #[test]
    fn a_line_for_the_kernel_has_its_priority() {
        assert_eq!(
            line(Level::ERROR, "init", "no", true),
            "<3>pinhole: init: no\n"
        );
    }

    #[test]
    fn text_from_outside_cannot_forge_a_line() {
        let forged = line(
            Level::WARN,
            "camera",
            "a\npinhole: init: b\x1b[2J\u{9b}",
            false,
        );
        assert_eq!(forged, "pinhole: camera: a pinhole: init: b [2J \n");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let long = line(Level::INFO, "init", &"ä".repeat(2000), true);
        assert!(long.len() <= MAX_LINE && long.ends_with("ä\n"));
    }
}
