//! Bodies of audio and video messages: FLV tag bodies (Adobe FLV 10.1, §E.4.2 and §E.4.3) and the headers that Enhanced
//! RTMP v1 and v2 put in their place.
//!
//! ```text
//!  body ─┬▶ legacy ────▶ one tag
//!        └▶ enhanced ──▶ ModEx chain ─▶ one tag, or one for each track of a multitrack message
//! ```
//! What a tag says does not lean on what was negotiated: OBS negotiates nothing and sends Enhanced RTMP all the same.
//! Codings that nothing here takes are told by name, so that the encoder's user reads what to change.

mod enhanced;
mod legacy;

use bytes::Bytes;
use media::{AudioCoding, ColorInfo, VideoCoding, sounds::Format};

/// Video codec id of AVC.
pub const AVC: u8 = 7;
/// Audio format of AAC.
pub const AAC: u8 = 10;

/// Samples a second of FLV's lowest rate code.
pub const LOWEST_RATE: u32 = 5_512;

/// Bits of a header's first byte, or its first nibble, that say Enhanced RTMP.
const EX_VIDEO: u8 = 0x80;
const EX_AUDIO: u8 = 9;

/// What a video message says of one track.
#[derive(Clone, PartialEq, Debug)]
pub struct VideoTag {
    /// Which track; senders give any number, 0 is the default one.
    pub track: u8,
    /// Its coding, or what it is called where it is none that we know.
    pub coding: Result<VideoCoding, String>,
    /// What stands in it.
    pub content: VideoContent,
    /// Added to the time of showing, in nanoseconds below a millisecond (ModEx TimestampOffsetNano).
    pub nanos: u32,
}

/// What stands in a video tag.
#[derive(Clone, PartialEq, Debug)]
pub enum VideoContent {
    /// A configuration record; may be empty.
    Config(Bytes),
    /// One access unit.
    Frame {
        /// PTS less DTS in milliseconds; signed.
        composition_ms: i32,
        /// What the tag says of keyframes; not to be believed where the bitstream tells.
        key: bool,
        /// The coded bytes.
        body: Bytes,
    },
    /// Colours of what follows; `None` takes back what was told.
    Color(Option<ColorInfo>),
    /// The encoder ends its sequence: what came is whole.
    End,
    /// Nothing to act on: empty, a seek mark, metadata of no use.
    Nothing,
}

/// What an audio message says of one track.
#[derive(Clone, PartialEq, Debug)]
pub struct AudioTag {
    /// Which track; senders give any number, 0 is the default one.
    pub track: u8,
    /// Its coding, or what it is called where it is none that we know.
    pub coding: Result<AudioCoding, String>,
    /// Rate and channels by the tag: they count for codings whose frames tell neither.
    pub format: Format,
    /// What stands in it.
    pub content: AudioContent,
    /// Added to the time of sounding, in nanoseconds below a millisecond (ModEx TimestampOffsetNano).
    pub nanos: u32,
}

/// What stands in an audio tag.
#[derive(Clone, PartialEq, Debug)]
pub enum AudioContent {
    /// A configuration record; may be empty.
    Config(Bytes),
    /// One packet; not empty.
    Frame(Bytes),
    /// Channels of what follows and what each is (MultichannelConfig).
    Channels(ChannelLayout),
    /// The encoder ends its sequence.
    End,
    /// Nothing to act on: an empty message stands for silence.
    Nothing,
}

/// How channels are laid out (Enhanced RTMP v2, AudioChannelOrder). Decoders know from the bitstream; this is for
/// display.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelLayout {
    /// How many.
    pub count: u8,
    /// Which: a mask of speakers (native order), or a number for each channel (custom order).
    pub order: ChannelOrder,
}

/// How [`ChannelLayout`] tells which channel is which.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChannelOrder {
    /// Not told.
    Unspecified,
    /// In the usual order, those with a bit set in the mask.
    Native(u32),
    /// Each by its number; 0xFE unused, 0xFF unknown.
    Custom(Bytes),
}

/// The tags of one message: one, or one for each track of a multitrack message.
#[derive(Clone, Debug)]
pub struct Tags<T> {
    next: Option<T>,
    rest: Option<enhanced::Rest>,
    read: fn(&mut enhanced::Rest) -> Option<T>,
}

impl<T> Tags<T> {
    fn one(tag: T) -> Self {
        Self { next: Some(tag), rest: None, read: |_| None }
    }

    fn none() -> Self {
        Self { next: None, rest: None, read: |_| None }
    }
}

impl<T> Iterator for Tags<T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.next.take().or_else(|| (self.read)(self.rest.as_mut()?))
    }
}

/// Reads a video message's body.
pub fn video(body: &Bytes) -> Tags<VideoTag> {
    match body.first() {
        None => Tags::none(),
        Some(first) if first & EX_VIDEO != 0 => enhanced::video(body),
        Some(_) => Tags::one(legacy::video(body)),
    }
}

/// Reads an audio message's body.
pub fn audio(body: &Bytes) -> Tags<AudioTag> {
    match body.first() {
        None => Tags::none(),
        Some(first) if first >> 4 == EX_AUDIO => enhanced::audio(body),
        Some(_) => Tags::one(legacy::audio(body)),
    }
}

/// SI24, in milliseconds, at the front of what follows.
fn composition_time(body: &Bytes) -> Option<(i32, Bytes)> {
    let &[a, b, c] = body.first_chunk()?;
    Some((i32::from_be_bytes([a, b, c, 0]) >> 8, body.slice(3..)))
}

#[cfg(test)]
mod tests;
