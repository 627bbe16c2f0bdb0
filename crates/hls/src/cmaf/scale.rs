//! A track's clock in files: counted in the track's timescale, from ten seconds before the stream's zero.

use media::{MediaTime, TICKS_PER_SECOND};

use crate::ts::TIME_BASE;

/// Units a second of one track's file clock; above 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scale(u32);

impl Scale {
    pub(super) fn new(timescale: u32) -> Self {
        Self(timescale.max(1))
    }

    pub(super) fn get(self) -> u32 {
        self.0
    }

    /// The instant in files, rounded to the nearest unit.
    pub(super) fn units(self, at: MediaTime) -> i64 {
        self.length((at + TIME_BASE).ticks())
    }

    /// A number of ticks in units, rounded to the nearest.
    pub(super) fn length(self, ticks: i64) -> i64 {
        scaled(ticks, self.0.into(), TICKS_PER_SECOND)
    }

    /// The instant on the stream's timeline, rounded to the nearest tick.
    pub(super) fn time(self, units: i64) -> MediaTime {
        MediaTime::from_ticks(scaled(units, TICKS_PER_SECOND, self.0.into())) - TIME_BASE
    }
}

/// `value · by / to`, rounded to the nearest.
fn scaled(value: i64, by: i64, to: i64) -> i64 {
    if by == to {
        return value;
    }
    let (value, by, to) = (i128::from(value), i128::from(by), i128::from(to));
    let rounded = (2 * value * by + to).div_euclid(2 * to);
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive_both_ways() {
        for rate in [7_350, 44_100, 48_000, 90_000] {
            let scale = Scale::new(rate);
            for nth in (0..1_000_000i64).step_by(1024) {
                assert_eq!(scale.units(scale.time(nth)), nth, "{rate}");
            }
        }
        assert_eq!(Scale::new(48_000).units(MediaTime::ZERO), 480_000);
        assert_eq!(Scale::new(48_000).units(MediaTime::from_ticks(-900_000)), 0);
        assert_eq!(Scale::new(1).units(MediaTime::from_ticks(i64::MAX)), i64::MAX / 90_000 + 1);
    }
}
