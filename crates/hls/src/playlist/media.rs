//! Media playlists (RFC 8216 §4.3.2 and §4.3.3; low latency and EXT-X-GAP by draft-pantos-hls-rfc8216bis): transport
//! streams, fragmented MP4, parts and delta updates.

use std::sync::Arc;

use media::{MediaSequence, MediaSpan, TICKS_PER_SECOND};

use super::lines::{DateTime, Lines, Optional, Seconds, Shorter};
use crate::{Init, Part, Segment, lowlatency::Skip, snapshot::OpenSegment};

/// What a media playlist says. The media sequence is that of its first segment.
#[derive(Clone, Copy, Debug)]
pub struct Media<'a> {
    /// EXT-X-TARGETDURATION in seconds.
    pub target_duration: u32,
    /// EXT-X-DISCONTINUITY-SEQUENCE: the number before the first segment's own tag.
    pub discontinuity_sequence: u64,
    /// Listed segments, numbered without holes.
    pub segments: &'a [Arc<Segment>],
    /// No segment will follow.
    pub ended: bool,
    /// The list is one of fragmented MP4 in parts.
    pub low_latency: Option<LowLatency<'a>>,
}

/// What a list in low latency says besides.
#[derive(Clone, Copy, Debug)]
pub struct LowLatency<'a> {
    /// PART-TARGET; never changes. Players stay three of them behind the end (PART-HOLD-BACK).
    pub part_target: MediaSpan,
    /// CAN-SKIP-UNTIL, where delta updates are offered; six target durations at least, never changes.
    pub skip_until: Option<MediaSpan>,
    /// The segment that has begun; its number follows the last one listed.
    pub open: Option<&'a OpenSegment>,
    /// The number of the segment to come where nothing is listed and nothing is open.
    pub next: MediaSequence,
    /// How far the presentation's other lists are.
    pub reports: &'a [Report],
}

/// EXT-X-RENDITION-REPORT.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The other list, relative to this one: the very address that the multivariant playlist leads to.
    pub uri: String,
    /// LAST-MSN: the segment that its newest part belongs to.
    pub sequence: MediaSequence,
    /// LAST-PART.
    pub part: Option<u32>,
}

