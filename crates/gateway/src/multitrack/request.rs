//! What OBS asks: the part of its request that an answer depends on. OBS 30.2 (`schema_version` 2024-06-04) tells one
//! picture among its preferences, OBS 31.1 (2025-01-25) a list of canvases. Everything else in it, such as the hardware,
//! is not read, and nothing but the key must be there.

use media::FrameRate;
use serde::Deserialize;

/// The request.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    pub(super) service: String,
    #[serde(default)]
    pub(super) schema_version: String,
    /// The stream key, as entered in OBS.
    pub(super) authentication: String,
    #[serde(default)]
    pub(super) client: Client,
    #[serde(default)]
    pub(super) preferences: Preferences,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Client {
    /// Encoders that this OBS has, by their ids in OBS; since OBS 31.
    #[serde(default)]
    pub(super) supported_encoders: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Preferences {
    /// Of all tracks together, in kbit/s.
    pub(super) maximum_aggregate_bitrate: Option<u64>,
    pub(super) maximum_video_tracks: Option<u32>,
    #[serde(default)]
    pub(super) vod_track_audio: bool,
    pub(super) audio_channels: Option<u32>,
    width: Option<u32>,
    height: Option<u32>,
    framerate: Option<Rate>,
    #[serde(default)]
    canvases: Vec<Canvas>,
}

#[derive(Debug, Deserialize)]
struct Canvas {
    width: u32,
    height: u32,
    framerate: Rate,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Rate {
    pub(super) numerator: u32,
    pub(super) denominator: u32,
}

/// The picture that OBS makes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) rate: Rate,
}

impl Preferences {
    /// The first canvas, if it is one that can be streamed.
    pub(super) fn output(&self) -> Option<Output> {
        let (width, height, rate) = match self.canvases.first() {
            Some(canvas) => (canvas.width, canvas.height, canvas.framerate),
            None => (self.width?, self.height?, self.framerate?),
        };
        let sizes = 32..=8192;
        let sound = sizes.contains(&width) && sizes.contains(&height) && rate.as_frame_rate().is_some();
        sound.then_some(Output { width, height, rate })
    }

    /// Canvases beyond the first.
    pub(super) fn further_canvases(&self) -> usize {
        self.canvases.len().saturating_sub(1)
    }
}

impl Rate {
    pub(super) fn as_frame_rate(self) -> Option<FrameRate> {
        FrameRate::new(self.numerator, self.denominator)
    }
}
