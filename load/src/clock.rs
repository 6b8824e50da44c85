//! The clock that pictures are stamped with and viewers read their age by.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970.
pub(crate) fn micros() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    // Enough for half a million years.
    since_1970.unwrap_or_default().as_micros() as u64
}
