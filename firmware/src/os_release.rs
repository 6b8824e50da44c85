//! What the image says of itself (os-release(5)).

use std::time::SystemTime;

use crate::init::state::parse_time;

/// When the image was built: `PINHOLE_BUILD_TIME` of the file's text, in seconds
/// since 1970.
pub fn build_time(text: &str) -> Option<SystemTime> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("PINHOLE_BUILD_TIME="))?;
    parse_time(value.trim().trim_matches('"'))
}
