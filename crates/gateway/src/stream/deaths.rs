//! What an encoder's deaths say: what it is to be given next, and how long it waits before that. Pure.

use std::{collections::VecDeque, time::Duration};

use media::MediaTime;
use tokio::time::Instant;

/// Deaths in a row, without a segment finished in between, after which all that it has not made is skipped.
const DEATHS_BEFORE_SKIP: u32 = 4;
/// … and after which it is left alone for [`REST`].
const DEATHS_BEFORE_REST: u32 = 7;
/// Deaths within [`RECENTLY`] after which it rests too, however far it came: each costs the machine a start.
const MANY_DEATHS: usize = 20;
const RECENTLY: Duration = Duration::from_secs(60);
/// Pause before a stream whose encoder keeps dying tries again; until then it goes on as copy alone.
pub(super) const REST: Duration = Duration::from_secs(30);

/// What is done before a dead encoder is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// It gets the same again.
    None,
    /// It has died of the group that begins with this decoding time, twice: it is not given that again.
    LeaveOut(MediaTime),
    /// It dies wherever it begins: it goes on at the newest point there is.
    SkipAhead,
}

/// What is known of an encoder's deaths.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    /// Without a segment finished in between.
    pub(super) in_a_row: u32,
    recent: VecDeque<Instant>,
    /// The group that it died in last.
    suspect: Option<MediaTime>,
}

impl Deaths {
    /// It died at `now`, in `group` if it came to decode any. What is to be done, and how long it waits.
    pub(super) fn one_more(&mut self, now: Instant, group: Option<MediaTime>) -> (Remedy, Duration) {
        self.in_a_row += 1;
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|at| now - *at > RECENTLY) {
            self.recent.pop_front();
        }
        let poison = group.filter(|_| group == self.suspect);
        self.suspect = if poison.is_some() { None } else { group };
        if self.in_a_row >= DEATHS_BEFORE_REST || self.recent.len() > MANY_DEATHS {
            self.recent.clear();
            return (Remedy::SkipAhead, REST);
        }
        let remedy = match poison {
            Some(group) => Remedy::LeaveOut(group),
            None if self.in_a_row >= DEATHS_BEFORE_SKIP => Remedy::SkipAhead,
            None => Remedy::None,
        };
        // What is known to kill is left out: no reason to wait.
        let pause = match self.in_a_row {
            1 => Duration::ZERO,
            _ if poison.is_some() => Duration::ZERO,
            deaths => Duration::from_millis(125 << deaths.min(5)),
        };
        (remedy, pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deaths a second apart in these groups; with `progress`, a segment is finished between any two.
    fn deaths(groups: &[Option<i64>], progress: bool) -> Vec<(Remedy, Duration)> {
        let (mut deaths, start) = (Deaths::default(), Instant::now());
        let at = |nth: usize| start + Duration::from_secs(nth as u64);
        let die = |(nth, group): (usize, &Option<i64>)| {
            if progress {
                deaths.in_a_row = 0;
            }
            deaths.one_more(at(nth), group.map(MediaTime::from_ticks))
        };
        groups.iter().enumerate().map(die).collect()
    }

    #[test]
    fn a_group_that_kills_twice_is_left_out_at_once() {
        let left_out = Remedy::LeaveOut(MediaTime::from_ticks(7));
        for progress in [false, true] {
            let got = deaths(&[Some(7), Some(7), Some(9)], progress);
            assert_eq!(got[0], (Remedy::None, Duration::ZERO));
            assert_eq!(got[1], (left_out, Duration::ZERO));
            assert_eq!(got[2].0, Remedy::None, "another group is not to blame yet");
        }
    }

    #[test]
    fn now_and_then_a_death_costs_nothing_but_a_restart() {
        let groups: Vec<_> = (0..15).map(Some).collect();
        assert!(deaths(&groups, true).iter().all(|got| *got == (Remedy::None, Duration::ZERO)));
    }

    #[test]
    fn who_dies_wherever_it_begins_waits_longer_and_then_rests() {
        let got = deaths(&[Some(1), Some(2), Some(3), Some(4), Some(5), Some(6), Some(7)], false);
        assert!(got.is_sorted_by(|one, two| one.1 <= two.1), "{got:?}");
        assert_eq!(got[3].0, Remedy::SkipAhead);
        assert_eq!(got[6], (Remedy::SkipAhead, REST));
        assert_eq!(deaths(&[None; 7], false)[6].1, REST, "one that dies before it decodes anything");
    }

    #[test]
    fn a_stream_full_of_poison_does_not_start_workers_for_ever() {
        let groups: Vec<_> = (0..30).map(|nth| Some(nth / 2)).collect();
        let got = deaths(&groups, true);
        assert!(got.iter().any(|(_, pause)| *pause == REST), "{got:?}");
    }
}
