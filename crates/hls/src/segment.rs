//! One finished media segment, and the parts that one of fragmented MP4 is made of.

use std::sync::Arc;

use bytes::Bytes;
use media::{MediaSequence, MediaSpan, MediaTime};

/// A whole, immutable segment of one rendition, or the hole where one should have been.
///
/// A transport stream is one run of `bytes`. A segment of fragmented MP4 is its `parts`, one after the other, byte for
/// byte, and needs `init` before it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Segment {
    /// Its number; equal numbers are the same stretch of content in every rendition.
    pub sequence: MediaSequence,
    /// PTS of its first picture, or of its first sound when there is no picture.
    pub start: MediaTime,
    /// To the start of the next segment, exact in ticks; the last one before a hole or the end counts its last frame.
    pub duration: MediaSpan,
    /// It does not continue the segment before it (EXT-X-DISCONTINUITY).
    pub discontinuity: bool,
    /// The media is missing (EXT-X-GAP): there are no bytes.
    pub gap: bool,
    /// Wall clock at `start`, in microseconds since 1970 (EXT-X-PROGRAM-DATE-TIME).
    pub unix_micros: i64,
    /// A transport stream: whole 188-byte packets. Empty in fragmented MP4.
    pub bytes: Bytes,
    /// Fragmented MP4: what a player must have read before (EXT-X-MAP). `None` for a transport stream and for a gap.
    pub init: Option<Arc<Init>>,
    /// Fragmented MP4: all of it. Empty for a transport stream and for a gap.
    pub parts: Vec<Part>,
    /// Where its keyframes lie, in order.
    pub keyframes: Vec<Keyframe>,
}

/// The header of fragmented MP4 (ISO/IEC 14496-12 §8.16, CMAF header of ISO/IEC 23000-19 §7.3.1): `ftyp` and `moov` of one
/// track, without samples.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Init {
    /// The file's name in URLs, made of a hash of its bytes: `init-{16 hexadecimal digits}.mp4`.
    pub name: String,
    /// The file.
    pub bytes: Bytes,
    /// CODECS of the track.
    pub codecs: String,
}

/// A partial segment (draft-pantos-hls-rfc8216bis §3.2), which is a CMAF chunk: one `moof` and its `mdat`.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// PTS at its beginning.
    pub start: MediaTime,
    /// To the beginning of the next, in ticks.
    pub duration: MediaSpan,
    /// A player may begin with it (INDEPENDENT).
    pub independent: bool,
    /// The media is missing (GAP): `bytes` is empty.
    pub gap: bool,
    /// The chunk; in a segment's first part with the `styp` before it.
    pub bytes: Bytes,
}

/// What a list says of a segment that has begun, before its first part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
    /// Its number.
    pub sequence: MediaSequence,
    /// PTS of its first picture, or of its first sound.
    pub start: MediaTime,
    /// It does not continue the segment before it (EXT-X-DISCONTINUITY).
    pub discontinuity: bool,
    /// Wall clock at `start`, in microseconds since 1970 (EXT-X-PROGRAM-DATE-TIME).
    pub unix_micros: i64,
    /// What a player must have read before (EXT-X-MAP).
    pub init: Arc<Init>,
}

/// A picture that is decoded without others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keyframe {
    /// Its PTS.
    pub at: MediaTime,
    /// Where what a player must read for it begins, in bytes from the segment's beginning.
    pub offset: u32,
    /// How much that is. Fragmented MP4: the `moof` too.
    pub length: u32,
}

impl Segment {
    /// The hole where a segment should have been.
    pub fn missing(
        sequence: MediaSequence,
        start: MediaTime,
        duration: MediaSpan,
        discontinuity: bool,
        unix_micros: i64,
    ) -> Self {
        Self { sequence, start, duration, discontinuity, gap: true, unix_micros, ..Self::default() }
    }

    /// Where it ends.
    pub fn end(&self) -> MediaTime {
        self.start + self.duration
    }

    /// All its bytes, in the pieces they are held in.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        let whole = Some(&self.bytes).filter(|bytes| !bytes.is_empty());
        whole.into_iter().chain(self.parts.iter().map(|part| &part.bytes))
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.chunks().map(|chunk| chunk.len() as u64).sum()
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
            .field("size", &self.size())
            .field("init", &self.init.as_ref().map(|init| &init.name))
            .field("parts", &self.parts)
            .field("keyframes", &self.keyframes)
            .finish()
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part")
            .field("start", &self.start)
            .field("duration", &self.duration)
            .field("independent", &self.independent)
            .field("gap", &self.gap)
            .field("size", &self.bytes.len())
            .finish()
    }
}
