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
    pub const fn new(num: u32, den: u32) -> Option<Self> {
        let plausible = den > 0 && num >= den && num as u64 <= 300 * den as u64;
        if plausible { Some(Self { num, den }) } else { None }
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
    /// H.264 / AVC: can be copied to viewers.
    H264(h264::Config),
    /// Anything else: decoded, and encoded as H.264.
    Other(OtherVideo),
}

/// Pictures in a coding that is taken from publishers and not given to viewers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OtherVideo {
    /// The coding.
    pub codec: VideoCodec,
    /// The decoder configuration as FFmpeg takes it for extradata (hvcC, av1C, vpcC …); may be empty.
    pub extradata: Bytes,
    /// Width in pixels, as shown.
    pub width: u32,
    /// Height in pixels, as shown.
    pub height: u32,
    /// Bits of a luma sample, where known; else 8.
    pub bit_depth: u8,
    /// Frames a second, where the bitstream declares them.
    pub frame_rate: Option<FrameRate>,
    /// Colours, where the bitstream or Enhanced RTMP's colorInfo told.
    pub color: Option<ColorInfo>,
}

/// Codings of [`OtherVideo`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum VideoCodec {
    /// H.265 / HEVC. Access units of NAL units behind 4-byte lengths.
    Hevc,
    /// AV1. Temporal units of OBUs with size fields.
    Av1,
    /// VP9.
    Vp9,
    /// VP8.
    Vp8,
    /// H.266 / VVC.
    Vvc,
    /// Sorenson H.263 (FLV codec id 2); the default of FFmpeg's FLV muxer.
    SorensonH263,
    /// On2 VP6 (FLV codec id 4).
    Vp6,
    /// On2 VP6 with alpha (FLV codec id 5).
    Vp6Alpha,
    /// Screen video (FLV codec id 3).
    ScreenVideo,
    /// Screen video 2 (FLV codec id 6).
    ScreenVideo2,
}

impl VideoCodec {
    /// As people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hevc => "HEVC",
            Self::Av1 => "AV1",
            Self::Vp9 => "VP9",
            Self::Vp8 => "VP8",
            Self::Vvc => "VVC",
            Self::SorensonH263 => "Sorenson H.263",
            Self::Vp6 => "VP6",
            Self::Vp6Alpha => "VP6 with alpha",
            Self::ScreenVideo => "Screen video",
            Self::ScreenVideo2 => "Screen video 2",
        }
    }
}

/// What the pictures of a track are coded in, before anything more is known of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum VideoCoding {
    /// H.264 / AVC.
    H264,
    /// Anything else.
    Other(VideoCodec),
}

impl VideoCoding {
    /// As people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::Other(codec) => codec.as_str(),
        }
    }
}

/// Colours by the numbers of ITU-T H.273 (and Enhanced RTMP's colorInfo, and H.264's VUI).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ColorInfo {
    /// ColourPrimaries: 1 BT.709, 9 BT.2020.
    pub primaries: u8,
    /// TransferCharacteristics: 1 BT.709, 16 PQ, 18 HLG.
    pub transfer: u8,
    /// MatrixCoefficients: 1 BT.709, 9 BT.2020 non-constant.
    pub matrix: u8,
}

impl ColorInfo {
    /// These colours, and those of `other` where these are unspecified (2) or reserved (0; but RGB for the matrix).
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let told = |own: u8, other: u8| if matches!(own, 0 | 2) { other } else { own };
        Self {
            primaries: told(self.primaries, other.primaries),
            transfer: told(self.transfer, other.transfer),
            matrix: if self.matrix == 2 { other.matrix } else { self.matrix },
        }
    }

    /// Whether the transfer is one of the HDR ones: PQ (16) or HLG (18).
    pub fn is_hdr(self) -> bool {
        matches!(self.transfer, 16 | 18)
    }
}

impl VideoConfig {
    /// The CODECS name (RFC 6381 §3.4), such as `avc1.64001f`; for codings that viewers never get, what people call it.
    pub fn codecs(&self) -> String {
        match self {
            Self::H264(config) => config.codecs(),
            Self::Other(other) => other.codec.as_str().to_owned(),
        }
    }

    /// H.264's configuration, where it is that.
    pub fn h264(&self) -> Option<&h264::Config> {
        match self {
            Self::H264(config) => Some(config),
            Self::Other(_) => None,
        }
    }

    /// Width and height in pixels, as shown (cropped).
    pub fn dimensions(&self) -> (u32, u32) {
        match self {
            Self::H264(config) => (config.sps.width, config.sps.height),
            Self::Other(other) => (other.width, other.height),
        }
    }

    /// Width and height in square pixels: an anamorphic picture is shown wider (or higher) than it is coded.
    pub fn shown(&self) -> (u32, u32) {
        match self {
            Self::H264(config) => {
                let (num, den) = config.sps.sample_aspect;
                crate::h264::shown(self.dimensions(), (num.into(), den.into()))
            }
            Self::Other(_) => self.dimensions(),
        }
    }

