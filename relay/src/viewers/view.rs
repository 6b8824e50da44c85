//! What one viewer sees next: the camera's newest picture, or a placeholder
//! that tells what is missing.

use std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use pinhole_link::{
    Doorbell, Frame, Reader,
    multipart::{Dialect, Part, Source},
};
use smol::{Timer, future::FutureExt as _};
use tracing::warn;

use super::{
    Site,
    camera_state::{notice, stalled, state_word},
    placeholder::Size,
    query::StreamQuery,
};
use crate::{
    camera::{Camera, Health, Pull},
    lull::TICK,
    watchers::{Viewing, Watch},
};

/// How long a stream may take to start or to be resumed before a placeholder is
/// shown. The first one is to come within a second, so this is a tick less.
const START_PATIENCE: Duration = Duration::from_millis(700);

/// How long a placeholder stands, less a tick: Home Assistant gives up on 10 s
/// of silence, and people sooner.
const PLACEHOLDER_INTERVAL: Duration = Duration::from_millis(1700);

/// When a picture is sent again for a browser that shows it only then, if no
/// newer one has come: once soon, less a tick, and then seldom.
const FIRST_REPEAT: Duration = Duration::from_millis(200);
const NEXT_REPEAT: Duration = Duration::from_millis(1700);

/// How long the box's word on its trouble holds.
const BOX_WORD_AGE: Duration = Duration::from_secs(3);

/// What the box says is the matter, if it says so.
type BoxTrouble = Option<String>;

/// One viewer's stream. It counts as a reader of the camera, whose stream is
/// therefore pulled.
pub(super) struct View<'camera> {
    camera: &'camera Arc<Camera>,
    site: &'camera Arc<Site>,
    frames: Reader<Frame>,
    watch: Watch<'camera>,
    interval: Option<Duration>,
    /// When a viewer is looked after to whom pictures are sent again.
    tick: Option<Timer>,
    /// When all viewers are.
    lulls: Reader<()>,
    /// Rings for what comes seldom: all but pictures.
    doorbell: Doorbell,
    /// When the next picture may go, where a rate was asked for.
    due: Instant,
    /// When the camera's last picture went, or the stream was opened.
    last_live: Instant,
    /// When the last part went, whatever it was.
    last_sent: Instant,
    shows_placeholder: bool,
    /// The last part, where it may have to be sent again.
    last: Option<Part>,
    repeated: bool,
    asking: Option<Pin<Box<dyn Future<Output = BoxTrouble> + Send>>>,
    box_word: Option<(Instant, BoxTrouble)>,
}

/// A view that ends.
pub(super) struct Until<'view, 'camera, E> {
    view: View<'camera>,
    /// What its end waits for.
    ended: Pin<&'view mut E>,
}

/// What a viewer waits for.
enum Event<E> {
    Live(Frame),
    Box(BoxTrouble),
    Tick,
    Ended(E),
}

impl<'camera> View<'camera> {
    /// Of `camera`.
    pub(super) fn new(
        camera: &'camera Arc<Camera>,
        site: &'camera Arc<Site>,
        query: &StreamQuery,
    ) -> Self {
        let now = Instant::now();
        let in_advance = query.dialect == Dialect::AdvanceHeaders;
        let viewing = Viewing::new(query.page.clone(), in_advance, query.repeats);
        Self {
            camera,
            site,
            frames: camera.frames().reader(),
            watch: camera.watchers().watch(viewing),
            interval: query.interval,
            tick: query.repeats.then(|| Timer::after(TICK)),
            lulls: camera.lulls().reader(),
            doorbell: Doorbell::default(),
            due: now,
            last_live: now,
            last_sent: now,
            shows_placeholder: false,
            last: None,
            repeated: false,
            asking: None,
            box_word: None,
        }
    }

    /// What is to be sent next, or what `ended` resolves with, which must be the
    /// same future each time. Dropping this one loses nothing.
    pub(super) async fn part<E>(
        &mut self,
        mut ended: Pin<&mut impl Future<Output = E>>,
    ) -> Result<Part, E> {
        loop {
            match self.event(ended.as_mut()).await {
                Event::Live(frame) => return Ok(self.live(frame)),
                Event::Ended(end) => return Err(end),
                Event::Box(trouble) => {
                    self.box_word = Some((Instant::now(), trouble));
                    self.asking = None;
                }
                Event::Tick => {
                    if let Some(tick) = &mut self.tick {
                        tick.set_after(TICK);
                    }
                    let health = self.camera.health();
                    if self.is_missed(&health) {
                        self.ask_box(&health);
                        if let Some(part) = self.placeholder(&health).await {
                            return Ok(part);
                        }
                    }
                    if let Some(part) = self.repeat() {
                        return Ok(part);
                    }
                }
            }
        }
    }

