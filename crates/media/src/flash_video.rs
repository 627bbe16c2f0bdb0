//! The picture codings of Flash encoders (FLV 10.1 §E.4.3): their sizes, and which frames stand alone. FFmpeg's decoders
//! take the bodies as they are.

use crate::{
    bits::Bits,
    header::{HeaderError, plausible},
};

/// What a frame's header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Leans on no other frame.
    pub key: bool,
    /// Width and height in pixels, where this frame tells them.
    pub size: Option<(u32, u32)>,
}

/// Sorenson H.263 (H263VIDEOPACKET): each frame tells its size.
///
/// # Errors
/// When it is cut short, or lacks its start code.
pub fn sorenson(data: &[u8]) -> Result<Frame, HeaderError> {
    const WHAT: &str = "Sorenson H.263 frame header";
    let cut = || HeaderError::truncated(WHAT, data);
    let mut bits = Bits::new(data);
    let start = bits.take(17).ok_or_else(cut)?;
    if start != 1 {
        return Err(HeaderError::reserved(WHAT, "start code", start));
    }
    bits.skip(5 + 8).ok_or_else(cut)?; // version, temporal reference
    let (width, height) = match bits.take(3).ok_or_else(cut)? {
        0 => (bits.take(8).ok_or_else(cut)?, bits.take(8).ok_or_else(cut)?),
        1 => (bits.take(16).ok_or_else(cut)?, bits.take(16).ok_or_else(cut)?),
        2 => (352, 288),
        3 => (176, 144),
        4 => (128, 96),
        5 => (320, 240),
        6 => (160, 120),
        reserved => return Err(HeaderError::reserved(WHAT, "PictureSize", reserved)),
    };
    let key = bits.take(2).ok_or_else(cut)? == 0;
    Ok(Frame { key, size: Some(plausible(WHAT, width, height)?) })
}

/// On2 VP6 as FLV carries it: one byte of cropping, with alpha three more of offset, then the frame. Key frames tell the
/// size.
///
/// # Errors
/// When it is cut short.
pub fn vp6(data: &[u8], alpha: bool) -> Result<Frame, HeaderError> {
    const WHAT: &str = "VP6 frame header";
    let cut = || HeaderError::truncated(WHAT, data);
    let &crop = data.first().ok_or_else(cut)?;
    let frame = data.get(if alpha { 4 } else { 1 }..).ok_or_else(cut)?;
    let &first = frame.first().ok_or_else(cut)?;
    if first & 0x80 != 0 {
        return Ok(Frame { key: false, size: None });
    }
    let &filter = frame.get(1).ok_or_else(cut)?;
    // The offset of a second partition stands before the size where there is one.
    let at = if first & 1 == 1 || filter & 6 == 0 { 4 } else { 2 };
    let &[rows, columns] = frame.get(at..at + 2).and_then(|fields| fields.first_chunk()).ok_or_else(cut)?;
    let side = |blocks: u8, less: u8| (u32::from(blocks) * 16).saturating_sub(u32::from(less));
    Ok(Frame { key: true, size: Some(plausible(WHAT, side(columns, crop >> 4), side(rows, crop & 0xF))?) })
}

/// Screen video, both versions: each frame tells its size; which ones stand alone, only the tag says.
///
/// # Errors
/// When it is cut short.
pub fn screen(data: &[u8]) -> Result<(u32, u32), HeaderError> {
    const WHAT: &str = "Screen video frame header";
    let &[a, b, c, d] = data.first_chunk().ok_or_else(|| HeaderError::truncated(WHAT, data))?;
    let side = |high: u8, low: u8| u32::from(high & 0xF) << 8 | u32::from(low);
    plausible(WHAT, side(a, b), side(c, d))
}

#[cfg(test)]
#[allow(clippy::unusual_byte_groupings)] // bits stand together as fields do
mod tests {
    use super::*;

    #[test]
    fn sorenson_frames() {
        // by FFmpeg's encoder `flv`: 640x360 in 16 bits, intra; then inter
        let frame = |kind: u8| {
            // 17 bits of start code, 5 of version, 8 of reference, 3 of PictureSize, the sides, 2 of PictureType
            let fields = 1u128 << 111 | 1 << 95 | 640 << 79 | 360 << 63 | u128::from(kind) << 61;
            fields.to_be_bytes()
        };
        assert_eq!(sorenson(&frame(0)), Ok(Frame { key: true, size: Some((640, 360)) }));
        assert_eq!(sorenson(&frame(1)), Ok(Frame { key: false, size: Some((640, 360)) }));
        assert_eq!(sorenson(&[0, 0, 0x84, 2, 0b1_00_00000]).map(|frame| frame.key), Ok(true));
        for bad in [&frame(0)[..6], &[], &[0xFF; 16], &[0, 0, 0x80, 0, 0x03, 0x80, 0]] {
            assert!(sorenson(bad).is_err(), "{bad:02x?}");
        }
    }

    #[test]
    fn vp6_frames() {
        let key = [0x08, 0x1E, 0x46, 0x17, 0x28, 0x17, 0x28];
        assert_eq!(vp6(&key, false), Ok(Frame { key: true, size: Some((640, 360)) }));
        let with_offset = [0x08, 0x1F, 0x46, 0, 9, 0x17, 0x28];
        assert_eq!(vp6(&with_offset, false), Ok(Frame { key: true, size: Some((640, 360)) }));
        let alpha = [&[0x08, 0, 1, 0][..], &key[1..]].concat();
        assert_eq!(vp6(&alpha, true), Ok(Frame { key: true, size: Some((640, 360)) }));
        assert_eq!(vp6(&[0, 0x9E], false), Ok(Frame { key: false, size: None }));
        assert!(vp6(&key[..4], false).is_err() && vp6(&[], true).is_err());
    }

    #[test]
    fn screen_frames() {
        assert_eq!(screen(&[0x32, 0x80, 0x31, 0x68, 0]), Ok((640, 360)));
        assert!(screen(&[0x30, 0, 0x31, 0x68]).is_err() && screen(&[0x32]).is_err());
    }
}
