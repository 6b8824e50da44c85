//! A camera's pictures, to one viewer.

use std::{io, sync::Arc};

use pinhole_link::{
    CameraName,
    http::{Method, stream_head},
    multipart::{Framing, send_frames},
};
use smol::{future::FutureExt as _, io::AsyncWriteExt as _};

use super::connection::ClientStream;
use crate::{
    access::{self, Pass},
    camera::Camera,
    limits::Limits,
    watchers::PageId,
};

/// The stream that a request asks for.
pub(super) struct Wanted {
    pub(super) camera: Arc<Camera>,
    /// On what whoever asks was let in.
    pub(super) pass: Pass,
    /// The page that shows it, if it said which it is.
    pub(super) page: Option<PageId>,
}

/// The camera has all the viewers that it may have.
pub(super) struct Full {
    pub(super) camera: CameraName,
    pub(super) limit: usize,
}

/// A stream that counts as open, until dropped.
pub(super) struct OpenStream {
    wanted: Wanted,
}

/// Opens a stream, if the camera may have another viewer.
pub(super) fn open(wanted: Wanted, limits: &Limits) -> Result<OpenStream, Full> {
    let limit = limits.viewers_per_camera;
    wanted.camera.counters().streams_opened.add(1);
    let open = OpenStream { wanted };
    let camera = &open.wanted.camera;
    match camera.counters().viewers() > limit as u64 {
        false => Ok(open),
        true => Err(Full {
            camera: camera.name().clone(),
            limit,
        }),
    }
}

impl OpenStream {
    /// Sends the camera's pictures until the client goes, the camera is removed,
    /// the pass is void or `stop` resolves.
    pub(super) async fn send(
        self,
        stream: &mut ClientStream,
        method: Method,
        framing: Framing,
        stop: impl Future<Output = ()>,
    ) -> io::Result<()> {
        stream.write_all(stream_head(framing).as_bytes()).await?;
        stream.flush().await?;
        if method == Method::Head {
            return Ok(());
        }
        let camera = &self.wanted.camera;
        let _watch = self
            .wanted
            .page
            .clone()
            .map(|id| camera.watchers().watch(id));
        let mut frames = camera.frames().reader();
        let void = access::until_void(&self.wanted.pass, camera);
        let ended = camera.removed().or(void).or(stop);
        let counters = camera.counters();
        send_frames(stream, framing, &mut frames, ended, |frame| {
            counters.sent_frames.add(1);
            counters.sent_bytes.add(frame.jpeg().len() as u64);
        })
        .await
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.wanted.camera.counters().streams_closed.add(1);
    }
}
