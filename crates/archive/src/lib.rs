#![forbid(unsafe_code)]
//! Recordings: what viewers saw live, kept in a folder or in S3-compatible storage, and read back from there.
//!
//! ```text
//!  stream ──watch(Snapshot)──▶ recorder ──batch──▶ pack/00000007.bin, then index/00000007-00000007.json ──▶ Store
//!                              bounded by bytes                                                             │
//!  player ◀── origin ◀── vod (lists, segments, one MP4) ◀── recording::Recording ◀── index pages ◀──────────┘
//! ```
//!
//! A recording is a few hundred *packs*, each the finished segments of all renditions of some seconds, one after the
//! other, and as many *pages* of an index that name what is in them, with length and hash. A pack is written before the
//! page that names it: whatever a process leaves when it is killed is whole up to its last page, and a pack without a
//! page is swept at the next start. Few objects mean few requests, which is what S3 is paid by.
//!
//! The live stream is never held up. Segments are shared, not copied; those that wait for the store are bounded by
//! bytes ([`Settings::queue_bytes`]), and what finds no room is lost, counted, told, and a gap in the recording.
//!
//! Queues and what happens when they are full:
//!
//! | edge | bound | when full |
//! |---|---|---|
//! | stream → recorder | one snapshot; its window | the recorder sees the newest, which holds all that is not older than the window |
//! | recorder → store | [`Settings::queue_bytes`] | newest segments are lost: counted, logged every 30 s at most, gaps in the recording |
//! | window → [`Shelf`] | [`ShelfSettings::queue_bytes`] | refused, counted: the segment stays with its owner |
//! | store → viewer | one read of at most 4 MiB ahead | the viewer's connection is left unwritten, the store unread |

pub mod index;
pub mod library;
pub mod mp4;
pub mod recorder;
pub mod recording;
mod samples;
pub mod shelf;
pub mod store;
pub mod vod;

pub use library::{Archive, Catalog, Keep, Row, Settings};
pub use recorder::Feed;
pub use shelf::{Board, Shelf, ShelfSettings};
pub use store::{Store, StoreError, StoreSettings};
