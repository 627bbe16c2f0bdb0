//! The walk of a DASH presentation: the MPD asked for again and again, a task for each Representation of each Period.

use super::clock::{self, Offset};
use super::history::History;
use super::judge;
use super::mpd::{self, Mpd, Representation, Template};
use super::outcome::{Outcome, RepresentationOutcome};
use super::timing::{self, From, Next, Segment};
use super::values::{Fill, fill};
use crate::cmafcheck;
use crate::fetch::{Answer, Client, PATIENCE, Url};
use crate::probe;
use crate::report::Findings;
use crate::tscheck::{Entry, SegmentFacts};
use anyhow::{Context, Result, bail};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

/// The MPD is asked for at least and at most so often.
const UPDATE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Behind its computed time by so much a segment is asked for: clocks are no better.
const MARGIN: i64 = 20_000;
/// A segment that is not there at its time is asked for so many times more, to tell how late it is.
const TRIES: u32 = 8;

/// How to watch.
#[derive(Debug, Clone)]
pub struct Options {
    /// The MPD.
    pub url: Url,
    /// For how long.
    pub time: Duration,
    /// Any certificate will do.
    pub insecure: bool,
}

struct State {
    found: Findings,
    mpd: Rc<Mpd>,
    clock: Option<Offset>,
    versions: u64,
    outcomes: BTreeMap<(String, String), RepresentationOutcome>,
    /// Start of each segment by set and number, for dash.aligned.
    starts: BTreeMap<(String, usize, u64), (String, i64)>,
}

struct Walk {
    client: Client,
    base: Url,
    started: Instant,
    time: Duration,
    state: RefCell<State>,
}

/// Watches.
///
/// # Errors
/// When there is no MPD to watch.
pub fn watch(options: &Options, tell: &mut dyn FnMut(&str)) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(options, tell))
}

async fn run(options: &Options, tell: &mut dyn FnMut(&str)) -> Result<Outcome> {
    let client = Client::new(options.insecure)?;
    let answer = client.get_anywhere(&options.url, &[]).await?;
    let mut found = Findings::default();
    let text = String::from_utf8(answer.plain()?).context("the MPD is no UTF-8")?;
    let Some(first) = mpd::parse(&text, "MPD", &mut found) else {
        bail!("{} is no MPD: {:?}", answer.url, found.violations)
    };
    served(&answer, "MPD", &mut found);
    judge::alone(&first, "MPD", &mut found);
    let walk = Rc::new(Walk {
        base: answer.url.clone(),
        client,
        started: Instant::now(),
        time: options.time,
        state: RefCell::new(State {
            found,
            mpd: Rc::new(first),
            clock: None,
            versions: 1,
            outcomes: BTreeMap::new(),
            starts: BTreeMap::new(),
        }),
    });
    walk.synchronize().await;
    walk.go(text, tell).await;
    let walk = Rc::into_inner(walk).context("a task outlived the walk")?;
    let seconds = walk.started.elapsed().as_secs_f64();
    let state = walk.state.into_inner();
    Ok(Outcome {
        url: options.url.to_string(),
        seconds,
        versions: state.versions,
        clock_ms: state.clock.map(|c| c.micros as f64 / 1e3),
        findings: state.found,
        representations: state.outcomes.into_values().collect(),
    })
}

fn served(answer: &Answer, place: &str, found: &mut Findings) {
    if answer.media_type() != "application/dash+xml" {
        found.violation("http.type", place, format!("MPD of type {:?}", answer.media_type()));
    }
    if answer.header("access-control-allow-origin").is_none() {
        found.violation("http.cors", place, "no Access-Control-Allow-Origin");
    }
}

impl Walk {
    fn over(&self) -> bool {
        self.started.elapsed() >= self.time
    }

    /// The server's clock, microseconds of Unix time.
    fn now(&self) -> i64 {
        clock::now() + self.state.borrow().clock.map_or(0, |c| c.micros)
    }

    fn broken(&self, rule: &'static str, place: &str, detail: String) {
        let mut state = self.state.borrow_mut();
        state.found.set_time(self.started.elapsed());
        state.found.violation(rule, place, detail);
    }

    async fn synchronize(&self) {
        let mpd = self.state.borrow().mpd.clone();
        if !mpd.dynamic || mpd.clocks.is_empty() {
            return;
        }
        match clock::ask(&self.client, &self.base, &mpd.clocks).await {
            Ok(offset) => self.state.borrow_mut().clock = Some(offset),
            Err(fault) => self.broken("dash.utc", "MPD", fault),
        }
    }

