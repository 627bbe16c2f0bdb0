//! Two encoders with the same key would take a stream from each other for ever, each reconnecting as it loses. After
//! [`TAKEOVERS`] takeovers within [`WITHIN`] whoever has the stream keeps it, and others are refused with words until
//! [`PEACE`] has passed. OBS stops at such a refusal and shows it to its user, which ends the fight; an encoder that keeps
//! trying causes at most [`TAKEOVERS`] takeovers between two times of peace.
//!
//! Only taking over from a publisher that is sending counts. An encoder that comes back while its old connection is dead
//! but not yet noticed, as on a mobile link, is never made to wait.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Takeovers of one stream that are let happen…
pub(crate) const TAKEOVERS: usize = 4;
/// … within this time.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);
/// How long nobody takes the stream over then.
pub(crate) const PEACE: Duration = Duration::from_secs(30);

/// The takeovers of one stream.
#[derive(Debug, Default)]
pub(crate) struct Fights {
    recent: VecDeque<Instant>,
    peace_until: Option<Instant>,
}

impl Fights {
    /// Whether the stream may be taken from a publisher that is sending, at `now`.
    ///
    /// # Errors
    /// With the time until it may.
    pub(crate) fn take_over(&mut self, now: Instant) -> Result<(), Duration> {
        if let Some(left) = self.peace_until.and_then(|until| until.checked_duration_since(now))
            && !left.is_zero()
        {
            return Err(left);
        }
        self.peace_until = None;
        while self.recent.front().is_some_and(|at| now.saturating_duration_since(*at) >= WITHIN) {
            self.recent.pop_front();
        }
        if self.recent.len() >= TAKEOVERS {
            self.recent.clear();
            self.peace_until = Some(now + PEACE);
            return Err(PEACE);
        }
        self.recent.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fight_ends_in_peace_for_a_while() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut fights = Fights::default();
        for second in [0, 2, 4, 6] {
            assert_eq!(fights.take_over(at(second)), Ok(()));
        }
        assert_eq!(fights.take_over(at(8)), Err(PEACE));
        // Trying again and again neither shortens nor prolongs it.
        for second in 9..38 {
            assert_eq!(fights.take_over(at(second)), Err(Duration::from_secs(38 - second)));
        }
        assert_eq!(fights.take_over(at(38)), Ok(()));
    }

    #[test]
    fn takeovers_now_and_then_are_no_fight() {
        let start = Instant::now();
        let mut fights = Fights::default();
        for turn in 0..100 {
            assert_eq!(fights.take_over(start + Duration::from_secs(turn * 20)), Ok(()));
        }
    }
}
