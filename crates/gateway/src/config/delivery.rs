//! `[hls]`: how streams are packaged for viewers.

use std::time::Duration;

use super::{
    Captions, Setting,
    settings::{read_count, read_flag, read_span},
    units::show_span,
};

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "hls.segment",
        help: "Length of a segment. Viewers are about three of them behind.",
        get: |c| show_span(c.segment),
        set: |c, v| read_span(v, 1, 30).map(|v| c.segment = v),
    },
    Setting {
        key: "hls.longest_segment",
        help: "Sources with keyframes further apart than this are encoded in every rung, their own size included.",
        get: |c| show_span(c.longest_segment),
        set: |c, v| read_span(v, 1, 60).map(|v| c.longest_segment = v),
    },
    Setting {
        key: "hls.captions",
        help: "Closed captions (CEA-608/708) that viewers are offered. \"auto\": those that are seen in the pictures; players that\n\
               came before the first ones learn of them when they come anew. \"CC1:en,CC2:es\" or \"CC1:en:English\": these from\n\
               the start, whatever is seen. \"off\": none. The captions themselves reach every rung in any case.",
        get: |c| c.captions.to_string(),
        set: |c, v| Captions::read(v).map(|v| c.captions = v),
    },
    Setting {
        key: "hls.window",
        help: "Length of the live playlist. Its segments stay in memory, and for as long again after they leave it.",
        get: |c| show_span(c.window),
        set: |c, v| read_span(v, 6, 86_400).map(|v| c.window = v),
    },
    Setting {
        key: "hls.min_segments",
        help: "The live playlist never holds fewer segments than this.",
        get: |c| c.min_segments.to_string(),
        set: |c, v| read_count(v, 3, 10_000).map(|v| c.min_segments = v),
    },
    Setting {
        key: "hls.low_latency",
        help: "Low-latency HLS (ll.m3u8) and DASH (manifest.mpd) beside plain HLS, from fragmented MP4. Takes as much\n\
               memory again as the window, and a little CPU for each stream.",
        get: |c| c.low_latency.to_string(),
        set: |c, v| read_flag(v).map(|v| c.low_latency = v),
    },
    Setting {
        key: "hls.part",
        help: "Longest part of low-latency HLS (PART-TARGET). Players stay three of them behind; below 0.2 s they become\n\
               unstable, and below the round trip time of viewers they stall.",
        get: |c| show_span(c.part),
        set: |c, v| read_part(v).map(|v| c.part = v),
    },
];

/// Between what players can follow and what is low latency at all.
fn read_part(text: &str) -> Result<Duration, String> {
    let part = read_span(text, 0, 2)?;
    if part < Duration::from_millis(200) { Err(format!("{text:?} is shorter than 200ms")) } else { Ok(part) }
}
