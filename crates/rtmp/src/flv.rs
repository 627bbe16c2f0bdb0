//! Bodies of audio and video messages: FLV tag bodies (Adobe FLV 10.1, §E.4.2 and §E.4.3).
//!
//! H.264 and AAC are taken. Everything else is told apart by name, so that the encoder's user reads what to change;
//! Enhanced RTMP headers are recognised for the same reason.

use bytes::Bytes;

/// What a video message says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VideoTag {
    /// An AVCDecoderConfigurationRecord; may be empty.
    Config(Bytes),
    /// One access unit.
    Frame {
        /// PTS less DTS in milliseconds; signed.
        composition_ms: i32,
        /// NAL units, framed as the configuration says, or not.
        body: Bytes,
    },
    /// The encoder ends its sequence.
    End,
    /// Nothing to act on: empty, a seek mark.
    Nothing,
    /// A coding that is not taken.
    Foreign(Foreign),
}

/// What an audio message says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AudioTag {
    /// An AudioSpecificConfig; may be empty.
    Config(Bytes),
    /// One AAC frame, raw or with an ADTS header.
    Frame(Bytes),
    /// Nothing to act on: an empty message stands for silence.
    Nothing,
    /// A coding that is not taken.
    Foreign(Foreign),
}

/// A coding that is not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Foreign {
    /// What it is called.
    pub codec: String,
    /// One more track beside the first (Enhanced RTMP multitrack).
    pub extra_track: bool,
}

impl Foreign {
    fn named(codec: impl Into<String>) -> Self {
        Self { codec: codec.into(), extra_track: false }
    }
}

/// Video codec id of AVC.
pub const AVC: u8 = 7;
/// Audio format of AAC.
pub const AAC: u8 = 10;
/// FrameType 5: a command frame.
const COMMAND_FRAME: u8 = 5;
/// Enhanced RTMP packet type, video and audio: several tracks.
const MULTITRACK: [u8; 2] = [6, 5];

/// Reads a video message's body.
pub fn video(body: &Bytes) -> VideoTag {
    let Some(&first) = body.first() else { return VideoTag::Nothing };
    if first & 0x80 != 0 {
        return VideoTag::Foreign(enhanced(body, first & 0x0F, MULTITRACK[0]));
    }
    let (frame_type, codec) = (first >> 4, first & 0x0F);
    if frame_type == COMMAND_FRAME {
        return VideoTag::Nothing;
    }
    if codec != AVC {
        return VideoTag::Foreign(Foreign::named(video_codec(codec)));
    }
    let Some(&[packet_type, a, b, c]) = body.get(1..).and_then(|rest| rest.first_chunk()) else {
        return VideoTag::Nothing;
    };
    let rest = body.slice(5..);
    match packet_type {
        0 => VideoTag::Config(rest),
        1 => VideoTag::Frame { composition_ms: i32::from_be_bytes([a, b, c, 0]) >> 8, body: rest },
        2 => VideoTag::End,
        _ => VideoTag::Nothing,
    }
}

/// Reads an audio message's body.
pub fn audio(body: &Bytes) -> AudioTag {
    let Some(&first) = body.first() else { return AudioTag::Nothing };
    // Rate, size and channel bits are constants for AAC: the configuration tells.
    match first >> 4 {
        AAC => match body.get(1) {
            Some(0) => AudioTag::Config(body.slice(2..)),
            Some(1) if body.len() > 2 => AudioTag::Frame(body.slice(2..)),
            _ => AudioTag::Nothing,
        },
        9 => AudioTag::Foreign(enhanced(body, first & 0x0F, MULTITRACK[1])),
        format => AudioTag::Foreign(Foreign::named(audio_codec(format))),
    }
}

/// Names the FourCC of an Enhanced RTMP header. Multitrack carries one byte of track type before it.
fn enhanced(body: &Bytes, packet_type: u8, multitrack: u8) -> Foreign {
    let extra_track = packet_type == multitrack;
    let at = if extra_track { 2 } else { 1 };
    let four_cc = body.get(at..at + 4).filter(|cc| cc.iter().all(|byte| byte.is_ascii_graphic()));
    let name = four_cc.map_or("unknown codec".into(), String::from_utf8_lossy);
    Foreign { codec: format!("{name} over Enhanced RTMP"), extra_track }
}

fn video_codec(id: u8) -> String {
    let name = match id {
        2 => "Sorenson H.263",
        3 => "Screen video",
        4 => "VP6",
        5 => "VP6 with alpha",
        6 => "Screen video 2",
        12 => "HEVC (H.265)",
        13 => "AV1",
        _ => return format!("video codec id {id}"),
    };
    name.to_owned()
}

