//! What an encoder says about its stream in onMetaData: a hint, never believed over the packets.

/// The fields of onMetaData that Sluice uses. Any may be missing; any may be wrong.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Metadata {
    /// Picture width in pixels.
    pub width: Option<u32>,
    /// Picture height in pixels.
    pub height: Option<u32>,
    /// Frames a second; finite and above 0.
    pub frame_rate: Option<f64>,
    /// Video bits a second.
    pub video_bps: Option<u32>,
    /// Audio bits a second.
    pub audio_bps: Option<u32>,
    /// The encoder's own name.
    pub encoder: Option<String>,
    /// Samples a second of the sound.
    pub audio_sample_rate: Option<u32>,
    /// Channels of the sound.
    pub audio_channels: Option<u8>,
}
