//! Low-latency rules of one rendition's lists: of one list by itself, and of one after the other.
//!
//! Pure: the time of each look is an argument, counted from the start of the watch.

use super::list::{List, Part};
use crate::report::Findings;
use std::collections::BTreeMap;
use std::time::Duration;

/// Parts that are no longer listed are remembered for so many segments.
const REMEMBERED: u64 = 64;

/// What one rendition's lists have told of parts.
#[derive(Debug, Default)]
pub struct Memory {
    parts: BTreeMap<(u64, u64), Known>,
    target: Option<i64>,
    newest: Option<(u64, u64)>,
    /// When the newest part was first seen.
    advanced: Option<Duration>,
    last_look: Option<Duration>,
    overdue: bool,
    longest_gap: Duration,
    hinted: Option<Hinted>,
    since: Option<Duration>,
    none_told: bool,
}

#[derive(Debug)]
struct Known {
    part: Part,
    judged: bool,
}

#[derive(Debug)]
struct Hinted {
    uri: String,
    start: Option<u64>,
    /// The newest part when it was hinted at.
    after: Option<(u64, u64)>,
}

impl Memory {
    /// The longest time between two new parts, as the looks showed it.
    pub fn longest_gap(&self) -> Duration {
        self.longest_gap
    }

    /// Times are not judged across a moment when the server could not be reached.
    pub fn outage(&mut self) {
        self.advanced = None;
        self.last_look = None;
        self.hinted = None;
    }

    /// Takes the list of a look. `place` names rendition and time.
    pub fn see(&mut self, now: Duration, list: &List, place: &str, found: &mut Findings) {
        if list.iframes_only {
            if list.part_target.is_some() || list.last_part().is_some() {
                found.violation("iframe.parts", place, "parts in an I-frame list");
            }
            return;
        }
        self.constants(list, place, found);
        let (Some(target), false) = (list.part_target, list.ended) else {
            self.hinted = None;
            return;
        };
        self.promises(now, list, place, found);
        self.hints(list, place, found);
        let fresh = self.parts(list, target, place, found);
        self.pace(now, target, fresh, place, found);
        self.newest = self.newest.max(list.last_part());
        if let Some((msn, _)) = self.newest {
            self.parts.retain(|(of, _), _| *of + REMEMBERED > msn);
        }
    }

    fn constants(&mut self, list: &List, place: &str, found: &mut Findings) {
        if list.last_part().is_some() && list.part_target.is_none() {
            found.violation("ll.part-inf", place, "parts without PART-INF");
        }
        if let Some(target) = list.part_target {
            let first = *self.target.get_or_insert(target);
            if first != target {
                found.violation("ll.part-inf", place, format!("PART-TARGET {target} µs, first {first} µs"));
            }
        }
    }

    /// A list that promises parts has some within three target durations.
    fn promises(&mut self, now: Duration, list: &List, place: &str, found: &mut Findings) {
        if list.last_part().is_some() {
            self.since = Some(now);
            return;
        }
        let since = *self.since.get_or_insert(now);
        if now - since > Duration::from_secs(list.target.unwrap_or(0)) * 3 && !self.none_told {
            self.none_told = true;
            let text = format!("PART-INF, but no part for {:.1} s", (now - since).as_secs_f64());
            found.violation("ll.none", place, text);
        }
    }

    fn hints(&mut self, list: &List, place: &str, found: &mut Findings) {
        let hint = list.hints.iter().find(|h| h.kind == "PART");
        if hint.is_none() {
            found.violation("ll.hint", place, "no PRELOAD-HINT of TYPE=PART");
        }
        let newest = list.last_part();
        if let Some(hinted) = &self.hinted
            && let Some((msn, index)) = following(hinted.after, newest, list)
            && let Some(part) = list.parts(msn).get(index as usize)
        {
            let start = part.range.map(|(offset, _)| offset);
            if part.uri != hinted.uri || hinted.start.is_some_and(|s| start.is_some_and(|o| o != s)) {
                let text = format!("part {msn}.{index} is {}, {} was hinted at", part.uri, hinted.uri);
                found.violation("ll.hint-uri", place, text);
            }
            self.hinted = None;
        }
        if let Some(hint) = hint {
            let same = self.hinted.as_ref().is_some_and(|h| h.after == newest);
            if !same {
                self.hinted = Some(Hinted { uri: hint.uri.clone(), start: hint.start, after: newest });
            }
        }
    }

