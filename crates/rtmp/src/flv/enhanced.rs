//! Enhanced RTMP v1 and v2: ExVideoTagHeader and ExAudioTagHeader, their modifiers, and several tracks in one message.
//!
//! A message is walked once, from its front; what runs past its end is left where it is.

use bytes::{Buf, Bytes};
use media::{AudioCodec, AudioCoding, ColorInfo, VideoCodec, VideoCoding, sounds::Format};

use super::{
    AudioContent, AudioTag, ChannelLayout, ChannelOrder, Tags, VideoContent, VideoTag, composition_time,
};
use crate::amf0::{Value, decode_all};

/// VideoFrameType.Command.
const COMMAND_FRAME: u8 = 5;
/// ModEx packet types, of video and audio alike.
const MOD_EX: u8 = 7;
/// VideoPacketModExType.TimestampOffsetNano and its audio twin.
const TIMESTAMP_OFFSET_NANO: u8 = 0;
const NANOS_MAX: u32 = 999_999;

type FourCc = [u8; 4];

/// VideoPacketType.
mod video_packet {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const SEQUENCE_END: u8 = 2;
    pub(super) const CODED_FRAMES_X: u8 = 3;
    pub(super) const METADATA: u8 = 4;
    pub(super) const MPEG2TS_SEQUENCE_START: u8 = 5;
    pub(super) const MULTITRACK: u8 = 6;
}

/// AudioPacketType.
mod audio_packet {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const SEQUENCE_END: u8 = 2;
    pub(super) const MULTICHANNEL_CONFIG: u8 = 4;
    pub(super) const MULTITRACK: u8 = 5;
}

/// The header of a message: what all of its tracks have in common, and where they begin.
#[derive(Clone, Debug)]
pub(super) struct Rest {
    frame_type: u8,
    packet_type: u8,
    nanos: u32,
    tracks: Tracks,
    body: Bytes,
}

/// AvMultitrackType, and the message that has no more than one track and does not say which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tracks {
    /// One FourCC, track 0, to the end.
    Plain,
    /// One FourCC, one track's number, to the end.
    One,
    /// One FourCC for all; number and size before each.
    Many(FourCc),
    /// FourCC, number and size before each.
    ManyCodecs,
}

impl Rest {
    /// Reads modifiers and the multitrack header; stands before the first FourCC or track. `None` when cut short.
    fn read(body: &Bytes, frame_type: u8, packet_type: u8, multitrack: u8) -> Option<Self> {
        let mut rest = body.slice(1..);
        let (mut packet_type, mut nanos) = (packet_type, 0);
        while packet_type == MOD_EX {
            let mut size = usize::from(rest.try_get_u8().ok()?) + 1;
            if size == 256 {
                size = usize::from(rest.try_get_u16().ok()?) + 1;
            }
            if rest.len() < size {
                return None;
            }
            let data = rest.split_to(size);
            let types = rest.try_get_u8().ok()?;
            packet_type = types & 0x0F;
            if let (TIMESTAMP_OFFSET_NANO, &[a, b, c, ..]) = (types >> 4, &data[..]) {
                nanos = u32::from_be_bytes([0, a, b, c]).min(NANOS_MAX);
            }
        }
        let mut tracks = Tracks::Plain;
        if packet_type == multitrack {
            let types = rest.try_get_u8().ok()?;
            packet_type = types & 0x0F;
            tracks = match types >> 4 {
                0 => Tracks::One,
                1 => Tracks::Many(four_cc(&mut rest)?),
                2 => Tracks::ManyCodecs,
                _ => return None,
            };
            if packet_type == multitrack || packet_type == MOD_EX {
                return None; // neither may stand inside
            }
        }
        Some(Self { frame_type, packet_type, nanos, tracks, body: rest })
    }

    /// FourCC, number and body of the next track.
    fn next(&mut self) -> Option<(FourCc, u8, Bytes)> {
        match self.tracks {
            Tracks::Plain => {
                let four_cc = four_cc(&mut self.body)?;
                Some((four_cc, 0, self.last()))
            }
            Tracks::One => {
                let four_cc = four_cc(&mut self.body)?;
                let track = self.body.try_get_u8().ok()?;
                Some((four_cc, track, self.last()))
            }
            Tracks::Many(four_cc) => self.sized(four_cc),
            Tracks::ManyCodecs => {
                let four_cc = four_cc(&mut self.body)?;
                self.sized(four_cc)
            }
        }
    }

    fn last(&mut self) -> Bytes {
        std::mem::take(&mut self.body)
    }

    fn sized(&mut self, four_cc: FourCc) -> Option<(FourCc, u8, Bytes)> {
        let track = self.body.try_get_u8().ok()?;
        let size = self.body.try_get_uint(3).ok().and_then(|size| usize::try_from(size).ok())?;
        if size > self.body.len() {
            self.body.clear(); // nothing behind it can be found
            return None;
        }
        Some((four_cc, track, self.body.split_to(size)))
    }
}

fn four_cc(body: &mut Bytes) -> Option<FourCc> {
    let four_cc = *body.first_chunk()?;
    body.advance(4);
    Some(four_cc)
}

/// `body` is not empty.
pub(super) fn video(body: &Bytes) -> Tags<VideoTag> {
    let (frame_type, packet_type) = (body[0] >> 4 & 7, body[0] & 0x0F);
    let Some(rest) = Rest::read(body, frame_type, packet_type, video_packet::MULTITRACK) else {
        return Tags::none();
    };
    if frame_type == COMMAND_FRAME && rest.packet_type != video_packet::METADATA {
        return Tags::none(); // one byte of command follows, and no FourCC
    }
    Tags { next: None, rest: Some(rest), read: next_video }
}

