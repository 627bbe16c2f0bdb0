//! The multivariant playlist (RFC 8216 §4.3.4): of transport streams, with the sound in every variant and further ones
//! beside them, or of fragmented MP4, with all sounds beside the pictures; closed captions inside the pictures.

use std::fmt::Write;

use media::{Epoch, FrameRate, captions::Service};

use crate::presentation::Family;

/// The rate a player should start at when it knows nothing of the network, in bits a second (Apple's authoring
/// specification, 1.32: about 2 Mbit/s).
const START_BPS: f64 = 2_000_000.0;

/// What a multivariant playlist says.
#[derive(Clone, PartialEq, Debug)]
pub struct Multivariant {
    /// First part of the variants' URIs.
    pub session: Epoch,
    /// What its renditions are.
    pub family: Family,
    /// One per rendition, in any order.
    pub variants: Vec<Variant>,
    /// The sounds that viewers may choose from, the usual one first; empty when there is but one that is in the variants.
    pub sounds: Vec<Sound>,
    /// Closed captions that are in every variant's pictures; with none, CLOSED-CAPTIONS=NONE is told of all variants,
    /// since AVPlayer else offers a track that is empty.
    pub captions: Vec<ClosedCaptions>,
}

/// One EXT-X-MEDIA of TYPE=CLOSED-CAPTIONS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClosedCaptions {
    /// INSTREAM-ID; distinct within a list.
    pub service: Service,
    /// NAME; distinct within a list.
    pub name: String,
    /// LANGUAGE, a tag of RFC 5646; `und` is told where it is not known.
    pub language: Option<String>,
}

/// One EXT-X-MEDIA of TYPE=AUDIO. The first of a list is the default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sound {
    /// Second part of its URI; `None` for the sound that is in every variant (RFC 8216 §4.3.4.2.1).
    pub id: Option<String>,
    /// NAME; distinct within a list.
    pub name: String,
    /// LANGUAGE, a tag of RFC 5646; `und` is told where it is not known, since players want one.
    pub language: Option<String>,
    /// CHANNELS; not told when 0.
    pub channels: u8,
}

/// GROUP-ID of all sounds.
const GROUP: &str = "sound";
/// GROUP-ID of all closed captions.
const CAPTIONS: &str = "captions";

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
    /// Its newest segment has media, so that a player may start on it.
    pub playable: bool,
    /// Its keyframes alone, in a list of their own; `None` for sound alone.
    pub keyframes: Option<Keyframes>,
}

/// One EXT-X-I-FRAME-STREAM-INF.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keyframes {
    /// BANDWIDTH in bits a second, when they are read at the pace of the stream.
    pub bandwidth: u64,
    /// CODECS of the pictures.
    pub codecs: String,
}

impl Multivariant {
    /// The text. The first variant is where players start: the playable one nearest to 2 Mbit/s; the others follow,
    /// largest first.
    pub fn render(&self) -> String {
        let mut order: Vec<&Variant> = self.variants.iter().collect();
        order.sort_by(|a, b| b.bandwidth.cmp(&a.bandwidth).then_with(|| a.id.cmp(&b.id)));
        let distance = |variant: &Variant| (variant.bandwidth.max(1) as f64 / START_BPS).ln().abs();
        let none = !order.iter().any(|variant| variant.playable);
        let start = order
            .iter()
            .enumerate()
            .filter(|(_, variant)| variant.playable || none)
            .min_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b)))
            .map_or(0, |(at, _)| at);
        if let Some(ahead) = order.get_mut(..=start) {
            ahead.rotate_right(1);
        }
        let mut out = String::with_capacity(64 + order.len() * 192);
        // Groups came with version 4, services of CEA-708 with version 7 (RFC 8216 §7).
        let dtvcc = self.captions.iter().any(|one| matches!(one.service, Service::Dtvcc(_)));
        // EXT-X-I-FRAME-STREAM-INF with 4, fragmented MP4 with 6.
        let keyframes = order.iter().any(|variant| variant.keyframes.is_some());
        let version = match self.family {
            _ if dtvcc => 7,
            Family::Cmaf => 6,
            Family::Ts if self.sounds.is_empty() && self.captions.is_empty() && !keyframes => 3,
            Family::Ts => 4,
        };
        write!(out, "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-INDEPENDENT-SEGMENTS\n")
            .expect("a String takes every write");
        for (nth, sound) in self.sounds.iter().enumerate() {
            sound.write(self.session, nth == 0, &mut out).expect("a String takes every write");
        }
        for captions in &self.captions {
            captions.write(&mut out).expect("a String takes every write");
        }
        for variant in &order {
            variant.write(self, &mut out).expect("a String takes every write");
        }
        for variant in &order {
            variant.write_keyframes(self.session, &mut out).expect("a String takes every write");
        }
        out
    }
}

