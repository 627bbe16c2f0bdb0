//! Chunk headers as they stand on the wire (RTMP 1.0 §5.3.1), without the state that gives fmt 1 to 3 their meaning.

/// A time field of this value says that four more bytes hold the time.
pub(super) const EXTENDED: u32 = 0x00FF_FFFF;
/// Longest header: three bytes of basic header, eleven of message header, four of extended timestamp.
pub(super) const HEADER_MAX: usize = 18;

/// Basic and message header of one chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) fmt: u8,
    pub(super) csid: u32,
    /// Time or delta; 0 for fmt 3.
    pub(super) time: u32,
    /// The value of the extended timestamp, for fmt 0 to 2 that have one.
    pub(super) extended: Option<u32>,
    /// fmt 0 and 1, else 0.
    pub(super) length: u32,
    /// fmt 0 and 1, else 0.
    pub(super) kind: u8,
    /// fmt 0, else 0.
    pub(super) stream: u32,
    /// Bytes it took.
    pub(super) len: usize,
}

impl Header {
    /// Reads a header from the front of `bytes`; `None` when more bytes are needed. The extended timestamp that may
    /// follow a fmt 3 is the caller's matter.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (&first, rest) = bytes.split_first()?;
        let (csid, basic) = match first & 0x3F {
            0 => (64 + u32::from(*rest.first()?), 2),
            1 => (64 + u32::from(*rest.first()?) + 256 * u32::from(*rest.get(1)?), 3),
            csid => (u32::from(csid), 1),
        };
        let fmt = first >> 6;
        let mut header =
            Self { fmt, csid, time: 0, extended: None, length: 0, kind: 0, stream: 0, len: basic };
        if fmt == 3 {
            return Some(header);
        }
        let size = [11, 7, 3][usize::from(fmt)];
        let fields = bytes.get(basic..basic + size)?;
        header.len += size;
        header.time = u24(fields);
        if fmt < 2 {
            header.length = u24(&fields[3..]);
            header.kind = fields[6];
        }
        if fmt == 0 {
            header.stream = u32::from_le_bytes([fields[7], fields[8], fields[9], fields[10]]);
        }
        if header.time == EXTENDED {
            let value = u32::from_be_bytes(*bytes.get(header.len..)?.first_chunk()?);
            (header.time, header.extended) = (value, Some(value));
            header.len += 4;
        }
        Some(header)
    }
}

fn u24(bytes: &[u8]) -> u32 {
    u32::from(bytes[0]) << 16 | u32::from(bytes[1]) << 8 | u32::from(bytes[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let whole = |fmt, csid, time, extended, length, kind, stream, len| Header {
            fmt,
            csid,
            time,
            extended,
            length,
            kind,
            stream,
            len,
        };
        for (name, bytes, want) in [
            ("fmt 0", &[0x03, 0, 0, 10, 0, 1, 0, 20, 1, 0, 0, 0][..], whole(0, 3, 10, None, 256, 20, 1, 12)),
            ("fmt 1", &[0x44, 0, 0, 10, 0, 1, 0, 8], whole(1, 4, 10, None, 256, 8, 0, 8)),
            ("fmt 2", &[0x84, 0, 1, 0], whole(2, 4, 256, None, 0, 0, 0, 4)),
            ("fmt 3", &[0xC4], whole(3, 4, 0, None, 0, 0, 0, 1)),
            ("largest one-byte csid", &[0xFF], whole(3, 63, 0, None, 0, 0, 0, 1)),
            ("two-byte csid", &[0xC0, 0], whole(3, 64, 0, None, 0, 0, 0, 2)),
            ("largest two-byte csid", &[0xC0, 255], whole(3, 319, 0, None, 0, 0, 0, 2)),
            ("three-byte csid, low byte first", &[0xC1, 1, 2], whole(3, 64 + 1 + 512, 0, None, 0, 0, 0, 3)),
            ("largest csid", &[0xC1, 255, 255], whole(3, 65_599, 0, None, 0, 0, 0, 3)),
            ("three-byte form of a small csid", &[0x81, 5, 0, 0, 0, 1], whole(2, 69, 1, None, 0, 0, 0, 6)),
            (
                "extended time",
                &[0x03, 255, 255, 255, 0, 0, 1, 9, 1, 0, 0, 0, 1, 0, 0, 0],
                whole(0, 3, 1 << 24, Some(1 << 24), 1, 9, 1, 16),
            ),
            (
                "extended delta",
                &[0x84, 255, 255, 255, 1, 2, 3, 4],
                whole(2, 4, 0x0102_0304, Some(0x0102_0304), 0, 0, 0, 8),
            ),
        ] {
            assert_eq!(Header::parse(bytes), Some(want), "{name}");
            for cut in 0..bytes.len() {
                assert_eq!(Header::parse(&bytes[..cut]), None, "{name} cut at {cut}");
            }
        }
    }
}
