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

/// One coded access unit (video) or frame (audio), normalised.
///
/// * H.264: NAL units each behind a 4-byte big-endian length, in decode order, without access unit delimiters,
///   parameter sets, filler and empty units; SEI is kept. Parameter sets travel in [`VideoConfig`].
/// * AAC: one raw frame, no ADTS header.
/// * Other codings: as FFmpeg's decoder takes them with the configuration's extradata; see [`crate::VideoCodec`].
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
    /// An IDR picture (video); always true for audio.
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
    /// What follows does not continue what came before; takes effect at the next keyframe.
    Break(BreakReason),
    /// One coded packet.
    Packet(Packet),
}
