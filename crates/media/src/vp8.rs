//! VP8: the frame header (RFC 6386 §9.1).

use crate::header::{HeaderError, plausible};

/// The size that a key frame declares; `None` for a frame that leans on others.
///
/// # Errors
/// When it is cut short, or a key frame lacks its start code.
pub fn key_frame_size(data: &[u8]) -> Result<Option<(u32, u32)>, HeaderError> {
    const WHAT: &str = "VP8 frame header";
    let cut = || HeaderError::truncated(WHAT, data);
    if data.first().ok_or_else(cut)? & 1 == 1 {
        return Ok(None);
    }
    let &[a, b, c, w0, w1, h0, h1] =
        data.get(3..10).and_then(|fields| fields.first_chunk()).ok_or_else(cut)?;
    if [a, b, c] != [0x9D, 0x01, 0x2A] {
        return Err(HeaderError::reserved(WHAT, "start code", u32::from_be_bytes([0, a, b, c])));
    }
    // the upper two bits of either are a wish for scaling
    let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
    plausible(WHAT, side(w0, w1), side(h0, h1)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_tell_their_size() {
        let key = [0x10, 0x3B, 0x00, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0x68, 0x41, 0x00];
        assert_eq!(key_frame_size(&key), Ok(Some((640, 360))));
        assert_eq!(key_frame_size(&[0x31, 2, 3]), Ok(None));
        for bad in [&key[..9], &[], &[0x10; 12], &[0x10, 0, 0, 0x9D, 1, 0x2A, 0, 0, 0, 0]] {
            assert!(key_frame_size(bad).is_err(), "{bad:02x?}");
        }
    }
}
