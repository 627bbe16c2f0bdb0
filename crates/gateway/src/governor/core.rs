//! What the governor decides, and from what. Pure: the time and what was measured come in.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use transcode::{Cost, Load};

use super::cpu::Spare;

/// Decisions are made this often; what is smoothed is smoothed for it.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// Lateness, as a share of the ceiling, from which rungs are shed.
const LATE: f64 = 0.25;
/// … and from which it is done in haste.
const VERY_LATE: f64 = 0.5;
/// A stream that is less late than this share of the ceiling lets rungs return.
const WELL: f64 = 0.12;
/// … and from which it must catch up faster than [`CATCHING_UP`] to be let alone.
const NEARLY_AT_CEILING: f64 = 0.75;
/// Seconds of lateness that a stream makes good in two seconds when it is catching up by itself.
const CATCHING_UP: f64 = 0.1;
const CATCHING_UP_FAST: f64 = 0.25;
/// Until a shed rung's CPU is free: a cut has to come, at the pace that the encoders still have, in seconds. Whoever will be
/// late by then is late already.
const EFFECT: f64 = 4.0;
/// Encoders that make less content a second than this, all together, lose ground.
const LOSING: f64 = 0.95;
/// So much is shed that what streams are late is made good in this many seconds …
const MADE_GOOD: f64 = 15.0;
/// … at no more than this pace: being late for longer costs viewers less than a rung too many.
pub(super) const MOST_PACE: f64 = 1.2;
/// From when the encoders that were to be closed are closed, until the next rung is shed: what that has changed is seen in
/// two reports.
const SHED_SPACING: Duration = Duration::from_secs(3);
const HASTY_SPACING: Duration = Duration::from_secs(2);
/// An encoder that has not come to a cut in this time is not waited for.
const CUT_OVERDUE: Duration = Duration::from_secs(8);
/// Most rungs shed at once where there are fewer streams: what is measured in haste is not exact.
const MOST_AT_ONCE: usize = 3;
/// A stream that has begun within this time and has not told what it takes is waited for.
const BEGINNING: Duration = Duration::from_secs(3);
/// A stream that was not heard of for so long has no encoder now, and its last word counts no more.
const SILENT: Duration = Duration::from_secs(3);
/// Content that a cost is measured over, at least.
const MEASURED: u64 = 150_000;
/// Rungs return no faster than this …
const RESTORE_SPACING: Duration = Duration::from_secs(5);
/// … and only this long after the last was shed; doubled each time that was too early.
const QUIET: Duration = Duration::from_secs(10);
const MOST_QUIET: Duration = Duration::from_secs(160);
/// A rung that is shed so soon after one was restored tells that it was too early.
const TOO_EARLY: Duration = Duration::from_secs(60);
/// After so long without a rung shed, the quiet time is as at first.
const FORGIVEN: Duration = Duration::from_secs(300);
/// What was started within this time does not show in what is measured yet.
const UNSEEN: Duration = Duration::from_secs(5);
/// What returns must fit with this to spare.
const MARGIN: f64 = 1.15;
/// Less CPU than this is none: streams that are late then are late for want of it.
const NO_CPU: f64 = 0.2;
/// Samples of idle CPU that are looked at.
const SAMPLES: usize = 4;
/// How much of the CPU that others use at low priority ladders could have: workers have the higher priority.
const YIELDED: f64 = 0.5;

/// What the governor is set to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    /// Share of the CPU that ladders may fill, 0 to 1. See `ladder.cpu_budget`.
    pub(crate) budget: f64,
    /// See `ladder.latency_ceiling`.
    pub(crate) ceiling: Duration,
    /// See `ladder.admission`.
    pub(crate) admission: Admission,
}

/// What becomes of a new stream whose ladder does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It begins with the rungs that fit; others follow when there is room.
    Measured,
    /// It begins with all; rungs are shed only when streams fall behind.
    Always,
    /// As `Measured`, but one that could not have even its smallest rung, and has no copied one, is refused.
    Refuse,
}

/// A stream's work, as far as it can be told before it is done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ladder {
    /// CPU seconds that decoding a second takes on the machine that the guesses are made for.
    pub(crate) decode: f64,
    /// The encoded rungs, largest first.
    pub(crate) rungs: Vec<Work>,
    /// A rung is copied: viewers have something to watch with none encoded.
    pub(crate) copied: bool,
}