    /// Whether a part is new.
    fn parts(&mut self, list: &List, target: i64, place: &str, found: &mut Findings) -> bool {
        let mut fresh = false;
        let whole = list.entries.iter().map(|e| (e.msn, &e.parts[..], true));
        let open = list.open.iter().map(|o| (o.msn, &o.parts[..], false));
        for (msn, parts, complete) in whole.chain(open) {
            for (at, part) in parts.iter().enumerate() {
                let key = (msn, at as u64);
                let name = || format!("{place}, part {msn}.{at}");
                let known = match self.parts.get_mut(&key) {
                    Some(known) => {
                        if known.part != *part {
                            found.violation("ll.part-kept", name(), format!("{part:?} was {:?}", known.part));
                            known.part = part.clone();
                        }
                        known
                    }
                    None => {
                        fresh = true;
                        if self.newest.is_some_and(|newest| key < newest) {
                            found.violation("ll.part-kept", name(), "is listed after later ones");
                        }
                        self.parts.entry(key).or_insert(Known { part: part.clone(), judged: false })
                    }
                };
                let last = at + 1 == parts.len();
                // The last part of a segment may be short; of an open one, who knows.
                if known.judged || (last && !complete) {
                    continue;
                }
                known.judged = true;
                let share = part.micros as f64 * 100.0 / target as f64;
                let text = format!("lasts {:.5} s, {share:.1} % of PART-TARGET", part.micros as f64 / 1e6);
                let excused =
                    last || part.independent || part.gap || parts.get(at + 1).is_some_and(|p| p.gap);
                if part.micros * 100 < target * 85 && !excused {
                    found.violation("ll.part-short", name(), text);
                }
            }
            for (at, part) in parts.iter().enumerate().filter(|(_, p)| p.micros > target) {
                if self.newest.is_none_or(|newest| (msn, at as u64) > newest) {
                    let text = format!(
                        "lasts {:.5} s, PART-TARGET is {:.5}",
                        part.micros as f64 / 1e6,
                        target as f64 / 1e6
                    );
                    found.violation("ll.part-long", format!("{place}, part {msn}.{at}"), text);
                }
            }
        }
        fresh
    }

    /// A look without a new part proves the time since the last one; a look with one bounds it from above.
    fn pace(&mut self, now: Duration, target: i64, fresh: bool, place: &str, found: &mut Findings) {
        let target = Duration::from_micros(u64::try_from(target).unwrap_or(0));
        // The wire and two schedulers stand between the list's change and our seeing it.
        let limit = target + (target / 4).max(Duration::from_millis(100));
        if let Some(last) = self.advanced {
            let gap = now.saturating_sub(last);
            if fresh {
                self.longest_gap = self.longest_gap.max(gap);
            }
            let proven = if fresh { self.last_look.unwrap_or(last).saturating_sub(last) } else { gap };
            if proven > limit && !self.overdue {
                self.overdue = true;
                let text = format!(
                    "no new part for {:.3} s, PART-TARGET is {:.3}",
                    proven.as_secs_f64(),
                    target.as_secs_f64()
                );
                found.violation("ll.part-late", place, text);
            }
        }
        if fresh || self.advanced.is_none() {
            self.advanced = Some(now);
            self.overdue = false;
        }
        self.last_look = Some(now);
    }

    /// A blocked answer came: the list did not change until shortly before, so `pace` may take the time as proven.
    pub fn waited(&mut self, now: Duration) {
        self.last_look = Some(now);
    }
}

/// The part that comes right behind `after`, once it is listed.
fn following(after: Option<(u64, u64)>, newest: Option<(u64, u64)>, list: &List) -> Option<(u64, u64)> {
    let newest = newest?;
    let (msn, index) = after?;
    if list.parts(msn).len() as u64 > index + 1 {
        return Some((msn, index + 1));
    }
    (newest.0 > msn && list.last_msn().is_some_and(|last| last >= msn)).then_some((msn + 1, 0))
}

