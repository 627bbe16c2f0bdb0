#![forbid(unsafe_code)]
//! The shared words of Sluice: times, packets, codec configurations and the few bitstream helpers that more than
//! one crate needs. It depends on no other crate of ours, and knows no socket, clock, task or FFmpeg.
//!
//! ```text
//!  wire bytes ─▶ pictures / sounds ─▶ VideoConfig, AudioConfig, packet data in one form per coding
//!                  └ h264 hevc av1 vp9 vp8 flash_video · aac opus flac ac3 mp3 flash_sound: headers, purely
//!  wire millis ─▶ timeline ─────────▶ MediaTime (90 kHz)
//! ```

pub mod aac;
pub mod ac3;
pub mod av1;
mod bits;
pub mod captions;
pub mod codec;
pub mod flac;
pub mod flash_sound;
pub mod flash_video;
pub mod h264;
mod header;
pub mod hevc;
mod ids;
pub mod mp3;
mod nal;
pub mod opus;
pub mod packet;
mod parameter_sets;
pub mod pictures;
pub mod sounds;
pub mod time;
pub mod timeline;
pub mod vp8;
pub mod vp9;

pub use codec::{
    AudioCodec, AudioCoding, AudioConfig, ColorInfo, FrameRate, OtherAudio, OtherVideo, VideoCodec,
    VideoCoding, VideoConfig,
};
pub use header::HeaderError;
pub use ids::{BadName, BadRecordingId, Epoch, MediaSequence, RecordingId, StreamName, TrackId};
pub use packet::{BreakReason, MediaEvent, Packet, TrackKind};
pub use time::{MediaSpan, MediaTime, TICKS_PER_MILLI, TICKS_PER_SECOND};
pub use timeline::{Timeline, WireMillis, interleave::Interleave};
