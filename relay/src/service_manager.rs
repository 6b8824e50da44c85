//! What systemd is told of the relay's life (sd_notify(3)). Where nobody asks,
//! by `NOTIFY_SOCKET` and `WATCHDOG_USEC`, nothing is told.

use std::{convert::Infallible, future};

use sd_notify::NotifyState;
use smol::Timer;
use tracing::warn;

use crate::{cameras::Cameras, threads::Lanes};

/// Everything is served.
pub(crate) fn tell_ready() {
    tell(NotifyState::Ready);
}

/// From now on nobody is let in any more.
pub(crate) fn tell_stopping() {
    tell(NotifyState::Stopping);
}

/// Tells for ever, twice in the time that systemd allows, that the executor on
/// which this runs does run, that each of `lanes` does, and that `cameras` can
/// be looked at. A relay that hangs is started anew (`WatchdogSec=`,
/// systemd.service(5)).
pub(crate) async fn keep_telling_of_life(cameras: &Cameras, lanes: &Lanes) -> Infallible {
    let Some(allowed) = sd_notify::watchdog_enabled() else {
        return future::pending().await;
    };
    loop {
        cameras.all();
        lanes.all_answer().await;
        tell(NotifyState::Watchdog);
        Timer::after(allowed / 2).await;
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!("systemd cannot be told how the relay is: {error}");
    }
}