impl Sound {
    fn write(&self, session: Epoch, default: bool, out: &mut String) -> std::fmt::Result {
        write!(
            out,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{GROUP}\",NAME=\"{}\",LANGUAGE=\"{}\",DEFAULT={},AUTOSELECT=YES",
            quotable(&self.name),
            quotable(self.language.as_deref().unwrap_or("und")),
            if default { "YES" } else { "NO" },
        )?;
        if self.channels > 0 {
            write!(out, ",CHANNELS=\"{}\"", self.channels)?;
        }
        if let Some(id) = &self.id {
            write!(out, ",URI=\"{session}/{id}/index.m3u8\"")?;
        }
        out.write_char('\n')
    }
}

impl ClosedCaptions {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"{CAPTIONS}\",NAME=\"{}\",LANGUAGE=\"{}\",\
             DEFAULT=NO,AUTOSELECT=YES,INSTREAM-ID=\"{}\"",
            quotable(&self.name),
            quotable(self.language.as_deref().unwrap_or("und")),
            self.service,
        )
    }
}

/// What a quoted string may hold (RFC 8216 §4.2): no quotes, no line ends.
fn quotable(text: &str) -> String {
    text.chars().filter(|c| *c != '"' && !c.is_control()).collect()
}

impl Variant {
    fn write(&self, list: &Multivariant, out: &mut String) -> std::fmt::Result {
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
        if !list.sounds.is_empty() {
            write!(out, ",AUDIO=\"{GROUP}\"")?;
        }
        // The same of all of them (RFC 8216 §4.3.4.2).
        if list.captions.is_empty() {
            out.write_str(",CLOSED-CAPTIONS=NONE")?;
        } else {
            write!(out, ",CLOSED-CAPTIONS=\"{CAPTIONS}\"")?;
        }
        writeln!(out, "\n{}/{}/index.m3u8", list.session, self.id)
    }

