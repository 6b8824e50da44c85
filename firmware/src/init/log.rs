//! Lines for the log, through the seam, so that the scenarios see them.

use tracing::Level;

use super::system::System;

/// What happened, as expected.
pub(super) fn info(system: &mut impl System, line: &str) {
    system.log(Level::INFO, line);
}

/// What went wrong and was passed over.
pub(super) fn warn(system: &mut impl System, line: &str) {
    system.log(Level::WARN, line);
}

/// What went wrong and will be felt.
pub(super) fn error(system: &mut impl System, line: &str) {
    system.log(Level::ERROR, line);
}
