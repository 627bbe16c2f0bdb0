//! Encoders for pictures and sound that this process makes itself, such as the demo's: raw in, [`media`]'s forms out.

use media::{AudioConfig, FrameRate, MediaTime, Packet, VideoConfig};

use crate::ladder::Preset;

/// Why an encoder did not open or encode: the call, the codec, and FFmpeg's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EncodeError(String);

/// How a picture is encoded.
#[derive(Clone, PartialEq, Debug)]
pub struct VideoSettings {
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// Frames a second.
    pub frame_rate: FrameRate,
    /// Average bits a second; the cap is a quarter above.
    pub bitrate_bps: u32,
    /// Frames from one IDR picture to the next.
    pub gop: u32,
    /// x264's speed setting.
    pub preset: Preset,
}

/// 8-bit 4:2:0 planes Y, U, V: `[plane][rows][stride]`, chroma planes half as wide and high.
#[derive(Clone, Copy, Debug)]
pub struct Planes<'a> {
    /// Each plane's rows, `stride` bytes apart.
    pub data: [&'a [u8]; 3],
    /// Bytes from one row to the next, at least the plane's width.
    pub stride: [usize; 3],
}

/// H.264 by x264.
pub struct H264Encoder {
    config: VideoConfig,
}

impl H264Encoder {
    /// Opens the encoder.
    ///
    /// # Errors
    /// When x264 does not take the settings.
    pub fn open(_settings: &VideoSettings) -> Result<Self, EncodeError> {
        Err(EncodeError("not built".into()))
    }

    /// Parameter sets of the packets to come.
    pub fn config(&self) -> &VideoConfig {
        &self.config
    }

    /// Encodes one frame; `pts` must rise. Gives back what became ready, in decode order.
    ///
    /// # Errors
    /// When planes are too short for the picture, or x264 fails.
    pub fn encode(&mut self, _planes: Planes<'_>, _pts: MediaTime) -> Result<Vec<Packet>, EncodeError> {
        Ok(vec![])
    }

    /// The frames still inside.
    ///
    /// # Errors
    /// When x264 fails.
    pub fn finish(self) -> Result<Vec<Packet>, EncodeError> {
        Ok(vec![])
    }
}

/// AAC-LC by FFmpeg.
pub struct AacEncoder {
    config: AudioConfig,
}

impl AacEncoder {
    /// Opens the encoder. `start` is the time of the first sample.
    ///
    /// # Errors
    /// When the encoder does not take the settings.
    pub fn open(
        _sample_rate: u32,
        _channels: u8,
        _bitrate_bps: u32,
        _start: MediaTime,
    ) -> Result<Self, EncodeError> {
        Err(EncodeError("not built".into()))
    }

    /// The configuration of the packets to come.
    pub fn config(&self) -> &AudioConfig {
        &self.config
    }

    /// Encodes samples: one slice a channel, equally long, of any length, -1 to 1. Times come from the sample count.
    ///
    /// # Errors
    /// When the channels are not those announced, or the encoder fails.
    pub fn encode(&mut self, _channels: &[&[f32]]) -> Result<Vec<Packet>, EncodeError> {
        Ok(vec![])
    }
}
