//! Which segment is to be had when (ISO/IEC 23009-1 §A.3, the DASH-IF timing model). Pure: the time is an argument.

use super::mpd::{Mpd, Period, Template};

/// A segment that the MPD describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// $Number$.
    pub(super) number: u64,
    /// $Time$: ticks of the template's timescale.
    pub(super) time: u64,
    /// Ticks.
    pub(super) duration: u64,
    /// From when on it can be fetched, microseconds of Unix time.
    pub(super) available: i64,
    /// When its last sample is there.
    pub(super) ends: i64,
    /// The MPD says exactly when it begins, not about.
    pub(super) exact: bool,
}

/// What to do about the next segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Fetch it at its time.
    Segment(Segment),
    /// The MPD does not tell it yet.
    Unknown,
    /// There is none behind the last one.
    Over,
}

/// Where in a Representation the walk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// The newest segment that is to be had at this time.
    Edge(i64),
    /// The first segment that is to be had at this time still.
    Oldest(i64),
    /// The one behind this one.
    Behind(Segment),
}

/// Start of the period, microseconds of Unix time; a static presentation begins at 0.
pub(super) fn start(mpd: &Mpd, index: usize) -> i64 {
    let mut start = 0;
    for (n, period) in mpd.periods.iter().enumerate().take(index + 1) {
        start = period.start.unwrap_or(start);
        if n < index {
            start += period.duration.unwrap_or(0);
        }
    }
    // The period's own start stands above the sum of those before.
    let start = mpd.periods.get(index).and_then(|p| p.start).unwrap_or(start);
    mpd.available.filter(|_| mpd.dynamic).unwrap_or(0).saturating_add(start)
}

/// Length of the period, microseconds, if that is known.
pub(super) fn length(mpd: &Mpd, index: usize) -> Option<i64> {
    let period = &mpd.periods[index];
    let to_next = || Some(mpd.periods.get(index + 1)?.start? - period.start.unwrap_or(0));
    let whole = || Some(mpd.duration? - period.start.unwrap_or(0)).filter(|_| index + 1 == mpd.periods.len());
    period.duration.or_else(to_next).or_else(whole)
}

fn micros(ticks: i128, scale: u64) -> i64 {
    i64::try_from(ticks * 1_000_000 / i128::from(scale)).unwrap_or(i64::MAX)
}

/// The segment to fetch.
pub(super) fn next(mpd: &Mpd, index: usize, template: &Template, from: From) -> Next {
    let (begin, length) = (start(mpd, index), length(mpd, index));
    match &template.timeline {
        Some(_) => timeline(begin, length.is_some() || !mpd.dynamic, template, from),
        None => numbered(mpd, begin, length, template, from),
    }
}

fn timeline(begin: i64, last: bool, template: &Template, from: From) -> Next {
    let scale = template.scale();
    let early = template.early.unwrap_or(0);
    let segment = |(n, span): (usize, &super::mpd::Span)| {
        let end = i128::from(span.time + span.duration) - i128::from(template.offset);
        let ends = begin.saturating_add(micros(end, scale));
        Segment {
            number: template.start + n as u64,
            time: span.time,
            duration: span.duration,
            available: ends.saturating_sub(early),
            ends,
            exact: true,
        }
    };
    let mut all = template.timeline.iter().flatten().enumerate().map(segment);
    let found = match from {
        From::Edge(now) => all.filter(|s| s.available <= now).last(),
        From::Oldest(_) => all.next(),
        From::Behind(before) => all.find(|s| s.time > before.time),
    };
    match found {
        Some(segment) => Next::Segment(segment),
        None if last => Next::Over,
        None => Next::Unknown,
    }
}

fn numbered(mpd: &Mpd, begin: i64, length: Option<i64>, template: &Template, from: From) -> Next {
    let (scale, early) = (template.scale(), template.early);
    let Some(duration) = template.duration.filter(|d| *d > 0) else { return Next::Over };
    let segment = |k: u64| {
        let time = template.offset.saturating_add(k.saturating_mul(duration));
        let ends = begin.saturating_add(micros(i128::from(k + 1) * i128::from(duration), scale));
        // With INF all are there from the period's start on.
        let available = early.map_or(begin, |early| ends.saturating_sub(early));
        Segment { number: template.start + k, time, duration, available, ends, exact: false }
    };
    let each = i128::from(duration) * 1_000_000;
    // The newest whose end, less the offset, is not in the future.
    let newest = |now: i64| {
        let passed = i128::from(now.saturating_sub(begin)) + i128::from(early.unwrap_or(0));
        u64::try_from(passed * i128::from(scale) / each - 1).ok()
    };
    let k = match from {
        From::Edge(now) if mpd.dynamic => newest(now),
        From::Edge(_) => Some(0),
        From::Oldest(now) => match mpd.shift.filter(|_| mpd.dynamic) {
            // In the time shift buffer while its end is.
            Some(shift) => newest(now.saturating_sub(shift)).map_or(Some(0), |k| Some(k + 1)),
            None => Some(0),
        },
        From::Behind(before) => before.number.checked_sub(template.start).map(|k| k + 1),
    };
    let Some(k) = k else { return Next::Unknown };
    let begins = micros(i128::from(k) * i128::from(duration), scale);
    if length.is_some_and(|length| begins >= length) { Next::Over } else { Next::Segment(segment(k)) }
}

/// The period of this index, by what keeps its name: its id, or its place when it has none.
pub(super) fn name(period: &Period, index: usize) -> String {
    period.id.clone().unwrap_or_else(|| format!("#{index}"))
}
