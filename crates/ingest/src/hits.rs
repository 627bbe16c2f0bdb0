//! Limits that are hit: counted each time by the limit's name, told in the log now and then, so that no flood of peers
//! becomes a flood of lines.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// At most one line for each name in this time.
const EVERY: Duration = Duration::from_secs(10);

/// When a name was last told, and how often it was not told since.
#[derive(Debug)]
struct Told {
    at: Instant,
    silent: u64,
}

static TOLD: Mutex<Option<HashMap<&'static str, Told>>> = Mutex::new(None);

/// Counts a hit of `limit`. `Some` if it is worth a line in the log: how many before it had none.
pub(crate) fn hit(limit: &'static str) -> Option<u64> {
    count(limit, 1);
    worth_a_line(limit)
}

/// Counts `hits` of `limit` without a line.
pub(crate) fn count(limit: &'static str, hits: u64) {
    metrics::counter!("sluice_limit_hits_total", "limit" => limit).increment(hits);
}

/// Whether something called `name` is worth a line in the log now: how many of its like had none since the last. One in
/// ten seconds has. `name` is one of a few of our own, never a peer's text.
pub fn worth_a_line(name: &'static str) -> Option<u64> {
    // Names are our own and few, so the table stays small.
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    tell(told.get_or_insert_default(), name, Instant::now())
}

fn tell(told: &mut HashMap<&'static str, Told>, name: &'static str, now: Instant) -> Option<u64> {
    match told.get_mut(name) {
        Some(last) if now.saturating_duration_since(last.at) < EVERY => {
            last.silent += 1;
            None
        }
        _ => {
            let silent = told.insert(name, Told { at: now, silent: 0 }).map_or(0, |last| last.silent);
            Some(silent)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_ten_seconds_for_each_name() {
        let (mut told, start) = (HashMap::new(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(tell(&mut told, "video", at(0)), Some(0));
        assert_eq!(tell(&mut told, "video", at(1)), None);
        assert_eq!(tell(&mut told, "video", at(9)), None);
        assert_eq!(tell(&mut told, "audio", at(9)), Some(0));
        assert_eq!(tell(&mut told, "video", at(10)), Some(2));
        assert_eq!(tell(&mut told, "video", at(11)), None);
    }
}
