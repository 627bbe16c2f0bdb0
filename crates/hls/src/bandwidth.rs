//! What a rendition's segments really weigh, by the definitions of RFC 8216 §4.1: the peak segment bit rate is the
//! largest rate of any contiguous run of segments that lasts between 0.5 and 1.5 target durations (and half a second
//! more, as its successor has it); the average is all bits over all time. Both count container overhead, neither HTTP.

use std::collections::VecDeque;

use media::{MediaSpan, TICKS_PER_SECOND};

/// Counts segments in order.
#[derive(Debug)]
pub struct Meter {
    shortest_run: i64,
    longest_run: i64,
    /// (bytes, ticks) of the newest segments without a hole between them, newest last; never above one longest run.
    recent: VecDeque<(u64, i64)>,
    recent_ticks: i64,
    peak_bps: u64,
    total_bytes: u64,
    total_ticks: i64,
}

impl Meter {
    /// A meter that has counted nothing; runs are reckoned in target durations of so many seconds.
    pub fn new(target_duration: u32) -> Self {
        let target = i64::from(target_duration) * TICKS_PER_SECOND;
        Self {
            shortest_run: target / 2,
            longest_run: target * 3 / 2 + TICKS_PER_SECOND / 2,
            recent: VecDeque::new(),
            recent_ticks: 0,
            peak_bps: 0,
            total_bytes: 0,
            total_ticks: 0,
        }
    }

    /// Counts a segment that follows the one before it.
    pub fn add(&mut self, bytes: u64, duration: MediaSpan) {
        let ticks = duration.ticks().max(1);
        self.total_bytes += bytes;
        self.total_ticks += ticks;
        self.recent.push_back((bytes, ticks));
        self.recent_ticks += ticks;
        while self.recent_ticks > self.longest_run && self.recent.len() > 1 {
            self.recent_ticks -= self.recent.pop_front().map_or(0, |(_, ticks)| ticks);
        }
        let (mut run_bytes, mut run_ticks) = (0, 0);
        for (bytes, ticks) in self.recent.iter().rev() {
            run_bytes += bytes;
            run_ticks += ticks;
            if run_ticks >= self.shortest_run {
                self.peak_bps = self.peak_bps.max(rate(run_bytes, run_ticks));
            }
        }
    }

    /// A hole: runs do not reach over it.
    pub fn hole(&mut self) {
        self.recent.clear();
        self.recent_ticks = 0;
    }

    /// Largest rate seen, in bits a second; 0 before the first run.
    pub fn peak_bps(&self) -> u64 {
        self.peak_bps
    }

    /// All bits over all time; 0 before the first segment.
    pub fn average_bps(&self) -> u64 {
        rate(self.total_bytes, self.total_ticks)
    }
}

fn rate(bytes: u64, ticks: i64) -> u64 {
    let Ok(ticks @ 1..) = u128::try_from(ticks) else { return 0 };
    u64::try_from((u128::from(bytes) * 8 * TICKS_PER_SECOND as u128).div_ceil(ticks)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: u32, segments: &[(u64, i64)], peak: u64, average: u64) {
        let mut meter = Meter::new(target);
        for (bytes, millis) in segments {
            match bytes {
                0 => meter.hole(),
                _ => meter.add(*bytes, MediaSpan::from_millis(*millis)),
            }
        }
        assert_eq!((meter.peak_bps(), meter.average_bps()), (peak, average), "{segments:?}");
    }

    #[test]
    fn peaks_follow_the_definition() {
        check(2, &[], 0, 0);
        check(2, &[(250_000, 2000)], 1_000_000, 1_000_000);
        // a segment below half a target counts only together with its neighbour
        check(2, &[(100_000, 500)], 0, 1_600_000);
        check(2, &[(250_000, 2000), (100_000, 500)], 1_120_000, 1_120_000);
        // one of two seconds with one of 1.5: half a second over 1.5 targets still counts
        check(2, &[(260_000, 2600), (200_000, 900)], 1_051_429, 1_051_429);
        // two of two seconds are longer than that: each stands alone
        check(2, &[(250_000, 2000), (500_000, 2000)], 2_000_000, 1_500_000);
        // a hole cuts the run
        check(2, &[(100_000, 500), (0, 2000), (100_000, 500)], 0, 1_600_000);
        // one that is too long for any run still counts by itself
        check(2, &[(1_000_000, 8000)], 1_000_000, 1_000_000);
    }
}
