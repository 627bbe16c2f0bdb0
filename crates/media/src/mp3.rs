//! MPEG audio layer III: frame headers (ISO/IEC 11172-3 §2.4.1.3, ISO/IEC 13818-3, and the rates of MPEG 2.5).

use crate::header::HeaderError;

/// kbit/s of bitrate_index 1 to 14, for MPEG 1 and for MPEG 2 and 2.5.
const BIT_RATES: [[u32; 14]; 2] = [
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];
const RATES: [u32; 3] = [44_100, 48_000, 32_000];

/// What a frame's header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Samples a second.
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// Samples of each channel: 1152, or 576 with MPEG 2 and 2.5.
    pub samples: u32,
    /// Length of the frame in bytes; `None` where the bit rate is free.
    pub len: Option<usize>,
}

/// Reads the header at the front of `data`.
///
/// # Errors
/// When it is cut short, or no header of layer III.
pub fn frame(data: &[u8]) -> Result<Frame, HeaderError> {
    const WHAT: &str = "MP3 frame";
    let &[a, b, c, d] = data.first_chunk().ok_or_else(|| HeaderError::truncated(WHAT, data))?;
    let bad = |field, value: u8| Err(HeaderError::reserved(WHAT, field, value));
    if a != 0xFF || b & 0xE0 != 0xE0 {
        return bad("sync byte", a);
    }
    let (version, layer) = (b >> 3 & 3, b >> 1 & 3);
    if version == 1 || layer != 1 {
        return bad("version and layer", b);
    }
    let Some(base) = RATES.get(usize::from(c >> 2 & 3)) else { return bad("sampling_frequency", c >> 2 & 3) };
    let (sample_rate, samples, rates) = match version {
        3 => (*base, 1152, &BIT_RATES[0]),
        2 => (base / 2, 576, &BIT_RATES[1]),
        _ => (base / 4, 576, &BIT_RATES[1]),
    };
    let len = match c >> 4 {
        0 => None,
        15 => return bad("bitrate_index", 15),
        index => {
            let kbps = rates[usize::from(index) - 1];
            Some((samples / 8 * kbps * 1000 / sample_rate + u32::from(c >> 1 & 1)) as usize)
        }
    };
    Ok(Frame { sample_rate, channels: if d >> 6 == 3 { 1 } else { 2 }, samples, len })
}

/// Samples of all frames in one packet, and what its first frame says.
///
/// # Errors
/// As [`frame`] of the first.
pub fn packet(data: &[u8]) -> Result<(Frame, u32), HeaderError> {
    let first = frame(data)?;
    let (mut samples, mut len, mut rest) = (first.samples, first.len, data);
    while let Some(taken) = len
        && let Some(tail) = rest.get(taken.max(4)..)
        && let Ok(next) = frame(tail)
    {
        (samples, len, rest) = (samples + next.samples, next.len, tail);
    }
    Ok((first, samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        for (name, head, want) in [
            ("128 kbit/s, 44.1 kHz stereo", [0xFF, 0xFB, 0x90, 0x64], (44_100, 2, 1152, Some(417))),
            ("padded", [0xFF, 0xFB, 0x92, 0x64], (44_100, 2, 1152, Some(418))),
            ("48 kHz mono", [0xFF, 0xFB, 0x94, 0xC4], (48_000, 1, 1152, Some(384))),
            ("MPEG 2, 22.05 kHz", [0xFF, 0xF3, 0x80, 0xC4], (22_050, 1, 576, Some(208))),
            ("MPEG 2.5, 8 kHz", [0xFF, 0xE3, 0x48, 0xC4], (8_000, 1, 576, Some(288))),
            ("free bit rate", [0xFF, 0xFB, 0x00, 0x64], (44_100, 2, 1152, None)),
        ] {
            let frame = frame(&head).unwrap();
            assert_eq!((frame.sample_rate, frame.channels, frame.samples, frame.len), want, "{name}");
        }
        for bad in [
            &[0xFF, 0xFB][..],
            &[0xFF, 0xFD, 0x90, 0x64],
            &[0xFF, 0xFB, 0xF0, 0x64],
            &[0xFF, 0xFB, 0x9C, 0x64],
        ] {
            assert!(frame(bad).is_err(), "{bad:02x?}");
        }
    }

    #[test]
    fn several_frames_in_one_packet_add_up() {
        let mut one = vec![0xFF, 0xFB, 0x94, 0xC4];
        one.resize(384, 0);
        assert_eq!(packet(&[&one[..], &one, &one[..100]].concat()).unwrap().1, 3 * 1152);
        assert_eq!(packet(&one).unwrap().1, 1152);
    }
}
