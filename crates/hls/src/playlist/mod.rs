//! Playlists as text (RFC 8216), rendered from typed values: ordered, with integer-tick times, the same bytes for the
//! same values. Reading playlists is left to others.

mod iframes;
mod lines;
mod media;
mod multivariant;

pub use self::{
    iframes::Iframes,
    media::{LowLatency, Media, Report},
    multivariant::{ClosedCaptions, Keyframes, Multivariant, Sound, Variant},
};
