//! Why is aimed at what is aimed at, in words.

use std::fmt;

use serde::Serialize;

use crate::camera::aim::{Aimed, Scale};

/// Why is aimed at what is aimed at, in words.
#[derive(Clone, Debug)]
pub(in crate::camera) struct Reason {
    pub(super) asked: Aimed,
    pub(super) aimed: Aimed,
    /// What the uplink was last seen to carry.
    pub(super) bits_per_second: Option<f64>,
    /// Whether the settings allow no less.
    pub(super) is_lowest: bool,
}

/// The same in one word, for programs. The relay knows each (`box_status.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::camera) enum Cause {
    /// All that was asked for is sent.
    AsAsked,
    /// The uplink carries no more.
    UplinkNarrow,
    /// It does not, and the settings allow no less.
    LeastAllowed,
    /// It has room, and more is tried soon.
    UplinkHasRoom,
}

impl Reason {
    /// The same in one word.
    pub(in crate::camera) fn cause(&self) -> Cause {
        match self.bits_per_second {
            _ if self.aimed == self.asked => Cause::AsAsked,
            None => Cause::UplinkHasRoom,
            Some(_) if self.is_lowest => Cause::LeastAllowed,
            Some(_) => Cause::UplinkNarrow,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, aimed, .. } = self;
        if aimed == asked {
            return formatter.write_str("as asked for");
        }
        let (now, all) = (aimed.frames_per_second, asked.frames_per_second);
        write!(formatter, "{now} of {all} pictures a second")?;
        if aimed.quality < asked.quality {
            write!(formatter, " at quality {}", aimed.quality)?;
        }
        if aimed.scale == Scale::Half {
            formatter.write_str(" in half the size")?;
        }
        match self.bits_per_second.map(BitRate) {
            Some(rate) => write!(formatter, ": the uplink carries {rate}")?,
            None => formatter.write_str(": the uplink has room, and more is tried soon")?,
        }
        if self.is_lowest {
            formatter.write_str("; this is the least that pinhole.toml allows")?;
        }
        Ok(())
    }
}

/// Bits a second, as people write them.
struct BitRate(f64);

impl fmt::Display for BitRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            rate if rate < 999_500.0 => write!(formatter, "{:.0} kbit/s", rate / 1e3),
            rate if rate < 9.95e6 => write!(formatter, "{:.1} Mbit/s", rate / 1e6),
            rate => write!(formatter, "{:.0} Mbit/s", rate / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CameraSettings;

    #[test]
    fn the_cause_is_one_of_few_words() {
        let asked = Aimed::as_asked(&CameraSettings::default());
        let less = Aimed {
            quality: 40,
            ..asked
        };
        for (aimed, bits_per_second, is_lowest, word) in [
            (asked, Some(9e6), false, "as-asked"),
            (asked, None, true, "as-asked"),
            (less, Some(1e6), false, "uplink-narrow"),
            (less, Some(1e6), true, "least-allowed"),
            (less, None, true, "uplink-has-room"),
        ] {
            let reason = Reason {
                asked,
                aimed,
                bits_per_second,
                is_lowest,
            };
            assert_eq!(serde_json::to_value(reason.cause()).unwrap(), word);
        }
    }

    #[test]
    fn bit_rates_are_written_as_people_do() {
        for (rate, written) in [
            (300_400.0, "300 kbit/s"),
            (999_900.0, "1.0 Mbit/s"),
            (1_240_000.0, "1.2 Mbit/s"),
            (9_960_000.0, "10 Mbit/s"),
        ] {
            assert_eq!(BitRate(rate).to_string(), written);
        }
    }
}