    async fn event<E>(&mut self, ended: Pin<&mut impl Future<Output = E>>) -> Event<E> {
        let (frames, interval, due) = (&mut self.frames, self.interval, self.due);
        let live = async {
            if interval.is_some() {
                Timer::at(due).await;
            }
            let update = frames.next().await;
            if interval.is_none() && update.missed > 0 {
                let counters = self.camera.counters();
                counters.skipped_frames.add(update.missed);
            }
            Event::Live(update.value)
        };
        let told = async {
            match &mut self.asking {
                Some(asking) => Event::Box(asking.as_mut().await),
                None => pending().await,
            }
        };
        let lull = async {
            self.lulls.next().await;
            Event::Tick
        };
        let tick = async {
            match &mut self.tick {
                Some(tick) => tick.await,
                None => pending().await,
            };
            Event::Tick
        };
        let ended = async { Event::Ended(ended.await) };
        let mut seldom = pin!(ended.or(told).or(lull).or(tick));
        let doorbell = &mut self.doorbell;
        let seldom =
            poll_fn(|context| doorbell.poll(context, |context| seldom.as_mut().poll(context)));
        // First, as a camera may have a picture each time.
        seldom.or(live).await
    }

    fn live(&mut self, frame: Frame) -> Part {
        let now = Instant::now();
        if let Some(interval) = self.interval {
            // The rate holds on average; time that was lost is not made up for.
            self.due = (self.due + interval).max(now);
        }
        self.last_live = now;
        self.shows_placeholder = false;
        self.new_part(frame.into())
    }

    fn new_part(&mut self, part: Part) -> Part {
        self.repeated = false;
        self.last = self.tick.is_some().then(|| part.clone());
        part
    }

    /// Whether pictures should come and do not.
    fn is_missed(&self, health: &Health) -> bool {
        match health.pull {
            Pull::Streaming => stalled(health).is_some(),
            // A box that is away is not waited for.
            _ => !health.online || self.last_live.elapsed() >= START_PATIENCE - TICK,
        }
    }

    /// Asks the box what is the matter, where it can be asked and has not said
    /// so just now.
    fn ask_box(&mut self, health: &Health) {
        let is_known = matches!(&self.box_word, Some((at, _)) if at.elapsed() < BOX_WORD_AGE);
        let has_box = self.camera.source().as_box().is_some();
        if self.asking.is_some() || is_known || !health.online || !has_box {
            return;
        }
        let (camera, site) = (Arc::clone(self.camera), Arc::clone(self.site));
        self.asking = Some(Box::pin(async move {
            let answer = site.cameras.ask_box(&camera).await.ok()?;
            answer.trouble().map(str::to_owned)
        }));
    }

    /// A placeholder, if it is time for one.
    async fn placeholder(&mut self, health: &Health) -> Option<Part> {
        let is_due = match self.shows_placeholder {
            true => self.last_sent.elapsed() >= PLACEHOLDER_INTERVAL,
            false => !health.online || self.last_live.elapsed() >= START_PATIENCE,
        };
        if !is_due {
            return None;
        }
        let trouble = match &self.box_word {
            Some((at, trouble)) if at.elapsed() < 2 * BOX_WORD_AGE => trouble.as_deref(),
            _ => None,
        };
        let notice = notice(self.camera.name(), health, trouble);
        let size = self.camera.picture_size();
        let size = size.map(|(width, height)| Size { width, height });
        let placeholders = &self.site.placeholders;
        let made = placeholders.part(&notice, size, state_word(health)).await;
        match made {
            Ok(part) => {
                self.shows_placeholder = true;
                Some(self.new_part(part))
            }
            Err(error) => {
                warn!("camera {}: no placeholder: {error}", self.camera.name());
                None
            }
        }
    }

    /// The last part again, if it is time for that.
    fn repeat(&mut self) -> Option<Part> {
        let pause = match self.repeated {
            false => FIRST_REPEAT,
            true => NEXT_REPEAT,
        };
        if self.last_sent.elapsed() < pause {
            return None;
        }
        let part = self.last.clone()?;
        self.repeated = true;
        Some(part)
    }

    /// Whose it is.
    pub(super) fn camera(&self) -> &Camera {
        self.camera
    }

    /// Counts a part that has left.
    pub(super) fn sent(&mut self, part: &Part, bytes: usize) {
        self.last_sent = Instant::now();
        let counters = self.camera.counters();
        counters.sent_bytes.add(bytes as u64);
        if part.placeholder.is_none() && !self.repeated {
            counters.sent_frames.add(1);
            // A clock that was set back makes no picture younger than new.
            let age = SystemTime::now().duration_since(part.frame.captured());
            counters.sent_age.set(age.unwrap_or_default());
            self.watch.sent();
        }
    }
}

impl<'view, 'camera, E: Future<Output = ()>> Until<'view, 'camera, E> {
    /// `view`, until `ended` resolves.
    pub(super) fn new(view: View<'camera>, ended: Pin<&'view mut E>) -> Self {
        Self { view, ended }
    }
}

impl<E: Future<Output = ()> + Send> Source for Until<'_, '_, E> {
    async fn next(&mut self) -> Option<Part> {
        self.view.part(self.ended.as_mut()).await.ok()
    }

    fn sent(&mut self, part: &Part, bytes: usize) {
        self.view.sent(part, bytes);
    }
}
