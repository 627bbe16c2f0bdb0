//! The multivariant playlist (RFC 8216 §4.3.4), sound and picture muxed in every variant.

use std::fmt::Write;

use media::{Epoch, FrameRate};

/// The rate a player should start at when it knows nothing of the network, in bits a second (Apple's authoring
/// specification, 1.32: about 2 Mbit/s).
const START_BPS: f64 = 2_000_000.0;

/// What a multivariant playlist says.
#[derive(Clone, PartialEq, Debug)]
pub struct Multivariant {
    /// First part of the variants' URIs.
    pub session: Epoch,
    /// One per rendition, in any order.
    pub variants: Vec<Variant>,
}

/// One EXT-X-STREAM-INF.
#[derive(Clone, PartialEq, Debug)]
pub struct Variant {
    /// Second part of its URI.
    pub id: String,
    /// BANDWIDTH in bits a second.
    pub bandwidth: u64,
    /// AVERAGE-BANDWIDTH in bits a second.
    pub average_bandwidth: u64,
    /// CODECS, without quotes.
    pub codecs: String,
    /// RESOLUTION; `None` for sound alone.
    pub resolution: Option<(u32, u32)>,
    /// FRAME-RATE.
    pub frame_rate: Option<FrameRate>,
    /// It has a segment, so that a player may start on it.
    pub playable: bool,
}

impl Multivariant {
    /// The text. The first variant is where players start: the playable one nearest to 2 Mbit/s; the others follow,
    /// largest first.
    pub fn render(&self) -> String {
        let mut order: Vec<&Variant> = self.variants.iter().collect();
        order.sort_by(|a, b| b.bandwidth.cmp(&a.bandwidth).then_with(|| a.id.cmp(&b.id)));
        let distance = |variant: &Variant| (variant.bandwidth.max(1) as f64 / START_BPS).ln().abs();
        let start = order
            .iter()
            .enumerate()
            .filter(|(_, variant)| variant.playable)
            .min_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b)))
            .map_or(0, |(at, _)| at);
        if let Some(ahead) = order.get_mut(..=start) {
            ahead.rotate_right(1);
        }
        let mut out = String::with_capacity(64 + order.len() * 192);
        out.push_str("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n");
        for variant in order {
            variant.write(self.session, &mut out).expect("a String takes every write");
        }
        out
    }
}

impl Variant {
    fn write(&self, session: Epoch, out: &mut String) -> std::fmt::Result {
        write!(
            out,
            "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\"",
            self.bandwidth, self.average_bandwidth, self.codecs
        )?;
        if let Some((width, height)) = self.resolution {
            write!(out, ",RESOLUTION={width}x{height}")?;
            if let Some(rate) = self.frame_rate {
                write!(out, ",FRAME-RATE={:.3}", rate.as_f64())?;
            }
        }
        writeln!(out, ",CLOSED-CAPTIONS=NONE\n{session}/{}/index.m3u8", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(id: &str, bandwidth: u64, resolution: Option<(u32, u32)>) -> Variant {
        Variant {
            id: id.into(),
            bandwidth,
            average_bandwidth: bandwidth * 4 / 5,
            codecs: if resolution.is_some() { "avc1.64001f,mp4a.40.2" } else { "mp4a.40.2" }.into(),
            resolution,
            frame_rate: resolution.and(FrameRate::new(30_000, 1001)),
            playable: true,
        }
    }

    #[track_caller]
    fn order(variants: Vec<Variant>) -> Vec<String> {
        let text = Multivariant { session: Epoch(9), variants }.render();
        let (rest, read) = m3u8_rs::parse_master_playlist(text.as_bytes()).unwrap();
        assert!(rest.is_empty() && read.independent_segments);
        read.variants.into_iter().map(|variant| variant.uri).collect()
    }

    #[test]
    fn the_exact_text() {
        let variants = vec![variant("720p", 3_000_000, Some((1280, 720))), variant("sound", 128_000, None)];
        assert_eq!(
            Multivariant { session: Epoch(1_795_348_800_123), variants }.render(),
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2400000,CODECS=\"avc1.64001f,mp4a.40.2\",\
             RESOLUTION=1280x720,FRAME-RATE=29.970,CLOSED-CAPTIONS=NONE\n1795348800123/720p/index.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=128000,AVERAGE-BANDWIDTH=102400,CODECS=\"mp4a.40.2\",\
             CLOSED-CAPTIONS=NONE\n1795348800123/sound/index.m3u8\n"
        );
    }

    #[test]
    fn players_start_near_two_megabits() {
        let size = Some((16, 9));
        let mut ladder = vec![
            variant("360p", 900_000, size),
            variant("1080p", 6_000_000, size),
            variant("480p", 1_700_000, size),
            variant("720p", 3_300_000, size),
        ];
        assert_eq!(
            order(ladder.clone()),
            ["9/480p/index.m3u8", "9/1080p/index.m3u8", "9/720p/index.m3u8", "9/360p/index.m3u8"]
        );
        ladder[2].playable = false;
        assert_eq!(order(ladder)[0], "9/720p/index.m3u8", "not on a rendition that has nothing yet");
        assert_eq!(order(vec![variant("a", 1, None)]), ["9/a/index.m3u8"]);
    }
}