/// Rules that one list shows by itself.
pub fn alone(list: &List, place: &str, found: &mut Findings) {
    let target = i64::try_from(list.target.unwrap_or(0)).unwrap_or(0) * 1_000_000;
    let control = &list.control;
    directives(list, place, found);
    if control.hold_back.is_some_and(|h| h < 3 * target) {
        found.violation(
            "ll.hold-back-segments",
            place,
            format!("HOLD-BACK {:?} µs, target duration {target}", control.hold_back),
        );
    }
    match control.can_skip_until {
        Some(until) if until < 6 * target => {
            found.violation(
                "ll.skip-until",
                place,
                format!("CAN-SKIP-UNTIL {until} µs, target duration {target}"),
            );
        }
        None if control.can_skip_dateranges => {
            found.violation("ll.skip-until", place, "CAN-SKIP-DATERANGES without CAN-SKIP-UNTIL");
        }
        _ => {}
    }
    for kind in list.hints.iter().map(|h| &h.kind) {
        if list.hints.iter().filter(|h| h.kind == *kind).count() > 1 {
            found.violation("ll.hint-one", place, format!("several PRELOAD-HINTs of TYPE={kind}"));
            break;
        }
    }
    for hint in &list.hints {
        if hint.uri.is_empty() || !matches!(hint.kind.as_str(), "PART" | "MAP") {
            found.violation(
                "ll.hint-one",
                place,
                format!("PRELOAD-HINT of TYPE={} with URI {:?}", hint.kind, hint.uri),
            );
        }
    }
    if list.ended && !list.hints.is_empty() {
        found.violation("M24", place, "PRELOAD-HINT beside ENDLIST");
    }
    let Some(part_target) = list.part_target.filter(|_| !list.ended) else { return };
    if !control.can_block {
        found.violation("ll.can-block", place, "no CAN-BLOCK-RELOAD=YES");
    }
    match control.part_hold_back {
        Some(back) if back >= 2 * part_target => {
            if back < 3 * part_target {
                let text = format!("PART-HOLD-BACK {back} µs, PART-TARGET {part_target}");
                found.violation("ll.hold-back-three", place, text);
            }
        }
        back => found.violation(
            "ll.hold-back",
            place,
            format!("PART-HOLD-BACK {back:?} µs, PART-TARGET {part_target}"),
        ),
    }
    for report in &list.reports {
        if report.msn.is_none() || report.part.is_none() {
            let text = format!(
                "report of {} has LAST-MSN {:?}, LAST-PART {:?}",
                report.uri, report.msn, report.part
            );
            found.violation("ll.report", place, text);
        }
    }
    let mut behind = list.open.as_ref().map_or(0, |o| o.parts.iter().map(|p| p.micros).sum::<i64>());
    for entry in list.entries.iter().rev() {
        if !entry.parts.is_empty() {
            let sum: i64 = entry.parts.iter().map(|p| p.micros).sum();
            // Each figure is rounded by itself.
            if (sum - entry.micros).abs() > 1_000 * (entry.parts.len() as i64 + 1) {
                let text = format!("parts last {sum} µs, EXTINF is {}", entry.micros);
                found.violation("ll.part-sum", format!("{place}, segment {}", entry.msn), text);
            }
            if behind > 3 * target {
                let text = format!("has parts {:.1} s from the end", behind as f64 / 1e6);
                found.violation("ll.part-old", format!("{place}, segment {}", entry.msn), text);
            }
        }
        behind += entry.micros;
    }
}

fn directives(list: &List, place: &str, found: &mut Findings) {
    let segments = list.entries.iter().flat_map(|e| {
        let map = e.map.iter().map(|m| &m.uri);
        std::iter::once(&e.uri).chain(map).chain(e.parts.iter().map(|p| &p.uri))
    });
    let open = list.open.iter().flat_map(|o| o.parts.iter().map(|p| &p.uri));
    let others = list.hints.iter().map(|h| &h.uri).chain(list.reports.iter().map(|r| &r.uri));
    if let Some(uri) = segments.chain(open).chain(others).find(|uri| uri.contains("_HLS_")) {
        found.violation("ll.directives", place, format!("{uri} in the playlist"));
    }
}
