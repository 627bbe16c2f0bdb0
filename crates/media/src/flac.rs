//! FLAC (RFC 9639): STREAMINFO and how long a frame is.

use bytes::Bytes;

use crate::{bits::Bits, header::HeaderError};

/// Bytes of STREAMINFO (§8.2).
const STREAM_INFO_LEN: usize = 34;

/// Largest samples that are taken: FFmpeg before 6.0 decodes none of more bits.
const MAX_BITS: u8 = 24;

/// STREAMINFO, as far as Sluice acts on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamInfo {
    /// The 34 bytes, which FFmpeg takes as extradata. What an encoder learns only at the end (frame sizes, number of
    /// samples, checksum) is blanked: FFmpeg sends it as a second record when it stops, and nothing has changed then.
    pub bytes: Bytes,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels, 1 to 8.
    pub channels: u8,
}

impl StreamInfo {
    /// Reads STREAMINFO: alone, behind its block header, or behind `fLaC` and block header.
    ///
    /// # Errors
    /// When it is cut short, has no sample rate, or samples too large to be decoded.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        const WHAT: &str = "FLAC STREAMINFO";
        let block = match bytes {
            [b'f', b'L', b'a', b'C', _, _, _, _, rest @ ..] => rest,
            [0 | 0x80, 0, 0, 34, rest @ ..] if rest.len() >= STREAM_INFO_LEN => rest,
            _ => bytes,
        };
        let block = block.get(..STREAM_INFO_LEN).ok_or_else(|| HeaderError::truncated(WHAT, bytes))?;
        let fields = u32::from_be_bytes([block[10], block[11], block[12], 0]);
        let sample_rate = fields >> 12;
        if sample_rate == 0 {
            return Err(HeaderError::reserved(WHAT, "a sample rate of", 0u8));
        }
        let channels = (block[12] >> 1 & 7) + 1;
        let bits = ((block[12] & 1) << 4 | block[13] >> 4) + 1;
        if bits > MAX_BITS {
            return Err(HeaderError::reserved(WHAT, "a sample size in bits of", bits));
        }
        let mut bytes = block.to_vec();
        bytes[4..10].fill(0);
        bytes[13] &= 0xF0;
        bytes[14..].fill(0);
        Ok(Self { bytes: bytes.into(), sample_rate, channels })
    }
}

/// Samples of each channel in a frame (§9.1); `None` when it has no frame header.
pub fn samples(frame: &[u8]) -> Option<u32> {
    let mut bits = Bits::new(frame);
    if bits.take(15)? != 0b111_1111_1111_1100 {
        return None;
    }
    bits.skip(1)?; // blocking strategy
    let code = bits.take(4)?;
    bits.skip(4 + 4 + 3 + 1)?; // rate, channels, depth, reserved
    // the frame's or sample's number, coded as UTF-8 codes characters, up to 7 bytes long
    let more = match bits.byte(8)?.leading_ones() {
        0 => 0,
        ones @ 2..=7 => ones as usize - 1,
        _ => return None,
    };
    bits.skip(8 * more)?;
    match code {
        1 => Some(192),
        2..=5 => Some(576 << (code - 2)),
        6 => Some(bits.take(8)? + 1),
        7 => Some(bits.take(16)? + 1),
        8..=15 => Some(256 << (code - 8)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FFmpeg, 48 kHz stereo, 16 bits.
    const INFO: [u8; 34] = [
        0x12, 0, 0x12, 0, 0, 0, 0x10, 0, 0x2E, 0xB5, 0x0B, 0xB8, 0x02, 0xF0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7,
        8, 9, 10, 11, 12, 13, 14, 15, 16,
    ];

    #[test]
    fn stream_info_in_each_of_its_wrappings() {
        let mut blanked = INFO;
        blanked[4..10].fill(0);
        blanked[14..].fill(0);
        let want = StreamInfo { bytes: Bytes::copy_from_slice(&blanked), sample_rate: 48_000, channels: 2 };
        for head in [&[][..], &[0x80, 0, 0, 34], b"fLaC\x80\0\0\x22", b"fLaC\0\0\0\x22"] {
            assert_eq!(StreamInfo::parse(&[head, &INFO].concat()), Ok(want.clone()), "{head:02x?}");
        }
        assert!(StreamInfo::parse(&INFO[..33]).is_err());
        assert!(StreamInfo::parse(&[0; 34]).is_err());
        let mut wide = INFO;
        (wide[12], wide[13]) = (wide[12] | 1, 0xF0);
        assert!(StreamInfo::parse(&wide).is_err(), "samples of 32 bits");
    }

    #[test]
    fn frames_tell_their_length() {
        for (name, frame, want) in [
            ("4608", &[0xFF, 0xF8, 0x5A, 0x18, 0x00][..], Some(4608)),
            ("4096", &[0xFF, 0xF9, 0xC9, 0x18, 0x00], Some(4096)),
            ("eight bits, long number", &[0xFF, 0xF8, 0x6A, 0x18, 0xC2, 0x80, 99], Some(100)),
            ("sixteen bits", &[0xFF, 0xF8, 0x7A, 0x18, 0x00, 0x03, 0xFF], Some(1024)),
            ("reserved", &[0xFF, 0xF8, 0x0A, 0x18, 0x00], None),
            ("no sync", &[0xFF, 0xF0, 0x5A, 0x18, 0x00], None),
            ("number malformed", &[0xFF, 0xF8, 0x5A, 0x18, 0x80], None),
            ("cut", &[0xFF, 0xF8, 0x7A, 0x18, 0x00, 0x03], None),
        ] {
            assert_eq!(samples(frame), want, "{name}");
        }
    }
}
