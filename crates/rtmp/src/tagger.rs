//! Packets and configurations, written as the bodies of audio and video messages: what [`crate::flv`] reads.
//!
//! H.264, AAC and what Flash had take the legacy form, which every player reads; the others the enhanced one (Enhanced
//! RTMP v2). One track of each kind: the default one.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use media::{AudioCodec, AudioConfig, MediaTime, Packet, TrackKind, VideoCodec, VideoConfig};

/// Enhanced RTMP packet types, video and audio alike.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
/// Video whose composition time is 0 and left out.
const CODED_FRAMES_X: u8 = 3;
const ENHANCED_VIDEO: u8 = 0x80;
const ENHANCED_AUDIO: u8 = 0x90;
const KEYFRAME: u8 = 1 << 4;
const INTER_FRAME: u8 = 2 << 4;

/// How a coding is labelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Label {
    /// Codec id (video) or format (audio) of FLV.
    Legacy(u8),
    FourCc(&'static [u8; 4]),
}

/// Writes message bodies for one publication; keeps the configurations that its packets are written by.
#[derive(Debug, Default)]
pub(crate) struct Tagger {
    video: Option<Arc<VideoConfig>>,
    audio: Option<Arc<AudioConfig>>,
}

impl Tagger {
    /// The message that announces `config`; false where the coding needs none.
    pub(crate) fn video_config(&mut self, config: &Arc<VideoConfig>, out: &mut BytesMut) -> bool {
        self.video = Some(config.clone());
        match (&**config, video_label(config)) {
            (VideoConfig::H264(h264), _) => {
                out.put_slice(&[KEYFRAME | crate::flv::AVC, 0, 0, 0, 0]);
                out.put_slice(&h264.to_record());
                true
            }
            (VideoConfig::Other(other), Label::FourCc(four_cc)) => {
                out.put_u8(ENHANCED_VIDEO | KEYFRAME | SEQUENCE_START);
                out.put_slice(four_cc);
                out.put_slice(&other.extradata);
                true
            }
            (VideoConfig::Other(_), Label::Legacy(_)) => false,
        }
    }

    /// The message that announces `config`; false where the coding needs none.
    pub(crate) fn audio_config(&mut self, config: &Arc<AudioConfig>, out: &mut BytesMut) -> bool {
        self.audio = Some(config.clone());
        match (&**config, audio_label(config)) {
            (AudioConfig::Aac(aac), _) => {
                out.put_slice(&[AAC_HEAD, 0]);
                out.put_slice(&aac.asc);
                true
            }
            (AudioConfig::Other(other), Label::FourCc(four_cc))
                if matches!(other.codec, AudioCodec::Opus | AudioCodec::Flac) =>
            {
                out.put_u8(ENHANCED_AUDIO | SEQUENCE_START);
                out.put_slice(four_cc);
                const STREAM_INFO: usize = 34;
                if other.codec == AudioCodec::Flac && other.extradata.len() == STREAM_INFO {
                    // The marker and the header of a last metadata block, which FFmpeg's extradata leaves out.
                    out.put_slice(b"fLaC\x80\0\0\x22");
                }
                out.put_slice(&other.extradata);
                true
            }
            (AudioConfig::Other(_), _) => false,
        }
    }

