//! A watch: a thread that follows every list, downloads every segment once, and judges as it goes.

use super::outcome::Outcome;
use super::walk;
use crate::tscheck::Tracks;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Tells the resident memory of what is watched, KiB.
#[derive(Clone)]
pub struct Meter(pub(super) Arc<dyn Fn() -> u64 + Send + Sync>);

impl Meter {
    /// `read` is called once a second.
    pub fn new(read: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Meter(Arc::new(read))
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meter")
    }
}

/// How to watch.
#[derive(Debug, Clone)]
pub struct Options {
    /// The multivariant playlist, or a media playlist by itself.
    pub url: String,
    /// Where lists and segments are stored, if they are to be.
    pub out: Option<PathBuf>,
    /// Time between two looks at a list.
    pub poll: Duration,
    /// Time between two looks at the multivariant playlist.
    pub multivariant_poll: Duration,
    /// The playlist has to be there by then.
    pub start_within: Duration,
    /// What each rendition has; None: what its first segment has.
    pub tracks: Option<Tracks>,
    /// A server that cannot be reached is a restart that the test makes, not a fault.
    pub outages: bool,
    /// Have ffmpeg decode everything at the end.
    pub decode: bool,
    /// What memory the server has, sampled once a second.
    pub memory: Option<Meter>,
    /// Renditions of EXT-X-MEDIA and I-frame lists are watched as well.
    pub everything: bool,
    /// Lists are asked for as low-latency players do, parts and hints are fetched.
    pub low_latency: bool,
    /// Requests are made that no player makes, to see what the server says.
    pub probes: bool,
    /// Any certificate will do.
    pub insecure: bool,
}

impl Options {
    /// Every 200 ms, the variants alone, as plain lists; decoding at the end, no outages.
    pub fn new(url: impl Into<String>, out: impl Into<PathBuf>) -> Self {
        Options {
            out: Some(out.into()),
            poll: Duration::from_millis(200),
            multivariant_poll: Duration::from_secs(1),
            start_within: Duration::from_secs(30),
            decode: true,
            everything: false,
            low_latency: false,
            probes: false,
            ..Options::whole(url)
        }
    }

    /// Everything that can be seen from outside; nothing is stored or decoded.
    pub fn whole(url: impl Into<String>) -> Self {
        Options {
            url: url.into(),
            out: None,
            poll: Duration::from_millis(250),
            multivariant_poll: Duration::from_secs(5),
            start_within: Duration::from_secs(10),
            tracks: None,
            outages: false,
            decode: false,
            memory: None,
            everything: true,
            low_latency: true,
            probes: true,
            insecure: false,
        }
    }
}

/// What the watch has seen so far.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Looks at all lists.
    pub rounds: u64,
    /// In the order of the multivariant playlist; empty until it was there.
    pub renditions: Vec<RenditionProgress>,
    /// Times the server could not be reached.
    pub outages: u64,
    /// Rules broken so far.
    pub broken: Vec<&'static str>,
    /// The watch is over: all lists ended, or it failed.
    pub over: bool,
}

/// One rendition so far.
#[derive(Debug, Clone, Default)]
pub struct RenditionProgress {
    /// Its name.
    pub name: String,
    /// Newest media sequence number.
    pub newest: Option<u64>,
    /// Newest discontinuity number.
    pub discontinuity: u64,
    /// Segments with media, GAP segments.
    pub segments: u64,
    /// GAP segments.
    pub gaps: u64,
    /// Parts fetched.
    pub parts: u64,
    /// ENDLIST.
    pub ended: bool,
    /// Segments with media since the newest discontinuity.
    pub since_discontinuity: u64,
}

impl Progress {
    /// The test holds for every rendition, and there is one.
    pub fn all(&self, test: impl Fn(&RenditionProgress) -> bool) -> bool {
        !self.renditions.is_empty() && self.renditions.iter().all(test)
    }
}

/// A running watch.
pub struct Watch {
    progress: Arc<Mutex<Progress>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Outcome>>>,
}

impl Watch {
    /// Starts the thread.
    pub fn start(options: Options) -> Self {
        let progress = Arc::new(Mutex::new(Progress::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, flag) = (progress.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let result = walk::run(options, shared.clone(), flag);
            lock(&shared).over = true;
            result
        });
        Watch { progress, stop, thread: Some(thread) }
    }

    /// What was seen so far.
    pub fn progress(&self) -> Progress {
        lock(&self.progress).clone()
    }

    /// Stops watching and judges.
    ///
    /// # Errors
    /// When there was nothing to watch, or files could not be written.
    pub fn finish(mut self) -> Result<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the watch was finished before")?;
        thread.join().map_err(|_| anyhow::anyhow!("the watch panicked"))?
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

pub(super) fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}
