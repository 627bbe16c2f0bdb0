//! One finished media segment.

use bytes::Bytes;
use media::{MediaSequence, MediaSpan, MediaTime};

/// A whole, immutable segment of one rendition, or the hole where one should have been.
#[derive(Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its number; equal numbers are the same stretch of content in every rendition.
    pub sequence: MediaSequence,
    /// PTS of its first picture, or of its first sound when there is no picture.
    pub start: MediaTime,
    /// To the start of the next segment, exact in ticks; the last one before a hole or the end counts its last frame.
    pub duration: MediaSpan,
    /// It does not continue the segment before it (EXT-X-DISCONTINUITY).
    pub discontinuity: bool,
    /// The media is missing (EXT-X-GAP): `bytes` is empty.
    pub gap: bool,
    /// Wall clock at `start`, in microseconds since 1970 (EXT-X-PROGRAM-DATE-TIME).
    pub unix_micros: i64,
    /// The transport stream: whole 188-byte packets.
    pub bytes: Bytes,
}

impl Segment {
    /// Where it ends.
    pub fn end(&self) -> MediaTime {
        self.start + self.duration
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment")
            .field("sequence", &self.sequence.0)
            .field("start", &self.start)
            .field("duration", &self.duration)
            .field("discontinuity", &self.discontinuity)
            .field("gap", &self.gap)
            .field("unix_micros", &self.unix_micros)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}
