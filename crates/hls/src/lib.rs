#![forbid(unsafe_code)]
//! HLS packaging: coded packets in, immutable segments and playlists out. Sans-IO: it knows no socket, task, file or
//! wall clock; the time is an argument.
//!
//! ```text
//!  source packets ─▶ cut::CutPlan ──Cut──▶ every Segmenter (and every encoder)
//!  rendition's packets ─▶ segmenter::Segmenter ─▶ ts::Muxer ─▶ Segment
//!  track's packets ─▶ cmaf::Chunker ─▶ Opening, Part …, Segment
//!  Segment ─▶ presentation::Presentation (window, figures) ─▶ snapshot::Snapshot ─▶ playlists, segments by number
//! ```
//!
//! Boundaries are decided once per stream, by the [`cut::CutPlan`], and applied to every rendition, so media sequence
//! numbers, boundaries and discontinuity numbers agree between renditions by construction.

pub mod bandwidth;
pub mod cmaf;
pub mod cut;
pub mod lowlatency;
pub mod playlist;
pub mod presentation;
mod segment;
pub mod segmenter;
pub mod snapshot;
pub mod storyboard;
pub mod ts;

pub use segment::{Init, Keyframe, Opening, Part, Segment};
