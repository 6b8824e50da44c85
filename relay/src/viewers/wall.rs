//! The pictures of several cameras over one connection.
//!
//! A browser opens six connections to a host and no more, so a page cannot show
//! seven cameras by a stream of each. `/_cameras/stream` carries all cameras, or
//! with `?cameras=porch,shed` those; `fps=N` limits the rate of each. One that has
//! all the viewers that it may have is left out, and told in the log; where that is
//! true of all, the answer is that of one camera's stream.
//!
//! The body is as that of one camera's stream with `raw=1`, parts of
//! [`multipart`] in the eager dialect, and each part tells its camera with
//! `X-Camera: NAME`. Cameras take turns: what one has to show goes out after at
//! most one picture of each of the others, and it is the newest.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Future, pending, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use pinhole_link::{
    http::{Request, stream_head_with},
    multipart::{self, Dialect, Part, PartWriter, Source},
};
use smol::{future::FutureExt as _, io::AsyncWriteExt as _};

use super::{
    Site,
    admission::Visible,
    connection::ClientStream,
    query::StreamQuery,
    stream::{self, Full, OpenStream, Wanted},
    trouble::Trouble,
    view::View,
};
use crate::{
    access::{self, Pass},
    camera::Camera,
    limits::Limits,
};

/// What scripts of all browsers can read.
const CONTENT_TYPE: &str = "application/octet-stream";

/// The streams that a request asks for.
pub(super) struct Wall {
    cameras: Vec<Arc<Camera>>,
    /// On what whoever asks was let in.
    pass: Pass,
    query: StreamQuery,
    /// More header fields of the answer, each with its CR LF.
    pub(super) fields: String,
}

/// Streams that count as open, until dropped.
pub(super) struct OpenWall {
    streams: Vec<OpenStream>,
    pass: Pass,
    query: StreamQuery,
    fields: String,
}

impl Wall {
    /// Those of the `visible` cameras that `request` asks for; `None` if there
    /// is none.
    pub(super) fn of(visible: Visible, request: &Request) -> Option<Self> {
        let names = request.query("cameras");
        let is_wanted = |name: &str| {
            let mut names = names.iter().flat_map(|names| names.split(','));
            names.any(|wanted| wanted == name)
        };
        let cameras = visible.cameras.into_iter().map(|(camera, _)| camera);
        let cameras: Vec<_> = cameras
            .filter(|camera| names.is_none() || is_wanted(camera.name().as_str()))
            .collect();
        (!cameras.is_empty()).then(|| Self {
            cameras,
            pass: visible.pass,
            query: StreamQuery::of(request),
            fields: String::new(),
        })
    }

    /// Opens the streams of the cameras that may have another viewer. The others go
    /// to `trouble`.
    ///
    /// # Errors
    /// One of the cameras, where none may.
    pub(super) fn open(self, limits: &Limits, trouble: &Trouble) -> Result<OpenWall, Full> {
        let Self {
            cameras,
            pass,
            query,
            fields,
        } = self;
        let (mut streams, mut left_out) = (Vec::new(), None);
        for camera in cameras {
            let wanted = Wanted {
                camera,
                pass: pass.clone(),
                query: query.clone(),
                fields: String::new(),
            };
            match stream::open(wanted, limits) {
                Ok(open) => streams.push(open),
                Err(full) => {
                    trouble.too_many_viewers(&full);
                    left_out = Some(full);
                }
            }
        }
        match left_out {
            Some(full) if streams.is_empty() => Err(full),
            _ => Ok(OpenWall {
                streams,
                pass,
                query,
                fields,
            }),
        }
    }
}

impl OpenWall {
    /// Sends the cameras' pictures until the client goes, one of the cameras is
    /// removed or not open any more, or `stop` resolves.
    pub(super) async fn send(
        self,
        stream: &mut ClientStream,
        site: &Arc<Site>,
        stop: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let Self {
            streams,
            pass,
            query,
            fields,
        } = self;
        let head = stream_head_with(query.framing, CONTENT_TYPE, &fields);
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
        if query.head_only {
            return Ok(());
        }
        let cameras = || streams.iter().map(OpenStream::camera);
        let mut ends = cameras()
            .map(|camera| Box::pin(camera.removed().or(access::until_void(&pass, camera))))
            .collect();
        let views = cameras().map(|camera| View::new(camera, site, &query));
        let mut turns = Turns {
            waiting: views.map(turn).collect(),
            sending: None,
            ended: pin!(first(&mut ends).or(stop)),
        };
        let writer = PartWriter::new(query.framing, Dialect::Eager);
        multipart::send(stream, writer, &mut turns).await
    }
}

/// Views that take turns, until they end.
struct Turns<'wall, 'camera, E> {
    /// In the order in which they are asked: who showed something comes last.
    waiting: VecDeque<Turn<'camera>>,
    /// Whose part is on its way.
    sending: Option<View<'camera>>,
    /// What their end waits for.
    ended: Pin<&'wall mut E>,
}

/// Waits until a view has something to show, and gives it back with that. It
/// is kept while others show theirs, or a placeholder that takes longer to draw
/// than they take to come would never be done.
type Turn<'camera> = Pin<Box<dyn Future<Output = (View<'camera>, Part)> + Send + 'camera>>;

fn turn(mut view: View<'_>) -> Turn<'_> {
    Box::pin(async move {
        let Ok(part) = view.part(pin!(pending::<Infallible>())).await;
        (view, part)
    })
}

impl<E: Future<Output = ()> + Send> Source for Turns<'_, '_, E> {
    async fn next(&mut self) -> Option<Part> {
        self.waiting.extend(self.sending.take().map(turn));
        let ended = async {
            self.ended.as_mut().await;
            None
        };
        let shown = async { Some(first(&mut self.waiting).await) };
        let (view, mut part) = ended.or(shown).await?;
        part.camera = Some(view.camera().name().clone());
        self.sending = Some(view);
        Some(part)
    }

    fn sent(&mut self, part: &Part, bytes: usize) {
        if let Some(view) = &mut self.sending {
            view.sent(part, bytes);
        }
    }
}

/// Takes the first that is ready out of `futures`, and waits until one is.
async fn first<F: Future + Unpin>(futures: &mut VecDeque<F>) -> F::Output {
    poll_fn(|context| {
        for index in 0..futures.len() {
            if let Poll::Ready(output) = Pin::new(&mut futures[index]).poll(context) {
                futures.remove(index);
                return Poll::Ready(output);
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use smol::channel::{self, Receiver};

    use super::*;

    /// Tells what `receiver` got, and gives it back with that.
    fn next(receiver: Receiver<char>) -> Pin<Box<dyn Future<Output = (Receiver<char>, char)>>> {
        Box::pin(async move {
            let letter = receiver.recv().await.unwrap();
            (receiver, letter)
        })
    }

    #[test]
    fn all_that_are_ready_have_their_turn() {
        let (mut senders, mut waiting) = (Vec::new(), VecDeque::new());
        for letters in ["aaa", "", "bbb", "c"] {
            let (sender, receiver) = channel::unbounded();
            for letter in letters.chars() {
                sender.try_send(letter).unwrap();
            }
            senders.push(sender);
            waiting.push_back(next(receiver));
        }
        let mut told = String::new();
        for _ in 0..7 {
            let (receiver, letter) = smol::block_on(first(&mut waiting));
            told.push(letter);
            waiting.push_back(next(receiver));
        }
        assert_eq!(told, "abcabab");
        let none = async { Some(first(&mut waiting).await) };
        assert!(smol::block_on(none.or(async { None })).is_none());
        assert_eq!(waiting.len(), 4);
    }
}
