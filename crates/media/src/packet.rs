//! What flows from ingest to packaging: coded packets and the events between them.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    codec::{AudioConfig, VideoConfig},
    ids::TrackId,
    time::{MediaSpan, MediaTime},
};

/// Picture or sound.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// One coded access unit (video) or packet (audio), normalised. What [`Packet::data`] holds, and what extradata goes
/// with it ([`VideoConfig`], [`AudioConfig`]), in the form that FFmpeg's decoders take:
///
/// | coding | data | extradata |
/// |---|---|---|
/// | H.264 | NAL units each behind a 4-byte big-endian length, in decode order, without access unit delimiters, parameter sets, filler and empty units; SEI is kept | [`crate::h264::Config::to_record`]: avcC |
/// | HEVC | the same, but parameter sets met in-band stay; layers above the base are left out | hvcC with 4-byte lengths and all parameter sets; empty where an SPS could not be read: then the sets are in-band |
/// | AV1 | one temporal unit: OBUs with size fields, without temporal delimiters and padding | av1C with the sequence header OBU |
/// | VP9 | a frame or superframe | empty |
/// | VP8, Sorenson H.263, Screen video 1 and 2 | a frame | empty |
/// | VP6, VP6 with alpha | a frame (with alpha: 3 bytes of offset first), without FLV's byte of cropping | that byte, alone |
/// | AAC | one raw frame, no ADTS header | AudioSpecificConfig |
/// | Opus | one packet | OpusHead, always |
/// | FLAC | one frame | the 34 bytes of STREAMINFO, always; unknown: frame sizes, samples, checksum |
/// | AC-3, E-AC-3 | the syncframes of one message, mostly one | empty |
/// | MP3 | the frames of one message, mostly one | empty |
/// | Speex | frames of the wide band (16 kHz mono) up to a terminator or the end | a Speex header of 80 bytes, made up, that says how many frames a packet has |
/// | Nellymoser | blocks of 64 bytes, mono | empty |
/// | ADPCM | Flash's blocks behind two bits of code size | empty |
/// | PCM, G.711 | samples, channels interleaved | empty |
///
/// Size, depth and frame rate of a picture, sample rate and channels of a sound are in the configuration, for decoders
/// that cannot tell themselves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Packet {
    /// Which track of its kind.
    pub track: TrackId,
    /// Picture or sound.
    pub kind: TrackKind,
    /// When it is shown or heard.
    pub pts: MediaTime,
    /// When it is decoded; never above `pts`, strictly rising within a track. Equal to `pts` for audio.
    pub dts: MediaTime,
    /// Decoding may start here: an IDR picture (H.264), an IRAP picture (HEVC), a key frame; always true for audio.
    pub keyframe: bool,
    /// The coded bytes, in the form above.
    pub data: Bytes,
}

impl Packet {
    /// The packet moved in time by `span`.
    #[must_use]
    pub fn shifted(mut self, span: MediaSpan) -> Self {
        self.pts += span;
        self.dts += span;
        self
    }
}

/// Why the timeline or the coding of a publication is not continuous at a point.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum BreakReason {
    /// Timestamps jumped or started anew; they were rebased.
    TimestampJump,
    /// The picture's codec configuration changed.
    VideoConfigChanged,
    /// The sound's codec configuration changed.
    AudioConfigChanged,
    /// No picture came for longer than a segment may last.
    VideoGap,
    /// A new publisher took over.
    NewPublisher,
}

/// What a publication says, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MediaEvent {
    /// The configuration of a track's pictures that follow. Sent first, and again only when it changes.
    VideoConfig(TrackId, Arc<VideoConfig>),
    /// The configuration of a track's sound that follows. Sent first, and again only when it changes.
    AudioConfig(TrackId, Arc<AudioConfig>),
    /// What follows does not continue what came before; takes effect at the next keyframe. Told of default tracks only:
    /// what breaks on a further track shows in its configuration and its packets' times alone.
    Break(BreakReason),
    /// One coded packet.
    Packet(Packet),
}
