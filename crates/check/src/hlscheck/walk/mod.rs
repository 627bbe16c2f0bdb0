//! The walk of a watch: from the multivariant playlist to lists, and from lists to segments.
//!
//!   multivariant ─▶ each list followed by a task (`lists`) ─▶ queue ─▶ a task that fetches and checks media (`media`)
//!                                                   └▶ hints, delta updates, reports (`parts`, `delta`, `reports`)
//!
//! All tasks run on one thread and share `State`, which is never borrowed across an await.

mod keys;
mod lists;
mod media;
mod parts;
mod probes;

use super::across::Checked;
use super::history::History;
use super::list::{List, Map};
use super::multivariant::{self, Multivariant, Variant, attribute, text};
use super::outcome::{self, Memory, Outcome};
use super::reports;
use super::watch::{Options, Progress, RenditionProgress, lock};
use crate::cmafcheck;
use crate::fetch::{self, Answer, Client, Url};
use crate::report::Findings;
use crate::tscheck;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use serde::Serialize;
use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

/// What a list is to the presentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Of an EXT-X-STREAM-INF, or the only one.
    Variant,
    /// Of an EXT-X-MEDIA of TYPE=AUDIO.
    Audio,
    /// Of an EXT-X-MEDIA of TYPE=VIDEO.
    Video,
    /// Of an EXT-X-MEDIA of TYPE=SUBTITLES.
    Subtitles,
    /// Of an EXT-X-I-FRAME-STREAM-INF.
    IFrames,
}

/// One rendition being watched.
pub(crate) struct Rendition {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) url: Url,
    pub(crate) variant: Variant,
    /// GROUP-ID of an EXT-X-MEDIA.
    pub(crate) group: Option<String>,
    pub(crate) history: History,
    pub(crate) ts: tscheck::Checker,
    pub(crate) cmaf: cmafcheck::Checker,
    pub(crate) segments: BTreeMap<u64, Checked>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) slowest_fetch: Duration,
    pub(crate) ended: bool,
    /// Longest time that another rendition had a newer segment.
    pub(crate) longest_lag: Duration,
    /// Whether its segments are of fragmented MP4.
    pub(crate) fragmented: bool,
    pub(crate) parts_fetched: u64,
    behind_since: Option<Duration>,
    lag_told: bool,
    last_number: Option<u64>,
    last_msn: Option<u64>,
    gone_checked: BTreeMap<u64, u8>,
    etag: Option<String>,
    map: Option<Map>,
    /// Bytes of parts whose segment is not whole yet.
    parts: BTreeMap<(u64, u64), Bytes>,
    /// Answers to hints by URL, until the part is listed.
    hints: BTreeMap<String, Hinted>,
    /// Hints asked for.
    hinted: BTreeSet<String>,
    pub(super) newest: reports::Newest,
    /// The first part of each segment whose parts left the list, and until when it has to stay.
    part_left: Vec<(Duration, Url)>,
    /// The newest part that was queued.
    queued: Option<(u64, u64)>,
    /// Stored initialization sections, and how many of them came before each segment.
    pub(crate) inits: Vec<PathBuf>,
    pub(crate) init_of: BTreeMap<u64, usize>,
}

impl Rendition {
    /// Marks a part as queued; false where it was.
    fn queued_part(&mut self, key: (u64, u64)) -> bool {
        let new = self.queued.is_none_or(|queued| key > queued);
        if new {
            self.queued = Some(key);
        }
        new
    }
}

struct Hinted {
    body: Bytes,
    status: u16,
}

pub(super) struct State {
    pub(super) found: Findings,
    pub(super) renditions: Vec<Rendition>,
    memory: Option<Memory>,
    multivariant: Multivariant,
    publish_lag_ms: Vec<i64>,
    pub(super) claims: reports::Claims,
    inits: BTreeMap<(String, Option<(u64, u64)>), Bytes>,
    keys: BTreeMap<String, Option<[u8; 16]>>,
    error: Option<anyhow::Error>,
}

/// What all tasks share.
pub(super) struct Shared {
    options: Options,
    client: Client,
    started: Instant,
    state: RefCell<State>,
    progress: Arc<Mutex<Progress>>,
    stop: Arc<AtomicBool>,
}

