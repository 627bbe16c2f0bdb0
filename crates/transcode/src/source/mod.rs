//! What a publication turned out to be, seen before anything is decoded.
//!
//! Leaves to others: what to make of it ([`crate::ladder`]).
//!
//! ```text
//!  MediaEvent, Hints ─▶ Probe::see ─▶ verdict: not yet │ Source │ Unsupported (a sentence for the streamer)
//! ```

mod probe;
mod turn;
mod x264;

use std::{fmt, sync::Arc};

use media::{AudioConfig, FrameRate, MediaSpan, MediaTime, TrackId, VideoConfig, captions::Services, h264};
use serde::{Deserialize, Serialize};

pub use probe::Probe;
pub use turn::Turn;

/// What was seen of a publication. At least one of picture and sound is there.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Source {
    /// The picture, unless it is a sound-only publication: the default track.
    pub video: Option<VideoSource>,
    /// The sound, unless it is a picture-only publication: the default track.
    pub audio: Option<AudioSource>,
    /// Further tracks of the same picture (multitrack publishing), by rising track number.
    pub more_video: Vec<VideoSource>,
    /// Further sounds, such as other languages, by rising track number.
    pub more_audio: Vec<AudioSource>,
    /// The program that publishes, as it names itself.
    pub encoder: Option<String>,
    /// Tracks that cannot be used, a sentence each.
    pub notes: Vec<String>,
}

/// What was seen of one track of the picture.
#[derive(Clone, PartialEq, Debug)]
pub struct VideoSource {
    /// Its number in the publication.
    pub track: TrackId,
    /// Its codec configuration.
    pub config: Arc<VideoConfig>,
    /// Frames a second: by the bitstream, the metadata, or measured.
    pub frame_rate: Option<FrameRate>,
    /// Frames do not come evenly: screen shares and phones send one when there is something to show.
    pub variable_rate: bool,
    /// How keyframes are spaced.
    pub gop: Gop,
    /// Bits a second, where metadata or a long enough look tells.
    pub bitrate_bps: Option<u32>,
    /// Where its keyframes were seen, to be compared with other tracks'.
    pub keyframes: Keyframes,
    /// How its pictures are to be turned before they are shown.
    pub turn: Turn,
    /// Closed captions in the pictures, as far as any were seen yet.
    pub captions: Services,
}

/// Presentation times of the keyframes seen of one track.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Keyframes {
    /// Rising; the first ones only, where there are many.
    pub at: Vec<MediaTime>,
    /// Up to where the track was seen.
    pub until: MediaTime,
}

/// What was seen of one track of sound.
#[derive(Clone, PartialEq, Debug)]
pub struct AudioSource {
    /// Its number in the publication.
    pub track: TrackId,
    /// Its codec configuration.
    pub config: Arc<AudioConfig>,
    /// Bits a second, where metadata tells.
    pub bitrate_bps: Option<u32>,
    /// What the publisher says that it is.
    pub label: Label,
}

/// What a publisher says that a track of sound is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Label {
    /// For people: `Commentary`.
    pub name: Option<String>,
    /// A language tag (RFC 5646): `de`.
    pub language: Option<String>,
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
    /// Tracks of pictures that will come beside the default one.
    pub more_video: Vec<TrackId>,
    /// Tracks of sound by number, and what they are; those beside the default one will come.
    pub audio_labels: Vec<(TrackId, Label)>,
}

/// Why a publication cannot be served at all; the text is for the streamer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unsupported(pub String);

impl VideoSource {
    /// Width and height as shown: in square pixels, turned upright.
    pub fn dimensions(&self) -> (u32, u32) {
        let (width, height) = self.config.shown();
        if self.turn.across { (height, width) } else { (width, height) }
    }
}

/// Keyframes of two tracks belong together when their times differ by no more: stamps are rounded to milliseconds.
pub const SAME_TIME: MediaSpan = MediaSpan::from_millis(1);

impl Keyframes {
    /// Whether this track has a keyframe wherever `lead` was seen to have one, so that both can be cut there. False where
    /// nothing was seen of both at once.
    pub fn follow(&self, lead: &Self) -> bool {
        let Some(first) = self.at.first() else { return false };
        let newest = self.at.last().copied().unwrap_or_default().max(self.until - SAME_TIME);
        let mut common = lead.at.iter().filter(|at| **at + SAME_TIME >= *first && **at < newest).peekable();
        common.peek().is_some()
            && common.all(|at| {
                let near = self.at.partition_point(|own| *own + SAME_TIME < *at);
                self.at.get(near).is_some_and(|own| *own <= *at + SAME_TIME)
            })
    }
}

impl Source {
    /// All tracks of the picture, the default one first.
    pub fn pictures(&self) -> impl Iterator<Item = &VideoSource> {
        self.video.iter().chain(&self.more_video)
    }

    /// All tracks of sound, the default one first.
    pub fn sounds(&self) -> impl Iterator<Item = &AudioSource> {
        self.audio.iter().chain(&self.more_audio)
    }

    /// One line for people: `1280x720 at 30 fps, H.264 High 3.1, keyframes every 2.0 s, 2500 kbit/s; AAC 48 kHz stereo`.
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.pictures().map(ToString::to_string));
        parts.extend(self.sounds().map(ToString::to_string));
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
            let about = if self.variable_rate { "about " } else { "" };
            write!(f, " at {about}{} fps", Rate(rate))?;
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
        for (nth, service) in self.captions.iter().enumerate() {
            write!(f, "{}{service}", if nth == 0 { ", captions " } else { " " })?;
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
