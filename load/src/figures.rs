//! What a viewer saw, and numbers out of many numbers.

use std::time::Duration;

/// What one viewer saw since it was last asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Pictures that came whole.
    pub(crate) pictures: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Pictures of the camera between those that came.
    pub(crate) missed: u64,
    /// From one picture's last byte to that of the next.
    pub(crate) gaps: Vec<Duration>,
    /// How old each picture was when its last byte came.
    pub(crate) ages: Vec<Duration>,
    /// From each handshake's end to the first whole picture.
    pub(crate) joins: Vec<Duration>,
    /// Connections that broke.
    pub(crate) broken: u64,
}

/// The value that `share` of the values are at or below; `None` without values.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    // Not negative, and below the length.
    let at = (values.len().checked_sub(1)? as f64 * share).round() as usize;
    values.get(at).copied()
}

/// The value in the middle.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    percentile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let mut values = [5.0, 1.0, 3.0, 2.0, 4.0];
        assert_eq!(median(&mut values), Some(3.0));
        assert_eq!(percentile(&mut values, 0.0), Some(1.0));
        assert_eq!(percentile(&mut values, 1.0), Some(5.0));
        assert_eq!(median(&mut []), None);
    }
}