impl Shared {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The state, its findings stamped with the time.
    fn state(&self) -> RefMut<'_, State> {
        let mut state = self.state.borrow_mut();
        state.found.set_time(self.now());
        state
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn broken(&self, rule: &'static str, place: impl Into<String>, detail: impl Into<String>) {
        self.state().found.violation(rule, place, detail);
    }
}

/// Watches until told to stop or until all lists have ended.
pub(super) fn run(
    options: Options,
    progress: Arc<Mutex<Progress>>,
    stop: Arc<AtomicBool>,
) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Client::new(options.insecure)?;
    let base = fetch::url(&options.url)?;
    let shared = Rc::new(Shared {
        client,
        started: Instant::now(),
        state: RefCell::new(State {
            found: Findings::default(),
            renditions: Vec::new(),
            memory: None,
            multivariant: Multivariant::default(),
            publish_lag_ms: Vec::new(),
            claims: reports::Claims::default(),
            inits: BTreeMap::new(),
            keys: BTreeMap::new(),
            error: None,
        }),
        options,
        progress,
        stop,
    });
    let local = LocalSet::new();
    let walk = shared.clone();
    local.block_on(&runtime, walk.walk(base))?;
    drop(local);
    let shared = Rc::into_inner(shared).context("a task outlived the walk")?;
    let seconds = shared.started.elapsed().as_secs_f64();
    let mut state = shared.state.into_inner();
    if let Some(error) = state.error.take() {
        return Err(error);
    }
    outcome::judge(outcome::Parts {
        url: shared.options.url,
        seconds,
        findings: state.found,
        renditions: state.renditions,
        memory: state.memory,
        publish_lag_ms: state.publish_lag_ms,
        decode: shared.options.decode,
    })
}

impl Shared {
    async fn walk(self: Rc<Self>, base: Url) -> Result<()> {
        let Some((base, multivariant)) = self.open(&base).await? else {
            bail!("stopped before {base} was there");
        };
        let count = self.state().renditions.len();
        let mut tasks = Vec::new();
        for at in 0..count {
            tasks.push(tokio::task::spawn_local(lists::follow(self.clone(), at)));
        }
        let mut beside = Vec::new();
        if self.options.probes {
            beside.push(tokio::task::spawn_local(probes::all(self.clone(), base.clone())));
        }
        let mut next_second = Duration::ZERO;
        let mut next_multivariant = Duration::ZERO;
        while !self.stopped() && !tasks.iter().all(|t| t.is_finished()) {
            let now = self.now();
            if now >= next_second {
                next_second = now + Duration::from_secs(1);
                if let Some(meter) = &self.options.memory {
                    let kib = (meter.0)();
                    self.state().memory.get_or_insert_default().sample(now.as_secs_f64(), kib);
                }
            }
            if multivariant && now >= next_multivariant {
                next_multivariant = now + self.options.multivariant_poll;
                self.multivariant_again(&base).await;
            }
            self.lags();
            self.tell();
            sleep(self.options.poll.min(Duration::from_millis(200))).await;
        }
        // Lists that ended are followed to their last segment; on a stop what is under way gets a moment.
        let patience = if self.stopped() { Duration::from_secs(2) } else { Duration::from_secs(60) };
        for task in tasks.into_iter().chain(beside) {
            let abort = task.abort_handle();
            match timeout(patience, task).await {
                Ok(joined) => {
                    if let Err(error) = joined {
                        self.state().error.get_or_insert(error.into());
                    }
                }
                Err(_) => abort.abort(),
            }
        }
        self.lags();
        self.tell();
        Ok(())
    }

    /// Waits for the playlist; None when stopped first. Gives where it was found, and whether it is multivariant.
    async fn open(&self, base: &Url) -> Result<Option<(Url, bool)>> {
        loop {
            let answer = self.client.get_anywhere(base, &[]).await;
            if let Ok(answer) = &answer
                && answer.status == 200
            {
                return self.adopt(answer).map(Some);
            }
            if self.stopped() {
                return Ok(None);
            }
            if self.now() > self.options.start_within {
                let last = answer.map_or_else(|e| format!("{e:#}"), |a| format!("status {}", a.status));
                bail!("{base} was not there within {:?}: {last}", self.options.start_within);
            }
            sleep(self.options.poll).await;
        }
    }

