//! Percentiles.

use std::fmt;

/// Times, in microseconds.
#[derive(Default)]
pub(crate) struct Times(Vec<u32>);

impl Times {
    pub(crate) fn add(&mut self, micros: u32) {
        self.0.push(micros);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that `share` of all do not exceed, in milliseconds.
    pub(crate) fn at(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let place = ((self.0.len() as f64 * share).ceil() as usize).clamp(1, self.0.len().max(1)) - 1;
        self.0.get(place).map_or(f64::NAN, |micros| f64::from(*micros) / 1000.0)
    }
}

/// `p50 … p99 … max …` in milliseconds.
pub(crate) struct Shown(f64, f64, f64);

impl From<&mut Times> for Shown {
    fn from(times: &mut Times) -> Self {
        Self(times.at(0.5), times.at(0.99), times.at(1.0))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", self.0, self.1, self.2)
    }
}
