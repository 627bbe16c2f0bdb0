#![forbid(unsafe_code)]
//! The shared words of Sluice: times, packets, codec configurations and the few bitstream helpers that more than
//! one crate needs. It depends on no other crate of ours, and knows no socket, clock, task or FFmpeg.
//!
//! ```text
//!  wire bytes ─▶ h264 / aac (normalise) ─▶ Packet (length-prefixed NAL units, raw AAC frames)
//!  wire millis ─▶ timeline ───────────────▶ MediaTime (90 kHz)
//! ```

pub mod aac;
pub mod codec;
pub mod h264;
mod ids;
pub mod packet;
pub mod time;
pub mod timeline;

pub use codec::{
    AudioCodec, AudioConfig, ColorInfo, FrameRate, OtherAudio, OtherVideo, VideoCodec, VideoConfig,
};
pub use ids::{BadName, Epoch, MediaSequence, StreamName, TrackId};
pub use packet::{BreakReason, MediaEvent, Packet, TrackKind};
pub use time::{MediaSpan, MediaTime, TICKS_PER_MILLI, TICKS_PER_SECOND};
pub use timeline::{Timeline, WireMillis};
