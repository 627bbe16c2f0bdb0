//! A plain dark picture for publications that bring none: coded once, and shown again and again without an encoder.

use bytes::Bytes;
use media::{FrameRate, MediaSpan, MediaTime, VideoConfig};

use crate::{
    encode::{EncodeError, H264Encoder, Planes, VideoSettings},
    ladder::{Preset, Profile},
};

/// A dark grey, in limited range: black looks like a broken player.
const LUMA: u8 = 36;
const CHROMA: u8 = 128;
/// Far more than it takes.
const BITRATE_BPS: u32 = 200_000;

/// See the module. H.264, each picture an IDR picture, so that a segment may begin at any of them.
#[derive(Debug)]
pub struct Blank {
    config: VideoConfig,
    /// Two, since idr_pic_id must differ from one IDR picture to the next (ISO/IEC 14496-10 §7.4.3).
    pictures: [Bytes; 2],
}

impl Blank {
    /// How often it is to be shown: often enough for players that wait for the next picture, and next to no bits.
    pub const FRAME_RATE: FrameRate = match FrameRate::new(5, 1) {
        Some(rate) => rate,
        None => unreachable!(),
    };
    /// From one to the next.
    pub const STEP: MediaSpan = MediaSpan::from_millis(200);

    /// Makes it in this size, profile and level; odd sides get one pixel more.
    ///
    /// # Errors
    /// When a side is 0, or x264 does not take the settings.
    pub fn new(width: u32, height: u32, profile: Profile, level_idc: u8) -> Result<Self, EncodeError> {
        let (width, height) = (width.next_multiple_of(2), height.next_multiple_of(2));
        let settings = VideoSettings {
            width,
            height,
            frame_rate: Self::FRAME_RATE,
            bitrate_bps: BITRATE_BPS,
            // With none but keyframes x264 would call it an intra profile, which is none of those promised.
            gop: 2,
            preset: Preset::Superfast,
        };
        let mut encoder = H264Encoder::open_as(&settings, profile, level_idc)?;
        let (across, down) = (width as usize, height as usize);
        let luma = vec![LUMA; across * down];
        let chroma = vec![CHROMA; across * down / 4];
        let planes = Planes { data: [&luma, &chroma, &chroma], stride: [across, across / 2, across / 2] };
        let mut packets = Vec::new();
        // The first one also says what made it, which need not be said five times a second.
        for nth in 0..5 {
            packets.extend(encoder.encode(planes, MediaTime::ZERO + Self::STEP.times(nth))?);
        }
        let config = encoder.config().clone();
        packets.extend(encoder.finish()?);
        let mut pictures =
            packets.into_iter().filter(|packet| packet.keyframe).skip(1).map(|packet| packet.data);
        match (pictures.next(), pictures.next()) {
            (Some(one), Some(other)) => Ok(Self { config, pictures: [one, other] }),
            _ => Err(EncodeError::new("x264 gave too few pictures".to_owned())),
        }
    }

    /// Parameter sets of the pictures.
    pub fn config(&self) -> &VideoConfig {
        &self.config
    }

    /// The picture that is shown as the `nth`.
    pub fn picture(&self, nth: u64) -> Bytes {
        self.pictures[usize::from(nth % 2 == 1)].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small_and_what_was_promised() {
        for (width, height, profile, level_idc, codecs, most) in [
            (640, 360, Profile::High, 30, "avc1.64001e", 400),
            (1920, 1080, Profile::Main, 40, "avc1.4d4028", 2500),
            (321, 181, Profile::Baseline, 13, "avc1.42c00d", 1000),
        ] {
            let blank = Blank::new(width, height, profile, level_idc).unwrap();
            assert_eq!(blank.config().codecs(), codecs);
            let (one, other) = (blank.picture(0), blank.picture(1));
            assert!(one.len() < most && other.len() < most, "{codecs}: {} bytes", one.len());
            assert_ne!(one, other, "{codecs}: idr_pic_id");
            assert_eq!(blank.picture(2), one);
        }
        assert!(Blank::new(0, 360, Profile::High, 30).is_err());
    }
}