fn audio_codec(format: u8) -> String {
    let name = match format {
        0 | 3 => "PCM",
        1 => "ADPCM",
        2 | 14 => "MP3",
        4..=6 => "Nellymoser",
        7 => "G.711 A-law",
        8 => "G.711 µ-law",
        11 => "Speex",
        _ => return format!("audio format {format}"),
    };
    name.to_owned()
}

/// Whether a configuration for codec id 7 is HEVC's record in truth (OBS before 29.1): its first array holds VPS, SPS,
/// PPS or SEI of HEVC, at the offset of ISO/IEC 14496-15 §8.3.3.1.
pub fn is_hevc_record(record: &[u8]) -> bool {
    matches!(record, [1, ..])
        && matches!(record.get(22..25), Some([1..=8, kind, 0]) if matches!(kind & 0x3F, 32..=34 | 39 | 40))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(bytes: &'static [u8]) -> VideoTag {
        video(&Bytes::from_static(bytes))
    }

    fn a(bytes: &'static [u8]) -> AudioTag {
        audio(&Bytes::from_static(bytes))
    }

    #[test]
    fn video_bodies() {
        let b = Bytes::from_static;
        for (name, bytes, want) in [
            ("config", &[0x17, 0, 0, 0, 0, 1, 2][..], VideoTag::Config(b(&[1, 2]))),
            ("empty config", &[0x17, 0, 0, 0, 0], VideoTag::Config(b(&[]))),
            ("frame", &[0x27, 1, 0, 0, 80, 9], VideoTag::Frame { composition_ms: 80, body: b(&[9]) }),
            (
                "negative composition time",
                &[0x27, 1, 0xFF, 0xFF, 0xD8, 9],
                VideoTag::Frame { composition_ms: -40, body: b(&[9]) },
            ),
            ("end of sequence", &[0x17, 2, 0, 0, 0], VideoTag::End),
            ("short", &[0x17, 1, 0], VideoTag::Nothing),
            ("empty", &[], VideoTag::Nothing),
            ("seek mark", &[0x57, 0], VideoTag::Nothing),
        ] {
            assert_eq!(v(bytes), want, "{name}");
        }
    }

    #[test]
    fn audio_bodies() {
        let b = Bytes::from_static;
        for (name, bytes, want) in [
            ("config", &[0xAF, 0, 0x11, 0x90][..], AudioTag::Config(b(&[0x11, 0x90]))),
            ("empty config (FFmpeg, copied audio)", &[0xAF, 0], AudioTag::Config(b(&[]))),
            ("frame", &[0xAF, 1, 7], AudioTag::Frame(b(&[7]))),
            ("frame without data", &[0xAF, 1], AudioTag::Nothing),
            ("empty", &[], AudioTag::Nothing),
            ("packet type missing", &[0xAF], AudioTag::Nothing),
        ] {
            assert_eq!(a(bytes), want, "{name}");
        }
    }

    #[test]
    fn foreign_codings_are_named() {
        for (bytes, want) in [
            (&[0x1C, 0, 0, 0, 0][..], "HEVC (H.265)"),
            (&[0x12, 0], "Sorenson H.263"),
            (&[0x90, b'h', b'v', b'c', b'1'], "hvc1 over Enhanced RTMP"),
            (&[0x96, 0x01, b'a', b'v', b'c', b'1', 1], "avc1 over Enhanced RTMP"),
            (&[0x90, 1], "unknown codec over Enhanced RTMP"),
        ] {
            let VideoTag::Foreign(foreign) = v(bytes) else { panic!("{bytes:02x?}") };
            assert_eq!(foreign.codec, want);
            assert_eq!(foreign.extra_track, bytes[0] == 0x96);
        }
        for (bytes, want) in [
            (&[0x2F, 0][..], "MP3"),
            (&[0xB2], "Speex"),
            (&[0x90, b'O', b'p', b'u', b's'], "Opus over Enhanced RTMP"),
        ] {
            let AudioTag::Foreign(foreign) = a(bytes) else { panic!("{bytes:02x?}") };
            assert_eq!(foreign.codec, want);
        }
    }

    #[test]
    fn an_hevc_record_is_told_from_an_avc_one() {
        let mut hevc =
            vec![1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93, 0xF0, 0, 0xFC, 0xFD, 0xF8, 0xF8, 0, 0, 0x0F];
        hevc.extend([3, 0x20 | 0x80, 0, 1, 0, 24]);
        assert!(is_hevc_record(&hevc));
        assert!(!is_hevc_record(&[1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 26, 0x67]));
    }

    proptest::proptest! {
        #[test]
        fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
            let bytes = Bytes::from(bytes);
            let _ = (video(&bytes), audio(&bytes), is_hevc_record(&bytes));
        }
    }
}
