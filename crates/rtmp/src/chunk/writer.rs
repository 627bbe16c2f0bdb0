//! Messages in, chunks out. Headers of media are as short as what went before on the chunk stream allows (RTMP 1.0
//! §5.3.1.2); those of commands and control messages, which are few, are always whole: every client reads that.

use bytes::{BufMut, BytesMut};

use super::header::EXTENDED;
use crate::{
    limits::{DEFAULT_CHUNK_SIZE, MESSAGE_MAX},
    message::kind,
};

/// What the last header on a chunk stream said.
#[derive(Clone, Copy, Debug)]
struct Last {
    csid: u32,
    timestamp: u32,
    /// What a fmt 3 that opens a message would add; `None` after a fmt 0, where receivers disagree.
    delta: Option<u32>,
    length: u32,
    kind: u8,
    stream: u32,
}

/// What a message says besides its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Chunk stream to send it on: 2 to 63.
    pub csid: u32,
    /// Message type, see [`kind`].
    pub kind: u8,
    /// Message stream.
    pub stream: u32,
    /// Milliseconds modulo 2^32.
    pub timestamp: u32,
}

/// Writes one direction of one connection.
#[derive(Debug)]
pub struct Writer {
    chunk_size: u32,
    /// One entry per chunk stream in use; the owner uses a handful.
    last: Vec<Last>,
}

impl Writer {
    /// A writer at the chunk size that holds before anything is said.
    pub fn new() -> Self {
        Self { chunk_size: DEFAULT_CHUNK_SIZE, last: Vec::new() }
    }

    /// Announces `size` bytes a chunk, and keeps to it from the next message on.
    pub fn set_chunk_size(&mut self, out: &mut BytesMut, size: u32) {
        let size = size.clamp(1, MESSAGE_MAX);
        let head = Head { csid: super::csid::CONTROL, kind: kind::SET_CHUNK_SIZE, stream: 0, timestamp: 0 };
        self.write(out, head, &size.to_be_bytes());
        self.chunk_size = size;
    }

    /// Writes one message. A payload beyond 16 777 215 bytes is cut there: the format cannot carry more.
    pub fn write(&mut self, out: &mut BytesMut, head: Head, payload: &[u8]) {
        let payload = &payload[..payload.len().min(MESSAGE_MAX as usize)];
        let size = self.chunk_size as usize;
        out.reserve(payload.len() + 18 * (payload.len() / size + 1));
        let extended = self.header(out, head, payload.len() as u32);
        let mut chunks = payload.chunks(size);
        out.put_slice(chunks.next().unwrap_or_default());
        for chunk in chunks {
            put_basic(out, 3, head.csid);
            if let Some(value) = extended {
                out.put_u32(value);
            }
            out.put_slice(chunk);
        }
    }

    /// Writes the header that opens a message; gives the extended timestamp that its further chunks repeat.
    fn header(&mut self, out: &mut BytesMut, head: Head, length: u32) -> Option<u32> {
        let before = self.last.iter().position(|last| last.csid == head.csid);
        let shortens = matches!(head.kind, kind::AUDIO | kind::VIDEO);
        let delta = before.map(|at| &self.last[at]).filter(|_| shortens).and_then(|last| {
            let delta = head.timestamp.wrapping_sub(last.timestamp);
            // Long steps are told absolutely: receivers disagree on extended deltas.
            (last.stream == head.stream && delta < EXTENDED).then_some(delta)
        });
        let same_form =
            before.is_some_and(|at| (self.last[at].length, self.last[at].kind) == (length, head.kind));
        let same_delta =
            before.is_some_and(|at| self.last[at].delta.is_some() && self.last[at].delta == delta);
        let fmt = match delta {
            None => 0,
            Some(_) if !same_form => 1,
            Some(_) if !same_delta => 2,
            Some(_) => 3,
        };
        let time = delta.unwrap_or(head.timestamp);
        put_basic(out, fmt, head.csid);
        if fmt < 3 {
            out.put_uint(u64::from(time.min(EXTENDED)), 3);
        }
        if fmt < 2 {
            out.put_uint(u64::from(length), 3);
            out.put_u8(head.kind);
        }
        if fmt == 0 {
            out.put_u32_le(head.stream);
        }
        let extended = (time >= EXTENDED).then_some(time);
        if let Some(value) = extended {
            out.put_u32(value);
        }
        let said = Last {
            csid: head.csid,
            timestamp: head.timestamp,
            delta,
            length,
            kind: head.kind,
            stream: head.stream,
        };
        match before {
            Some(at) => self.last[at] = said,
            None => self.last.push(said),
        }
        extended
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

/// Basic header; our own chunk streams all fit the one-byte form.
fn put_basic(out: &mut BytesMut, fmt: u8, csid: u32) {
    out.put_u8(fmt << 6 | (csid & 0x3F) as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(timestamp: u32, kind: u8) -> Head {
        Head { csid: 4, kind, stream: 1, timestamp }
    }

    #[test]
    fn headers_shrink_as_far_as_they_may() {
        let (mut writer, mut out) = (Writer::new(), BytesMut::new());
        for (name, head, want) in [
            ("first", head(1000, 8), &[0x04, 0, 3, 232, 0, 0, 2, 8, 1, 0, 0, 0, b'a', b'b'][..]),
            ("same form", head(1020, 8), &[0x84, 0, 0, 20, b'a', b'b']),
            ("same delta", head(1040, 8), &[0xC4, b'a', b'b']),
            ("another kind", head(1041, 9), &[0x44, 0, 0, 1, 0, 0, 2, 9, b'a', b'b']),
            ("backwards", head(1030, 9), &[0x04, 0, 4, 6, 0, 0, 2, 9, 1, 0, 0, 0, b'a', b'b']),
        ] {
            out.clear();
            writer.write(&mut out, head, b"ab");
            assert_eq!(out[..], *want, "{name}");
        }
    }

    #[test]
    fn further_chunks_repeat_the_extended_timestamp() {
        let (mut writer, mut out) = (Writer::new(), BytesMut::new());
        writer.write(&mut out, head(0x0100_0000, 9), &[7; 200]);
        assert_eq!(out[1..4], [0xFF; 3]);
        assert_eq!(out[12..16], [1, 0, 0, 0]);
        assert_eq!(out[16 + 128..16 + 133], [0xC4, 1, 0, 0, 0]);
        assert_eq!(out.len(), 16 + 128 + 5 + 72);
    }
}
