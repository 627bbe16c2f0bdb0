//! Pictures that are to be turned before they are shown: phones publish what their sensor sees and say how it was held.

use h264_reader::rbsp;
use media::{VideoCodec, VideoConfig, h264};

/// SEI payload type display_orientation (ISO/IEC 14496-10 §D.1.27, 23008-2 §D.2.17).
const DISPLAY_ORIENTATION: u32 = 47;
/// SEI NAL unit type of H.264.
const SEI_H264: u8 = 6;
/// Prefix SEI NAL unit type of HEVC.
const SEI_HEVC: u8 = 39;
/// Most bytes of an SEI unit that are looked at, and units of an access unit.
const MAX_LEN: usize = 4096;
const MAX_UNITS: usize = 16;

/// One of the eight ways in which a picture can lie. First rows and columns change places, then it is mirrored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Turn {
    /// Rows become columns: width and height change places.
    pub across: bool,
    /// Left and right change places.
    pub mirror_x: bool,
    /// Top and bottom change places.
    pub mirror_y: bool,
}

impl Turn {
    /// As it is.
    pub const NONE: Self = Self { across: false, mirror_x: false, mirror_y: false };

    /// The nearest one to a display matrix `[a, b, c, d]`, which brings `(x, y)` to `(a x + c y, b x + d y)`.
    pub(crate) fn of_matrix([a, b, c, d]: [i32; 4]) -> Self {
        let size = |one: i32, other: i32| i64::from(one).abs() + i64::from(other).abs();
        if size(b, c) > size(a, d) {
            Self { across: true, mirror_x: c < 0, mirror_y: b < 0 }
        } else {
            Self { across: false, mirror_x: a < 0, mirror_y: d < 0 }
        }
    }

    /// What an access unit's SEI says, if it says it.
    pub(super) fn find(config: &VideoConfig, data: &[u8]) -> Option<Self> {
        let hevc = match config {
            VideoConfig::H264(_) => false,
            VideoConfig::Other(other) if other.codec == VideoCodec::Hevc => true,
            VideoConfig::Other(_) => return None,
        };
        h264::units(data).take(MAX_UNITS).filter(|unit| unit.len() <= MAX_LEN).find_map(|unit| {
            let (kind, header) = if hevc { (unit.first()? >> 1 & 63, 2) } else { (unit.first()? & 31, 1) };
            let wanted = if hevc { SEI_HEVC } else { SEI_H264 };
            if kind != wanted {
                return None;
            }
            Self::of_sei(&rbsp::decode_nal(unit.get(header - 1..)?).ok()?)
        })
    }

    /// Looks through the messages of an SEI unit's payload.
    fn of_sei(mut rest: &[u8]) -> Option<Self> {
        while rest.len() > 2 {
            let (kind, behind) = varying(rest)?;
            let (len, behind) = varying(behind)?;
            let body = behind.get(..len as usize)?;
            if kind == DISPLAY_ORIENTATION {
                return Self::of_message(body);
            }
            rest = &behind[len as usize..];
        }
        None
    }

    /// display_orientation_cancel_flag, hor_flip, ver_flip, then anticlockwise_rotation in units of 2^-16 turns.
    fn of_message(body: &[u8]) -> Option<Self> {
        let bits = u32::from_be_bytes([*body.first()?, *body.get(1)?, *body.get(2)?, 0]);
        if bits >> 31 == 1 {
            return None;
        }
        let (flip_x, flip_y) = (bits >> 30 & 1 == 1, bits >> 29 & 1 == 1);
        let quarters = ((bits >> 13 & 0xFFFF) + 0x2000) >> 14 & 3;
        // The flips come first, then the rotation.
        let (across, mirror_x, mirror_y) = match quarters {
            0 => (false, flip_x, flip_y),
            1 => (true, flip_y, !flip_x),
            2 => (false, !flip_x, !flip_y),
            _ => (true, !flip_y, flip_x),
        };
        Some(Self { across, mirror_x, mirror_y })
    }
}

/// A number in bytes of 255 and a last one below (ISO/IEC 14496-10 §7.3.2.3.1).
fn varying(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let full = bytes.iter().take_while(|byte| **byte == 255).count();
    let last = bytes.get(full)?;
    Some((full as u32 * 255 + u32::from(*last), &bytes[full + 1..]))
}
