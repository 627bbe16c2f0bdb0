//! Rendition reports (§4.4.5.4): whether they are there, name lists that exist, and are as new as those lists.

use super::list::List;
use super::walk::{Role, State};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the wire and two schedulers may put between two lists of one moment.
const SLACK: Duration = Duration::from_millis(300);

/// The newest part of a rendition and when a list first showed it.
#[derive(Debug, Default)]
pub(super) struct Newest {
    seen: Vec<(Duration, (u64, u64))>,
}

impl Newest {
    /// Whether the part is newer than those before.
    pub(super) fn see(&mut self, now: Duration, part: Option<(u64, u64)>) -> bool {
        let Some(part) = part.filter(|p| self.seen.last().is_none_or(|(_, last)| p > last)) else {
            return false;
        };
        self.seen.push((now, part));
        if self.seen.len() > 100 {
            self.seen.drain(..50);
        }
        true
    }

    /// When a part of this segment was first seen, though not the very first of all.
    fn since(&self, msn: u64) -> Option<Duration> {
        let (at, _) = self.seen.iter().skip(1).find(|(_, part)| part.0 == msn)?;
        self.seen.first().is_some_and(|(_, part)| part.0 < msn).then_some(*at)
    }

    /// The newest one that was seen by then.
    fn by(&self, time: Duration) -> Option<(u64, u64)> {
        self.seen.iter().rev().find(|(at, _)| *at <= time).map(|(_, part)| *part)
    }
}

/// Reports that were ahead of what we had seen, until the list itself shows them.
#[derive(Debug, Default)]
pub(super) struct Claims {
    open: Vec<Claim>,
    /// When the first rendition began a segment.
    began: BTreeMap<u64, Duration>,
}

#[derive(Debug)]
struct Claim {
    /// Whose newest part.
    of: usize,
    part: (u64, u64),
    at: Duration,
    place: String,
}

/// Judges the reports of a list that was just seen, and those about it.
pub(super) fn see(state: &mut State, at: usize, now: Duration, list: &List) {
    let (me, url) = (&state.renditions[at], state.renditions[at].url.clone());
    let place = format!("{} at {:.1} s", me.name, now.as_secs_f64());
    let mut faults: Vec<(&'static str, String)> = Vec::new();
    let lists = || state.renditions.iter().enumerate().filter(|(_, r)| r.role != Role::IFrames);
    let mut reported = Vec::new();
    for report in &list.reports {
        let target = url.join(&report.uri).ok();
        let Some((of, other)) = lists().find(|(_, r)| target.as_ref() == Some(&r.url)) else {
            faults.push(("ll.report-uri", format!("{} is no list of the multivariant playlist", report.uri)));
            continue;
        };
        reported.push(of);
        let (Some(msn), Some(part)) = (report.msn, report.part) else { continue };
        let claimed = (msn, part);
        if let Some(known) = other.newest.by(now.saturating_sub(SLACK))
            && behind(claimed, known)
        {
            let text = format!(
                "reports {}.{} of {}, whose list had {}.{} before",
                msn, part, other.name, known.0, known.1
            );
            faults.push(("ll.report-fresh", text));
        }
        if other.newest.by(now).is_some_and(|known| claimed > known) {
            let place = format!("{place}, report of {}", other.name);
            state.claims.open.push(Claim { of, part: claimed, at: now, place });
        }
    }
    if !list.ended {
        for (n, other) in lists().filter(|(n, r)| {
            *n != at && !reported.contains(n) && r.history.newest().is_some_and(List::low_latency)
        }) {
            let _ = n;
            faults.push(("ll.report", format!("no RENDITION-REPORT of {}", other.name)));
        }
    }
    if let (Some((msn, _)), Some(target)) = (list.last_part(), list.part_target) {
        let began = *state.claims.began.entry(msn).or_insert(now);
        let target = Duration::from_micros(u64::try_from(target).unwrap_or(0));
        let first = state.renditions[at].newest.since(msn) == Some(now);
        if first && now - began > target + SLACK {
            let text =
                format!("begins segment {msn} {:.3} s after another rendition", (now - began).as_secs_f64());
            faults.push(("ll.together", text));
        }
        while state.claims.began.len() > 50 {
            state.claims.began.pop_first();
        }
    }
    let newest = list.last_part();
    let mut kept = Vec::new();
    for claim in std::mem::take(&mut state.claims.open) {
        if claim.of != at || newest.is_some_and(|newest| newest >= claim.part) {
            if claim.of != at {
                kept.push(claim);
            }
        } else if now > claim.at + SLACK {
            let text =
                format!("{}.{} was reported, its own list has {newest:?} later", claim.part.0, claim.part.1);
            state.found.violation("ll.report-fresh", claim.place, text);
        } else {
            kept.push(claim);
        }
    }
    state.claims.open = kept;
    for (rule, text) in faults {
        state.found.violation(rule, &place, text);
    }
}

/// More than one part behind.
fn behind(claimed: (u64, u64), known: (u64, u64)) -> bool {
    claimed < known
        && !(claimed.0 == known.0 && claimed.1 + 1 == known.1)
        && !(claimed.0 + 1 == known.0 && known.1 == 0)
}