    /// One packet; false when its track was never announced.
    pub(crate) fn packet(&self, packet: &Packet, out: &mut BytesMut) -> bool {
        match packet.kind {
            TrackKind::Video => {
                let Some(config) = &self.video else { return false };
                let frame = if packet.keyframe { KEYFRAME } else { INTER_FRAME };
                let composition = wire_millis(packet.pts).wrapping_sub(wire_millis(packet.dts));
                match (&**config, video_label(config)) {
                    (VideoConfig::H264(_), _) => {
                        out.put_slice(&[frame | crate::flv::AVC, 1]);
                        out.put_slice(&composition.to_be_bytes()[1..]);
                    }
                    (VideoConfig::Other(other), Label::Legacy(id)) => {
                        out.put_u8(frame | id);
                        if matches!(other.codec, VideoCodec::Vp6 | VideoCodec::Vp6Alpha) {
                            // What is cut off the right and lower edge, which FFmpeg keeps in the extradata.
                            out.put_u8(other.extradata.first().copied().unwrap_or(0));
                        }
                    }
                    (VideoConfig::Other(other), Label::FourCc(four_cc)) => {
                        let composes = matches!(other.codec, VideoCodec::Hevc | VideoCodec::Vvc);
                        let with_time = composes && composition != 0;
                        let without = if composes { CODED_FRAMES_X } else { CODED_FRAMES };
                        out.put_u8(ENHANCED_VIDEO | frame | if with_time { CODED_FRAMES } else { without });
                        out.put_slice(four_cc);
                        if with_time {
                            out.put_slice(&composition.to_be_bytes()[1..]);
                        }
                    }
                }
            }
            TrackKind::Audio => {
                let Some(config) = &self.audio else { return false };
                match (&**config, audio_label(config)) {
                    (AudioConfig::Aac(_), _) => out.put_slice(&[AAC_HEAD, 1]),
                    (AudioConfig::Other(_), Label::Legacy(format)) => {
                        out.put_u8(format << 4 | sound_bits(config));
                    }
                    (AudioConfig::Other(_), Label::FourCc(four_cc)) => {
                        out.put_u8(ENHANCED_AUDIO | CODED_FRAMES);
                        out.put_slice(four_cc);
                    }
                }
            }
        }
        out.put_slice(&packet.data);
        true
    }
}

/// AAC says 44.1 kHz, 16 bits, stereo, whatever it is: the configuration tells (FLV 10.1 §E.4.2.1).
const AAC_HEAD: u8 = crate::flv::AAC << 4 | 0x0F;

fn video_label(config: &VideoConfig) -> Label {
    match config {
        VideoConfig::H264(_) => Label::Legacy(crate::flv::AVC),
        VideoConfig::Other(other) => match other.codec {
            VideoCodec::Hevc => Label::FourCc(b"hvc1"),
            VideoCodec::Av1 => Label::FourCc(b"av01"),
            VideoCodec::Vp9 => Label::FourCc(b"vp09"),
            VideoCodec::Vp8 => Label::FourCc(b"vp08"),
            VideoCodec::Vvc => Label::FourCc(b"vvc1"),
            VideoCodec::SorensonH263 => Label::Legacy(2),
            VideoCodec::ScreenVideo => Label::Legacy(3),
            VideoCodec::Vp6 => Label::Legacy(4),
            VideoCodec::Vp6Alpha => Label::Legacy(5),
            VideoCodec::ScreenVideo2 => Label::Legacy(6),
        },
    }
}

fn audio_label(config: &AudioConfig) -> Label {
    match config {
        AudioConfig::Aac(_) => Label::Legacy(crate::flv::AAC),
        AudioConfig::Other(other) => match other.codec {
            AudioCodec::Opus => Label::FourCc(b"Opus"),
            AudioCodec::Flac => Label::FourCc(b"fLaC"),
            AudioCodec::Ac3 => Label::FourCc(b"ac-3"),
            AudioCodec::Eac3 => Label::FourCc(b"ec-3"),
            AudioCodec::AdpcmSwf => Label::Legacy(1),
            AudioCodec::Mp3 => Label::Legacy(2),
            AudioCodec::PcmS16Le | AudioCodec::PcmU8 => Label::Legacy(3),
            AudioCodec::Nellymoser => Label::Legacy(6),
            AudioCodec::ALaw => Label::Legacy(7),
            AudioCodec::MuLaw => Label::Legacy(8),
            AudioCodec::Speex => Label::Legacy(11),
        },
    }
}

