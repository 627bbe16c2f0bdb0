//! The watch itself: a thread that polls every list, downloads every segment once, and judges as it goes.

use super::across::Checked;
use super::history::History;
use super::media::{self, Entry};
use super::multivariant::{self, Multivariant, Variant};
use super::outcome::{self, Memory, Outcome};
use crate::http::{Client, Response, Url};
use crate::report::Findings;
use crate::tscheck::{self, Tracks};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Tells the resident memory of what is watched, KiB.
#[derive(Clone)]
pub struct Meter(Arc<dyn Fn() -> u64 + Send + Sync>);

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
    /// The multivariant playlist.
    pub url: String,
    /// Where lists and segments are stored.
    pub out: PathBuf,
    /// Time between two looks at a list.
    pub poll: Duration,
    /// The multivariant playlist has to be there by then.
    pub start_within: Duration,
    /// What each rendition has; None: what its first segment has.
    pub tracks: Option<Tracks>,
    /// A server that cannot be reached is a restart that the test makes, not a fault.
    pub outages: bool,
    /// Have ffmpeg decode everything at the end.
    pub decode: bool,
    /// What memory the server has, sampled once a second.
    pub memory: Option<Meter>,
}

impl Options {
    /// Every 200 ms, decoding at the end, no outages.
    pub fn new(url: impl Into<String>, out: impl Into<PathBuf>) -> Self {
        Options {
            url: url.into(),
            out: out.into(),
            poll: Duration::from_millis(200),
            start_within: Duration::from_secs(30),
            tracks: None,
            outages: false,
            decode: true,
            memory: None,
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
            let result = Watcher::run(options, &shared, &flag);
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

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One rendition being watched.
pub(crate) struct Rendition {
    pub(crate) name: String,
    pub(crate) url: Url,
    pub(crate) variant: Variant,
    pub(crate) history: History,
    pub(crate) checker: tscheck::Checker,
    pub(crate) segments: BTreeMap<u64, Checked>,
    pub(crate) dir: PathBuf,
    pub(crate) slowest_fetch: Duration,
    pub(crate) ended: bool,
    /// Longest time that another rendition had a newer segment.
    pub(crate) longest_lag: Duration,
    behind_since: Option<Duration>,
    lag_told: bool,
    last_number: Option<u64>,
    last_msn: Option<u64>,
    gone_checked: BTreeMap<u64, u8>,
    etag: Option<String>,
}

struct Watcher<'a> {
    options: Options,
    base: Url,
    started: Instant,
    client: Client,
    found: Findings,
    renditions: Vec<Rendition>,
    memory: Option<Memory>,
    progress: &'a Mutex<Progress>,
    multivariant: Multivariant,
    publish_lag_ms: Vec<i64>,
}

impl<'a> Watcher<'a> {
    fn run(options: Options, progress: &'a Mutex<Progress>, stop: &AtomicBool) -> Result<Outcome> {
        let base = Url::parse(&options.url)?;
        let mut this = Watcher {
            base,
            started: Instant::now(),
            client: Client::default(),
            found: Findings::default(),
            renditions: Vec::new(),
            memory: None,
            progress,
            multivariant: Multivariant::default(),
            publish_lag_ms: Vec::new(),
            options,
        };
        if !this.open(stop)? {
            bail!(
                "stopped before {} was there: {:?}",
                this.options.url,
                this.client.get(&this.base).map(|r| r.status)
            );
        }
        let mut next_second = Duration::ZERO;
        while !stop.load(Ordering::Relaxed) {
            let round = Instant::now();
            if this.started.elapsed() >= next_second {
                next_second = this.started.elapsed() + Duration::from_secs(1);
                this.each_second();
            }
            for at in 0..this.renditions.len() {
                this.look(at)?;
            }
            this.lags();
            this.tell();
            if this.renditions.iter().all(|r| r.ended) {
                break;
            }
            thread::sleep(this.options.poll.saturating_sub(round.elapsed()));
        }
        let seconds = this.started.elapsed().as_secs_f64();
        let parts = outcome::Parts {
            url: this.options.url,
            seconds,
            findings: this.found,
            renditions: this.renditions,
            memory: this.memory,
            publish_lag_ms: this.publish_lag_ms,
            decode: this.options.decode,
        };
        outcome::judge(parts)
    }

    /// Waits for the multivariant playlist; false when stopped first.
    fn open(&mut self, stop: &AtomicBool) -> Result<bool> {
        loop {
            let answer = self.client.get(&self.base.clone());
            if let Ok(response) = &answer
                && response.status == 200
            {
                self.adopt(response)?;
                return Ok(true);
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            if self.started.elapsed() > self.options.start_within {
                let last =
                    answer.map(|r| format!("status {}", r.status)).unwrap_or_else(|e| format!("{e:#}"));
                bail!("{} was not there within {:?}: {last}", self.options.url, self.options.start_within);
            }
            thread::sleep(self.options.poll);
        }
    }

    fn adopt(&mut self, response: &Response) -> Result<()> {
        self.list_headers(response, "multivariant");
        let text = response.text()?;
        std::fs::create_dir_all(&self.options.out)?;
        std::fs::write(self.options.out.join("multivariant.m3u8"), &text)?;
        let list = multivariant::parse(text.as_bytes(), "multivariant", &mut self.found);
        for variant in &list.variants {
            let url = self.base.join(&variant.uri)?;
            let stem = variant.uri.rsplit_once('/').map_or(variant.uri.as_str(), |(dir, _)| dir);
            let mut name = stem.rsplit('/').next().unwrap_or(stem).to_owned();
            if name.is_empty() || self.renditions.iter().any(|r| r.name == name) {
                name = variant.uri.replace(['/', '?'], "_");
            }
            let dir = self.options.out.join(&name);
            std::fs::create_dir_all(&dir)?;
            self.renditions.push(Rendition {
                history: History::new(&name),
                checker: tscheck::Checker::new(self.options.tracks),
                variant: variant.clone(),
                name,
                url,
                dir,
                segments: BTreeMap::new(),
                slowest_fetch: Duration::ZERO,
                ended: false,
                longest_lag: Duration::ZERO,
                behind_since: None,
                lag_told: false,
                last_number: None,
                last_msn: None,
                gone_checked: BTreeMap::new(),
                etag: None,
            });
        }
        self.multivariant = list;
        Ok(())
    }

    fn list_headers(&mut self, response: &Response, place: &str) {
        let kind = response.media_type();
        if kind != "application/vnd.apple.mpegurl" {
            self.found.violation("http.type", place, format!("list of type {kind:?}"));
        }
        if response.header("access-control-allow-origin").is_none() {
            self.found.violation("http.cors", place, "no Access-Control-Allow-Origin");
        }
    }

    fn each_second(&mut self) {
        if let Some(meter) = &self.options.memory {
            let now = self.started.elapsed().as_secs_f64();
            self.memory.get_or_insert_default().sample(now, (meter.0)());
        }
        let Ok(response) = self.client.get(&self.base.clone()) else { return };
        if response.status != 200 {
            return;
        }
        self.list_headers(&response, "multivariant");
        let mut quiet = Findings::default();
        let Ok(text) = response.text() else { return };
        let list = multivariant::parse(text.as_bytes(), "multivariant", &mut quiet);
        let keys = |m: &Multivariant| -> Vec<_> {
            let key = |v: &Variant| (v.uri.clone(), v.codecs.clone(), v.resolution);
            let mut keys: Vec<_> = m.variants.iter().map(key).collect();
            keys.sort_unstable();
            keys
        };
        let place = format!("multivariant at {:.1} s", self.started.elapsed().as_secs_f64());
        if keys(&list) != keys(&self.multivariant) {
            if !self.options.outages && !self.renditions.iter().any(|r| r.ended) {
                let text =
                    format!("changed while live, from {:?} to {:?}", keys(&self.multivariant), keys(&list));
                self.found.violation("V4", place, text);
            }
        } else if list.variants.first().map(|v| &v.uri) != self.multivariant.variants.first().map(|v| &v.uri)
        {
            self.found.note("V18", place, "another variant stands first");
        }
        for variant in &list.variants {
            if let Some(rendition) = self.renditions.iter_mut().find(|r| r.variant.uri == variant.uri) {
                rendition.variant = variant.clone(); // the figures may become truer
            }
        }
        self.multivariant = list;
    }

    /// One look at one rendition's list, and at what is new in it.
    fn look(&mut self, at: usize) -> Result<()> {
        if self.renditions[at].ended {
            return Ok(());
        }
        let url = self.renditions[at].url.clone();
        let name = self.renditions[at].name.clone();
        let etag = self.renditions[at].etag.clone();
        let headers: Vec<(&str, &str)> = match &etag {
            Some(etag) => vec![("If-None-Match", etag), ("Accept-Encoding", "gzip")],
            None => vec![("Accept-Encoding", "gzip")],
        };
        let response = self.client.request("GET", &url, &headers);
        let now = self.started.elapsed();
        let place = format!("{name} at {:.1} s", now.as_secs_f64());
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                self.unreachable(at, &place, &format!("{error:#}"));
                return Ok(());
            }
        };
        let list = match (response.status, self.renditions[at].history.newest()) {
            (304, Some(same)) => same.clone(),
            (200, _) => {
                self.list_headers(&response, &place);
                let text = response.text()?;
                let rendition = &mut self.renditions[at];
                rendition.etag = response.header("etag").map(str::to_owned);
                let list = media::parse(text.as_bytes(), &place, &mut rendition.history.findings);
                let file = rendition.dir.join(format!("list-{:05}.m3u8", rendition.history.versions() + 1));
                std::fs::write(file, text)?;
                list
            }
            (status, _) => {
                self.unreachable(at, &place, &format!("status {status}"));
                return Ok(());
            }
        };
        let fresh = self.renditions[at].history.see(now, list.clone());
        for entry in &fresh {
            self.take(at, entry)?;
        }
        self.renditions[at].ended = list.ended;
        if let Some(last) = fresh.last().filter(|e| !e.gap && self.renditions[at].history.versions() > 1)
            && let Some(date) = last.date
        {
            self.publish_lag_ms.push((jiff::Timestamp::now().as_microsecond() - date - last.micros) / 1000);
        }
        self.removed(at, now);
        Ok(())
    }

    fn unreachable(&mut self, at: usize, place: &str, detail: &str) {
        if self.options.outages {
            self.renditions[at].history.outage();
            self.renditions[at].etag = None;
            lock(self.progress).outages += 1;
        } else {
            self.found.violation("http.list", place, detail);
        }
    }

    /// Downloads a segment that a list has just named, and checks it.
    fn take(&mut self, at: usize, entry: &Entry) -> Result<()> {
        let url = self.renditions[at].url.join(&entry.uri)?;
        let rendition = &mut self.renditions[at];
        let place = format!("{} segment {}", rendition.name, entry.msn);
        let listed = rendition.history.listed()[&entry.msn].clone();
        let last_number = rendition.last_number.replace(entry.discontinuity_number);
        let last_msn = rendition.last_msn.replace(entry.msn);
        if entry.gap {
            rendition.segments.insert(entry.msn, Checked { listed, facts: None });
            return Ok(());
        }
        let discontinuity = last_number.is_some_and(|n| n != entry.discontinuity_number);
        let missed = last_msn.is_none_or(|m| m + 1 != entry.msn);
        let response = match self.client.get(&url) {
            Ok(response) => response,
            Err(error) => {
                self.found.violation("M13", &place, format!("{error:#}"));
                rendition.segments.insert(entry.msn, Checked { listed, facts: None });
                return Ok(());
            }
        };
        if response.status != 200 || response.body.is_empty() {
            let text = format!("status {}, {} bytes", response.status, response.body.len());
            self.found.violation("M13", &place, text);
            rendition.segments.insert(entry.msn, Checked { listed, facts: None });
            return Ok(());
        }
        if response.header("content-length").is_none() {
            self.found.violation("M13", &place, "no Content-Length: not whole when it was listed?");
        }
        if response.total > Duration::from_secs(2) {
            self.found.violation("M13", &place, format!("took {:?} to come", response.total));
        }
        if response.media_type() != "video/mp2t" {
            self.found.violation("http.type", &place, format!("segment of type {:?}", response.media_type()));
        }
        if response.header("content-encoding").is_some() {
            self.found.violation("http.encoding", &place, "media is compressed for transport");
        }
        if response.header("access-control-allow-origin").is_none() {
            self.found.violation("http.cors", &place, "no Access-Control-Allow-Origin");
        }
        rendition.slowest_fetch = rendition.slowest_fetch.max(response.total);
        if let Some(kbit) = entry.bitrate {
            let actual = response.body.len() as f64 * 8e3 / entry.micros.max(1) as f64;
            if (actual / kbit as f64 - 1.0).abs() > 0.1 {
                self.found.violation("M27", &place, format!("BITRATE {kbit}, the segment has {actual:.0}"));
            }
        }
        let words = tscheck::Entry { discontinuity, missed };
        let facts = rendition.checker.segment(&place, words, &response.body);
        std::fs::write(rendition.dir.join(segment_file(entry.msn)), &response.body)?;
        rendition.segments.insert(entry.msn, Checked { listed, facts: Some(facts) });
        Ok(())
    }

    /// M14: once right after a segment left the list, and once just before it may go.
    fn removed(&mut self, at: usize, now: Duration) {
        let rendition = &mut self.renditions[at];
        let margin = Duration::from_millis(300);
        let due: Vec<_> = rendition
            .history
            .listed()
            .values()
            .filter(|l| l.removed.is_some() && !l.entry.gap && now < l.needed_until())
            .filter(|l| {
                let done = rendition.gone_checked.get(&l.entry.msn).copied().unwrap_or(0);
                done == 0 || (done == 1 && now + margin + self.options.poll > l.needed_until())
            })
            .map(|l| (l.entry.msn, l.entry.uri.clone(), l.needed_until()))
            .collect();
        for (msn, uri, until) in due {
            *rendition.gone_checked.entry(msn).or_default() += 1;
            let Ok(url) = rendition.url.join(&uri) else { continue };
            let status = self.client.request("HEAD", &url, &[]).map(|r| r.status);
            // The answer counts only if it was asked for and came in time.
            if self.started.elapsed() < until
                && status.as_ref().is_ok_and(|s| *s != 200)
                && !self.options.outages
            {
                let left = until.saturating_sub(now).as_secs_f64();
                let text = format!("status {} when it had to stay {left:.1} s longer", status.unwrap_or(0));
                self.found.violation("M14", format!("{} segment {msn}", rendition.name), text);
            }
        }
    }

    /// V20: no rendition misses content for longer than a target duration.
    fn lags(&mut self) {
        let now = self.started.elapsed();
        let newest = |r: &Rendition| r.history.newest().and_then(media::List::last_msn);
        let Some(front) = self.renditions.iter().filter_map(newest).max() else { return };
        for rendition in &mut self.renditions {
            let Some(list) = rendition.history.newest() else { continue };
            let behind = list.last_msn().map_or(u64::MAX, |own| front - own);
            if behind == 0 {
                rendition.behind_since = None;
                rendition.lag_told = false;
                continue;
            }
            let since = *rendition.behind_since.get_or_insert(now);
            rendition.longest_lag = rendition.longest_lag.max(now - since);
            let limit = Duration::from_secs(list.target.unwrap_or(0));
            if now - since > limit && !rendition.lag_told {
                rendition.lag_told = true;
                let text = format!("{behind} segments behind for {:.2} s", (now - since).as_secs_f64());
                self.found.violation(
                    "V20",
                    format!("{} at {:.1} s", rendition.name, now.as_secs_f64()),
                    text,
                );
            }
        }
    }

    fn tell(&self) {
        let mut progress = lock(self.progress);
        progress.rounds += 1;
        progress.renditions = self
            .renditions
            .iter()
            .map(|r| {
                let entries = || r.segments.values().map(|c| &c.listed.entry);
                let discontinuity = entries().map(|e| e.discontinuity_number).max().unwrap_or(0);
                RenditionProgress {
                    name: r.name.clone(),
                    newest: r.last_msn,
                    discontinuity,
                    segments: entries().filter(|e| !e.gap).count() as u64,
                    gaps: entries().filter(|e| e.gap).count() as u64,
                    ended: r.ended,
                    since_discontinuity: entries()
                        .filter(|e| !e.gap && e.discontinuity_number == discontinuity)
                        .count() as u64,
                }
            })
            .collect();
    }
}

/// Name of a stored segment.
pub(crate) fn segment_file(msn: u64) -> String {
    format!("{msn}.ts")
}

/// Path of a stored segment.
pub(crate) fn segment_path(dir: &Path, msn: u64) -> PathBuf {
    dir.join(segment_file(msn))
}
