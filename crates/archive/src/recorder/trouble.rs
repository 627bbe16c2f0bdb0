//! When the store fails: how long to wait, and what to say of it, once in a while.

use std::{error::Error, time::Duration};

use media::StreamName;
use metrics::counter;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::intake::Lost;

/// The first wait after a failure; each further one is twice as long, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// A line in the log at most so often.
const TELL_EVERY: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Trouble {
    stream: StreamName,
    place: String,
    wait: Duration,
    retry_at: Option<Instant>,
    since: Option<Instant>,
    told_at: Option<Instant>,
    counted: Lost,
    /// What had been lost when it was last told.
    told: Lost,
}

impl Trouble {
    pub(super) fn new(stream: StreamName, place: &str) -> Self {
        Self {
            stream,
            place: place.to_owned(),
            wait: FIRST_WAIT,
            retry_at: None,
            since: None,
            told_at: None,
            counted: Lost::default(),
            told: Lost::default(),
        }
    }

    /// Whether the store may be asked now.
    pub(super) fn may_try(&self) -> bool {
        self.retry_at.is_none_or(|at| at <= Instant::now())
    }

    /// When it may be asked again; `None` when it may be now.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at.filter(|at| *at > Instant::now())
    }

    /// There is little time left: no waiting.
    pub(super) fn hurry(&mut self) {
        self.retry_at = None;
        self.wait = FIRST_WAIT;
    }

    pub(super) fn failed(&mut self, error: &dyn Error, waiting_bytes: u64, full: bool) {
        self.retry_at = Some(Instant::now() + self.wait);
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        self.since.get_or_insert_with(Instant::now);
        if self.may_tell() {
            let why = if full { "the disk is full".to_owned() } else { reasons(error) };
            warn!(
                stream = %self.stream, place = %self.place, waiting_bytes, lost_segments = self.counted.segments,
                lost_bytes = self.counted.bytes, "recording waits: {why}. The live stream goes on; it is tried again"
            );
        }
    }

    /// Counts what is lost by now, and tells it now and then.
    pub(super) fn lost(&mut self, lost: Lost) {
        let new = Lost {
            segments: lost.segments.saturating_sub(self.counted.segments),
            bytes: lost.bytes.saturating_sub(self.counted.bytes),
        };
        counter!("sluice_recording_lost_segments_total").increment(new.segments);
        counter!("sluice_recording_lost_bytes_total").increment(new.bytes);
        self.counted = lost;
        if lost.segments > self.told.segments && self.may_tell() {
            self.tell(
                lost,
                "segments are lost to the recording: its store is too slow or gone. They will be gaps in it",
            );
        }
    }

    /// The store works.
    pub(super) fn over(&mut self) {
        self.wait = FIRST_WAIT;
        self.retry_at = None;
        if let Some(since) = self.since.take() {
            let seconds = since.elapsed().as_secs();
            info!(
                stream = %self.stream, place = %self.place, seconds, lost_segments = self.counted.segments,
                lost_bytes = self.counted.bytes, "recording goes on"
            );
            self.told = self.counted;
            self.told_at = None;
        }
    }

    /// The last word, where something was lost that was not told.
    pub(super) fn tell_end(&mut self, lost: Lost) {
        self.lost(lost);
        if lost.segments > self.told.segments {
            self.tell(lost, "the recording ends with segments lost");
        }
    }

    fn tell(&mut self, lost: Lost, sentence: &str) {
        self.told = lost;
        error!(
            stream = %self.stream, place = %self.place, lost_segments = lost.segments, lost_bytes = lost.bytes,
            "{sentence}"
        );
    }

    fn may_tell(&mut self) -> bool {
        let due = self.told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if due {
            self.told_at = Some(Instant::now());
        }
        due
    }
}

/// An error with its causes, each once.
fn reasons(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
