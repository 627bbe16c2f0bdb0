//! One rendition's lists over time: what must not change, what must come in time, what may leave and when.
//!
//! Pure: the time of each look is an argument, counted from the start of the watch.

use super::list::{Entry, List};
use super::{daterange, lowlatency};
use crate::report::Findings;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is remembered of a segment that was ever listed.
#[derive(Debug, Clone)]
pub struct Listed {
    /// As the first list had it.
    pub entry: Entry,
    /// When a look first showed it.
    pub first_seen: Duration,
    /// Duration of the longest list that held it, microseconds.
    pub longest_micros: i64,
    /// When a look first missed it again.
    pub removed: Option<Duration>,
}

impl Listed {
    /// Until when it must stay downloadable (RFC 8216's successor, §6.2.2): first listing + own duration + longest list.
    pub fn needed_until(&self) -> Duration {
        let micros = self.entry.micros + self.longest_micros;
        self.first_seen + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

/// The memory of one rendition.
#[derive(Debug, Default)]
pub struct History {
    place: String,
    first: Option<List>,
    newest: Option<List>,
    /// When the newest segment was first seen.
    advanced: Option<Duration>,
    last_look: Option<Duration>,
    overdue: bool,
    outage: bool,
    listed: BTreeMap<u64, Listed>,
    highest_msn: Option<u64>,
    highest_number: u64,
    versions: u64,
    looks: u64,
    longest_gap: Duration,
    parts: lowlatency::Memory,
    ranges: daterange::Memory,
    /// It was whole when it was first seen: rules of live lists do not count.
    on_demand: bool,
    /// Broken rules.
    pub findings: Findings,
}

impl History {
    /// `place` names the rendition in findings.
    pub fn new(place: impl Into<String>) -> Self {
        History { place: place.into(), ..History::default() }
    }

    /// The newest list.
    pub fn newest(&self) -> Option<&List> {
        self.newest.as_ref()
    }

    /// All segments ever listed.
    pub fn listed(&self) -> &BTreeMap<u64, Listed> {
        &self.listed
    }

    /// Lists taken.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// An answer that was held came at `now`: until shortly before there was nothing new.
    pub fn waited(&mut self, now: Duration) {
        self.parts.waited(now);
    }

    /// Distinct lists seen.
    pub fn versions(&self) -> u64 {
        self.versions
    }

    /// The longest time between two new segments, as the looks showed it.
    pub fn longest_gap(&self) -> Duration {
        self.longest_gap
    }

    /// The server could not be reached (a restart that the test made): times and leavings across it are not judged,
    /// numbers are.
    pub fn outage(&mut self) {
        self.outage = true;
        self.advanced = None;
        self.last_look = None;
        self.overdue = false;
        self.parts.outage();
    }

    /// The longest time between two new parts, as the looks showed it.
    pub fn longest_part_gap(&self) -> Duration {
        self.parts.longest_gap()
    }

    /// Takes a look's list; gives the segments that are new.
    pub fn see(&mut self, now: Duration, list: List) -> Vec<Entry> {
        let place = format!("{} at {:.1} s", self.place, now.as_secs_f64());
        self.findings.set_time(now);
        if self.first.is_none() {
            self.on_demand = list.ended;
        }
        self.alone(&list, &place);
        lowlatency::alone(&list, &place, &mut self.findings);
        self.ranges.see(&list, &place, &mut self.findings);
        if let Some(first) = self.first.take() {
            self.constants(&first, &list, &place);
            self.first = Some(first);
        } else {
            if list.discontinuity_sequence.is_none() && !self.on_demand {
                self.findings.violation("M7", &place, "the first list has no DISCONTINUITY-SEQUENCE");
            }
            self.first = Some(list.clone());
        }
        let before = self.newest.take();
        self.looks += 1;
        if before.as_ref() != Some(&list) {
            self.versions += 1;
        }
        if let Some(before) = &before {
            self.follows(before, &list, &place);
            self.leavings(now, before, &list, &place);
        }
        let fresh = self.entries(now, &list, &place);
        self.parts.see(now, &list, &place, &mut self.findings);
        self.updates(now, &list, !fresh.is_empty(), before.is_none(), &place);
        self.outage = false;
        self.newest = Some(list);
        fresh
    }

    /// Rules of one list by itself.
    fn alone(&mut self, list: &List, place: &str) {
        let target = list.target.unwrap_or(u64::MAX);
        let found = &mut self.findings;
        for e in &list.entries {
            let at = format!("{place}, segment {}", e.msn);
            if (e.micros + 500_000) / 1_000_000 > i64::try_from(target).unwrap_or(i64::MAX) {
                found.violation(
                    "M2",
                    &at,
                    format!("EXTINF {:.5} over TARGETDURATION {target}", e.micros as f64 / 1e6),
                );
            }
            if e.micros <= 0 {
                found.violation("M2", &at, "EXTINF is 0");
            }
            if e.discontinuity && e.date.is_none() && !self.on_demand {
                found.violation("M17", &at, "DISCONTINUITY without PROGRAM-DATE-TIME");
            }
        }
        if !self.on_demand && !list.entries.is_empty() && list.entries.iter().all(|e| e.date.is_none()) {
            found.violation("M15", place, "no PROGRAM-DATE-TIME in the list");
        }
        if let Some(kind) = &list.kind
            && kind == "VOD"
            && !list.ended
        {
            found.violation("M18", place, "PLAYLIST-TYPE:VOD without ENDLIST");
        }
        if let Some(start) = list.start
            && start < 0.0
            && !list.ended
            && -start < 3.0 * target as f64
        {
            found.violation(
                "M25",
                place,
                format!("START {start} is within three target durations of the end"),
            );
        }
    }

    fn constants(&mut self, first: &List, list: &List, place: &str) {
        let found = &mut self.findings;
        if first.target != list.target {
            let text = format!("TARGETDURATION {:?}, first {:?}", list.target, first.target);
            found.violation("M1", place, text);
        }
        if first.server_control != list.server_control {
            found.violation("M26", place, "SERVER-CONTROL changed");
        }
        if first.kind != list.kind {
            let text = format!("PLAYLIST-TYPE {:?}, first {:?}", list.kind, first.kind);
            found.violation("M18", place, text);
        }
        if first.discontinuity_sequence.is_some() && list.discontinuity_sequence.is_none() {
            found.violation("M7", place, "DISCONTINUITY-SEQUENCE is gone");
        }
    }

    fn follows(&mut self, before: &List, list: &List, place: &str) {
        let found = &mut self.findings;
        if list.first_msn < before.first_msn {
            let text = format!("MEDIA-SEQUENCE fell from {} to {}", before.first_msn, list.first_msn);
            found.violation("M4", place, text);
        }
        let number = |l: &List| l.discontinuity_sequence.unwrap_or(0);
        if number(list) < number(before) {
            let text = format!("DISCONTINUITY-SEQUENCE fell from {} to {}", number(before), number(list));
            found.violation("M6", place, text);
        }
        if let (Some(last), Some(high)) = (list.last_msn(), self.highest_msn)
            && last < high
        {
            let text = format!("the list ends at {last}, a list before had {high}");
            found.violation(if self.outage { "M4" } else { "M12" }, place, text);
        }
        if before.ended
            && (list.entries.len() != before.entries.len()
                || list.last_msn() != before.last_msn()
                || !list.ended)
        {
            found.violation("M24", place, "the list goes on behind its ENDLIST");
        }
    }

    fn leavings(&mut self, now: Duration, before: &List, list: &List, place: &str) {
        let mut gone = Vec::new();
        for entry in before.entries.iter().filter(|e| !list.entries.iter().any(|n| n.msn == e.msn)) {
            if let Some(listed) = self.listed.get_mut(&entry.msn) {
                listed.removed.get_or_insert(now);
            }
            gone.push(entry.msn);
        }
        if gone.is_empty() {
            return;
        }
        if let Some(kind) = &list.kind {
            let text = format!("segments {gone:?} left a list of PLAYLIST-TYPE:{kind}");
            self.findings.violation("M18", place, text);
        }
        if self.outage || list.ended {
            return;
        }
        let left = list.micros();
        let target = i64::try_from(list.target.unwrap_or(0)).unwrap_or(0);
        if left < 3 * target * 1_000_000 {
            let text = format!("segments {gone:?} left, {:.3} s remain of 3 × {target} s", left as f64 / 1e6);
            self.findings.violation("M12", place, text);
        }
        if list.entries.len() < 6 {
            let text = format!("segments {gone:?} left, {} remain", list.entries.len());
            self.findings.violation("M22", place, text);
        }
    }

    fn entries(&mut self, now: Duration, list: &List, place: &str) -> Vec<Entry> {
        let mut fresh = Vec::new();
        let whole = list.micros();
        for entry in &list.entries {
            if let Some(known) = self.listed.get_mut(&entry.msn) {
                known.longest_micros = known.longest_micros.max(whole);
                let old = &known.entry;
                let at = format!("{place}, segment {}", entry.msn);
                if old.range != entry.range {
                    let text = format!("byte range {:?} was {:?}", entry.range, old.range);
                    self.findings.violation("M5", &at, text);
                }
                if old.uri != entry.uri {
                    self.findings.violation("M5", &at, format!("URI {} was {}", entry.uri, old.uri));
                }
                if old.micros != entry.micros {
                    self.findings.violation(
                        "M5",
                        &at,
                        format!("EXTINF {} µs was {}", entry.micros, old.micros),
                    );
                }
                if old.discontinuity_number != entry.discontinuity_number {
                    let text =
                        format!("number {} was {}", entry.discontinuity_number, old.discontinuity_number);
                    self.findings.violation("M6", &at, text);
                }
                if old.gap != entry.gap {
                    self.findings.violation("M23", &at, "GAP came or went");
                }
                if old.date.is_some() && entry.date.is_some() && old.date != entry.date {
                    self.findings.violation("M16", &at, "PROGRAM-DATE-TIME changed");
                }
                if old.key != entry.key {
                    self.findings.violation("M28", &at, "the KEY in force changed");
                }
                continue;
            }
            if self.highest_msn.is_some_and(|h| entry.msn <= h) && !self.outage {
                let text = format!("segment {} is listed after {:?}", entry.msn, self.highest_msn);
                self.findings.violation("M12", place, text);
            }
            if entry.discontinuity_number < self.highest_number {
                let text = format!(
                    "segment {}: number {} after {}",
                    entry.msn, entry.discontinuity_number, self.highest_number
                );
                self.findings.violation("M6", place, text);
            }
            self.highest_number = self.highest_number.max(entry.discontinuity_number);
            self.highest_msn = Some(self.highest_msn.map_or(entry.msn, |h| h.max(entry.msn)));
            let listed =
                Listed { entry: entry.clone(), first_seen: now, longest_micros: whole, removed: None };
            self.listed.insert(entry.msn, listed);
            fresh.push(entry.clone());
        }
        fresh
    }

    /// M11. A look without a new segment proves the time since the last one; a look with one bounds it from above.
    fn updates(&mut self, now: Duration, list: &List, advanced: bool, opening: bool, place: &str) {
        let limit = Duration::from_secs(list.target.unwrap_or(0)) * 3 / 2;
        if let Some(last) = self.advanced {
            // A first list may be any age: its newest segment is only known to be listed by then.
            let gap = now - last;
            if advanced {
                self.longest_gap = self.longest_gap.max(gap);
            }
            let proven = if advanced { self.last_look.unwrap_or(last).saturating_sub(last) } else { gap };
            if proven > limit && !self.overdue && !list.ended {
                self.overdue = true;
                let text = format!(
                    "no new segment for {:.2} s, limit {:.2} s",
                    proven.as_secs_f64(),
                    limit.as_secs_f64()
                );
                self.findings.violation("M11", place, text);
            }
        }
        if advanced || opening {
            self.advanced = Some(now);
            self.overdue = false;
        }
        self.last_look = Some(now);
    }
}