    fn adopt(&self, answer: &Answer) -> Result<(Url, bool)> {
        let body = answer.plain()?;
        if !body.starts_with(b"#EXTM3U") && !body.starts_with(b"\xef\xbb\xbf#EXTM3U") {
            bail!(
                "{} is no playlist: it begins with {:?}",
                answer.url,
                String::from_utf8_lossy(&body[..body.len().min(40)])
            );
        }
        let base = answer.url.clone();
        if multivariant::is_media(&body) {
            let variant = Variant { uri: base.to_string(), ..Variant::nothing() };
            self.add(Role::Variant, variant, None, &base)?;
            return Ok((base, false));
        }
        self.list_headers(answer, "multivariant");
        if let Some(out) = &self.options.out {
            std::fs::create_dir_all(out)?;
            std::fs::write(out.join("multivariant.m3u8"), &body)?;
        }
        let list = multivariant::parse(&body, "multivariant", &mut self.state().found);
        for variant in &list.variants {
            self.add(Role::Variant, variant.clone(), None, &base)?;
        }
        if self.options.everything {
            for media in &list.media {
                let role = match attribute(media, "TYPE") {
                    Some("AUDIO") => Role::Audio,
                    Some("VIDEO") => Role::Video,
                    Some("SUBTITLES") => Role::Subtitles,
                    _ => continue,
                };
                if let Some(uri) = text(media, "URI") {
                    let variant =
                        Variant { uri: uri.into(), attributes: media.clone(), ..Variant::nothing() };
                    self.add(role, variant, text(media, "GROUP-ID").map(str::to_owned), &base)?;
                }
            }
            for variant in list.iframes.iter().filter(|v| !v.uri.is_empty()) {
                self.add(Role::IFrames, variant.clone(), None, &base)?;
            }
        }
        if self.state().renditions.is_empty() {
            bail!("{base} names no list");
        }
        self.state().multivariant = list;
        Ok((base, true))
    }

    /// One more list to follow, unless it is followed already.
    fn add(&self, role: Role, variant: Variant, group: Option<String>, base: &Url) -> Result<()> {
        let url = base.join(&variant.uri).with_context(|| format!("{} is no reference", variant.uri))?;
        let mut state = self.state();
        if state.renditions.iter().any(|r| r.url == url) {
            return Ok(());
        }
        let path = variant.uri.split('?').next().unwrap_or_default();
        let stem = path.rsplit_once('/').map_or(path, |(dir, _)| dir);
        let mut name = stem.rsplit('/').next().unwrap_or(stem).to_owned();
        if role == Role::IFrames {
            name.push_str("-iframes");
        }
        if name.is_empty() || name == ".." || state.renditions.iter().any(|r| r.name == name) {
            name = path.replace("://", "_").replace(['/', '?'], "_");
        }
        let dir = self.options.out.as_ref().map(|out| out.join(&name));
        if let Some(dir) = &dir {
            std::fs::create_dir_all(dir)?;
        }
        state.renditions.push(Rendition {
            history: History::new(&name),
            ts: tscheck::Checker::new(self.options.tracks),
            cmaf: cmafcheck::Checker::new(),
            newest: reports::Newest::default(),
            name,
            role,
            url,
            variant,
            group,
            segments: BTreeMap::new(),
            dir,
            slowest_fetch: Duration::ZERO,
            ended: false,
            longest_lag: Duration::ZERO,
            fragmented: false,
            parts_fetched: 0,
            behind_since: None,
            lag_told: false,
            last_number: None,
            last_msn: None,
            gone_checked: BTreeMap::new(),
            etag: None,
            map: None,
            parts: BTreeMap::new(),
            hints: BTreeMap::new(),
            hinted: BTreeSet::new(),
            part_left: Vec::new(),
            queued: None,
            inits: Vec::new(),
            init_of: BTreeMap::new(),
        });
        Ok(())
    }

