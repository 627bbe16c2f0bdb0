//! The stills of one stream as viewers get them: the newest of each kind, and the storyboard.
//!
//! The stream's own encoder sends them beside its rungs. A stream that is copied alone has none: [`Keyframes`] then runs a
//! worker that gets one keyframe now and then and makes nothing but stills. What becomes of either is never the stream's
//! problem: the last pictures stay.

use std::{sync::Arc, time::Duration};

use hls::storyboard::{NewSheet, Storyboard};
use media::{Epoch, MediaSpan, MediaTime, Packet, TrackId, TrackKind};
use origin::{Picture, Pictures};
use tokio::time::Instant;
use tracing::debug;
use transcode::{
    Input, Isolation, Job, MAX_STILL, Output, SHEET_COLUMNS, SHEET_TILES, Still, StillKind, StillsJob,
    Transcoder, source::VideoSource,
};

use super::Settings;

/// Pause after the first death of a worker that makes stills alone; doubled with each until one is made.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// See the module.
pub(super) struct Gallery {
    shown: Pictures,
    storyboard: Storyboard,
    session: Epoch,
}

impl Gallery {
    /// An empty one. `window` is how far back viewers can go.
    pub(super) fn new(session: Epoch, interval: Duration, window: Duration) -> Self {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 4);
        let storyboard = Storyboard::new(session, micros(interval), micros(window));
        Self { shown: Pictures::default(), storyboard, session }
    }

    /// Another encoder or worker begins.
    pub(super) fn begin(&mut self) {
        self.storyboard.begin();
    }

    /// The stream goes on under another session.
    pub(super) fn moved_to(&mut self, session: Epoch) {
        self.session = session;
        self.storyboard.moved_to(session);
        self.render();
    }

    /// Takes a still, as a worker that decodes what strangers send gave it: what breaks the rules is left out. `date` tells
    /// the microseconds since 1970 of an instant. True when there is something new to show.
    pub(super) fn take(&mut self, still: Still, date: impl Fn(MediaTime) -> i64) -> bool {
        if still.jpeg.len() > MAX_STILL || !still.jpeg.starts_with(&[0xFF, 0xD8]) {
            return false;
        }
        let picture = |jpeg| Some(Arc::new(Picture::new(jpeg, date(still.at))));
        match still.kind {
            StillKind::Thumbnail => self.shown.thumbnail = picture(still.jpeg),
            StillKind::Poster => self.shown.poster = picture(still.jpeg),
            StillKind::Sheet(sheet) => {
                let rising = sheet.tiles.is_sorted_by(|a, b| a < b);
                let sides = 2..=4096;
                let sized = sides.contains(&sheet.tile_width) && sides.contains(&sheet.tile_height);
                if !rising || !sized || sheet.tiles.len() > SHEET_TILES {
                    return false;
                }
                self.storyboard.put(NewSheet {
                    number: sheet.number,
                    columns: SHEET_COLUMNS,
                    tile: (sheet.tile_width, sheet.tile_height),
                    full: sheet.is_full(),
                    tiles: sheet.tiles.into_iter().map(date).collect(),
                    jpeg: still.jpeg,
                });
                self.render();
            }
        }
        true
    }

    fn render(&mut self) {
        self.shown.show(&self.storyboard);
    }

    /// What viewers get now.
    pub(super) fn shown(&self) -> Pictures {
        self.shown.clone()
    }
}

/// A worker for the stills of a track whose pictures are all copied.
pub(super) struct Keyframes {
    isolation: Isolation,
    job: Job,
    track: TrackId,
    interval: MediaSpan,
    /// The next keyframe from here on is wanted.
    due: Option<MediaTime>,
    running: Option<Transcoder>,
    start_at: Instant,
    pause: Duration,
}

impl Keyframes {
    /// A worker for `video`, not yet started.
    pub(super) fn new(settings: &Settings, video: &VideoSource, interval: Duration) -> Self {
        // The choice is made here; the worker takes every keyframe that it gets.
        let mut job = Job::stills(video, StillsJob { interval: (interval / 2).into() });
        job.memory_limit = settings.worker_memory;
        job.sandbox = settings.sandbox;
        Self {
            isolation: settings.isolation.clone(),
            job,
            track: video.track,
            interval: interval.into(),
            due: None,
            running: None,
            start_at: Instant::now(),
            pause: FIRST_PAUSE,
        }
    }

    /// Starts the worker when it is time to; true when it did.
    pub(super) async fn tend(&mut self) -> bool {
        if self.running.is_some() || Instant::now() < self.start_at {
            return false;
        }
        match Transcoder::start(self.isolation.clone(), self.job.clone()).await {
            Ok(transcoder) => self.running = Some(transcoder),
            Err(error) => self.died(&error.to_string()),
        }
        self.running.is_some()
    }

    /// Looks whether a packet is the keyframe to make stills of. Never waits: a busy worker gets the next one.
    pub(super) fn offer(&mut self, packet: &Packet) {
        /// Of the interval: how much too early a keyframe may come, so that a GOP as long as the interval never gives
        /// every second one.
        const EARLY: i64 = 10;
        if (packet.kind, packet.track, packet.keyframe) != (TrackKind::Video, self.track, true)
            || self.due.is_some_and(|due| packet.pts < due)
        {
            return;
        }
        let Some(transcoder) = &self.running else { return };
        if transcoder.try_send(Input::Packet(packet.clone())).is_ok() {
            let interval = self.interval.ticks();
            self.due = Some(packet.pts + MediaSpan::from_ticks(interval - interval / EARLY));
        }
    }

    /// Waits for the next still. Never resolves while no worker runs. Cancel-safe.
    pub(super) async fn hear(&mut self) -> Option<Still> {
        let Some(transcoder) = &mut self.running else { return std::future::pending().await };
        match transcoder.recv().await {
            Some(Output::Still(still)) => {
                self.pause = FIRST_PAUSE;
                return Some(still);
            }
            Some(Output::Failed(cause)) => self.died(&cause),
            None | Some(Output::Finished) => self.died("it ended"),
            Some(_) => {}
        }
        None
    }

    fn died(&mut self, cause: &str) {
        debug!(cause, pause = ?self.pause, "no stills for now; the stream goes on");
        metrics::counter!("sluice_stills_worker_deaths_total").increment(1);
        self.running = None;
        self.start_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
