//! Boxes of ISO/IEC 14496-12: four bytes of length, four of type, the content.
//!
//! Written by hand rather than with a box library: the decoder configurations are at hand as the records that the boxes
//! hold, and a library would have them taken apart and put together again; and a chunk is one layout that is written many
//! times a second around megabytes that should be copied once.

use bytes::BufMut;

/// Appends a box with the content that `body` writes.
pub(super) fn boxed(out: &mut Vec<u8>, kind: &[u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.put_u32(0);
    out.put_slice(kind);
    body(out);
    // Content is bounded by the segment's limit (`segmenter::MAX_BYTES`).
    let len = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

/// The same for a box that begins with version and flags (§4.2 FullBox).
pub(super) fn full(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    version: u8,
    flags: u32,
    body: impl FnOnce(&mut Vec<u8>),
) {
    boxed(out, kind, |out| {
        out.put_u32(u32::from(version) << 24 | flags & 0xFF_FFFF);
        body(out);
    });
}
