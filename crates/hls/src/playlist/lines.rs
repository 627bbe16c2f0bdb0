//! Lines of playlists, and the forms of what stands in them.

use std::fmt::{self, Display, Write};

use media::{MediaSpan, TICKS_PER_SECOND};

/// A list in the making.
pub(super) struct Lines(String);

impl Lines {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    pub(super) fn put(&mut self, line: fmt::Arguments<'_>) {
        self.0.write_fmt(line).and_then(|()| self.0.write_char('\n')).expect("a String takes every write");
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A span, or nothing.
pub(super) struct Optional(pub(super) Option<MediaSpan>);

impl Display for Optional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |span| Seconds(span).fmt(f))
    }
}

/// Seconds with five decimals, rounded down: a part is never longer than PART-TARGET says (§4.4.4.9).
pub(super) struct Shorter(pub(super) MediaSpan);

impl Display for Shorter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNIT: i128 = 100_000;
        let units = i128::from(self.0.ticks().max(0)) * UNIT / i128::from(TICKS_PER_SECOND);
        write!(f, "{}.{:05}", units / UNIT, units % UNIT)
    }
}

/// Seconds with five decimals, rounded from ticks in integers.
pub(super) struct Seconds(pub(super) MediaSpan);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNIT: i128 = 100_000;
        let second = i128::from(TICKS_PER_SECOND);
        let rounded = (i128::from(self.0.ticks().max(0)) * UNIT * 2 + second) / (2 * second);
        write!(f, "{}.{:05}", rounded / UNIT, rounded % UNIT)
    }
}

/// Microseconds since 1970 as ISO 8601 in UTC with milliseconds, rounded down; an instant outside the calendar is shown
/// as 1970.
pub(super) struct DateTime(pub(super) i64);

impl Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.div_euclid(1000) * 1000;
        write!(f, "{:.3}", jiff::Timestamp::from_microsecond(micros).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_795_348_800_000_000; // 2026-11-22T12:00:00Z

    #[test]
    fn dates_are_rounded_down_to_milliseconds() {
        for (micros, want) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_999, "1970-01-01T00:00:00.001Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (NOON + 999_999, "2026-11-22T12:00:00.999Z"),
            (i64::MAX, "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(DateTime(micros).to_string(), want);
        }
    }
}