/// One encoded rung.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Work {
    /// Luma samples a second.
    pub(crate) size: f64,
    /// CPU seconds that encoding a second takes on the machine that the guesses are made for.
    pub(crate) guess: f64,
}

/// Why a rung is not encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// There was no CPU for it when the stream began.
    NoRoom,
    /// Streams fell behind.
    Behind,
}

/// A stream that cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom;

pub(super) type Id = u64;

#[derive(Debug)]
pub(super) struct Core {
    settings: Settings,
    cores: f64,
    /// What nobody used, and what could be had, in cores, newest last.
    idle: VecDeque<(f64, f64)>,
    members: BTreeMap<Id, Member>,
    next: Id,
    /// What encoding was measured to cost, against the guesses.
    ratio: f64,
    quiet: Duration,
    last_shed: Option<Instant>,
    /// When encoders that were to be closed were last seen to run.
    last_closing: Option<Instant>,
    last_restore: Option<Instant>,
}

#[derive(Debug)]
struct Member {
    ladder: Ladder,
    rungs: Vec<Rung>,
    decode: Option<f64>,
    since: Instant,
    /// Seconds, newest last; negative for less late than is normal.
    late: VecDeque<f64>,
    /// When it told that.
    heard: Option<Instant>,
    /// What was told last, and when it was new.
    load: Option<(Instant, Load)>,
    /// CPU seconds a second that it got of late.
    got: f64,
    /// It did something since it reported before.
    works: bool,
}

#[derive(Debug, Clone)]
struct Rung {
    shed: Option<Why>,
    /// It has an encoder, as its stream told last.
    runs: bool,
    /// CPU seconds a second, measured.
    cost: Option<f64>,
    /// When it was last started.
    since: Instant,
}

impl Core {
    pub(super) fn new(settings: Settings, cores: f64) -> Self {
        Self {
            settings,
            cores,
            idle: VecDeque::new(),
            members: BTreeMap::new(),
            next: 0,
            ratio: 1.0,
            quiet: QUIET,
            last_shed: None,
            last_closing: None,
            last_restore: None,
        }
    }

    /// A stream begins. Its rungs are started from the smallest up, as far as they fit.
    pub(super) fn admit(&mut self, now: Instant, ladder: Ladder) -> Result<Id, NoRoom> {
        let mut free = self.free(now) - ladder.decode * self.ratio;
        let mut rungs: Vec<Rung> = ladder
            .rungs
            .iter()
            .map(|_| Rung { shed: Some(Why::NoRoom), runs: false, cost: None, since: now })
            .collect();
        for (rung, work) in rungs.iter_mut().zip(&ladder.rungs).rev() {
            free -= work.guess * self.ratio;
            if free < 0.0 && self.settings.admission != Admission::Always {
                break;
            }
            rung.shed = None;
        }
        if let Some(smallest) = rungs.last_mut().filter(|smallest| smallest.shed.is_some() && !ladder.copied)
        {
            if self.settings.admission == Admission::Refuse {
                return Err(NoRoom);
            }
            smallest.shed = None; // without it there would be nothing to watch
        }
        let member = Member {
            ladder,
            rungs,
            decode: None,
            since: now,
            late: VecDeque::new(),
            heard: None,
            load: None,
            got: 0.0,
            works: false,
        };
        let id = self.next;
        self.next += 1;
        self.members.insert(id, member);
        Ok(id)
    }

    pub(super) fn leave(&mut self, id: Id) {
        self.members.remove(&id);
    }

    /// Why each rung of a stream is not encoded, where it is not.
    pub(super) fn shed(&self, id: Id) -> Vec<Option<Why>> {
        self.members
            .get(&id)
            .map_or_else(Vec::new, |member| member.rungs.iter().map(|rung| rung.shed).collect())
    }

    /// What a rung costs, in CPU seconds a second, where it was measured.
    pub(super) fn cost(&self, id: Id, rung: usize) -> Option<f64> {
        self.members.get(&id)?.rungs.get(rung)?.cost
    }

