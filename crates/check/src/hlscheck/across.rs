//! Rules between the renditions of one presentation, and between a list and what its segments hold.

use super::history::Listed;
use super::rates::{Piece, average, peak};
use super::walk::Rendition;
use crate::report::Findings;
use crate::tscheck::{SegmentFacts, TICKS};
use serde::Serialize;
use std::collections::BTreeMap;

/// A segment with what its list said and what its bytes hold.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The list's words.
    pub listed: Listed,
    /// None for a GAP, or where the download failed.
    pub facts: Option<SegmentFacts>,
}

/// One rendition for the comparison.
pub struct Side<'a> {
    /// Its name in findings.
    pub place: &'a str,
    /// TARGETDURATION.
    pub target: Option<u64>,
    /// SERVER-CONTROL.
    pub server_control: Option<&'a str>,
    /// By media sequence number.
    pub segments: &'a BTreeMap<u64, Checked>,
}

impl Side<'_> {
    /// Runs of consecutive segments with facts inside one discontinuity.
    fn runs(&self) -> Vec<Vec<(&u64, &Checked, &SegmentFacts)>> {
        let mut out: Vec<Vec<(&u64, &Checked, &SegmentFacts)>> = Vec::new();
        for (msn, checked) in self.segments {
            let Some(facts) = &checked.facts else { continue };
            let joins = out.last().and_then(|run| run.last()).is_some_and(|(last, before, _)| {
                **last + 1 == *msn
                    && before.listed.entry.discontinuity_number == checked.listed.entry.discontinuity_number
            });
            match out.last_mut().filter(|_| joins) {
                Some(run) => run.push((msn, checked, facts)),
                None => out.push(vec![(msn, checked, facts)]),
            }
        }
        out
    }

    fn frame(facts: &SegmentFacts) -> i64 {
        match (&facts.video, &facts.audio) {
            (Some(v), _) if v.frames > 1 => (v.last_pts - v.first_pts) / (v.frames as i64 - 1),
            (None, Some(a)) => 1024 * TICKS / i64::from(a.rate.max(1)),
            _ => TICKS / 10,
        }
    }
}

/// Figures that the duration rules give.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Drift {
    /// Largest difference of one EXTINF from the distance of first pictures, ms.
    pub extinf_ms: f64,
    /// Largest difference of a sum of EXTINF from the distance of first pictures, ms.
    pub sum_ms: f64,
    /// Largest difference of a PROGRAM-DATE-TIME step from the media's step, ms.
    pub date_ms: f64,
}

/// M19, M20, M16 within a rendition: EXTINF and dates against the times in the segments.
pub fn durations(side: &Side<'_>, found: &mut Findings) -> Drift {
    let mut worst = Drift::default();
    for run in side.runs() {
        let mut sum = 0i64;
        let (mut low, mut high) = (0i64, 0i64);
        let mut offset = None;
        let mut told = false;
        for pair in run.windows(2) {
            let ((msn, a, fa), (_, _, fb)) = (pair[0], pair[1]);
            let (Some(start), Some(end)) = (fa.start(), fb.start()) else { continue };
            let micros = (end - start) * 100 / 9;
            let off = a.listed.entry.micros - micros;
            let frame = Side::frame(fa) * 100 / 9 + 20;
            worst.extinf_ms = worst.extinf_ms.max(off.abs() as f64 / 1e3);
            if off.abs() > frame {
                let text =
                    format!("EXTINF {} µs, first pictures are {micros} µs apart", a.listed.entry.micros);
                found.violation("M20", format!("{} segment {msn}", side.place), text);
            }
            sum += off;
            (low, high) = (low.min(sum), high.max(sum));
            if high - low > frame && !told {
                told = true;
                let text = format!("EXTINF sums are off by {} µs, more than a frame", high - low);
                found.violation("M19", format!("{} up to segment {msn}", side.place), text);
            }
        }
        worst.sum_ms = worst.sum_ms.max((high - low) as f64 / 1e3);
        for (msn, checked, facts) in &run {
            let (Some(date), Some(start)) = (checked.listed.entry.date, facts.start()) else { continue };
            let this = date - start * 100 / 9;
            let off = (this - *offset.get_or_insert(this)).abs();
            worst.date_ms = worst.date_ms.max(off as f64 / 1e3);
            if off > 1_100 {
                let text = format!("PROGRAM-DATE-TIME is {off} µs off the mapping of this discontinuity");
                found.violation("M16", format!("{} segment {msn}", side.place), text);
            }
        }
    }
    worst
}

