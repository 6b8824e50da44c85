//! `pinhole probe`: what webcams there are and what each of them can, in words.
//!
//! The box serves the same text to its relay as `/probe`. What is told is
//! bounded, whatever a device says of itself.

use std::{
    ffi::OsString,
    fmt::{self, Write as _},
    io::Write as _,
    path::Path,
    process::ExitCode,
};

use tracing::error;

use super::{
    controls::Panel as _,
    device::Device,
    negotiation::{Choice, Interval, IntervalOffer, Offer},
    nodes::{self, Node},
    webcam::hint,
};

/// What `pinhole probe --help` prints.
const HELP: &str = "\
pinhole probe: lists the webcams of this machine, and what each of them can

Usage:
  pinhole probe

It changes nothing. Formats in brackets are those that pinhole cannot use.
";

/// Most nodes that are told of.
const MAX_NODES: usize = 32;

/// Most sizes of one device that are told.
const MAX_SIZES: usize = 128;

/// Most rates of one size that are told.
const MAX_RATES: usize = 16;

/// Runs the command with the arguments behind `pinhole probe`.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let text = match arguments.next() {
        None => describe(),
        Some(word) if word == "--help" || word == "-h" => HELP.to_owned(),
        Some(word) => {
            error!("{word:?} is not understood; see pinhole probe --help");
            return ExitCode::from(2);
        }
    };
    // Whoever reads only the beginning, as `head` does, has what it wants.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// What there is, for people. It may take seconds.
pub(super) fn describe() -> String {
    let nodes = nodes::all();
    if nodes.is_empty() {
        return "no webcam found: plug a USB webcam in\n".to_owned();
    }
    let mut text = String::new();
    for Node { path, .. } in nodes.iter().take(MAX_NODES) {
        // Nothing fails that is written to a text.
        let _ = describe_node(&mut text, path);
    }
    if let Some(more @ 1..) = nodes.len().checked_sub(MAX_NODES) {
        let _ = writeln!(text, "and {more} more");
    }
    text
}

fn describe_node(text: &mut String, path: &Path) -> fmt::Result {
    write!(text, "{}: ", path.display())?;
    match Device::open(path) {
        Ok(Some(device)) => describe_device(text, &device),
        Ok(None) => writeln!(text, "takes no pictures: metadata or a codec"),
        Err(error) => writeln!(text, "cannot be opened: {error}{}", hint(&error)),
    }
}

fn describe_device(text: &mut String, device: &Device) -> fmt::Result {
    writeln!(text, "{}", device.identity())?;
    match device.offers() {
        Ok(offers) => {
            for offer in offers.usable.iter().take(MAX_SIZES) {
                let rates = device.intervals(largest(offer)).unwrap_or_default();
                writeln!(text, "  {}", OfferAtRates(offer, &rates))?;
            }
            if let Some(more @ 1..) = offers.usable.len().checked_sub(MAX_SIZES) {
                writeln!(text, "  and {more} more")?;
            }
            for format in offers.unusable {
                writeln!(text, "  ({format})")?;
            }
        }
        Err(error) => writeln!(text, "  its formats cannot be read: {error}")?,
    }
    match device.knobs() {
        Ok(knobs) => knobs.iter().try_for_each(|knob| writeln!(text, "  {knob}")),
        Err(error) => writeln!(text, "  its controls cannot be read: {error}"),
    }
}

/// An offer's largest size.
fn largest(offer: &Offer) -> Choice {
    Choice {
        format: offer.format,
        code: offer.code,
        width: offer.width.max,
        height: offer.height.max,
    }
}

/// `MJPG 640x480 at 30, 25 fps`.
struct OfferAtRates<'offer>(&'offer Offer, &'offer [IntervalOffer]);

impl fmt::Display for OfferAtRates<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(offer, rates) = self;
        write!(formatter, "{offer}")?;
        // What makes no sense is left out: a driver may say anything.
        let rate = |interval: &Interval| {
            let rate = interval.rate();
            rate.is_normal().then(|| (rate * 100.0).round() / 100.0)
        };
        let rates = rates.iter().filter_map(|offer| match offer {
            IntervalOffer::Discrete(interval) => Some(rate(interval)?.to_string()),
            IntervalOffer::Range { shortest, longest } => {
                Some(format!("{} to {}", rate(longest)?, rate(shortest)?))
            }
        });
        let rates: Vec<_> = rates.take(MAX_RATES).collect();
        match rates.is_empty() {
            true => Ok(()),
            false => write!(formatter, " at {} fps", rates.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use v4l::FourCC;

    use super::*;
    use crate::camera::{negotiation::Steps, status::Format};

    #[test]
    fn an_offer_is_told_with_its_rates() {
        let offer = Offer {
            format: Format::Mjpg,
            code: FourCC::new(b"MJPG"),
            width: Steps::only(640),
            height: Steps::only(480),
        };
        let rate = |denominator, numerator| Interval {
            numerator,
            denominator,
        };
        let told = |rates: &[IntervalOffer]| OfferAtRates(&offer, rates).to_string();
        let discrete = [rate(30, 1), rate(30000, 1001)].map(IntervalOffer::Discrete);
        assert_eq!(told(&discrete), "MJPG 640x480 at 30, 29.97 fps");
        let range = IntervalOffer::Range {
            shortest: rate(30, 1),
            longest: rate(5, 1),
        };
        assert_eq!(told(&[range]), "MJPG 640x480 at 5 to 30 fps");
        assert_eq!(told(&[]), "MJPG 640x480");
        let odd = [rate(0, 0), rate(1, 0)].map(IntervalOffer::Discrete);
        assert_eq!(told(&odd), "MJPG 640x480");
        let many = told(&vec![IntervalOffer::Discrete(rate(30, 1)); 1000]);
        assert_eq!(many.matches("30").count(), MAX_RATES);
    }

    #[test]
    fn a_node_that_is_no_webcam_is_told_in_a_line() {
        for path in ["/dev/null", "/dev/video-that-is-not-there"] {
            let mut text = String::new();
            describe_node(&mut text, Path::new(path)).unwrap();
            assert!(
                text.starts_with(&format!("{path}: cannot be opened: ")),
                "{text}"
            );
            assert_eq!(text.lines().count(), 1);
        }
    }
}