    /// A stream tells how many seconds later than is normal its encoder is, less than zero where it is less, and what it has
    /// cost; to be called about each [`TICK`] while it has one.
    pub(super) fn report(&mut self, id: Id, now: Instant, late: f64, load: &Load) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.heard = Some(now);
        for (rung, told) in member.rungs.iter_mut().zip(&load.rungs) {
            rung.runs = told.running;
        }
        member.late.push_back(late);
        while member.late.len() > 3 {
            member.late.pop_front();
        }
        let Some((since, before)) = &member.load else {
            member.load = Some((now, load.clone()));
            return;
        };
        if before == load {
            if now.duration_since(*since) > 3 * TICK {
                (member.works, member.got) = (false, 0.0);
            }
            return;
        }
        let span = now.duration_since(*since).as_secs_f64();
        if span < TICK.as_secs_f64() * 0.8 {
            return;
        }
        let parts = || before.rungs.iter().zip(&load.rungs);
        let delta: Vec<Cost> = parts().map(|(before, now)| now.cost.since(before.cost)).collect();
        let decode = load.decoder.since(before.decoder);
        let known: u64 = delta.iter().map(|cost| cost.cpu_micros).sum::<u64>() + decode.cpu_micros;
        let whole = load.process_cpu_micros.saturating_sub(before.process_cpu_micros).max(known);
        // Threads that codecs start by themselves, and sound, show in the whole alone.
        let scale = if known > 0 { (whole as f64 / known as f64).min(4.0) } else { 1.0 };
        for ((rung, work), cost) in member.rungs.iter_mut().zip(&member.ladder.rungs).zip(&delta) {
            let Some(cost) = cost.per_second().filter(|_| cost.content_micros >= MEASURED) else { continue };
            let smooth = rung.cost.map_or(cost * scale, |before| before + (cost * scale - before) * 0.3);
            rung.cost = Some(smooth);
            if work.guess > 0.0 {
                self.ratio += ((smooth / work.guess).clamp(0.1, 10.0) - self.ratio) * 0.1;
            }
        }
        if let Some(cost) = decode.per_second().filter(|_| decode.content_micros >= MEASURED) {
            member.decode = Some(cost * scale);
        }
        member.got = whole as f64 / 1e6 / span;
        member.works = whole > 0;
        member.load = Some((now, load.clone()));
    }

    /// Decides. `spare`: what nobody used since the last call.
    pub(super) fn tick(&mut self, now: Instant, spare: Option<Spare>) {
        for member in self.members.values_mut().filter(|member| !member.is_heard(now)) {
            (member.works, member.got) = (false, 0.0);
            member.rungs.iter_mut().for_each(|rung| rung.runs = false);
        }
        let got: f64 = self.members.values().map(|member| member.got).sum();
        let idle = match spare {
            Some(spare) => (spare.idle, spare.idle + (spare.low - got).max(0.0) * YIELDED),
            None => ((self.cores - got).max(0.0), (self.cores - got).max(0.0)),
        };
        self.idle.push_back(idle);
        while self.idle.len() > SAMPLES {
            self.idle.pop_front();
        }
        if self.closing() {
            self.last_closing = Some(now);
        }
        if self.last_shed.is_some_and(|at| now.duration_since(at) >= FORGIVEN) {
            self.quiet = QUIET;
        }
        let ceiling = self.settings.ceiling.as_secs_f64();
        let late: Vec<Id> = self
            .members
            .iter()
            .filter(|(_, member)| member.works && member.is_late(ceiling))
            .map(|(id, _)| *id)
            .collect();
        if late.is_empty() && !self.losing(now, ceiling) {
            self.restore(now, ceiling);
        } else {
            self.shed_some(now, ceiling, &late);
        }
    }

    /// Encoders that are to be closed still run: their cut has not come.
    fn closing(&self) -> bool {
        let mut rungs = self.members.values().flat_map(|member| &member.rungs);
        rungs.any(|rung| rung.shed.is_some() && rung.runs)
    }

    /// CPU is used up: streams that are late are late for want of it.
    fn short(&self) -> bool {
        self.recent(2, |idle| idle.0) < NO_CPU.min(self.cores * 0.2)
    }

    /// What all that runs would take in real time, and what it gets, in cores; of those that have told both.
    fn demand(&self) -> (f64, f64) {
        let told = self.members.values().filter(|member| member.works && !member.is_idle());
        told.map(|member| (member.costs(self.ratio), member.got))
            .fold((0.0, 0.0), |(needed, got), (costs, has)| (needed + costs, got + has))
    }

    /// Streams lose ground for want of CPU, and one of them will be late before what is shed now shows. The look at what
    /// things cost and get tells it from an encoder that starts, or works off a burst.
    fn losing(&self, now: Instant, ceiling: f64) -> bool {
        let beginning = |member: &Member| {
            !member.is_idle() && member.decode.is_none() && now.duration_since(member.since) < BEGINNING
        };
        if !self.short() || self.members.values().any(beginning) {
            return false;
        }
        let (needed, got) = self.demand();
        got < needed * LOSING && self.foreseen() >= ceiling * VERY_LATE
    }

    /// How late the worst will be when what is shed now shows.
    fn foreseen(&self) -> f64 {
        self.members.values().filter(|member| member.works).map(Member::foreseen).fold(0.0, f64::max)
    }

    fn shed_some(&mut self, now: Instant, ceiling: f64, late: &[Id]) {
        let foreseen = self.foreseen();
        // Where CPU is left, others are not to blame: the late stream alone has a rung that is too slow for one core.
        let short = self.short();
        let (needed, got) = self.demand();
        let pace = (1.0 + foreseen / MADE_GOOD).min(MOST_PACE);
        let mut excess = if short { needed - got / pace } else { 0.0 };
        if !self.may_shed(now, foreseen >= ceiling * VERY_LATE, excess) {
            return;
        }
        for nth in 0..MOST_AT_ONCE.max(self.members.len()) {
            if nth > 0 && excess <= 0.0 {
                break;
            }
            let Some((id, rung)) = self.largest(|id| short || late.contains(&id)) else { break };
            let Some(member) = self.members.get_mut(&id) else { break };
            let before = member.costs(self.ratio);
            member.rungs[rung].shed = Some(Why::Behind);
            excess -= before - member.costs(self.ratio); // with the last rung goes the decoding
            if nth == 0 && self.last_restore.is_some_and(|at| now.duration_since(at) < TOO_EARLY) {
                self.quiet = (self.quiet * 2).min(MOST_QUIET);
                self.last_restore = None; // counted once
            }
            self.last_shed = Some(now);
        }
    }

    /// Whether what was shed last has had its effect, or is known not to be enough: `excess` is the CPU that is missing
    /// still, by what things cost, without what is being closed.
    fn may_shed(&self, now: Instant, hasty: bool, excess: f64) -> bool {
        let since = |at: Option<Instant>| at.map_or(Duration::MAX, |at| now.duration_since(at));
        let spacing = if hasty { HASTY_SPACING } else { SHED_SPACING };
        if since(self.last_shed) < spacing {
            return false;
        }
        let waited_in_vain = since(self.last_shed) >= CUT_OVERDUE;
        since(self.last_closing) >= spacing || waited_in_vain || (hasty && excess > 0.0)
    }

    /// The largest rung that may be shed, of the streams asked for. The last one of a stream goes after all others, and
    /// stays where nothing is copied. Among equals that of the stream that is latest, then that of the youngest.
    fn largest(&self, asked: impl Fn(Id) -> bool) -> Option<(Id, usize)> {
        let candidates = self.members.iter().filter(|(id, _)| asked(**id)).filter_map(|(id, member)| {
            let rung = member.rungs.iter().position(|rung| rung.shed.is_none())?;
            let last = rung + 1 == member.rungs.len();
            (!last || member.ladder.copied)
                .then(|| ((!last, member.ladder.rungs[rung].size, member.newest_late(), *id), (*id, rung)))
        });
        let order = |a: &(bool, f64, f64, Id), b: &(bool, f64, f64, Id)| {
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2)).then(a.3.cmp(&b.3))
        };
        candidates.max_by(|(a, _), (b, _)| order(a, b)).map(|(_, which)| which)
    }

    fn restore(&mut self, now: Instant, ceiling: f64) {
        let since = |at: Option<Instant>| at.map_or(Duration::MAX, |at| now.duration_since(at));
        let mut heard = self.members.values().filter(|member| member.is_heard(now));
        let well = heard.all(|member| member.newest_late() <= ceiling * WELL);
        if !well || since(self.last_shed) < self.quiet || since(self.last_restore) < RESTORE_SPACING {
            return;
        }
        // In the reverse order: the smallest that any stream lacks, of the oldest stream. One that does not fit is
        // waited for, so that a small stream cannot keep a larger one's small rung away.
        let lacking = self.members.iter().filter_map(|(id, member)| {
            let rung = member.rungs.iter().rposition(|rung| rung.shed.is_some())?;
            Some((member.ladder.rungs[rung].size, *id, rung))
        });
        let Some((_, id, rung)) = lacking.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))) else {
            return;
        };
        let Some(member) = self.members.get(&id) else { return };
        let decode = if member.is_idle() { member.decode_cost(self.ratio) } else { 0.0 };
        if (member.cost(rung, self.ratio) + decode) * MARGIN > self.free(now) {
            return;
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.rungs[rung].shed = None;
            member.rungs[rung].since = now;
        }
        self.last_restore = Some(now);
    }

    fn recent(&self, samples: usize, which: fn(&(f64, f64)) -> f64) -> f64 {
        let recent = self.idle.iter().rev().take(samples).map(which);
        let count = recent.len();
        if count == 0 { self.cores } else { recent.sum::<f64>() / count as f64 }
    }

    /// CPU that may be given away: what is idle, less what is to be left over and what was given already and does not
    /// show yet.
    pub(super) fn free(&self, now: Instant) -> f64 {
        let young = |since: Instant| now.duration_since(since) < UNSEEN;
        let unseen: f64 = self
            .members
            .values()
            .map(|member| {
                let rungs = (0..member.rungs.len())
                    .filter(|rung| member.rungs[*rung].shed.is_none() && young(member.rungs[*rung].since))
                    .map(|rung| member.cost(rung, self.ratio));
                let decode = if young(member.since) { member.decode_cost(self.ratio) } else { 0.0 };
                rungs.sum::<f64>() + decode
            })
            .sum();
        self.recent(SAMPLES, |idle| idle.1) - (1.0 - self.settings.budget) * self.cores - unseen
    }
}

