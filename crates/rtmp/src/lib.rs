#![forbid(unsafe_code)]
//! RTMP as publishers and players speak it (Adobe RTMP 1.0, RTMPE, AMF0 and AMF3, FLV tag bodies), without any I/O:
//! bytes and the time go in, events, bytes to send and the next deadline come out. Sockets, authorisation and threads
//! belong to the caller.
//!
//! ```text
//!  bytes ─▶ handshake ─▶ chunk::Reader ─▶ Message ─┬▶ control, commands (amf0) ─▶ replies ─▶ chunk::Writer ─▶ bytes
//!                                                  ├▶ data (metadata) ──────────▶ Event::Metadata
//!                                                  └▶ flv ─▶ tracks (media::h264, media::Timeline) ─▶ Event::Media
//! ```
//!
//! [`session::Session`] is the server's side of one connection; [`client::Publisher`] is the other side of the same
//! dialogue. Payload bytes are copied once, from the caller's read buffer into the message they belong to; packets
//! are slices of it.

pub mod amf0;
pub mod amf3;
pub mod auth;
pub mod chunk;
pub mod client;
pub mod flv;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod handshake;
pub mod limits;
mod link;
pub mod message;
pub mod metadata;
mod quirk;
mod rc4;
mod secret;
pub mod session;
mod tagger;

pub mod tracks;
pub mod tunnel;

pub use handshake::HandshakeKind;
pub use metadata::{Metadata, TrackInfo};
pub use secret::SecretText;
pub use session::{Event, ProtocolError, RefusalCode, Session, Settings, Stats, StreamRequest, Verdict};
