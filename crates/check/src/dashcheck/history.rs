//! MPDs over time: what must not change, and what must go on.

use super::mpd::{Mpd, Representation};
use super::timing;
use crate::report::Findings;
use std::collections::BTreeMap;

/// The memory of one presentation.
#[derive(Debug, Default)]
pub(super) struct History {
    newest: Option<Mpd>,
    /// End of the newest segment that timelines told, and when it was first told (Unix time, microseconds).
    edge: Option<(i64, i64)>,
    overdue: bool,
}

impl History {
    /// Takes an MPD that came at `now` by the server's clock.
    pub(super) fn see(&mut self, now: i64, mpd: &Mpd, place: &str, found: &mut Findings) {
        if let Some(before) = self.newest.take() {
            changes(&before, mpd, place, found);
        }
        self.advance(now, mpd, place, found);
        self.newest = Some(mpd.clone());
    }

    /// dash.advance: a timeline goes on as time does.
    fn advance(&mut self, now: i64, mpd: &Mpd, place: &str, found: &mut Findings) {
        let Some(last) = mpd.periods.len().checked_sub(1).filter(|_| mpd.dynamic) else { return };
        let templates = mpd.periods[last]
            .sets
            .iter()
            .flat_map(|s| &s.representations)
            .filter_map(|r| r.template.as_ref());
        let begin = timing::start(mpd, last);
        let end = |t: &super::mpd::Template| {
            let span = t.timeline.as_ref()?.last()?;
            let ticks = i128::from(span.time + span.duration) - i128::from(t.offset);
            Some(begin.saturating_add(i64::try_from(ticks * 1_000_000 / i128::from(t.scale())).ok()?))
        };
        let Some(edge) = templates.filter_map(end).max() else { return };
        if self.edge.is_none_or(|(known, _)| edge > known) {
            self.edge = Some((edge, now));
            self.overdue = false;
        }
        let Some((_, since)) = self.edge else { return };
        let longest = mpd.max_segment.unwrap_or(10_000_000);
        let limit = longest + longest / 2 + mpd.update.unwrap_or(0);
        if now - since > limit && !self.overdue {
            self.overdue = true;
            let text = format!("no new segment for {:.1} s", (now - since) as f64 / 1e6);
            found.violation("dash.advance", place, text);
        }
    }
}

fn changes(before: &Mpd, mpd: &Mpd, place: &str, found: &mut Findings) {
    if before.available != mpd.available {
        constant(
            place,
            found,
            format!("availabilityStartTime {:?}, before {:?}", mpd.available, before.available),
        );
    }
    for (n, old) in before.periods.iter().enumerate() {
        let name = timing::name(old, n);
        let Some((at, new)) = mpd.periods.iter().enumerate().find(|(n, p)| timing::name(p, *n) == name)
        else {
            continue;
        };
        if before.dynamic == mpd.dynamic && timing::start(before, n) != timing::start(mpd, at) {
            let text = format!(
                "Period {name} starts at {:?}, before {:?}",
                timing::start(mpd, at),
                timing::start(before, n)
            );
            constant(place, found, text);
        }
        let ids = |p: &super::mpd::Period| -> Vec<(Option<String>, Vec<String>)> {
            let own = |s: &super::mpd::Set| s.representations.iter().map(|r| r.id.clone()).collect();
            p.sets.iter().map(|s| (s.id.clone(), own(s))).collect()
        };
        if ids(old) != ids(new) {
            constant(place, found, format!("Period {name} has {:?}, before {:?}", ids(new), ids(old)));
        }
        let known: BTreeMap<&str, &Representation> = all(old).map(|r| (r.id.as_str(), r)).collect();
        for r in all(new) {
            if let Some(old) = known.get(r.id.as_str()) {
                representation(old, r, &format!("{place}, Period {name}, Representation {}", r.id), found);
            }
        }
    }
    let body = |m: &Mpd| Mpd { published: None, ..m.clone() };
    match (before.published, mpd.published) {
        (Some(old), Some(new)) if new < old => {
            found.violation("dash.publish", place, format!("publishTime fell by {} µs", old - new));
        }
        (Some(old), Some(new)) if new == old && body(before) != body(mpd) => {
            found.violation("dash.publish", place, "the MPD changed, publishTime did not");
        }
        _ => {}
    }
    if !before.dynamic && mpd.dynamic {
        found.violation("dash.end", place, "a static MPD became dynamic again");
    }
}

fn constant(place: &str, found: &mut Findings, text: String) {
    found.violation("dash.constant", place, text);
}

fn all(period: &super::mpd::Period) -> impl Iterator<Item = &Representation> {
    period.sets.iter().flat_map(|s| &s.representations)
}

fn representation(old: &Representation, new: &Representation, place: &str, found: &mut Findings) {
    let (Some(a), Some(b)) = (&old.template, &new.template) else { return };
    if (a.timescale, a.offset) != (b.timescale, b.offset) || old.codecs != new.codecs {
        found.violation("dash.constant", place, "timescale, presentationTimeOffset or codecs changed");
    }
    if a.timeline.is_none() && (a.duration, a.start) != (b.duration, b.start) {
        found.violation("dash.constant", place, "duration or startNumber changed");
    }
    let (Some(a), Some(b)) = (&a.timeline, &b.timeline) else { return };
    let first = b.first().map_or(u64::MAX, |s| s.time);
    let was: BTreeMap<u64, u64> = a.iter().map(|s| (s.time, s.duration)).collect();
    for span in b {
        match was.get(&span.time) {
            Some(duration) if *duration != span.duration => {
                let text = format!("segment {} lasts {}, before {duration}", span.time, span.duration);
                found.violation("dash.timeline", place, text);
            }
            None if a.last().is_some_and(|last| span.time <= last.time && span.time >= a[0].time) => {
                found.violation(
                    "dash.timeline",
                    place,
                    format!("segment {} was not there before", span.time),
                );
            }
            _ => {}
        }
    }
    if let Some(gone) = a.iter().find(|s| s.time >= first && !b.iter().any(|n| n.time == s.time)) {
        found.violation("dash.timeline", place, format!("segment {} is gone, older ones are not", gone.time));
    }
}
