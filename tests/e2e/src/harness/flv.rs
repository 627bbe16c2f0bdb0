//! FLV files as lists of tags, to put together what no encoder would send on request.

use anyhow::{Context, Result, ensure};
use std::path::Path;

/// One tag: 8 audio, 9 video, 18 data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its type.
    pub kind: u8,
    /// Milliseconds.
    pub time: u32,
    /// Its body.
    pub body: Vec<u8>,
}

impl Tag {
    /// AVC or AAC sequence header.
    pub fn is_header(&self) -> bool {
        let second = self.body.get(1) == Some(&0);
        second && matches!((self.kind, self.body.first().map_or(0, |b| *b)), (9, 0x17) | (8, 0xa0..=0xaf))
    }
}

/// All tags of a file.
pub fn read(path: &Path) -> Result<Vec<Tag>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    ensure!(bytes.starts_with(b"FLV\x01"), "{} is no FLV file", path.display());
    let mut rest = &bytes[13..];
    let mut tags = Vec::new();
    while rest.len() >= 15 {
        let size = usize::from(rest[1]) << 16 | usize::from(rest[2]) << 8 | usize::from(rest[3]);
        ensure!(rest.len() >= 15 + size, "a tag is cut");
        let time = u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]);
        tags.push(Tag { kind: rest[0], time, body: rest[11..11 + size].to_vec() });
        rest = &rest[15 + size..];
    }
    Ok(tags)
}

/// Writes a file of these tags.
pub fn write(path: &Path, tags: &[Tag]) -> Result<()> {
    let mut out = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    for tag in tags {
        let size = u32::try_from(tag.body.len())?;
        out.push(tag.kind);
        out.extend(&size.to_be_bytes()[1..]);
        out.extend(&tag.time.to_be_bytes()[1..]);
        out.push(tag.time.to_be_bytes()[0]);
        out.extend([0; 3]);
        out.extend(&tag.body);
        out.extend((size + 11).to_be_bytes());
    }
    std::fs::write(path, out).with_context(|| path.display().to_string())
}

/// The second behind the first, `distance` milliseconds after the first one's last tag; without its metadata.
pub fn join(first: &[Tag], second: &[Tag], distance: u32) -> Vec<Tag> {
    let start = first.iter().map(|t| t.time).max().unwrap_or(0) + distance;
    let moved = second.iter().filter(|t| t.kind != 18).map(|t| Tag { time: start + t.time, ..t.clone() });
    first.iter().cloned().chain(moved).collect()
}
