//! Failed attempts in the log, with the address that they came from.
//!
//! One line an attempt, in a form that fail2ban and the like can match:
//! `access: 192.0.2.7 was refused at porch: the password is wrong`. A flood of
//! attempts is no flood of lines; how many were left out is told.

use std::{
    fmt,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use pinhole_link::CameraName;
use tracing::warn;

use super::allowance::Allowance;

/// Lines about one address: these at once, then one in each interval.
const PER_ADDRESS: (u32, Duration) = (5, Duration::from_secs(60));

/// Lines about all addresses.
const IN_ALL: (u32, Duration) = (100, Duration::from_secs(1));

/// What is told of failed attempts, and what is not.
pub(super) struct Attempts {
    by_address: Allowance<IpAddr>,
    in_all: Allowance<()>,
    left_out: Mutex<u64>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            by_address: Allowance::new(PER_ADDRESS.0, PER_ADDRESS.1),
            in_all: Allowance::new(IN_ALL.0, IN_ALL.1),
            left_out: Mutex::default(),
        }
    }
}

impl Attempts {
    /// Tells that `from` was refused at `place`, unless much was told already.
    pub(super) fn tell(&self, from: IpAddr, network: IpAddr, place: Place<'_>, why: &str) {
        if let Some(left_out) = self.is_due(network, Instant::now()) {
            warn!("access: {from} was refused at {place}: {why}{left_out}");
        }
    }

    fn is_due(&self, network: IpAddr, now: Instant) -> Option<LeftOut> {
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due =
            self.by_address.take(&network, now).is_ok() && self.in_all.take(&(), now).is_ok();
        if !is_due {
            *left_out += 1;
            return None;
        }
        Some(LeftOut(std::mem::take(&mut left_out)))
    }
}

/// Where someone was refused.
#[derive(Clone, Copy)]
pub(super) enum Place<'name> {
    /// At a camera that may be none.
    Camera(&'name CameraName),
    /// At the list of cameras.
    List,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Camera(name) => name.fmt(formatter),
            Self::List => formatter.write_str("/"),
        }
    }
}

/// How many attempts were not told since the last one that was.
#[derive(Debug, PartialEq, Eq)]
struct LeftOut(u64);

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(
                formatter,
                " ({count} other failed attempts were not logged)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_told() {
        let attempts = Attempts::default();
        let now = Instant::now();
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        for _ in 0..PER_ADDRESS.0 {
            assert_eq!(attempts.is_due(one, now), Some(LeftOut(0)));
        }
        for _ in 0..20 {
            assert_eq!(attempts.is_due(one, now), None);
        }
        let left_out = attempts.is_due(other, now).unwrap();
        assert!(left_out.to_string().contains("20 other failed attempts"));
        assert_eq!(attempts.is_due(one, now + PER_ADDRESS.1), Some(LeftOut(0)));
    }
}
