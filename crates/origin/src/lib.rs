#![forbid(unsafe_code)]
//! What viewers talk to: playlists, segments, the JSON API, metrics and the web page, over HTTP (axum).
//!
//! ```text
//!  gateway ──open──▶ Listing ──update(Snapshot), set_info(StreamInfo)──▶ Library ◀──look up── router ══HTTP══▶ player
//!                    one guard per live stream                           by name              Route → serve | wait | refuse
//! ```
//!
//! Each stream stands in a `watch` channel holding an immutable snapshot: a handler takes it, answers from it, or waits
//! for the next one. No reader can hold the writer up, and no lock is held across an await. It renders no playlist (that
//! is `hls`), decides nothing about streams (that is the gateway), and never touches codecs or RTMP.
//!
//! Queues and what happens when they are full:
//!
//! | edge | bound | when full |
//! |---|---|---|
//! | requests waiting for a starting stream | [`Settings::waiting_limit`], each for [`Settings::start_wait`] | 503 with `Retry-After` at once |
//! | connections ([`serve`]) | [`Limits::connections`] | new ones wait in the listen backlog |
//! | TLS handshakes ([`serve`]) | [`Limits::handshakes`], each for [`Limits::handshake`] | later ones wait as part of that time |
//! | bytes a slow reader leaves unread | one response a connection | closed after [`Limits::write_stall`] |

pub mod access;
mod api;
mod audience;
mod beats;
mod exposition;
mod headers;
mod info;
mod library;
mod live;
mod page;
mod pictures;
mod reply;
mod rope;
mod route;
mod router;
mod server;
pub mod vod;

pub use info::{Encoding, Made, PublisherInfo, RenditionInfo, StreamInfo};
pub use library::{Library, Listing};
pub use pictures::{Picture, Pictures};
pub use route::Route;
pub use router::{Readiness, Settings, State, router};
pub use server::{Limits, Plain, Security, serve};