    /// Colours, where they were told; H.264's stand in its SPS and are not read here.
    pub fn color(&self) -> Option<ColorInfo> {
        match self {
            Self::H264(_) => None,
            Self::Other(other) => other.color,
        }
    }

    /// The frame rate that the bitstream itself declares, if it does.
    pub fn frame_rate(&self) -> Option<FrameRate> {
        match self {
            Self::H264(config) => config.sps.frame_rate,
            Self::Other(other) => other.frame_rate,
        }
    }
}

/// The configuration of one audio track.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AudioConfig {
    /// AAC in any of its object types.
    Aac(aac::Config),
    /// Anything else: decoded, and encoded as AAC-LC.
    Other(OtherAudio),
}

/// Sound in a coding that is taken from publishers and not given to viewers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OtherAudio {
    /// The coding.
    pub codec: AudioCodec,
    /// The decoder configuration as FFmpeg takes it for extradata (OpusHead, STREAMINFO …); may be empty.
    pub extradata: Bytes,
    /// Samples a second that packets' sample counts are counted in.
    pub sample_rate: u32,
    /// Channels; at least 1.
    pub channels: u8,
}

/// Codings of [`OtherAudio`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum AudioCodec {
    /// Opus; counted at 48 kHz.
    Opus,
    /// FLAC.
    Flac,
    /// AC-3.
    Ac3,
    /// E-AC-3.
    Eac3,
    /// MPEG-1, 2 and 2.5 layer III.
    Mp3,
    /// Speex, wide band: 16 kHz mono.
    Speex,
    /// Nellymoser Asao.
    Nellymoser,
    /// PCM, 16 bits, little endian.
    PcmS16Le,
    /// PCM, 8 bits, unsigned.
    PcmU8,
    /// G.711 A-law.
    ALaw,
    /// G.711 µ-law.
    MuLaw,
    /// Flash's ADPCM.
    AdpcmSwf,
}

impl AudioCodec {
    /// As people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opus => "Opus",
            Self::Flac => "FLAC",
            Self::Ac3 => "AC-3",
            Self::Eac3 => "E-AC-3",
            Self::Mp3 => "MP3",
            Self::Speex => "Speex",
            Self::Nellymoser => "Nellymoser",
            Self::PcmS16Le | Self::PcmU8 => "PCM",
            Self::ALaw => "G.711 A-law",
            Self::MuLaw => "G.711 µ-law",
            Self::AdpcmSwf => "ADPCM",
        }
    }
}

/// What the sound of a track is coded in, before anything more is known of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AudioCoding {
    /// AAC in any of its object types.
    Aac,
    /// Anything else.
    Other(AudioCodec),
}

impl AudioCoding {
    /// As people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aac => "AAC",
            Self::Other(codec) => codec.as_str(),
        }
    }
}

impl AudioConfig {
    /// The CODECS name (RFC 6381 §3.3), such as `mp4a.40.2`; for codings that viewers never get, what people call it.
    pub fn codecs(&self) -> String {
        match self {
            Self::Aac(config) => config.codecs(),
            Self::Other(other) => other.codec.as_str().to_owned(),
        }
    }

    /// AAC's configuration, where it is that.
    pub fn aac(&self) -> Option<&aac::Config> {
        match self {
            Self::Aac(config) => Some(config),
            Self::Other(_) => None,
        }
    }

    /// Samples a second that one packet's sample count is counted in.
    pub fn sample_rate(&self) -> u32 {
        match self {
            Self::Aac(config) => config.sample_rate,
            Self::Other(other) => other.sample_rate,
        }
    }

    /// Channels; 0 when only the stream itself tells (a program config element).
    pub fn channels(&self) -> u8 {
        match self {
            Self::Aac(config) => config.channels,
            Self::Other(other) => other.channels,
        }
    }

    /// The decoder configuration as FFmpeg takes it for extradata.
    pub fn extradata(&self) -> Bytes {
        match self {
            Self::Aac(config) => config.asc.clone(),
            Self::Other(other) => other.extradata.clone(),
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
    fn unspecified_colours_are_filled_in() {
        let color = |primaries, transfer, matrix| ColorInfo { primaries, transfer, matrix };
        assert_eq!(color(2, 2, 9).or(color(9, 16, 1)), color(9, 16, 9));
        assert_eq!(color(1, 1, 0).or(color(9, 16, 9)), color(1, 1, 0));
    }

    #[test]
    fn halving_keeps_the_fraction_exact() {
        assert_eq!(FrameRate::new(60_000, 1001).unwrap().halved(), FrameRate::new(30_000, 1001).unwrap());
        assert_eq!(FrameRate::new(25, 1).unwrap().halved().as_f64(), 12.5);
    }
}
