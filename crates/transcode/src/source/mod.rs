//! What a publication turned out to be, seen before anything is decoded.
//!
//! Leaves to others: what to make of it ([`crate::ladder`]).
//!
//! ```text
//!  MediaEvent, Hints ─▶ Probe::see ─▶ verdict: not yet │ Source │ Unsupported (a sentence for the streamer)
//! ```

mod probe;
mod x264;

use std::{fmt, sync::Arc};

use media::{AudioConfig, FrameRate, MediaSpan, VideoConfig, h264};

pub use probe::Probe;

/// What was seen of a publication. At least one of the two tracks is there.
#[derive(Clone, PartialEq, Debug)]
pub struct Source {
    /// The picture, unless it is a sound-only publication.
    pub video: Option<VideoSource>,
    /// The sound, unless it is a picture-only publication.
    pub audio: Option<AudioSource>,
    /// The program that publishes, as it names itself.
    pub encoder: Option<String>,
}

/// What was seen of the picture.
#[derive(Clone, PartialEq, Debug)]
pub struct VideoSource {
    /// Its codec configuration.
    pub config: Arc<VideoConfig>,
    /// Frames a second: by the bitstream, the metadata, or measured.
    pub frame_rate: Option<FrameRate>,
    /// How keyframes are spaced.
    pub gop: Gop,
    /// Bits a second, where metadata or a long enough look tells.
    pub bitrate_bps: Option<u32>,
}

/// What was seen of the sound.
#[derive(Clone, PartialEq, Debug)]
pub struct AudioSource {
    /// Its codec configuration.
    pub config: Arc<AudioConfig>,
    /// Bits a second, where metadata tells.
    pub bitrate_bps: Option<u32>,
}

/// How the keyframes (IDR pictures) of a source are spaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gop {
    /// They come at most this far apart.
    Known {
        /// Longest distance from one to the next.
        longest: MediaSpan,
        /// Scene cuts may bring further ones in between.
        scene_cuts: bool,
        /// Pictures may lean on those before the keyframe that they follow.
        open: bool,
    },
    /// None came for this long after the first.
    LongerThan(MediaSpan),
}

/// What the publisher says about itself beside the media (RTMP's onMetaData). All optional, none trusted blindly.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Hints {
    /// Whether pictures will come.
    pub has_video: Option<bool>,
    /// Whether sound will come.
    pub has_audio: Option<bool>,
    /// Frames a second.
    pub frame_rate: Option<f64>,
    /// Bits a second of the picture.
    pub video_bps: Option<u32>,
    /// Bits a second of the sound.
    pub audio_bps: Option<u32>,
    /// The encoder's own name.
    pub encoder: Option<String>,
}

/// Why a publication cannot be served at all; the text is for the streamer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unsupported(pub String);

impl VideoSource {
    /// Shown width and height in pixels.
    pub fn dimensions(&self) -> (u32, u32) {
        self.config.dimensions()
    }
}

impl Source {
    /// One line for people: `1280x720 at 30 fps, H.264 High 3.1, keyframes every 2.0 s, 2500 kbit/s; AAC 48 kHz stereo`.
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        if let Some(video) = &self.video {
            parts.push(video.to_string());
        }
        if let Some(audio) = &self.audio {
            parts.push(audio.to_string());
        }
        let mut text = parts.join("; ");
        if let Some(encoder) = &self.encoder {
            text.push_str(&format!(" (from {encoder})"));
        }
        text
    }
}

impl fmt::Display for VideoSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = self.dimensions();
        write!(f, "{width}x{height}")?;
        if let Some(rate) = self.frame_rate {
            write!(f, " at {} fps", Rate(rate))?;
        }
        match &*self.config {
            VideoConfig::H264(config) => coding(&config.sps, f)?,
            VideoConfig::Other(other) if other.bit_depth > 8 => {
                write!(f, ", {} {} bit", other.codec.as_str(), other.bit_depth)?;
            }
            VideoConfig::Other(other) => write!(f, ", {}", other.codec.as_str())?,
        }
        match self.gop {
            Gop::Known { longest, open, .. } => {
                write!(f, ", keyframes every {:.1} s", longest.as_secs_f64())?;
                if open {
                    f.write_str(" (open GOPs)")?;
                }
            }
            Gop::LongerThan(span) => write!(f, ", keyframes more than {:.1} s apart", span.as_secs_f64())?,
        }
        if let Some(bps) = self.bitrate_bps {
            write!(f, ", {} kbit/s", bps / 1000)?;
        }
        Ok(())
    }
}

/// H.264's profile, level and what is unusual about it.
fn coding(sps: &h264::SpsInfo, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, ", H.264 {} {}", profile_name(sps.profile_idc), level_name(sps.level_idc))?;
    match sps.chroma_format {
        0 => f.write_str(" grey")?,
        2 => f.write_str(" 4:2:2")?,
        3 => f.write_str(" 4:4:4")?,
        _ => {}
    }
    if sps.bit_depth != 8 {
        write!(f, " {} bit", sps.bit_depth)?;
    }
    if sps.interlaced {
        f.write_str(" interlaced")?;
    }
    Ok(())
}

impl fmt::Display for AudioSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &*self.config {
            AudioConfig::Other(other) => other.codec.as_str(),
            AudioConfig::Aac(config) => match (config.extension, config.object_type) {
                (5, _) => "HE-AAC",
                (29, _) => "HE-AAC v2",
                (_, 2) => "AAC",
                (_, 1) => "AAC Main",
                _ => "AAC (unusual profile)",
            },
        };
        let channels = match self.config.channels() {
            0 => "own channel layout".to_owned(),
            1 => "mono".to_owned(),
            2 => "stereo".to_owned(),
            6 => "5.1".to_owned(),
            count => format!("{count} channels"),
        };
        write!(f, "{kind} {} kHz {channels}", f64::from(self.config.sample_rate()) / 1000.0)?;
        if let Some(bps) = self.bitrate_bps {
            write!(f, " {} kbit/s", bps / 1000)?;
        }
        Ok(())
    }
}

/// A frame rate as people write it: `30`, `29.97`.
pub(crate) struct Rate(pub(crate) FrameRate);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = (self.0.as_f64() * 100.0).round() / 100.0;
        write!(f, "{rate}")
    }
}

/// The name of an H.264 profile_idc.
pub(crate) fn profile_name(idc: u8) -> &'static str {
    match idc {
        66 => "Baseline",
        77 => "Main",
        88 => "Extended",
        100 => "High",
        110 => "High 10",
        122 => "High 4:2:2",
        244 => "High 4:4:4",
        _ => "unusual profile",
    }
}

/// `3.1` for level_idc 31.
pub(crate) fn level_name(idc: u8) -> String {
    format!("{}.{}", idc / 10, idc % 10)
}
