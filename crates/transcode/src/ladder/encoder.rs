//! Names of encoders and of how hard they work.

use std::{fmt, str::FromStr};

use media::{VideoCodec, VideoCoding};
use serde::{Deserialize, Serialize};

/// An encoder of pictures, by FFmpeg's name for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum EncoderName {
    /// H.264 on the CPU: there everywhere, and better per bit than any accelerator at the sizes of a ladder.
    #[default]
    Libx264,
    /// H.264 on NVIDIA's cards.
    H264Nvenc,
    /// H.264 through VA-API: Intel's and AMD's graphics on Linux.
    H264Vaapi,
    /// H.264 through Intel's Quick Sync.
    H264Qsv,
    /// H.264 on Apple's machines.
    H264Videotoolbox,
    /// HEVC on the CPU.
    Libx265,
    /// AV1 on the CPU.
    Libsvtav1,
}

impl EncoderName {
    /// All of them; the one that is always there first.
    pub const ALL: [Self; 7] = [
        Self::Libx264,
        Self::H264Nvenc,
        Self::H264Vaapi,
        Self::H264Qsv,
        Self::H264Videotoolbox,
        Self::Libx265,
        Self::Libsvtav1,
    ];

    /// FFmpeg's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Libx264 => "libx264",
            Self::H264Nvenc => "h264_nvenc",
            Self::H264Vaapi => "h264_vaapi",
            Self::H264Qsv => "h264_qsv",
            Self::H264Videotoolbox => "h264_videotoolbox",
            Self::Libx265 => "libx265",
            Self::Libsvtav1 => "libsvtav1",
        }
    }

    /// What it makes.
    pub fn coding(self) -> VideoCoding {
        match self {
            Self::Libx265 => VideoCoding::Other(VideoCodec::Hevc),
            Self::Libsvtav1 => VideoCoding::Other(VideoCodec::Av1),
            _ => VideoCoding::H264,
        }
    }

    /// Whether it needs a device, which may be missing or get lost.
    pub fn is_hardware(self) -> bool {
        matches!(self, Self::H264Nvenc | Self::H264Vaapi | Self::H264Qsv | Self::H264Videotoolbox)
    }

    /// Where it runs, in words.
    pub fn place(self) -> &'static str {
        match self {
            Self::Libx264 | Self::Libx265 | Self::Libsvtav1 => "on the CPU",
            Self::H264Nvenc => "on an NVIDIA card",
            Self::H264Vaapi => "on Intel's or AMD's graphics, through VA-API",
            Self::H264Qsv => "on Intel's graphics, through Quick Sync",
            Self::H264Videotoolbox => "on Apple's media engine",
        }
    }
}

/// A text that names no encoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an encoder: use auto, {names}", names = EncoderName::ALL.map(EncoderName::as_str).join(", "))]
pub struct BadEncoder(String);

impl FromStr for EncoderName {
    type Err = BadEncoder;
    /// `auto` is libx264: an accelerator gives worse pictures for the same bits and may lose its device in
    /// the middle; it pays only for who knows that cores are short, so it must be named.
    fn from_str(text: &str) -> Result<Self, BadEncoder> {
        if text == "auto" {
            return Ok(Self::default());
        }
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or_else(|| BadEncoder(text.to_owned()))
    }
}

impl fmt::Display for EncoderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How hard encoders work: one of three speeds that are tuned rung by rung, or one of x264's own presets for all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// The least CPU at which pictures still look right.
    Economy,
    /// The pictures of x264's `veryfast`, for less CPU.
    #[default]
    Auto,
    /// Better pictures for the same bits, for more CPU.
    Quality,
    /// Least work, worst picture for its bits.
    Ultrafast,
    /// Very little work.
    Superfast,
    /// The usual choice of others for live.
    Veryfast,
    /// About 1.7 times the work of `veryfast`.
    Faster,
    /// About twice the work of `veryfast`.
    Fast,
    /// About three times the work of `veryfast`.
    Medium,
}

impl Preset {
    /// All of them: the tuned ones, then x264's by rising work.
    pub const ALL: [Self; 9] = [
        Self::Economy,
        Self::Auto,
        Self::Quality,
        Self::Ultrafast,
        Self::Superfast,
        Self::Veryfast,
        Self::Faster,
        Self::Fast,
        Self::Medium,
    ];

    /// The operator's word for it; x264's, where it is one of x264's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Economy => "economy",
            Self::Auto => "auto",
            Self::Quality => "quality",
            Self::Ultrafast => "ultrafast",
            Self::Superfast => "superfast",
            Self::Veryfast => "veryfast",
            Self::Faster => "faster",
            Self::Fast => "fast",
            Self::Medium => "medium",
        }
    }
}

/// A text that is not one of the presets that make sense for live.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a preset: use {names}", names = Preset::ALL.map(Preset::as_str).join(", "))]
pub struct BadPreset(String);

impl FromStr for Preset {
    type Err = BadPreset;
    fn from_str(text: &str) -> Result<Self, BadPreset> {
        Self::ALL.into_iter().find(|preset| preset.as_str() == text).ok_or_else(|| BadPreset(text.to_owned()))
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in EncoderName::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
        }
        assert_eq!("auto".parse(), Ok(EncoderName::Libx264));
        let words = "h264_omx".parse::<EncoderName>().unwrap_err().to_string();
        assert!(words.contains("h264_vaapi") && words.contains("auto"), "{words}");
        assert!("placebo".parse::<Preset>().unwrap_err().to_string().contains("economy, auto"));
    }
}
