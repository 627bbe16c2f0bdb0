//! The live media playlist (RFC 8216 §4.3.2 and §4.3.3), with EXT-X-GAP of its successor.

use std::{
    fmt::{self, Display, Write},
    sync::Arc,
};

use media::{MediaSpan, TICKS_PER_SECOND};

use crate::Segment;

/// What a media playlist says. The media sequence is that of its first segment.
#[derive(Debug)]
pub struct Media<'a> {
    /// EXT-X-TARGETDURATION in seconds.
    pub target_duration: u32,
    /// EXT-X-DISCONTINUITY-SEQUENCE: the number before the first segment's own tag.
    pub discontinuity_sequence: u64,
    /// Listed segments, numbered without holes.
    pub segments: &'a [Arc<Segment>],
    /// No segment will follow.
    pub ended: bool,
}

impl Media<'_> {
    /// The text. URIs are `{number}.ts`, relative to the list.
    pub fn render(&self) -> String {
        let first = self.segments.first().map_or(0, |segment| segment.sequence.0);
        let mut out = String::with_capacity(128 + self.segments.len() * 96);
        let mut put = |line: fmt::Arguments<'_>| {
            out.write_fmt(line).and_then(|()| out.write_char('\n')).expect("a String takes every write");
        };
        put(format_args!("#EXTM3U"));
        put(format_args!("#EXT-X-VERSION:3"));
        put(format_args!("#EXT-X-TARGETDURATION:{}", self.target_duration));
        put(format_args!("#EXT-X-MEDIA-SEQUENCE:{first}"));
        put(format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.discontinuity_sequence));
        for segment in self.segments {
            if segment.discontinuity {
                put(format_args!("#EXT-X-DISCONTINUITY"));
            }
            put(format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", DateTime(segment.unix_micros)));
            if segment.gap {
                put(format_args!("#EXT-X-GAP"));
            }
            put(format_args!("#EXTINF:{},", Seconds(segment.duration)));
            put(format_args!("{}.ts", segment.sequence));
        }
        if self.ended {
            put(format_args!("#EXT-X-ENDLIST"));
        }
        out
    }
}

/// Seconds with five decimals, rounded from ticks in integers.
struct Seconds(MediaSpan);

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
struct DateTime(i64);

impl Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.div_euclid(1000) * 1000;
        write!(f, "{:.3}", jiff::Timestamp::from_microsecond(micros).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use media::{MediaSequence, MediaTime};

    use super::*;

    const NOON: i64 = 1_795_348_800_000_000; // 2026-11-22T12:00:00Z

    fn segment(sequence: u64, ticks: i64, flags: &str) -> Arc<Segment> {
        Arc::new(Segment {
            sequence: MediaSequence(sequence),
            start: MediaTime::ZERO,
            duration: MediaSpan::from_ticks(ticks),
            discontinuity: flags.contains('d'),
            gap: flags.contains('g'),
            unix_micros: NOON + sequence as i64 * 2_000_000,
            ..Segment::default()
        })
    }

    #[track_caller]
    fn check(discontinuity_sequence: u64, segments: &[Arc<Segment>], ended: bool, want: &str) {
        let text = Media { target_duration: 2, discontinuity_sequence, segments, ended }.render();
        assert_eq!(text, want);
        let (rest, read) = m3u8_rs::parse_media_playlist(text.as_bytes()).unwrap();
        assert_eq!((rest.len(), read.segments.len(), read.end_list), (0, segments.len(), ended));
    }

    #[test]
    fn a_plain_live_list() {
        check(
            0,
            &[segment(0, 180_180, ""), segment(1, 180_000, "")],
            false,
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:0\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:00.000Z\n#EXTINF:2.00200,\n0.ts\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:02.000Z\n#EXTINF:2.00000,\n1.ts\n",
        );
    }

    #[test]
    fn a_discontinuity_a_gap_and_the_end() {
        check(
            4,
            &[segment(7, 150_150, ""), segment(8, 180_000, "dg"), segment(9, 1, "d")],
            true,
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:4\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:14.000Z\n#EXTINF:1.66833,\n7.ts\n\
             #EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:16.000Z\n#EXT-X-GAP\n\
             #EXTINF:2.00000,\n8.ts\n\
             #EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:18.000Z\n#EXTINF:0.00001,\n9.ts\n\
             #EXT-X-ENDLIST\n",
        );
    }

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
