//! What the checker is told of a segment, and what it tells of it.

use crate::report::Findings;
use serde::Serialize;

/// What the playlist says of the segment that comes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Entry {
    /// An EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// Segments between the last one checked and this one were not seen.
    pub missed: bool,
}

/// The tracks a rendition is expected to have in every segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracks {
    /// H.264.
    pub video: bool,
    /// AAC in ADTS.
    pub audio: bool,
}

/// Facts of one segment's pictures. Times are ticks of 90 kHz, unwrapped over the session.
#[derive(Debug, Clone, Serialize)]
pub struct VideoFacts {
    /// Time of the first picture, an IDR's where no rule is broken.
    pub first_pts: i64,
    /// The latest time of a picture.
    pub last_pts: i64,
    /// The first decoding time.
    pub first_dts: i64,
    /// Pictures.
    pub frames: u64,
    /// IDR pictures.
    pub idrs: u64,
    /// `avc1.PPCCLL` of the first SPS.
    pub codec: Option<String>,
    /// Width and height, if the header could be read.
    pub size: Option<(u32, u32)>,
}

/// Facts of one segment's audio.
#[derive(Debug, Clone, Serialize)]
pub struct AudioFacts {
    /// Time of the first frame.
    pub first_pts: i64,
    /// End of the last frame.
    pub end_pts: i64,
    /// AAC frames of 1024 samples.
    pub frames: u64,
    /// Hertz.
    pub rate: u32,
    /// channel_configuration.
    pub channels: u8,
    /// AudioObjectType, 0 where it is no AAC.
    pub object: u8,
    /// As CODECS has it, where the header tells.
    pub codec: Option<String>,
}

/// Facts of one segment.
#[derive(Debug, Clone, Serialize)]
pub struct SegmentFacts {
    /// As the caller named it.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// None without a picture.
    pub video: Option<VideoFacts>,
    /// None without an ADTS frame.
    pub audio: Option<AudioFacts>,
}

impl SegmentFacts {
    /// First picture's time, or the first audio frame's where there is no video.
    pub fn start(&self) -> Option<i64> {
        self.video.as_ref().map(|v| v.first_pts).or(self.audio.as_ref().map(|a| a.first_pts))
    }

    /// Audio's start after video's, in ticks.
    pub fn av_offset(&self) -> Option<i64> {
        Some(self.audio.as_ref()?.first_pts - self.video.as_ref()?.first_pts)
    }
}

/// What came out of a session.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Broken rules.
    pub findings: Findings,
    /// In the order they were fed.
    pub segments: Vec<SegmentFacts>,
}
