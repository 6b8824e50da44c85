//! How many files and connections this process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// What is assumed where the system does not tell: Linux's soft limit.
const ASSUMED: u64 = 1024;

/// Raises the limit on open files as far as this process may (`RLIMIT_NOFILE`,
/// getrlimit(2)) and returns it. The soft limit is as low as it is for the sake
/// of select(2), which is not used here.
pub(crate) fn raise_limit() -> u64 {
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => {
            warn!("the limit on open files is not known: {error}");
            return ASSUMED;
        }
    };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            warn!("the limit on open files stays at {soft}: {error}");
            soft
        }
    }
}
