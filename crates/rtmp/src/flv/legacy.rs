//! Tags as Flash had them, and the codec ids that others have added.

use bytes::Bytes;
use media::{AudioCodec, AudioCoding, VideoCodec, VideoCoding, sounds::Format};

use super::{AAC, AVC, AudioContent, AudioTag, VideoContent, VideoTag, composition_time};

/// FrameType 5: a command frame.
const COMMAND_FRAME: u8 = 5;
/// Rate of Nellymoser 4, G.711 and MP3 14, and of Speex.
const NARROW: u32 = 8_000;
const WIDE: u32 = 16_000;

/// `body` is not empty.
pub(super) fn video(body: &Bytes) -> VideoTag {
    let (frame_type, id) = (body[0] >> 4, body[0] & 0x0F);
    let key = matches!(frame_type, 1 | 4);
    let coding = video_coding(id);
    let content = match coding {
        _ if frame_type == COMMAND_FRAME => VideoContent::Nothing,
        Ok(VideoCoding::H264 | VideoCoding::Other(VideoCodec::Hevc | VideoCodec::Av1 | VideoCodec::Vvc)) => {
            packet(body, key)
        }
        _ if body.len() == 1 => VideoContent::Nothing,
        _ => VideoContent::Frame { composition_ms: 0, key, body: body.slice(1..) },
    };
    VideoTag { track: 0, coding, content, nanos: 0 }
}

/// AVCVIDEOPACKET, which HEVC as id 12 and the private ids have too.
fn packet(body: &Bytes, key: bool) -> VideoContent {
    let Some((kind, (composition_ms, rest))) =
        body.get(1).zip(body.get(2..).and_then(|_| composition_time(&body.slice(2..))))
    else {
        return VideoContent::Nothing;
    };
    match kind {
        0 => VideoContent::Config(rest),
        1 => VideoContent::Frame { composition_ms, key, body: rest },
        2 => VideoContent::End,
        _ => VideoContent::Nothing,
    }
}

fn video_coding(id: u8) -> Result<VideoCoding, String> {
    Ok(VideoCoding::Other(match id {
        AVC => return Ok(VideoCoding::H264),
        2 => VideoCodec::SorensonH263,
        3 => VideoCodec::ScreenVideo,
        4 => VideoCodec::Vp6,
        5 => VideoCodec::Vp6Alpha,
        6 => VideoCodec::ScreenVideo2,
        12 => VideoCodec::Hevc, // many Chinese SDKs and cameras
        13 => VideoCodec::Av1,  // private ids, by the same hand
        14 => VideoCodec::Vvc,
        _ => return Err(format!("video codec id {id}")),
    }))
}

/// `body` is not empty.
pub(super) fn audio(body: &Bytes) -> AudioTag {
    let (id, flags) = (body[0] >> 4, body[0] & 0x0F);
    let sixteen_bits = flags & 2 != 0;
    // 5.5, 11, 22 and 44 kHz; constants for AAC, whose configuration tells
    let format = Format { sample_rate: 44_100 >> (3 - (flags >> 2)), channels: 1 + (flags & 1) };
    let mono = |sample_rate| Format { sample_rate, channels: 1 };
    let (codec, format) = match id {
        AAC => return aac(body, format),
        // platform endian (0) means little: no encoder of the others is left
        0 | 3 if sixteen_bits => (AudioCodec::PcmS16Le, format),
        0 | 3 => (AudioCodec::PcmU8, format),
        1 => (AudioCodec::AdpcmSwf, format),
        2 => (AudioCodec::Mp3, format),
        4 => (AudioCodec::Nellymoser, mono(WIDE)),
        5 => (AudioCodec::Nellymoser, mono(NARROW)),
        6 => (AudioCodec::Nellymoser, mono(format.sample_rate)),
        7 => (AudioCodec::ALaw, Format { sample_rate: NARROW, ..format }),
        8 => (AudioCodec::MuLaw, Format { sample_rate: NARROW, ..format }),
        11 => (AudioCodec::Speex, mono(WIDE)),
        14 => (AudioCodec::Mp3, Format { sample_rate: NARROW, ..format }),
        15 => return tag(Err("a device-specific format".to_owned()), format, AudioContent::Nothing),
        _ => return tag(Err(format!("audio format {id}")), format, AudioContent::Nothing),
    };
    let content = match body.len() {
        1 => AudioContent::Nothing,
        _ => AudioContent::Frame(body.slice(1..)),
    };
    tag(Ok(AudioCoding::Other(codec)), format, content)
}

fn aac(body: &Bytes, format: Format) -> AudioTag {
    let content = match body.get(1) {
        Some(0) => AudioContent::Config(body.slice(2..)),
        Some(1) if body.len() > 2 => AudioContent::Frame(body.slice(2..)),
        _ => AudioContent::Nothing,
    };
    tag(Ok(AudioCoding::Aac), format, content)
}

fn tag(coding: Result<AudioCoding, String>, format: Format, content: AudioContent) -> AudioTag {
    AudioTag { track: 0, coding, format, content, nanos: 0 }
}