impl Member {
    fn is_heard(&self, now: Instant) -> bool {
        self.heard.is_some_and(|at| now.duration_since(at) < SILENT)
    }

    /// Late now and on the way there a report before, and not catching up by itself.
    fn is_late(&self, ceiling: f64) -> bool {
        let than = ceiling * LATE;
        let mut newest = self.late.iter().rev();
        let all = newest.next().is_some_and(|late| *late > than)
            && newest.next().is_some_and(|late| *late > than / 2.0);
        let enough =
            if self.newest_late() > ceiling * NEARLY_AT_CEILING { CATCHING_UP_FAST } else { CATCHING_UP };
        let better = self.late.front().is_some_and(|first| first - self.newest_late() > enough);
        all && !better
    }

    /// How late it will be when what is shed now shows.
    fn foreseen(&self) -> f64 {
        let mut newest = self.late.iter().rev();
        let (Some(now), Some(before)) = (newest.next(), newest.next()) else { return self.newest_late() };
        now + (now - before).max(0.0) * EFFECT
    }

    fn newest_late(&self) -> f64 {
        self.late.back().copied().unwrap_or(0.0)
    }

    fn is_idle(&self) -> bool {
        self.rungs.iter().all(|rung| rung.shed.is_some())
    }

    fn cost(&self, rung: usize, ratio: f64) -> f64 {
        self.rungs[rung].cost.unwrap_or(self.ladder.rungs[rung].guess * ratio)
    }

    fn decode_cost(&self, ratio: f64) -> f64 {
        self.decode.unwrap_or(self.ladder.decode * ratio)
    }

    /// Of all that runs.
    fn costs(&self, ratio: f64) -> f64 {
        if self.is_idle() {
            return 0.0;
        }
        let running = (0..self.rungs.len()).filter(|rung| self.rungs[*rung].shed.is_none());
        self.decode_cost(ratio) + running.map(|rung| self.cost(rung, ratio)).sum::<f64>()
    }
}