impl Media<'_> {
    /// The text. URIs are `{number}.ts`, or `{number}.m4s`, `{number}.{part}.m4s` and the init segment's name, relative to
    /// the list.
    pub fn render(&self) -> String {
        self.text(0, None)
    }

    /// A delta update (EXT-X-SKIP); the whole list where nothing can be skipped, or no delta is offered.
    pub fn render_delta(&self, skip: Skip) -> String {
        match self.skipped() {
            0 => self.render(),
            skipped => self.text(skipped, Some(skip)),
        }
    }

    /// How many segments end further than CAN-SKIP-UNTIL from the end of the last one.
    fn skipped(&self) -> usize {
        let offered = self.low_latency.filter(|_| !self.ended).and_then(|list| list.skip_until);
        let Some(until) = offered else { return 0 };
        self.ending_within(until)
    }

    /// How many segments at the top end more than `span` before the last one's end.
    fn ending_within(&self, span: MediaSpan) -> usize {
        let mut after = MediaSpan::ZERO;
        let behind = self.segments.iter().rev().take_while(|segment| {
            let within = after <= span;
            after += segment.duration;
            within
        });
        self.segments.len() - behind.count()
    }

    /// From which segment on parts are listed: those that end in the last three target durations (§4.4.4.9).
    fn parts_from(&self) -> usize {
        let Some(list) = self.low_latency else { return self.segments.len() };
        let open = list.open.map_or(MediaSpan::ZERO, OpenSegment::duration);
        let span = MediaSpan::from_ticks(3 * i64::from(self.target_duration) * TICKS_PER_SECOND) - open;
        if span < MediaSpan::ZERO { self.segments.len() } else { self.ending_within(span) }
    }

    fn text(&self, skipped: usize, skip: Option<Skip>) -> String {
        let parts_from = self.parts_from();
        let most = 320 + (self.segments.len() - skipped) * 96 + (self.segments.len() - parts_from) * 480;
        let mut out = Lines::with_capacity(most);
        self.header(skipped, skip, &mut out);
        let mut map: Option<&Init> = None;
        for (nth, segment) in self.segments.iter().enumerate().skip(skipped) {
            beginning(
                segment.discontinuity,
                segment.init.as_deref(),
                segment.unix_micros,
                &mut map,
                &mut out,
            );
            if nth >= parts_from {
                self.parts(segment.sequence, &segment.parts, &mut out);
            }
            if segment.gap {
                out.put(format_args!("#EXT-X-GAP"));
            }
            out.put(format_args!("#EXTINF:{},", Seconds(segment.duration)));
            out.put(format_args!("{}.{}", segment.sequence, self.extension()));
        }
        if self.ended {
            out.put(format_args!("#EXT-X-ENDLIST"));
        } else if let Some(list) = &self.low_latency {
            self.ahead(list, &mut map, &mut out);
        }
        out.finish()
    }

    fn header(&self, skipped: usize, skip: Option<Skip>, out: &mut Lines) {
        let first = match (&self.low_latency, self.segments.first()) {
            (_, Some(segment)) => segment.sequence.0,
            (Some(LowLatency { open: Some(open), .. }), None) => open.opening.sequence.0,
            (Some(list), None) => list.next.0,
            (None, None) => 0,
        };
        // EXT-X-SKIP came with version 9, the skipping of dates with 10, EXT-X-MAP outside lists of I-frames with 6.
        let version = match (skip, &self.low_latency) {
            (Some(Skip::SegmentsAndDates), _) => 10,
            (Some(Skip::Segments), _) => 9,
            (None, Some(_)) => 6,
            (None, None) => 3,
        };
        out.put(format_args!("#EXTM3U"));
        out.put(format_args!("#EXT-X-VERSION:{version}"));
        out.put(format_args!("#EXT-X-TARGETDURATION:{}", self.target_duration));
        if let Some(list) = &self.low_latency {
            let target = list.part_target;
            let (until, mark) = (list.skip_until, ",CAN-SKIP-UNTIL=");
            out.put(format_args!(
                "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={}{}{}",
                Seconds(target.times(3)),
                if until.is_some() { mark } else { "" },
                Optional(until),
            ));
            out.put(format_args!("#EXT-X-PART-INF:PART-TARGET={}", Seconds(target)));
        }
        out.put(format_args!("#EXT-X-MEDIA-SEQUENCE:{first}"));
        out.put(format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.discontinuity_sequence));
        match skip {
            Some(Skip::Segments) => out.put(format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")),
            Some(Skip::SegmentsAndDates) => out
                .put(format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped},RECENTLY-REMOVED-DATERANGES=\"\"")),
            None => {}
        }
    }

    fn extension(&self) -> &'static str {
        if self.low_latency.is_some() { "m4s" } else { "ts" }
    }

    fn parts(&self, sequence: MediaSequence, parts: &[Part], out: &mut Lines) {
        for (nth, part) in parts.iter().enumerate() {
            out.put(format_args!(
                "#EXT-X-PART:DURATION={},URI=\"{sequence}.{nth}.m4s\"{}{}",
                Shorter(part.duration),
                if part.independent { ",INDEPENDENT=YES" } else { "" },
                if part.gap { ",GAP=YES" } else { "" },
            ));
        }
    }

    /// The segment that has begun, what comes next, and how far the other lists are.
    fn ahead<'a>(&self, list: &LowLatency<'a>, map: &mut Option<&'a Init>, out: &mut Lines) {
        let (sequence, part) = match list.open {
            Some(open) => {
                let opening = &open.opening;
                beginning(opening.discontinuity, Some(&opening.init), opening.unix_micros, map, out);
                self.parts(opening.sequence, &open.parts, out);
                (opening.sequence, open.parts.len())
            }
            None => (self.segments.last().map_or(list.next, |last| last.sequence.next()), 0),
        };
        out.put(format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{sequence}.{part}.m4s\""));
        for report in list.reports {
            let Report { uri, sequence, part } = report;
            match part {
                Some(part) => out.put(format_args!(
                    "#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN={sequence},LAST-PART={part}"
                )),
                None => out.put(format_args!("#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN={sequence}")),
            }
        }
    }
}

/// What stands before a segment's parts and before itself.
fn beginning<'a>(
    discontinuity: bool,
    init: Option<&'a Init>,
    unix_micros: i64,
    map: &mut Option<&'a Init>,
    out: &mut Lines,
) {
    if discontinuity {
        out.put(format_args!("#EXT-X-DISCONTINUITY"));
    }
    if let Some(init) = init
        && map.is_none_or(|before| before.name != init.name)
    {
        *map = Some(init);
        out.put(format_args!("#EXT-X-MAP:URI=\"{}\"", init.name));
    }
    out.put(format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", DateTime(unix_micros)));
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
        let list = Media { target_duration: 2, discontinuity_sequence, segments, ended, low_latency: None };
        let text = list.render();
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
}
