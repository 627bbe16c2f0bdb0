//! Codec configurations as the rest of Sluice sees them, and their RFC 6381 names.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{aac, h264};

/// Frames per second as a fraction, both parts above 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameRate {
    num: u32,
    den: u32,
}

impl FrameRate {
    /// `num / den` frames a second; `None` unless it lies between 1 and 300.
    pub fn new(num: u32, den: u32) -> Option<Self> {
        let plausible = den > 0 && num >= den && u64::from(num) <= 300 * u64::from(den);
        plausible.then_some(Self { num, den })
    }

    /// The common rate nearest to a measured one: whole numbers and their 1000/1001 forms within 0.15 %, else
    /// thousandths. `None` outside 1 to 300.
    pub fn nearest(rate: f64) -> Option<Self> {
        if !(1.0..=300.0).contains(&rate) {
            return None;
        }
        let near = |candidate: f64| ((rate - candidate) / candidate).abs() < 0.0004;
        let whole = (rate - 0.0001).ceil().max(1.0);
        for base in [rate.round(), whole] {
            if near(base) {
                return Self::new(base as u32, 1);
            }
            if near(base * 1000.0 / 1001.0) {
                return Self::new(base as u32 * 1000, 1001);
            }
        }
        Self::new((rate * 1000.0).round() as u32, 1000)
    }

    /// Numerator.
    pub fn num(self) -> u32 {
        self.num
    }

    /// Denominator.
    pub fn den(self) -> u32 {
        self.den
    }

    /// Frames a second.
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// Half as many frames.
    #[must_use]
    pub fn halved(self) -> Self {
        if self.num.is_multiple_of(2) {
            Self { num: self.num / 2, den: self.den }
        } else {
            Self { num: self.num, den: self.den * 2 }
        }
    }
}

impl fmt::Debug for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

/// The configuration of one video track.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum VideoConfig {
    /// H.264 / AVC.
    H264(h264::Config),
}

impl VideoConfig {
    /// The CODECS name (RFC 6381 §3.4), such as `avc1.64001f`.
    pub fn codecs(&self) -> String {
        match self {
            Self::H264(config) => config.codecs(),
        }
    }

    /// Width and height in pixels, as shown (cropped).
    pub fn dimensions(&self) -> (u32, u32) {
        match self {
            Self::H264(config) => (config.sps.width, config.sps.height),
        }
    }

    /// The frame rate that the bitstream itself declares, if it does.
    pub fn frame_rate(&self) -> Option<FrameRate> {
        match self {
            Self::H264(config) => config.sps.frame_rate,
        }
    }
}

/// The configuration of one audio track.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AudioConfig {
    /// AAC in any of its object types.
    Aac(aac::Config),
}

impl AudioConfig {
    /// The CODECS name (RFC 6381 §3.3), such as `mp4a.40.2`.
    pub fn codecs(&self) -> String {
        match self {
            Self::Aac(config) => config.codecs(),
        }
    }

    /// Samples a second that one packet's sample count is counted in.
    pub fn sample_rate(&self) -> u32 {
        match self {
            Self::Aac(config) => config.sample_rate,
        }
    }

    /// Channels; 0 when only the stream itself tells (a program config element).
    pub fn channels(&self) -> u8 {
        match self {
            Self::Aac(config) => config.channels,
        }
    }

    /// Samples that one packet holds, at [`Self::sample_rate`].
    pub fn samples_per_packet(&self) -> u32 {
        match self {
            Self::Aac(config) => config.samples_per_frame,
        }
    }

    /// The decoder configuration as FFmpeg takes it for extradata.
    pub fn extradata(&self) -> Bytes {
        match self {
            Self::Aac(config) => config.asc.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_rates_snap_to_the_common_ones() {
        for (measured, want) in [
            (29.97, "30000/1001"),
            (29.970_03, "30000/1001"),
            (30.0, "30/1"),
            (30.005, "30/1"),
            (59.94, "60000/1001"),
            (23.976, "24000/1001"),
            (25.0, "25/1"),
            (14.5, "14500/1000"),
        ] {
            assert_eq!(format!("{:?}", FrameRate::nearest(measured).unwrap()), want, "{measured}");
        }
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 301.0] {
            assert_eq!(FrameRate::nearest(bad), None);
        }
    }

    #[test]
    fn halving_keeps_the_fraction_exact() {
        assert_eq!(FrameRate::new(60_000, 1001).unwrap().halved(), FrameRate::new(30_000, 1001).unwrap());
        assert_eq!(FrameRate::new(25, 1).unwrap().halved().as_f64(), 12.5);
    }
}
