//! A recording as one progressive MP4: `moov` first, then the samples, copied out of the recorded fragments.
//!
//! ```text
//!  init + sample tables ─▶ track::Track (one each for pictures and sound) ─▶ layout::Layout: head, extents, length
//!  Layout + a range ─▶ reads of the store, in order, each a few MiB at most
//! ```
//!
//! The whole layout follows from the index and the sample tables beside the segments: no media is read for it, so its length is
//! known, and any range of it can be had at once.

pub(crate) mod boxes;
mod layout;
mod track;

pub use layout::{Layout, LayoutError, Piece};
pub(crate) use layout::{Source, choose};
pub(crate) use track::Described;
