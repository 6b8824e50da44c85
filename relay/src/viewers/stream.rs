//! A camera's pictures, to one viewer.

use std::{io, pin::pin, sync::Arc};

use pinhole_link::{
    CameraName,
    http::stream_head_with,
    multipart::{self, PartWriter},
};
use smol::{future::FutureExt as _, io::AsyncWriteExt as _};

use super::{
    Site,
    connection::ClientStream,
    query::StreamQuery,
    view::{Until, View},
};
use crate::{
    access::{self, Pass},
    camera::Camera,
    limits::Limits,
};

/// The stream that a request asks for.
pub(super) struct Wanted {
    pub(super) camera: Arc<Camera>,
    /// On what whoever asks was let in.
    pub(super) pass: Pass,
    pub(super) query: StreamQuery,
    /// More header fields of the answer, each with its CR LF.
    pub(super) fields: String,
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
    /// Whose it is.
    pub(super) fn camera(&self) -> &Arc<Camera> {
        &self.wanted.camera
    }

    /// Sends the camera's pictures until the client goes, the camera is removed,
    /// the pass is void or `stop` resolves.
    pub(super) async fn send(
        &self,
        stream: &mut ClientStream,
        site: &Arc<Site>,
        stop: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let Wanted {
            camera,
            pass,
            query,
            fields,
        } = &self.wanted;
        let content_type = match query.raw {
            true => "application/octet-stream",
            false => multipart::CONTENT_TYPE,
        };
        let head = stream_head_with(query.framing, content_type, fields);
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
        if query.head_only {
            return Ok(());
        }
        let void = access::until_void(pass, camera);
        let view = View::new(camera, site, query);
        let ended = pin!(camera.removed().or(void).or(stop));
        let mut source = Until::new(view, ended);
        let writer = PartWriter::new(query.framing, query.dialect);
        multipart::send(stream, writer, &mut source).await
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.wanted.camera.counters().streams_closed.add(1);
    }
}