/// Rate, sample size and channels of a legacy audio header, as near as they can be told.
fn sound_bits(config: &AudioConfig) -> u8 {
    let rate = match config.sample_rate() {
        0..8_000 => 0,
        8_000..16_000 => 1,
        16_000..32_000 => 2,
        _ => 3,
    };
    let eight_bits = matches!(config, AudioConfig::Other(other) if other.codec == AudioCodec::PcmU8);
    rate << 2 | u8::from(!eight_bits) << 1 | u8::from(config.channels() > 1)
}

/// Whole milliseconds modulo 2^32.
pub(crate) fn wire_millis(at: MediaTime) -> u32 {
    at.ticks().div_euclid(media::TICKS_PER_MILLI) as u32
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::{OtherAudio, OtherVideo, TrackId};

    use super::*;

    fn video(codec: VideoCodec, extradata: &'static [u8]) -> Arc<VideoConfig> {
        Arc::new(VideoConfig::Other(OtherVideo {
            codec,
            extradata: Bytes::from_static(extradata),
            width: 640,
            height: 360,
            bit_depth: 8,
            frame_rate: None,
            color: None,
        }))
    }

    fn audio(codec: AudioCodec, sample_rate: u32, extradata: &'static [u8]) -> Arc<AudioConfig> {
        let extradata = Bytes::from_static(extradata);
        Arc::new(AudioConfig::Other(OtherAudio { codec, extradata, sample_rate, channels: 1 }))
    }

    fn packet(kind: TrackKind, composition_ms: i64) -> Packet {
        Packet {
            track: TrackId(0),
            kind,
            pts: MediaTime::from_ticks(90 * composition_ms),
            dts: MediaTime::ZERO,
            keyframe: true,
            data: Bytes::from_static(b"data"),
        }
    }

    #[test]
    fn each_coding_has_its_head() {
        for (name, config, composition, want_config, want) in [
            (
                "HEVC",
                video(VideoCodec::Hevc, b"hvcC"),
                40,
                &b"\x90hvc1hvcC"[..],
                &b"\x91hvc1\0\0\x28data"[..],
            ),
            ("HEVC in order", video(VideoCodec::Hevc, b"hvcC"), 0, b"\x90hvc1hvcC", b"\x93hvc1data"),
            ("AV1", video(VideoCodec::Av1, b"av1C"), 0, b"\x90av01av1C", b"\x91av01data"),
            ("Sorenson", video(VideoCodec::SorensonH263, b""), 0, b"", b"\x12data"),
            ("VP6", video(VideoCodec::Vp6, b"\x21"), 0, b"", b"\x14\x21data"),
        ] {
            let (mut tagger, mut out) = (Tagger::default(), BytesMut::new());
            assert_eq!(tagger.video_config(&config, &mut out), !want_config.is_empty(), "{name}");
            assert_eq!(out, want_config, "{name}");
            out.clear();
            assert!(tagger.packet(&packet(TrackKind::Video, composition), &mut out), "{name}");
            assert_eq!(out, want, "{name}");
        }
        for (name, config, want_config, want) in [
            (
                "Opus",
                audio(AudioCodec::Opus, 48_000, b"OpusHead"),
                &b"\x90OpusOpusHead"[..],
                &b"\x91Opusdata"[..],
            ),
            ("AC-3", audio(AudioCodec::Ac3, 48_000, b""), b"", b"\x91ac-3data"),
            ("MP3", audio(AudioCodec::Mp3, 44_100, b""), b"", b"\x2Edata"),
            ("Speex", audio(AudioCodec::Speex, 16_000, b""), b"", b"\xBAdata"),
        ] {
            let (mut tagger, mut out) = (Tagger::default(), BytesMut::new());
            assert_eq!(tagger.audio_config(&config, &mut out), !want_config.is_empty(), "{name}");
            assert_eq!(out, want_config, "{name}");
            out.clear();
            assert!(tagger.packet(&packet(TrackKind::Audio, 0), &mut out), "{name}");
            assert_eq!(out, want, "{name}");
        }
        assert!(!Tagger::default().packet(&packet(TrackKind::Audio, 0), &mut BytesMut::new()));
    }
}