    async fn go(self: &Rc<Self>, mut text: String, tell: &mut dyn FnMut(&str)) {
        let mut history = History::default();
        let mut tasks = JoinSet::new();
        let mut known: Vec<(String, String)> = Vec::new();
        let mut told = Duration::ZERO;
        let mut next_mpd = self.started + UPDATE.0;
        {
            let mpd = self.state.borrow().mpd.clone();
            let now = self.now();
            history.see(now, &mpd, "MPD", &mut self.state.borrow_mut().found);
        }
        let beside = tokio::task::spawn_local(self.clone().probes());
        while !self.over() {
            let mpd = self.state.borrow().mpd.clone();
            for (index, period) in mpd.periods.iter().enumerate() {
                for (set_at, set) in period.sets.iter().enumerate() {
                    for r in set.representations.iter().filter(|r| r.template.is_some()) {
                        let key = (timing::name(period, index), r.id.clone());
                        if !known.contains(&key) {
                            let first = known.iter().all(|(period, _)| *period == key.0);
                            known.push(key.clone());
                            tasks.spawn_local(self.clone().follow(key, set_at, first));
                        }
                    }
                }
            }
            while tasks.try_join_next().is_some() {}
            let all_done = tasks.is_empty();
            if !mpd.dynamic && all_done {
                break;
            }
            if mpd.dynamic && Instant::now() >= next_mpd {
                self.update(&mut history, &mut text).await;
                let update = self.state.borrow().mpd.update.unwrap_or(2_000_000);
                let update = Duration::from_micros(u64::try_from(update).unwrap_or(0));
                next_mpd = Instant::now() + update.clamp(UPDATE.0, UPDATE.1);
            }
            if self.started.elapsed() >= told + Duration::from_secs(5) {
                told = self.started.elapsed();
                tell(&self.line(told));
            }
            sleep(Duration::from_millis(50)).await;
        }
        // What is under way gets a moment; beyond it the watch is over.
        let rest = async { while tasks.join_next().await.is_some() {} };
        if timeout(Duration::from_secs(2), rest).await.is_err() {
            tasks.shutdown().await;
        }
        let abort = beside.abort_handle();
        if timeout(Duration::from_secs(5), beside).await.is_err() {
            abort.abort();
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn line(&self, now: Duration) -> String {
        let state = self.state.borrow();
        let segments: u64 = state.outcomes.values().map(|o| o.segments).sum();
        let broken = state.found.all_rules();
        let broken = if broken.is_empty() { "none broken".to_owned() } else { broken.join(" ") };
        let time = self.time.as_secs_f64();
        format!(
            "{:>4.0} of {time:.0} s: {} MPDs, {segments} segments; rules: {broken}",
            now.as_secs_f64(),
            state.versions
        )
    }

    /// The MPD once more.
    async fn update(&self, history: &mut History, text: &mut String) {
        let place = format!("MPD at {:.1} s", self.started.elapsed().as_secs_f64());
        let answer = match self.client.get(&self.base).await {
            Ok(answer) if answer.status == 200 => answer,
            Ok(answer) => return self.broken("http.list", &place, format!("status {}", answer.status)),
            Err(error) => return self.broken("http.list", &place, format!("{error:#}")),
        };
        let now = self.now();
        let mut found = Findings::default();
        found.set_time(self.started.elapsed());
        served(&answer, &place, &mut found);
        let read = answer.plain().ok().and_then(|body| String::from_utf8(body).ok());
        let changed = read.as_ref().is_some_and(|read| read != text);
        let mpd = read.as_deref().and_then(|read| mpd::parse(read, &place, &mut found));
        if let Some(mpd) = mpd {
            judge::alone(&mpd, &place, &mut found);
            history.see(now, &mpd, &place, &mut found);
            self.state.borrow_mut().mpd = Rc::new(mpd);
        }
        let mut state = self.state.borrow_mut();
        state.found.append(found);
        if changed {
            state.versions += 1;
            *text = read.unwrap_or_default();
        }
    }

    /// Requests that no player makes, once the first segments are there.
    async fn probes(self: Rc<Self>) {
        let mut found = Findings::default();
        probe::list(&self.client, &self.base, "MPD", None, &mut found).await;
        while !self.over() {
            let mpd = self.state.borrow().mpd.clone();
            let oldest = self.oldest(&mpd);
            if let Some((url, place)) = oldest {
                probe::media(&self.client, &url, &place, None, &mut found).await;
                break;
            }
            sleep(Duration::from_millis(200)).await;
        }
        found.set_time(self.started.elapsed());
        self.state.borrow_mut().found.adopt(found);
        while !self.over() {
            self.oldest_there().await;
            sleep(Duration::from_secs(5)).await;
        }
    }

    /// The oldest segment of the first Representation that is to be had still.
    fn oldest(&self, mpd: &Mpd) -> Option<(Url, String)> {
        let index = mpd.periods.len().checked_sub(1)?;
        let (set, r) = mpd.periods[index].sets.iter().find_map(|s| Some((s, s.representations.first()?)))?;
        let template = r.template.as_ref()?;
        // What leaves in this moment may be gone when it is asked for.
        let Next::Segment(segment) = timing::next(mpd, index, template, From::Oldest(self.now())) else {
            return None;
        };
        let segment = match timing::next(mpd, index, template, From::Behind(segment)) {
            Next::Segment(second) if second.ends <= self.now() => second,
            _ => return None,
        };
        let url = self.resolve(mpd, index, set.base.as_deref(), r, template.media.as_deref()?, segment)?;
        Some((url, format!("{} segment {}", r.id, segment.number)))
    }

    async fn oldest_there(&self) {
        let mpd = self.state.borrow().mpd.clone();
        let Some((url, place)) = self.oldest(&mpd) else { return };
        if let Ok(answer) = self.client.request("HEAD", &url, &[], PATIENCE).await
            && answer.status != 200
        {
            self.broken(
                "dash.gone",
                &place,
                format!("status {}, and it is in the time shift buffer", answer.status),
            );
        }
    }

    /// The URL that a template makes.
    fn resolve(
        &self,
        mpd: &Mpd,
        index: usize,
        set: Option<&str>,
        r: &Representation,
        template: &str,
        s: Segment,
    ) -> Option<Url> {
        let with = Fill { id: &r.id, bandwidth: r.bandwidth.unwrap_or(0), number: s.number, time: s.time };
        let mut url = self.base.clone();
        for base in [mpd.base.as_deref(), mpd.periods[index].base.as_deref(), set, r.base.as_deref()]
            .into_iter()
            .flatten()
        {
            url = url.join(base).ok()?;
        }
        url.join(&fill(template, with).ok()?).ok()
    }

    /// Fetches one Representation of one Period, segment after segment.
    async fn follow(self: Rc<Self>, key: (String, String), set_at: usize, first: bool) {
        let mut checker = cmafcheck::Checker::new();
        let mut last: Option<Segment> = None;
        let mut bucket = 0.0;
        let mut missed = true;
        while !self.over() {
            let mpd = self.state.borrow().mpd.clone();
            let Some(index) = mpd.periods.iter().enumerate().position(|(n, p)| timing::name(p, n) == key.0)
            else {
                return;
            };
            let period = &mpd.periods[index];
            let set = period.sets.get(set_at).filter(|s| s.representations.iter().any(|r| r.id == key.1));
            let Some((set, r)) =
                set.and_then(|s| Some((s, s.representations.iter().find(|r| r.id == key.1)?)))
            else {
                return;
            };
            let Some(template) = &r.template else { return };
            let from = match last {
                Some(segment) => From::Behind(segment),
                None if first => From::Edge(self.now()),
                None => From::Oldest(self.now()),
            };
            let segment = match timing::next(&mpd, index, template, from) {
                Next::Segment(segment) => segment,
                Next::Over => return,
                Next::Unknown => {
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let wait =
                segment.available + MARGIN + self.state.borrow().clock.map_or(0, |c| c.doubt.min(1_000_000))
                    - self.now();
            if wait > 0 && mpd.dynamic {
                let wait = Duration::from_micros(u64::try_from(wait).unwrap_or(0));
                // In short steps: the MPD may change meanwhile, or the watch end.
                sleep(wait.min(Duration::from_millis(100))).await;
                if wait > Duration::from_millis(100) {
                    continue;
                }
            }
            if !checker.ready() {
                let header = template
                    .header
                    .as_deref()
                    .and_then(|h| self.resolve(&mpd, index, set.base.as_deref(), r, h, segment));
                let place = format!("{} {} header", key.0, key.1);
                let Some(url) = header else { return };
                match self.client.get(&url).await {
                    Ok(answer) if answer.status == 200 => checker.init(&place, true, &answer.body),
                    Ok(answer) => self.broken("dash.available", &place, format!("status {}", answer.status)),
                    Err(error) => self.broken("dash.available", &place, format!("{error:#}")),
                }
                if !checker.ready() {
                    self.state.borrow_mut().found.append(std::mem::take(&mut checker.findings));
                    return;
                }
                self.described(r, &checker, &place);
            }
            last = Some(segment);
            let place = format!("{} {} segment {}", key.0, key.1, segment.number);
            let media = template
                .media
                .as_deref()
                .and_then(|m| self.resolve(&mpd, index, set.base.as_deref(), r, m, segment));
            let Some(url) = media else { return };
            let due = segment.available.max(0);
            let Some(answer) = self.fetch(&url, &place, mpd.dynamic).await else {
                missed = true;
                continue;
            };
            let asked = clock::now() + self.state.borrow().clock.map_or(0, |c| c.micros)
                - i64::try_from(answer.total.as_micros()).unwrap_or(0);
            checker.findings.set_time(self.started.elapsed());
            let facts = checker.segment(&place, Entry { discontinuity: false, missed }, &answer.body);
            missed = false;
            let held = checker.part(&answer.body).map_or(0, |p| p.micros);
            self.state.borrow_mut().found.append(std::mem::take(&mut checker.findings));
            let seen = Seen {
                segment,
                template,
                facts: &facts,
                micros: held,
                answer: &answer,
                asked,
                due,
                live: mpd.dynamic,
            };
            self.judge(&key, set_at, set.aligned, r, &mpd, &seen, &mut bucket, &place);
        }
    }

    /// A segment at its time; when it is not there, how late it comes is told.
    async fn fetch(&self, url: &Url, place: &str, live: bool) -> Option<Answer> {
        let patience = PATIENCE + Duration::from_secs(15);
        let asked = Instant::now();
        let mut first = None;
        for attempt in 0..TRIES {
            let said = match self.client.request("GET", url, &[], patience).await {
                Ok(answer) if answer.status == 200 => {
                    if let Some(first) = first {
                        let text = format!(
                            "{first} at its time, there {:.2} s later",
                            asked.elapsed().as_secs_f64()
                        );
                        self.broken("dash.available", place, text);
                    }
                    return Some(answer);
                }
                Ok(answer) => format!("status {}", answer.status),
                Err(error) => format!("{error:#}"),
            };
            first.get_or_insert(said);
            if !live || self.over() || attempt + 1 == TRIES {
                break;
            }
            sleep(Duration::from_millis(250)).await;
        }
        self.broken(
            "dash.available",
            place,
            format!("{}, and not {:.1} s later", first.unwrap_or_default(), asked.elapsed().as_secs_f64()),
        );
        None
    }

    /// dash.codecs: what the header shows.
    fn described(&self, r: &Representation, checker: &cmafcheck::Checker, place: &str) {
        let holds: Vec<String> = checker.codecs().iter().map(|c| c.to_ascii_lowercase()).collect();
        if let Some(says) = &r.codecs {
            let says: Vec<String> = says.split(',').map(|c| c.trim().to_ascii_lowercase()).collect();
            if says != holds {
                self.broken("dash.codecs", place, format!("codecs {says:?}, the header has {holds:?}"));
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // what is known of one segment
    fn judge(
        &self,
        key: &(String, String),
        set_at: usize,
        aligned: bool,
        r: &Representation,
        mpd: &Mpd,
        seen: &Seen<'_>,
        bucket: &mut f64,
        place: &str,
    ) {
        let mut found = Findings::default();
        seen.times(place, &mut found);
        seen.form(r, mpd, place, &mut found);
        // A leaky bucket: what has come at `bandwidth` since any start, with minBufferTime ahead, covers what is played.
        let bandwidth = r.bandwidth.unwrap_or(0) as f64;
        *bucket += seen.facts.bytes as f64 * 8.0;
        let room = bandwidth * mpd.min_buffer.unwrap_or(0) as f64 / 1e6;
        if bandwidth > 0.0 && *bucket > room * 1.001 {
            let text =
                format!("{:.0} bits must be there where minBufferTime × bandwidth allows {room:.0}", *bucket);
            found.violation("dash.bandwidth", place, text);
            *bucket = room;
        }
        *bucket = (*bucket - bandwidth * seen.micros as f64 / 1e6).max(0.0);
        let mut state = self.state.borrow_mut();
        if let Some(start) = seen.facts.start().filter(|_| aligned && r.is_video()) {
            let number = if seen.segment.exact { seen.segment.time } else { seen.segment.number };
            let entry = state.starts.entry((key.0.clone(), set_at, number));
            let (of, other) = entry.or_insert_with(|| (r.id.clone(), start));
            if *other != start {
                found.violation(
                    "dash.aligned",
                    place,
                    format!("begins at {start}, {of} at {other} (90 kHz)"),
                );
            }
            while state.starts.len() > 5_000 {
                state.starts.pop_first();
            }
        }
        state.found.set_time(self.started.elapsed());
        state.found.adopt(found);
        let outcome = state.outcomes.entry(key.clone()).or_default();
        outcome.name = format!("{} {}", key.0, key.1);
        outcome.segments += 1;
        outcome.bytes += seen.facts.bytes;
        outcome.seconds += seen.micros as f64 / 1e6;
        outcome.bandwidth = r.bandwidth.unwrap_or(0);
        outcome.chunks = cmafcheck::chunks(&seen.answer.body);
        outcome.time_off_ms = outcome.time_off_ms.max(seen.off().map_or(0.0, |off| off.abs() as f64 / 90.0));
        let head = seen.answer.head.as_secs_f64() * 1e3;
        outcome.head_ms = (outcome.head_ms.0.max(head), head);
    }
}

/// One segment with what is known of it.
struct Seen<'a> {
    segment: Segment,
    template: &'a Template,
    facts: &'a SegmentFacts,
    /// Its samples' durations.
    micros: i64,
    answer: &'a Answer,
    /// When the request went out, by the server's clock.
    asked: i64,
    due: i64,
    live: bool,
}

impl Seen<'_> {
    /// How far the media's time is from the MPD's, 90 kHz.
    fn off(&self) -> Option<i64> {
        let want = i128::from(self.segment.time) * 90_000 / i128::from(self.template.scale());
        self.facts.start().map(|start| start - i64::try_from(want).unwrap_or(i64::MAX))
    }

    fn times(&self, place: &str, found: &mut Findings) {
        let says =
            i64::try_from(i128::from(self.segment.duration) * 1_000_000 / i128::from(self.template.scale()))
                .unwrap_or(i64::MAX);
        // A timeline is exact, to the rounding of two timescales; plain numbers may be off by half a segment.
        let slack = if self.segment.exact { 2_000 } else { says / 2 };
        if let Some(off) = self.off()
            && off.abs() * 100 / 9 > slack
        {
            found.violation(
                "dash.tfdt",
                place,
                format!("begins {:.3} ms off the MPD's time", off as f64 / 90.0),
            );
        }
        if self.micros > 0 && (self.micros - says).abs() > slack {
            found.violation("dash.duration", place, format!("lasts {} µs, the MPD says {says}", self.micros));
        }
    }

    fn form(&self, r: &Representation, mpd: &Mpd, place: &str, found: &mut Findings) {
        if let Some(max) = mpd.max_segment.filter(|max| self.micros > *max + 1_000) {
            found.violation(
                "dash.max-duration",
                place,
                format!("lasts {} µs, maxSegmentDuration is {max}", self.micros),
            );
        }
        if let Some(video) = &self.facts.video {
            if let (Some(says), Some(holds)) = (r.size, video.size)
                && says != holds
            {
                found.violation(
                    "dash.codecs",
                    place,
                    format!("pictures of {holds:?}, the MPD says {says:?}"),
                );
            }
            let rate = video.frames as f64 * 1e6 / self.micros.max(1) as f64;
            if let Some(says) = r.frame_rate
                && video.frames >= 20
                && (rate / says - 1.0).abs() > 0.02
            {
                found.violation(
                    "dash.frame-rate",
                    place,
                    format!("{rate:.3} pictures a second, frameRate is {says:.3}"),
                );
            }
        }
        let kind = self.answer.media_type();
        if !matches!(
            kind.as_str(),
            "video/mp4" | "audio/mp4" | "video/iso.segment" | "audio/iso.segment" | "application/mp4"
        ) {
            found.violation("http.type", place, format!("media of type {kind:?}"));
        }
        if self.answer.header("content-encoding").is_some() {
            found.violation("http.encoding", place, "media is compressed for transport");
        }
        if self.answer.header("access-control-allow-origin").is_none() {
            found.violation("http.cors", place, "no Access-Control-Allow-Origin");
        }
        self.chunked(place, found);
    }

    /// dash.chunked, where the segment was asked for before it was whole.
    fn chunked(&self, place: &str, found: &mut Findings) {
        let left = self.segment.ends - self.asked;
        if !self.live || !judge::chunked(self.template) || left < 300_000 || self.asked > self.due + 500_000 {
            return;
        }
        let chunks = cmafcheck::chunks(&self.answer.body);
        let first = self.answer.pieces.first().map_or(self.answer.total, |(at, _)| *at);
        if chunks < 2 {
            found.violation("dash.chunked", place, format!("{chunks} chunk"));
        } else if i64::try_from(first.as_micros()).unwrap_or(i64::MAX) > left * 9 / 10 {
            let text = format!(
                "the first bytes came after {:.0} ms, when the segment was whole",
                first.as_secs_f64() * 1e3
            );
            found.violation("dash.chunked", place, text);
        }
    }
}
