//! What is known of renditions before their first packet.

use media::FrameRate;

/// What a rendition is, as far as it is known before its first packet.
#[derive(Clone, Debug)]
pub struct RenditionSpec {
    /// Such as `1080p`; also its part of the URL, so it must be unique and plain (`a-z 0-9 - _`).
    pub id: String,
    /// What its segments are.
    pub family: Family,
    /// Picture size and rate; `None` for sound alone.
    pub video: Option<VideoSpec>,
    /// It has sound: muxed in, or alone.
    pub has_audio: bool,
    /// What the multivariant playlist says of its rate.
    pub bandwidth: Bandwidth,
    /// What the multivariant playlist lists it as.
    pub role: Role,
}

/// The two ways a stream is packaged; renditions of both stand side by side, with the same numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Family {
    /// MPEG-2 transport streams, sound muxed in: what plays everywhere.
    #[default]
    Ts,
    /// Fragmented MP4 with one track a rendition, in parts: low-latency HLS and DASH.
    Cmaf,
}

/// What a rendition is for players.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// A variant; with what its sound is called where there are alternates to it. All variants have the same sound.
    Variant(Option<Choice>),
    /// A sound of its own, which players may take instead of the one in the variants.
    Alternate(Choice),
}

/// A sound as viewers may choose it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// For people; distinct among a presentation's.
    pub name: String,
    /// Language tag, where known.
    pub language: Option<String>,
    /// 0 where not known.
    pub channels: u8,
}

/// Size and rate of a rendition's picture.
#[derive(Clone, PartialEq, Debug)]
pub struct VideoSpec {
    /// Shown width in pixels.
    pub width: u32,
    /// Shown height in pixels.
    pub height: u32,
    /// Frames a second; taken from the bitstream when `None`.
    pub frame_rate: Option<FrameRate>,
}

/// Where a rendition's BANDWIDTH comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bandwidth {
    /// Encoded here: the encoder's settings bound it. Used as it is, unless a measured peak exceeds it.
    Declared {
        /// BANDWIDTH in bits a second, container overhead included.
        peak_bps: u64,
        /// AVERAGE-BANDWIDTH in bits a second, container overhead included.
        average_bps: u64,
    },
    /// Copied: the sender decides. The larger of hint × 1.10 × 1.25 and measured peak × 1.10; never falls.
    Measured {
        /// What the sender's metadata say of its average, in bits a second, without container overhead.
        hint_average_bps: Option<u64>,
    },
}
