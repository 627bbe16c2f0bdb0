//! Fragmented MP4 (ISO/IEC 14496-12, CMAF: ISO/IEC 23000-19) of one track: packets and cuts in, parts and segments out.
//!
//! ```text
//!  VideoConfig / AudioConfig ─▶ init ──────────────────────────▶ Init (ftyp, moov; named by its hash)
//!  Packet ─▶ sample ─▶ chunker: segments, parts, decode times ─▶ fragment ─▶ Part (styp?, emsg*, moof, mdat)
//! ```

mod boxes;
pub mod chunker;
mod entry;
pub mod fragment;
pub mod init;
mod open;
mod pictures;
mod sample;
mod scale;
mod sounds;
mod target;

pub use chunker::{Chunked, Chunker, Metadata};
pub use target::part_target;

/// Ticks a second in files of pictures: those of [`media::MediaTime`], exact for all usual frame rates.
pub const VIDEO_TIMESCALE: u32 = media::TICKS_PER_SECOND as u32;