    fn write_keyframes(&self, session: Epoch, out: &mut String) -> std::fmt::Result {
        let Some(Keyframes { bandwidth, codecs }) = &self.keyframes else { return Ok(()) };
        write!(out, "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={bandwidth},CODECS=\"{codecs}\"")?;
        if let Some((width, height)) = self.resolution {
            write!(out, ",RESOLUTION={width}x{height}")?;
        }
        writeln!(out, ",URI=\"{session}/{}/iframes.m3u8\"", self.id)
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
            keyframes: None,
        }
    }

    #[track_caller]
    fn order(variants: Vec<Variant>) -> Vec<String> {
        let text = Multivariant {
            session: Epoch(9),
            family: Family::Ts,
            variants,
            sounds: vec![],
            captions: vec![],
        }
        .render();
        let (rest, read) = m3u8_rs::parse_master_playlist(text.as_bytes()).unwrap();
        assert!(rest.is_empty() && read.independent_segments);
        read.variants.into_iter().map(|variant| variant.uri).collect()
    }

    #[test]
    fn the_exact_text() {
        let variants = vec![variant("720p", 3_000_000, Some((1280, 720))), variant("sound", 128_000, None)];
        assert_eq!(
            Multivariant {
                session: Epoch(1_795_348_800_123),
                family: Family::Ts,
                variants,
                sounds: vec![],
                captions: vec![]
            }
            .render(),
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
        assert_eq!(order(ladder.clone())[0], "9/720p/index.m3u8", "not on a rendition that has nothing");
        ladder.iter_mut().for_each(|variant| variant.playable = false);
        assert_eq!(order(ladder)[0], "9/480p/index.m3u8", "all have gaps while nobody publishes");
        assert_eq!(order(vec![variant("a", 1, None)]), ["9/a/index.m3u8"]);
    }

    #[test]
    fn sounds_to_choose_from() {
        let sound = |id: Option<&str>, name: &str, language: Option<&str>, channels| Sound {
            id: id.map(str::to_owned),
            name: name.into(),
            language: language.map(str::to_owned),
            channels,
        };
        let sounds =
            vec![sound(None, "Main", Some("de"), 2), sound(Some("audio-1"), "The \"real\"\nthing", None, 0)];
        let variants = vec![variant("720p", 3_000_000, Some((1280, 720)))];
        let text = Multivariant { session: Epoch(9), family: Family::Ts, variants, sounds, captions: vec![] }
            .render();
        assert_eq!(
            text,
            "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"Main\",LANGUAGE=\"de\",DEFAULT=YES,AUTOSELECT=YES,\
             CHANNELS=\"2\"\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"The realthing\",LANGUAGE=\"und\",DEFAULT=NO,\
             AUTOSELECT=YES,URI=\"9/audio-1/index.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2400000,CODECS=\"avc1.64001f,mp4a.40.2\",\
             RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO=\"sound\",CLOSED-CAPTIONS=NONE\n9/720p/index.m3u8\n"
        );
        let (rest, read) = m3u8_rs::parse_master_playlist(text.as_bytes()).unwrap();
        let names: Vec<_> = read.alternatives.iter().map(|sound| (sound.name.as_str(), &sound.uri)).collect();
        assert!(rest.is_empty());
        assert_eq!(names, [("Main", &None), ("The realthing", &Some("9/audio-1/index.m3u8".to_owned()))]);
        assert_eq!(read.variants[0].audio.as_deref(), Some("sound"));
    }

    #[test]
    fn captions_are_told_of_every_variant() {
        let captions = |id: &str, name: &str, language: Option<&str>| ClosedCaptions {
            service: id.parse().unwrap(),
            name: name.into(),
            language: language.map(str::to_owned),
        };
        let list = |captions| {
            let variants =
                vec![variant("720p", 3_000_000, Some((1280, 720))), variant("sound", 128_000, None)];
            Multivariant { session: Epoch(9), family: Family::Ts, variants, sounds: vec![], captions }
                .render()
        };
        let text = list(vec![captions("CC1", "English", Some("en")), captions("CC3", "CC3", None)]);
        assert_eq!(
            text,
            "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"captions\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=NO,\
             AUTOSELECT=YES,INSTREAM-ID=\"CC1\"\n\
             #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"captions\",NAME=\"CC3\",LANGUAGE=\"und\",DEFAULT=NO,\
             AUTOSELECT=YES,INSTREAM-ID=\"CC3\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2400000,CODECS=\"avc1.64001f,mp4a.40.2\",\
             RESOLUTION=1280x720,FRAME-RATE=29.970,CLOSED-CAPTIONS=\"captions\"\n9/720p/index.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=128000,AVERAGE-BANDWIDTH=102400,CODECS=\"mp4a.40.2\",\
             CLOSED-CAPTIONS=\"captions\"\n9/sound/index.m3u8\n"
        );
        let (rest, read) = m3u8_rs::parse_master_playlist(text.as_bytes()).unwrap();
        assert!(rest.is_empty() && read.alternatives.len() == 2);
        assert!(list(vec![captions("SERVICE1", "English", None)]).contains("#EXT-X-VERSION:7\n"));
    }

    #[test]
    fn fragmented_mp4_has_its_sounds_beside_its_pictures_and_lists_of_keyframes() {
        let mut variants =
            vec![variant("v-720p", 3_000_000, Some((1280, 720))), variant("a-main", 128_000, None)];
        variants[0].keyframes = Some(Keyframes { bandwidth: 400_000, codecs: "avc1.64001f".into() });
        let sounds =
            vec![Sound { id: Some("a-main".into()), name: "Main".into(), language: None, channels: 2 }];
        let list =
            Multivariant { session: Epoch(9), family: Family::Cmaf, variants, sounds, captions: vec![] };
        assert_eq!(
            list.render(),
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"Main\",LANGUAGE=\"und\",DEFAULT=YES,AUTOSELECT=YES,\
             CHANNELS=\"2\",URI=\"9/a-main/index.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2400000,CODECS=\"avc1.64001f,mp4a.40.2\",\
             RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO=\"sound\",CLOSED-CAPTIONS=NONE\n9/v-720p/index.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=128000,AVERAGE-BANDWIDTH=102400,CODECS=\"mp4a.40.2\",AUDIO=\"sound\",\
             CLOSED-CAPTIONS=NONE\n9/a-main/index.m3u8\n\
             #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=400000,CODECS=\"avc1.64001f\",RESOLUTION=1280x720,\
             URI=\"9/v-720p/iframes.m3u8\"\n"
        );
        let text = list.render();
        let (rest, read) = m3u8_rs::parse_master_playlist(text.as_bytes()).unwrap();
        assert!(rest.is_empty() && read.variants.iter().filter(|one| one.is_i_frame).count() == 1);
    }
}