fn next_video(rest: &mut Rest) -> Option<VideoTag> {
    let (four_cc, track, body) = rest.next()?;
    let coding = video_coding(four_cc);
    // VP8, VP9 and AV1 show frames in the order they are decoded.
    let reorders =
        matches!(coding, Ok(VideoCoding::H264 | VideoCoding::Other(VideoCodec::Hevc | VideoCodec::Vvc)));
    let key = matches!(rest.frame_type, 1 | 4);
    let content = match rest.packet_type {
        video_packet::SEQUENCE_START => VideoContent::Config(body),
        video_packet::CODED_FRAMES if reorders => match composition_time(&body) {
            Some((composition_ms, body)) => VideoContent::Frame { composition_ms, key, body },
            None => VideoContent::Nothing,
        },
        video_packet::CODED_FRAMES | video_packet::CODED_FRAMES_X if body.is_empty() => VideoContent::Nothing,
        video_packet::CODED_FRAMES | video_packet::CODED_FRAMES_X => {
            VideoContent::Frame { composition_ms: 0, key, body }
        }
        video_packet::SEQUENCE_END => VideoContent::End,
        video_packet::METADATA => color(&body),
        // an AV1 video descriptor: it holds no sequence header, which comes in-band
        video_packet::MPEG2TS_SEQUENCE_START => VideoContent::Nothing,
        _ => VideoContent::Nothing,
    };
    Some(VideoTag { track, coding, content, nanos: rest.nanos })
}

fn video_coding(four_cc: FourCc) -> Result<VideoCoding, String> {
    Ok(VideoCoding::Other(match &four_cc {
        b"avc1" => return Ok(VideoCoding::H264),
        b"hvc1" | b"hev1" => VideoCodec::Hevc,
        b"av01" => VideoCodec::Av1,
        b"vp09" => VideoCodec::Vp9,
        b"vp08" => VideoCodec::Vp8,
        b"vvc1" => VideoCodec::Vvc,
        _ => return Err(unknown(four_cc)),
    }))
}

/// Pairs of name and value; `colorInfo` is the one there is. Undefined, or an object without colours, takes back.
fn color(body: &Bytes) -> VideoContent {
    let (values, _) = decode_all(body);
    let Some(at) = values.iter().position(|value| value.text().is_some_and(|name| name == "colorInfo"))
    else {
        return VideoContent::Nothing;
    };
    let config = values.get(at + 1).and_then(|info| info.get("colorConfig"));
    let index = |key: &str| {
        let number = config.and_then(|config| config.get(key)).and_then(Value::number)?;
        (0.0..256.0).contains(&number).then_some(number as u8)
    };
    let (primaries, transfer, matrix) =
        (index("colorPrimaries"), index("transferCharacteristics"), index("matrixCoefficients"));
    let told = primaries.or(transfer).or(matrix).is_some();
    const UNSPECIFIED: u8 = 2;
    VideoContent::Color(told.then(|| ColorInfo {
        primaries: primaries.unwrap_or(UNSPECIFIED),
        transfer: transfer.unwrap_or(UNSPECIFIED),
        matrix: matrix.unwrap_or(UNSPECIFIED),
    }))
}

/// `body` is not empty.
pub(super) fn audio(body: &Bytes) -> Tags<AudioTag> {
    match Rest::read(body, 0, body[0] & 0x0F, audio_packet::MULTITRACK) {
        Some(rest) => Tags { next: None, rest: Some(rest), read: next_audio },
        None => Tags::none(),
    }
}

fn next_audio(rest: &mut Rest) -> Option<AudioTag> {
    let (four_cc, track, body) = rest.next()?;
    let content = match rest.packet_type {
        audio_packet::SEQUENCE_START => AudioContent::Config(body),
        audio_packet::CODED_FRAMES if body.is_empty() => AudioContent::Nothing,
        audio_packet::CODED_FRAMES => AudioContent::Frame(body),
        audio_packet::SEQUENCE_END => AudioContent::End,
        audio_packet::MULTICHANNEL_CONFIG => {
            channels(&body).map_or(AudioContent::Nothing, AudioContent::Channels)
        }
        _ => AudioContent::Nothing,
    };
    // No coding that has a FourCC needs a tag's word on rate and channels.
    let format = Format { sample_rate: 48_000, channels: 2 };
    Some(AudioTag { track, coding: audio_coding(four_cc), format, content, nanos: rest.nanos })
}

fn audio_coding(four_cc: FourCc) -> Result<AudioCoding, String> {
    Ok(AudioCoding::Other(match &four_cc {
        b"mp4a" => return Ok(AudioCoding::Aac),
        b"Opus" => AudioCodec::Opus,
        b"fLaC" => AudioCodec::Flac,
        b"ac-3" => AudioCodec::Ac3,
        b"ec-3" => AudioCodec::Eac3,
        b".mp3" => AudioCodec::Mp3,
        _ => return Err(unknown(four_cc)),
    }))
}

fn channels(body: &Bytes) -> Option<ChannelLayout> {
    let &[order, count, ..] = &body[..] else { return None };
    let rest = body.slice(2..);
    let order = match order {
        1 => ChannelOrder::Native(u32::from_be_bytes(*rest.first_chunk()?)),
        2 if rest.len() >= usize::from(count) => ChannelOrder::Custom(rest.slice(..usize::from(count))),
        0 => ChannelOrder::Unspecified,
        _ => return None,
    };
    Some(ChannelLayout { count, order })
}

/// What to call a coding that has no name here.
fn unknown(four_cc: FourCc) -> String {
    match std::str::from_utf8(&four_cc) {
        Ok(text) if four_cc.iter().all(u8::is_ascii_graphic) => format!("the unknown coding '{text}'"),
        _ => "an unknown coding".to_owned(),
    }
}
