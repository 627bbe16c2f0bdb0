//! How late a stream's encoder is: not how much it has before it, which grows with every burst of a publisher, but how
//! far it is from where it could be expected to be.

use std::time::Instant;

use media::{MediaSpan, MediaTime};

/// Content a second that is expected of an encoder that has a backlog: a burst is worked off within a while.
const EXPECTED: f64 = 1.2;
/// How far behind an encoder is when all is well, at most: it looks ahead.
const MOST_NORMAL: MediaSpan = MediaSpan::from_millis(2000);
/// … and at least.
const LEAST_NORMAL: MediaSpan = MediaSpan::from_millis(200);

/// See the module.
#[derive(Debug)]
pub(crate) struct Lateness {
    /// Up to where the encoder should have come: the source's end, reached at no more than [`EXPECTED`].
    due: MediaTime,
    at: Instant,
    /// The least that it was behind so far.
    normal: MediaSpan,
    /// Against that; less than zero when it is less behind.
    late: MediaSpan,
}

impl Lateness {
    /// An encoder begins with what comes at `start`.
    pub(crate) fn new(now: Instant, start: MediaTime) -> Self {
        Self { due: start, at: now, normal: MOST_NORMAL, late: -MOST_NORMAL }
    }

    /// It starts over at `start`: what it had made since is not expected of it at once.
    pub(crate) fn restart(&mut self, now: Instant, start: MediaTime) {
        (self.due, self.at, self.late) = (start, now, -self.normal);
    }

    /// The source has come to `end`, and what is encoded to `made`.
    pub(crate) fn see(&mut self, now: Instant, end: MediaTime, made: MediaTime) {
        let passed = now.saturating_duration_since(self.at).mul_f64(EXPECTED);
        self.at = now;
        self.due = (self.due + MediaSpan::from(passed)).min(end);
        if end - made < self.normal && self.due == end {
            self.normal = (end - made).max(LEAST_NORMAL);
        }
        self.late = self.due - made - self.normal;
    }

    /// How much later it is than it should be; zero when all is well.
    pub(crate) fn late(&self) -> MediaSpan {
        self.late.max(MediaSpan::ZERO)
    }

    /// The same, and less than zero where it is less behind than is normal: what tells that it loses ground before it is late.
    pub(crate) fn against_normal(&self) -> MediaSpan {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Seconds of wall time, of the source's end, of what is made ─▶ late, in tenths.
    #[track_caller]
    fn check(steps: &[(f64, f64, f64, i64)]) {
        let start = Instant::now();
        let at = |seconds: f64| MediaTime::from_ticks((seconds * 90_000.0) as i64);
        let mut lateness = Lateness::new(start, at(0.0));
        for (nth, (wall, end, made, want)) in steps.iter().enumerate() {
            lateness.see(start + Duration::from_secs_f64(*wall), at(*end), at(*made));
            assert_eq!(lateness.late().millis() / 100, *want, "step {nth}");
        }
    }

    #[test]
    fn lateness_is_what_the_encoder_lost() {
        // keeps up, half a second behind; then stands still
        check(&[(1.0, 1.0, 0.5, 0), (5.0, 5.0, 4.5, 0), (6.0, 6.0, 4.5, 10), (8.0, 8.0, 4.5, 30)]);
    }

    #[test]
    fn a_burst_is_no_lateness_as_long_as_it_is_worked_off() {
        check(&[(1.0, 1.0, 0.5, 0), (1.1, 9.0, 0.6, 0), (4.0, 12.0, 5.0, 0), (8.0, 16.0, 9.6, 0)]);
        check(&[(1.0, 1.0, 0.5, 0), (1.1, 9.0, 0.6, 0), (6.0, 14.0, 2.95, 35)]);
    }

    #[test]
    fn a_time_without_encoders_leaves_no_slack() {
        let start = Instant::now();
        let at = |seconds: i64| MediaTime::from_ticks(seconds * 90_000);
        let mut lateness = Lateness::new(start, at(0));
        for second in 1..60 {
            lateness.restart(start + Duration::from_secs(second as u64), at(second));
        }
        lateness.see(start + Duration::from_secs(69), at(69), at(60));
        assert_eq!(lateness.late().millis(), 7000);
    }

    #[test]
    fn a_new_start_has_time() {
        let start = Instant::now();
        let at = |seconds: i64| MediaTime::from_ticks(seconds * 90_000);
        let mut lateness = Lateness::new(start, at(0));
        lateness.see(start + Duration::from_secs(10), at(10), at(3));
        assert_eq!(lateness.late().millis(), 5000);
        lateness.restart(start + Duration::from_secs(10), at(2));
        lateness.see(start + Duration::from_secs(15), at(15), at(2));
        assert!((3990..=4000).contains(&lateness.late().millis()), "{:?}", lateness.late());
    }
}
