//! VP9: the uncompressed frame header (VP9 Bitstream Specification §6.2) and the VPCodecConfigurationRecord (VP Codec
//! ISO Media File Format Binding §2.2).

use crate::{
    bits::Bits,
    codec::ColorInfo,
    header::{HeaderError, plausible},
};

/// frame_sync_code.
const SYNC: u32 = 0x49_83_42;

/// What a frame's header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A key frame.
    Key {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bits of a sample: 8, 10 or 12.
        bit_depth: u8,
    },
    /// A frame that leans on others, or only shows one.
    Inter,
}

/// Reads the header of the first frame in `data`: of a superframe it is the one that decides.
///
/// # Errors
/// When it is cut short, or no VP9.
pub fn frame(data: &[u8]) -> Result<Frame, HeaderError> {
    const WHAT: &str = "VP9 frame header";
    let cut = || HeaderError::truncated(WHAT, data);
    let mut bits = Bits::new(data);
    let marker = bits.take(2).ok_or_else(cut)?;
    if marker != 2 {
        return Err(HeaderError::reserved(WHAT, "frame_marker", marker));
    }
    let (low, high) = (bits.byte(1).ok_or_else(cut)?, bits.byte(1).ok_or_else(cut)?);
    let profile = high << 1 | low;
    if profile == 3 && bits.flag().ok_or_else(cut)? {
        return Err(HeaderError::reserved(WHAT, "profile", 4u8));
    }
    let existing = bits.flag().ok_or_else(cut)?;
    if existing || bits.flag().ok_or_else(cut)? {
        return Ok(Frame::Inter); // show_existing_frame, or frame_type 1
    }
    bits.skip(2).ok_or_else(cut)?; // show_frame, error_resilient_mode
    let sync = bits.take(24).ok_or_else(cut)?;
    if sync != SYNC {
        return Err(HeaderError::reserved(WHAT, "frame_sync_code", sync));
    }
    let (bit_depth, width, height) = picture(&mut bits, profile).ok_or_else(cut)?;
    let (width, height) = plausible(WHAT, width, height)?;
    Ok(Frame::Key { width, height, bit_depth })
}

/// color_config and frame_size.
fn picture(bits: &mut Bits<'_>, profile: u8) -> Option<(u8, u32, u32)> {
    const RGB: u32 = 7;
    let bit_depth = if profile >= 2 { 10 + 2 * bits.byte(1)? } else { 8 };
    let with_subsampling = profile & 1 == 1;
    match (bits.take(3)? == RGB, with_subsampling) {
        (false, true) => bits.skip(1 + 3)?, // range, subsampling, reserved
        (false, false) | (true, true) => bits.skip(1)?,
        (true, false) => {}
    }
    Some((bit_depth, bits.take(16)? + 1, bits.take(16)? + 1))
}

/// The colours that a VPCodecConfigurationRecord describes, with or without the four bytes of FullBox version and flags
/// (FFmpeg leaves them out); `None` where it does not.
///
/// # Errors
/// When it is cut short.
pub fn color_of_record(record: &[u8]) -> Result<Option<ColorInfo>, HeaderError> {
    let fields = record.strip_prefix(&[1, 0, 0, 0]).filter(|rest| rest.len() >= 8).unwrap_or(record);
    let &[_, _, _, primaries, transfer, matrix, ..] = fields else {
        return Err(HeaderError::truncated("vpcC record", record));
    };
    let told = |value: u8| !matches!(value, 0 | 2);
    Ok((told(primaries) || told(transfer)).then_some(ColorInfo { primaries, transfer, matrix }))
}

#[cfg(test)]
#[allow(clippy::unusual_byte_groupings)] // bits stand together as fields do
mod tests {
    use super::*;

    /// libvpx, 640x360, first bytes of a key frame and of the frame after it.
    const KEY: [u8; 10] = [0x82, 0x49, 0x83, 0x42, 0x00, 0x27, 0xF0, 0x16, 0x76, 0x00];
    const INTER: [u8; 4] = [0x86, 0x00, 0x40, 0x92];

    #[test]
    fn frames_are_told_by_their_header() {
        assert_eq!(frame(&KEY), Ok(Frame::Key { width: 640, height: 360, bit_depth: 8 }));
        assert_eq!(frame(&INTER), Ok(Frame::Inter));
        assert_eq!(frame(&[0x88]), Ok(Frame::Inter), "an earlier frame shown");
        for bad in [&KEY[..7], &[], &[0x42], &[0x82, 0x49, 0x83, 0x43, 0, 0, 0, 0, 0]] {
            assert!(frame(bad).is_err(), "{bad:02x?}");
        }
    }

    #[test]
    fn ten_bits_stand_before_the_size() {
        // profile 2: marker 10, bits 0 1, not existing, key, shown, not resilient; sync; ten bits; BT.2020; limited range
        let head = 0b10_0_1_0_0_1_0u8;
        let size = 0b0_101_0u64 << 32 | 1279 << 16 | 719;
        let mut frame_bytes = vec![head, 0x49, 0x83, 0x42];
        frame_bytes.extend(&(size << (64 - 37)).to_be_bytes()[..5]);
        assert_eq!(frame(&frame_bytes), Ok(Frame::Key { width: 1280, height: 720, bit_depth: 10 }));
    }

    #[test]
    fn records_with_and_without_full_box_bytes() {
        let pq = [2, 0x1F, 0xA2, 9, 16, 9, 0, 0];
        let want = Some(ColorInfo { primaries: 9, transfer: 16, matrix: 9 });
        assert_eq!(color_of_record(&pq), Ok(want));
        assert_eq!(color_of_record(&[&[1, 0, 0, 0], &pq[..]].concat()), Ok(want));
        assert_eq!(color_of_record(&[0, 0x1F, 0x80, 2, 2, 2, 0, 0]), Ok(None));
        assert!(color_of_record(&[1, 0, 0, 0]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
            let _ = (frame(&bytes), color_of_record(&bytes));
        }
    }
}