    fn list_headers(&self, answer: &Answer, place: &str) {
        let kind = answer.media_type();
        let mut state = self.state();
        let found = &mut state.found;
        // RFC 8216's other two types are of older days, and still valid.
        if !matches!(
            kind.as_str(),
            "application/vnd.apple.mpegurl" | "application/x-mpegurl" | "audio/mpegurl"
        ) {
            found.violation("http.type", place, format!("list of type {kind:?}"));
        }
        if answer.header("access-control-allow-origin").is_none() {
            found.violation("http.cors", place, "no Access-Control-Allow-Origin");
        }
    }

    async fn multivariant_again(&self, base: &Url) {
        let Ok(answer) = self.client.get(base).await else { return };
        if answer.status != 200 {
            return;
        }
        self.list_headers(&answer, "multivariant");
        let Ok(body) = answer.plain() else { return };
        let list = multivariant::parse(&body, "multivariant", &mut Findings::default());
        let keys = |m: &Multivariant| -> Vec<_> {
            let key = |v: &Variant| (v.uri.clone(), v.codecs.clone(), v.resolution);
            let mut keys: Vec<_> = m.variants.iter().map(key).collect();
            keys.sort_unstable();
            keys
        };
        let place = format!("multivariant at {:.1} s", self.now().as_secs_f64());
        let mut guard = self.state();
        let state = &mut *guard;
        if keys(&list) != keys(&state.multivariant) {
            if !self.options.outages && !state.renditions.iter().any(|r| r.ended) {
                let text =
                    format!("changed while live, from {:?} to {:?}", keys(&state.multivariant), keys(&list));
                state.found.violation("V4", place, text);
            }
        } else if list.variants.first().map(|v| &v.uri) != state.multivariant.variants.first().map(|v| &v.uri)
        {
            state.found.note("V18", place, "another variant stands first");
        }
        for variant in list.variants.iter().chain(&list.iframes) {
            if let Some(rendition) = state.renditions.iter_mut().find(|r| r.variant.uri == variant.uri) {
                rendition.variant = variant.clone(); // the figures may become truer
            }
        }
        state.multivariant = list;
    }

    /// V20: no rendition misses content for longer than a target duration.
    fn lags(&self) {
        let now = self.now();
        let mut guard = self.state();
        let state = &mut *guard;
        // Numbers of renditions that begin far apart are not those of one plan.
        let newest = |r: &Rendition| r.history.newest().and_then(List::last_msn);
        let compared = |r: &&mut Rendition| matches!(r.role, Role::Variant | Role::Audio);
        let fronts = state.renditions.iter().filter(|r| matches!(r.role, Role::Variant | Role::Audio));
        let Some(front) = fronts.filter_map(newest).max() else { return };
        for rendition in state.renditions.iter_mut().filter(compared) {
            let Some(list) = rendition.history.newest() else { continue };
            let behind = list.last_msn().map_or(u64::MAX, |own| front - own);
            if behind == 0 || behind > 1000 {
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
                let place = format!("{} at {:.1} s", rendition.name, now.as_secs_f64());
                state.found.violation("V20", place, text);
            }
        }
    }

    fn tell(&self) {
        let state = self.state();
        let mut progress = lock(&self.progress);
        let mut broken: BTreeSet<&'static str> = state.found.all_rules().into_iter().collect();
        for r in &state.renditions {
            broken.extend(r.history.findings.all_rules());
            broken.extend(r.cmaf.findings.all_rules());
            broken.extend(r.ts.report().findings.all_rules());
        }
        progress.broken = broken.into_iter().collect();
        progress.renditions = state.renditions.iter().map(so_far).collect();
        progress.rounds =
            progress.rounds.max(state.renditions.iter().map(|r| r.history.looks()).min().unwrap_or(0));
    }
}

fn so_far(r: &Rendition) -> RenditionProgress {
    let entries = || r.segments.values().map(|c| &c.listed.entry);
    let discontinuity = entries().map(|e| e.discontinuity_number).max().unwrap_or(0);
    RenditionProgress {
        name: r.name.clone(),
        newest: r.last_msn,
        discontinuity,
        segments: entries().filter(|e| !e.gap).count() as u64,
        gaps: entries().filter(|e| e.gap).count() as u64,
        parts: r.parts_fetched,
        ended: r.ended,
        since_discontinuity: entries().filter(|e| !e.gap && e.discontinuity_number == discontinuity).count()
            as u64,
    }
}
