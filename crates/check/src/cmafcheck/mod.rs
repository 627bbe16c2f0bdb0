//! A strict checker of the CMAF segments and parts of one rendition, fed in playlist order.
//!
//!   header bytes ─▶ boxes ─▶ init ─▶ config          segment bytes ─▶ boxes ─▶ fragment ─▶ rules over the session
//!
//! The rules are those of `rules` that begin with `cmaf.`.

pub(crate) mod boxes;
mod checker;
mod config;
mod fragment;
mod init;
mod pictures;
#[cfg(test)]
pub(crate) mod synth;
#[cfg(test)]
mod tests;

pub use checker::{Checker, PartFacts};

/// How many chunks the bytes hold.
pub(crate) fn chunks(bytes: &[u8]) -> usize {
    boxes::read(bytes, 0).map_or(0, |items| items.iter().filter(|i| i.kind == *b"moof").count())
}

/// Whether these bytes begin as a file of boxes does.
pub fn is_bmff(bytes: &[u8]) -> bool {
    matches!(bytes.get(4..8), Some(b"styp" | b"moof" | b"sidx" | b"ftyp" | b"prft" | b"emsg" | b"free"))
}
