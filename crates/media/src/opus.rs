//! Opus: the identification header (RFC 7845 §5.1) and how long a packet lasts (RFC 6716 §3.1). Opus counts its samples
//! at 48 kHz, whatever was put in.

use bytes::{BufMut, Bytes, BytesMut};

use crate::header::HeaderError;

/// Samples a second.
pub const SAMPLE_RATE: u32 = 48_000;
/// Longest packet (RFC 6716 §3.2.5): 120 ms.
const MAX_SAMPLES: u32 = 5760;
/// Longest header taken, in bytes: 21 and a mapping of 255 channels.
const MAX_HEADER: usize = 21 + 255;

/// What an identification header says that Sluice acts on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The header from `OpusHead` on, in the form that FFmpeg takes as extradata.
    pub bytes: Bytes,
    /// Channels, 1 to 255.
    pub channels: u8,
}

impl Head {
    /// Reads a header.
    ///
    /// # Errors
    /// When it is cut short, of another version, or without channels.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        const WHAT: &str = "OpusHead";
        let cut = || HeaderError::truncated(WHAT, bytes);
        let bytes = &bytes[..bytes.len().min(MAX_HEADER)];
        let fields = bytes.strip_prefix(b"OpusHead").and_then(|rest| rest.get(..11)).ok_or_else(cut)?;
        let (version, channels, family) = (fields[0], fields[1], fields[10]);
        if version >> 4 != 0 {
            return Err(HeaderError::reserved(WHAT, "version", version));
        }
        if channels == 0 || family == 0 && channels > 2 {
            return Err(HeaderError::reserved(WHAT, "a channel count of", channels));
        }
        if family != 0 && bytes.len() < 21 + usize::from(channels) {
            return Err(cut());
        }
        Ok(Self { bytes: Bytes::copy_from_slice(bytes), channels })
    }

    /// The header of a stream that has none: one or two channels, nothing skipped at the start.
    pub fn plain(channels: u8) -> Self {
        let channels = channels.clamp(1, 2);
        let mut out = BytesMut::with_capacity(19);
        out.put_slice(b"OpusHead");
        out.put_slice(&[1, channels]);
        out.put_u16_le(0);
        out.put_u32_le(SAMPLE_RATE);
        out.put_slice(&[0, 0, 0]); // gain, mapping family
        Self { bytes: out.freeze(), channels }
    }
}

/// Channels that the packet's first byte tells: 1 or 2. `None` for an empty packet.
pub fn channels(packet: &[u8]) -> Option<u8> {
    packet.first().map(|toc| 1 + (toc >> 2 & 1))
}

/// Samples a packet decodes to; `None` when it is empty, holds no frame, or more than 120 ms.
pub fn samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let config = toc >> 3;
    let frame = match config {
        0..12 => [480, 960, 1920, 2880][usize::from(config & 3)],
        12..16 => [480, 960][usize::from(config & 1)],
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3F),
    };
    Some(frame * frames).filter(|samples| (1..=MAX_SAMPLES).contains(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_made() {
        let plain = Head::plain(2);
        assert_eq!(Head::parse(&plain.bytes), Ok(plain.clone()));
        let mut surround = plain.bytes.to_vec();
        (surround[9], surround[18]) = (6, 1);
        assert!(Head::parse(&surround).is_err(), "six channels need their mapping");
        surround.extend([4, 2, 0, 4, 1, 2, 3, 5]);
        assert_eq!(Head::parse(&surround).map(|head| head.channels), Ok(6));
        for bad in [
            &b"OpusHead"[..],
            b"OpusTags\x01\x02\0\0\0\0\0\0\0\0\0",
            b"OpusHead\x01\0\0\0\0\0\0\0\0\0\0",
            b"",
        ] {
            assert!(Head::parse(bad).is_err(), "{bad:02x?}");
        }
    }

    #[test]
    fn the_first_byte_tells_how_long_a_packet_is() {
        for (name, packet, want) in [
            ("CELT, 20 ms, stereo", &[0xFC, 0][..], Some(960)),
            ("CELT, 2.5 ms", &[0xE0], Some(120)),
            ("SILK, 60 ms", &[0x18], Some(2880)),
            ("hybrid, 20 ms", &[0x68], Some(960)),
            ("two frames", &[0xF9], Some(1920)),
            ("three frames, counted", &[0xFB, 3], Some(2880)),
            ("no frame", &[0xFB, 0], None),
            ("more than 120 ms", &[0x1B, 3], None),
            ("count missing", &[0xFB], None),
            ("empty", &[], None),
        ] {
            assert_eq!(samples(packet), want, "{name}");
        }
        assert_eq!((channels(&[0xFC]), channels(&[0xF8]), channels(&[])), (Some(2), Some(1), None));
    }
}
