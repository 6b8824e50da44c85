//! A moment as both ends write it.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A moment as text: `seconds.microseconds` since 1970, with six digits behind
/// the point. A moment before 1970 is written as 1970.
///
/// ```
/// use pinhole_link::Timestamp;
/// use std::time::{Duration, UNIX_EPOCH};
///
/// let moment = Timestamp(UNIX_EPOCH + Duration::from_millis(1_700_000_000_042));
/// assert_eq!(moment.to_string(), "1700000000.042000");
/// assert_eq!("1700000000.042000".parse(), Ok(moment));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(pub SystemTime);

/// Text that is no [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time must be seconds.microseconds since 1970, with six digits behind the point")]
pub struct InvalidTimestamp;

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since_1970 = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, micros) = (since_1970.as_secs(), since_1970.subsec_micros());
        write!(formatter, "{seconds}.{micros:06}")
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let (seconds, micros) = text.split_once('.').ok_or(InvalidTimestamp)?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if micros.len() != 6 || !digits(micros) || !digits(seconds) {
            return Err(InvalidTimestamp);
        }
        let number = |text: &str| text.parse().map_err(|_| InvalidTimestamp);
        Duration::from_secs(number(seconds)?)
            .checked_add(Duration::from_micros(number(micros)?))
            .and_then(|since_1970| UNIX_EPOCH.checked_add(since_1970))
            .map(Self)
            .ok_or(InvalidTimestamp)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            ".",
            "1",
            "1.5",
            "1.0000000",
            "-1.000000",
            "+1.000000",
            "1.-00001",
            "a.000000",
            "1.00000é",
            " 1.000000",
            "99999999999999999999.000000",
            "18446744073709551615.000000",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(InvalidTimestamp), "{text}");
        }
    }

    #[test]
    fn a_time_before_1970_does_not_panic() {
        let moment = Timestamp(UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(moment.to_string(), "0.000000");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(micros in 0..1_u64 << 55) {
            let moment = Timestamp(UNIX_EPOCH + Duration::from_micros(micros));
            prop_assert_eq!(moment.to_string().parse(), Ok(moment));
        }
    }
}
