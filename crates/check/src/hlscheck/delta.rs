//! Delta updates (§6.2.5.1): put together with the list before, and held against the whole list.

use super::list::{DateRange, Entry, List};
use crate::report::Findings;

/// Puts a delta update together with an older whole list.
///
/// # Errors
/// When the older list does not hold what the update skips.
pub fn merge(old: &List, delta: &List) -> Result<List, String> {
    let mut whole = delta.clone();
    let Some(skip) = whole.skip.take() else { return Ok(whole) };
    let kept_from = delta.first_msn.saturating_add(skip.segments);
    let skipped: Vec<Entry> =
        old.entries.iter().filter(|e| e.msn >= delta.first_msn && e.msn < kept_from).cloned().collect();
    if skipped.len() as u64 != skip.segments {
        let text = format!(
            "skips {} segments from {} on, of which the list before has {}",
            skip.segments,
            delta.first_msn,
            skipped.len()
        );
        return Err(text);
    }
    let mut number = delta.discontinuity_sequence.unwrap_or(0);
    let last = skipped.last().cloned();
    whole.entries = skipped.into_iter().chain(delta.entries.iter().cloned()).collect();
    for entry in &mut whole.entries {
        number += u64::from(entry.discontinuity);
        entry.discontinuity_number = number;
        if let Some(last) = last.as_ref().filter(|_| entry.msn >= kept_from) {
            // Tags in force need not be said again.
            entry.map = entry.map.take().or_else(|| last.map.clone());
            entry.key = entry.key.take().or_else(|| last.key.clone());
            entry.bitrate = entry.bitrate.or(last.bitrate);
        }
    }
    if let Some(open) = &mut whole.open {
        open.map = open.map.take().or_else(|| last.and_then(|l| l.map));
    }
    let removed = skip.removed.unwrap_or_default();
    let mut ranges: Vec<DateRange> = old
        .dateranges
        .iter()
        .filter(|r| !removed.contains(&r.id) && !delta.dateranges.contains(r))
        .cloned()
        .collect();
    ranges.append(&mut whole.dateranges);
    whole.dateranges = ranges;
    Ok(whole)
}

/// Rules of a delta update beside the whole list that was to be had at about the same time.
///
/// `asked_dateranges`: the request said `v2`.
pub fn compare(merged: &List, delta: &List, full: &List, place: &str, found: &mut Findings) {
    for a in &merged.entries {
        let Some(b) = full.entries.iter().find(|b| b.msn == a.msn) else { continue };
        let at = format!("{place}, segment {}", a.msn);
        let mut differs = |what: &str, detail: String| {
            found.violation("ll.delta-merge", &at, format!("{what} {detail}"));
        };
        if (a.uri.as_str(), a.micros, a.range) != (b.uri.as_str(), b.micros, b.range) {
            differs(
                "segment",
                format!("{} {} µs, in the whole list {} {} µs", a.uri, a.micros, b.uri, b.micros),
            );
        }
        if a.discontinuity_number != b.discontinuity_number {
            differs(
                "discontinuity number",
                format!("{} and {}", a.discontinuity_number, b.discontinuity_number),
            );
        }
        if a.map != b.map || a.key != b.key || a.gap != b.gap {
            differs("MAP, KEY or GAP", "differ".into());
        }
        if a.date.is_some() && b.date.is_some() && a.date != b.date {
            differs("date", format!("{:?} and {:?}", a.date, b.date));
        }
    }
    let same_moment = merged.first_msn == full.first_msn
        && merged.last_msn() == full.last_msn()
        && merged.last_part() == full.last_part();
    if same_moment {
        let ids = |list: &List| {
            let mut ids: Vec<_> = list.dateranges.iter().map(|r| r.id.clone()).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        if ids(merged) != ids(full) {
            found.violation(
                "ll.delta-merge",
                place,
                format!("DATERANGEs {:?} and {:?}", ids(merged), ids(full)),
            );
        }
    }
    let kept: i64 = delta.entries.iter().map(|e| e.micros).sum();
    if let Some(until) = full.control.can_skip_until
        && kept < until
    {
        let text = format!(
            "keeps {:.3} s of segments, CAN-SKIP-UNTIL is {:.3}",
            kept as f64 / 1e6,
            until as f64 / 1e6
        );
        found.violation("ll.delta-boundary", place, text);
    }
    if merged.version < 9 {
        found.violation("file.version", place, format!("a delta update of version {}", merged.version));
    }
    for (what, differ) in [
        ("TARGETDURATION", merged.target != full.target),
        ("SERVER-CONTROL", merged.server_control != full.server_control),
        ("PART-TARGET", merged.part_target != full.part_target),
    ] {
        if differ {
            found.violation("ll.delta-merge", place, format!("{what} is not that of the whole list"));
        }
    }
}

/// Whether there is something to skip: a segment ends further than CAN-SKIP-UNTIL from the end.
pub fn skippable(list: &List) -> u64 {
    let Some(until) = list.control.can_skip_until.filter(|_| !list.ended) else { return 0 };
    let mut behind = 0;
    let mut count = 0;
    for entry in list.entries.iter().rev() {
        if behind > until {
            count += 1;
        }
        behind += entry.micros;
    }
    count
}