/// M3, M10, M16, M26, V19, and equal first picture times of equal numbers.
pub fn compare(sides: &[Side<'_>], found: &mut Findings) {
    let Some((first, others)) = sides.split_first() else { return };
    for side in others {
        let place = format!("{} and {}", first.place, side.place);
        if side.target != first.target {
            found.violation("M3", &place, format!("TARGETDURATION {:?} and {:?}", first.target, side.target));
        }
        if side.server_control != first.server_control {
            found.violation("M26", &place, "different SERVER-CONTROL");
        }
        let shift = shift(first.segments, side.segments);
        for (msn, a) in first.segments {
            let Some(b) = msn.checked_add_signed(shift).and_then(|n| side.segments.get(&n)) else { continue };
            let (x, y) = (&a.listed.entry, &b.listed.entry);
            let at = format!("{place}, segment {msn}");
            if x.discontinuity_number != y.discontinuity_number || x.discontinuity != y.discontinuity {
                let text = format!(
                    "discontinuity numbers {} and {}",
                    x.discontinuity_number, y.discontinuity_number
                );
                found.violation("M10", &at, text);
            }
            if x.gap != y.gap {
                found.note("M23", &at, "a GAP in one of them");
            }
            // Sound is cut where its frames end: its dates are its own, the mapping to time stamps is not.
            let apart = start(a).zip(start(b)).map_or(0, |(p, q)| (p - q) * 100 / 9);
            if let (Some(p), Some(q)) = (x.date, y.date)
                && (p - q - apart).abs() > 1_100
            {
                found.violation(
                    "M16",
                    &at,
                    format!("PROGRAM-DATE-TIME {} µs apart, time stamps {apart}", p - q),
                );
            }
            let pictures = |c: &Checked| c.facts.as_ref().is_some_and(|f| f.video.is_some());
            if let (Some(p), Some(q)) = (start(a), start(b)) {
                if pictures(a) && pictures(b) && p != q {
                    found.violation("V19", &at, format!("first picture at {p} and {q}"));
                } else if pictures(a) != pictures(b) && (p - q).abs() > TICKS / 10 {
                    found.violation("cmaf.av-start", &at, format!("{} ms apart", (p - q) / 90));
                }
            }
        }
    }
}

fn start(checked: &Checked) -> Option<i64> {
    checked.facts.as_ref().and_then(SegmentFacts::start)
}

/// What is to be added to the first one's numbers for the other's: numbers need not match between renditions (§6.3.2),
/// times do. 0 when the times cannot tell.
fn shift(first: &BTreeMap<u64, Checked>, other: &BTreeMap<u64, Checked>) -> i64 {
    let near = |a: &Checked, b: &Checked| {
        start(a).zip(start(b)).is_some_and(|(p, q)| (p - q).abs() < TICKS * a.listed.entry.micros / 2_000_000)
    };
    if first.iter().any(|(msn, a)| other.get(msn).is_some_and(|b| near(a, b))) {
        return 0;
    }
    let offset = |(msn, a): (&u64, &Checked)| {
        let (n, _) = other.iter().find(|(_, b)| near(a, b))?;
        i64::try_from(*n).ok()?.checked_sub(i64::try_from(*msn).ok()?)
    };
    first.iter().find_map(offset).unwrap_or(0)
}

/// date.same: lists with DATERANGEs have the same ones, over the dates that both show.
pub(crate) fn ranges(renditions: &[Rendition], found: &mut Findings) {
    let lists: Vec<_> = renditions
        .iter()
        .filter_map(|r| Some((&r.name, r.history.newest()?)))
        .filter(|(_, list)| !list.dateranges.is_empty())
        .collect();
    let Some(((first, list), others)) = lists.split_first() else { return };
    for (name, other) in others {
        for (one, of, another, missing) in [(list, first, other, name), (other, name, list, first)] {
            let from = another.entries.iter().find_map(|e| e.date).unwrap_or(i64::MAX);
            let shown = one.dateranges.iter().filter(|r| r.start.is_some_and(|start| start >= from));
            for range in shown.filter(|r| !another.dateranges.iter().any(|a| a.id == r.id)) {
                found.violation(
                    "date.same",
                    *missing,
                    format!("no DATERANGE {:?}, which {of} has", range.id),
                );
            }
        }
    }
}

/// Measured rates of a rendition; runs do not reach over gaps.
pub fn rates(segments: &BTreeMap<u64, Checked>, target: u64) -> (Option<u64>, Option<u64>, f64) {
    let mut all = Vec::new();
    let mut best = None;
    let mut run: Vec<Piece> = Vec::new();
    let mut last = None;
    for (msn, checked) in segments {
        let Some(facts) = &checked.facts else { continue };
        if last.is_some_and(|l| l + 1 != *msn) {
            best = best.max(peak(&run, target));
            run.clear();
        }
        last = Some(*msn);
        let piece = Piece { bytes: facts.bytes, micros: checked.listed.entry.micros };
        run.push(piece);
        all.push(piece);
    }
    best = best.max(peak(&run, target));
    let seconds = all.iter().map(|p| p.micros).sum::<i64>() as f64 / 1e6;
    (best, average(&all), seconds)
}
