//! One clock for a stream: 90 kHz ticks, signed, 64 bits (design D1).
//!
//! RTMP milliseconds (× 90) and PES ticks are both exact on it. Wire values are unwrapped once, at the edge, by
//! [`crate::Timeline`], and wrapped again once, to 33 bits, in the TS muxer.

use std::{
    fmt,
    ops::{Add, AddAssign, Neg, Sub},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Ticks in one second: the PES clock of ISO/IEC 13818-1 §2.4.3.7.
pub const TICKS_PER_SECOND: i64 = 90_000;
/// Ticks in one RTMP millisecond.
pub const TICKS_PER_MILLI: i64 = 90;

/// An instant on one stream's timeline, in 90 kHz ticks. Two instants do not add.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct MediaTime(i64);

/// A length of media time, in 90 kHz ticks; may be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct MediaSpan(i64);

impl MediaTime {
    /// The start of the timeline.
    pub const ZERO: Self = Self(0);

    /// The instant `ticks` after the start.
    pub const fn from_ticks(ticks: i64) -> Self {
        Self(ticks)
    }

    /// Ticks since the start of the timeline.
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// Seconds since the start, for logs and metrics only: arithmetic stays in ticks.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / TICKS_PER_SECOND as f64
    }
}

impl MediaSpan {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of `ticks`.
    pub const fn from_ticks(ticks: i64) -> Self {
        Self(ticks)
    }

    /// A span of whole milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * TICKS_PER_MILLI)
    }

    /// The duration of `count` samples at `rate` samples a second, rounded to the nearest tick. A `rate` of 0 gives 0.
    pub fn from_samples(count: u64, rate: u32) -> Self {
        if rate == 0 {
            return Self::ZERO;
        }
        let ticks = (i128::from(count) * i128::from(TICKS_PER_SECOND) * 2 + i128::from(rate))
            / (2 * i128::from(rate));
        Self(i64::try_from(ticks).unwrap_or(i64::MAX))
    }

    /// The length in ticks.
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// The length in milliseconds, rounded towards zero.
    pub const fn millis(self) -> i64 {
        self.0 / TICKS_PER_MILLI
    }

    /// Seconds, for logs, metrics and rates.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / TICKS_PER_SECOND as f64
    }

    /// As a `Duration`; a negative span is zero.
    pub fn to_duration(self) -> Duration {
        Duration::from_micros(u64::try_from(self.0).unwrap_or(0).saturating_mul(100) / 9)
    }

    /// The span without its sign.
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// The span `factor` times as long.
    pub const fn times(self, factor: i64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl From<Duration> for MediaSpan {
    /// Rounded down to a tick.
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_micros() * 9 / 100).unwrap_or(i64::MAX))
    }
}

impl Sub for MediaTime {
    type Output = MediaSpan;
    fn sub(self, earlier: Self) -> MediaSpan {
        MediaSpan(self.0.saturating_sub(earlier.0))
    }
}

impl Add<MediaSpan> for MediaTime {
    type Output = Self;
    fn add(self, span: MediaSpan) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl AddAssign<MediaSpan> for MediaTime {
    fn add_assign(&mut self, span: MediaSpan) {
        *self = *self + span;
    }
}

impl Sub<MediaSpan> for MediaTime {
    type Output = Self;
    fn sub(self, span: MediaSpan) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Add for MediaSpan {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for MediaSpan {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for MediaSpan {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for MediaSpan {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl fmt::Debug for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s@{}", self.as_secs_f64(), self.0)
    }
}

impl fmt::Debug for MediaSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_rounded_to_the_nearest_tick() {
        assert_eq!(MediaSpan::from_samples(1024, 48_000).ticks(), 1920);
        assert_eq!(MediaSpan::from_samples(1024, 44_100).ticks(), 2090); // 2089.79…
        assert_eq!(MediaSpan::from_samples(44_100 * 3600, 44_100).ticks(), 3600 * TICKS_PER_SECOND);
        assert_eq!(MediaSpan::from_samples(1024, 0), MediaSpan::ZERO);
    }

    #[test]
    fn a_duration_round_trips_through_ticks() {
        assert_eq!(MediaSpan::from(Duration::from_millis(2002)).ticks(), 180_180);
        assert_eq!(MediaSpan::from_ticks(180_180).to_duration(), Duration::from_millis(2002));
        assert_eq!(MediaSpan::from_ticks(-1).to_duration(), Duration::ZERO);
    }
}
