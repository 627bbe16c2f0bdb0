//! The plan of the ladder: which rungs, which of them are copied, and what is declared of each (design D3). Pure.
//!
//! Leaves to others: looking at the source ([`crate::source`]) and carrying the plan out ([`crate::Transcoder`]).
//!
//! ```text
//!  Source + Wishes ─▶ plan ─▶ Plan: rungs (copy or encode, why, rates), sound, how segments are cut
//!  running Plan + Source that came back or changed ─▶ replan ─▶ Plan with the same rungs
//! ```

mod cost;
mod encoder;
mod plan;
mod replan;
mod size;
mod sound;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_support;
mod tracks;
mod tuning;

use std::fmt;

use media::{FrameRate, MediaSpan, TrackId};
use serde::{Deserialize, Serialize};

pub use cost::{Estimate, estimate, estimate_rung};
pub use encoder::{BadEncoder, BadPreset, EncoderName, Preset};
pub use plan::{picture_rates, plan};
pub use replan::{continues, replan};
pub use size::{Picture, pictures};
pub(crate) use size::{cap, level};
pub use tuning::{X264, x264};

use crate::source::{Rate, level_name};

/// What the operator wants of a ladder. [`Default`] is what suits most.
#[derive(Clone, PartialEq, Debug)]
pub struct Wishes {
    /// Whether there is a ladder at all.
    pub mode: Mode,
    /// The rungs by name; empty: chosen by the source.
    pub rungs: Vec<RungWish>,
    /// Most rungs, the top one included; at least 1. The second largest goes first.
    pub max_rungs: usize,
    /// How long a segment should be.
    pub segment: MediaSpan,
    /// How long a segment of a copied rung may get; sources with longer GOPs are encoded.
    pub longest_segment: MediaSpan,
    /// How hard the encoders work.
    pub preset: Preset,
    /// What becomes of the sound.
    pub audio: AudioWishes,
    /// What encodes the picture.
    pub encoder: EncoderName,
    /// Pictures that come without sound get silence: players start late, or not at all, without a track of sound, and one
    /// that comes later finds its place.
    pub fill_sound: bool,
    /// Sound that comes without pictures gets a plain dark one, for players and pages that want a picture.
    pub fill_picture: bool,
    /// One variant more than there are rungs has the sound alone: for viewers whose link is too slow for any picture.
    pub audio_only: bool,
}

/// Whether there is a ladder.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Copy where the source allows it, encode the rest.
    #[default]
    Auto,
    /// One rung, copied, whatever it is; no encoder runs.
    Off,
}

/// A rung by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RungWish {
    /// The short side in pixels: 720 for `720p`.
    pub height: u32,
    /// Average bits a second of the picture; by height when not given.
    pub bitrate_bps: Option<u32>,
}

/// What becomes of the sound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AudioWishes {
    /// Encode even what could be copied.
    pub always_encode: bool,
    /// Bits a second where it is encoded, 32 000 to 320 000.
    pub bitrate_bps: u32,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            rungs: Vec::new(),
            max_rungs: 4,
            segment: MediaSpan::from_millis(2000),
            longest_segment: MediaSpan::from_millis(4000),
            preset: Preset::default(),
            audio: AudioWishes { always_encode: false, bitrate_bps: 128_000 },
            encoder: EncoderName::default(),
            fill_sound: true,
            fill_picture: false,
            audio_only: false,
        }
    }
}

/// The ladder of one source.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The picture's rungs, largest first; none for a source that is sound only.
    pub rungs: Vec<Rung>,
    /// The track at whose pictures segments are cut; where there are none, it has no meaning.
    #[serde(default)]
    pub lead: TrackId,
    /// What becomes of the sound, once for all rungs.
    pub audio: AudioPlan,
    /// Which sound that is.
    #[serde(default)]
    pub sound: Sound,
    /// Further sounds, of which viewers may choose one instead.
    #[serde(default)]
    pub alternates: Vec<Alternate>,
    /// What decides where segments begin.
    pub cut: CutMode,
    /// The `target` for the cut plan: a segment lasts at least this long where it can. With copied rungs it is less
    /// than the wished length, so that the next keyframe cannot come too late for [`Self::longest`].
    pub segment: MediaSpan,
    /// EXT-X-TARGETDURATION in seconds; fixed for the life of the presentation.
    pub target_duration: u32,
    /// The longest segment that still rounds to [`Self::target_duration`] (RFC 8216 §4.3.3.1).
    pub longest: MediaSpan,
    /// What the operator or streamer should know, a sentence each.
    pub notes: Vec<String>,
    /// The sound is a variant of its own, too; never where there are no rungs or is no sound.
    #[serde(default)]
    pub audio_only: bool,
}

/// One rung of the picture.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rung {
    /// By its short side: `720p`. Part of URLs.
    pub name: String,
    /// Width in pixels as shown; even when encoded.
    pub width: u32,
    /// Height in pixels as shown; even when encoded.
    pub height: u32,
    /// Frames a second, where known.
    pub frame_rate: Option<FrameRate>,
    /// The source's track that it is copied from or decoded from; all encoded rungs have the same.
    #[serde(default)]
    pub track: TrackId,
    /// Copied or encoded.
    pub treatment: Treatment,
    /// The CODECS name of a copied rung's source: a source that comes back may be copied only if it has the same.
    pub codecs: Option<String>,
    /// Why it is copied or encoded, in words for the streamer.
    pub reason: String,
    /// BANDWIDTH to declare, sound and container included; `None` for a copied rung, which is measured.
    pub peak_bps: Option<u64>,
    /// AVERAGE-BANDWIDTH to declare; for a copied rung what the publisher says, if it does.
    pub average_bps: Option<u64>,
}

/// A sound as viewers may choose it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sound {
    /// The source's track.
    pub track: TrackId,
    /// For people; no other sound of the plan has the same.
    pub name: String,
    /// Language tag, where the publisher says it.
    pub language: Option<String>,
    /// Channels that viewers get; 0 where only the coded sound tells.
    pub channels: u8,
}

/// A further sound, beside the one that is in every rung.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alternate {
    /// Part of URLs: `audio-1`.
    pub id: String,
    /// Which sound it is.
    pub sound: Sound,
    /// What becomes of it; [`AudioPlan::None`] where a running presentation has it and the source no longer.
    pub audio: AudioPlan,
}

/// What is done to a rung's picture.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Treatment {
    /// The source's packets as they come.
    Copy,
    /// Decoded, scaled, encoded.
    Encode(EncodeSettings),
    /// No picture comes, and a plain dark one ([`crate::Blank`]) takes its place. No encoder runs for it. All rungs of a plan
    /// are blank, or none is.
    Blank(BlankSettings),
}

/// How the picture is coded that stands in for one that does not come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlankSettings {
    /// H.264 profile, of those that the rung's viewers were promised.
    pub profile: Profile,
    /// level_idc, the same.
    pub level_idc: u8,
    /// How the rung is encoded when pictures return; `None` where there never were any.
    pub instead: Option<EncodeSettings>,
}

/// How a rung is encoded: closed GOPs that open at cuts only, average rate within a cap (VBV).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EncodeSettings {
    /// Average bits a second.
    pub bitrate_bps: u32,
    /// VBV fill rate, bits a second.
    pub maxrate_bps: u32,
    /// VBV size in bits.
    pub bufsize_bits: u32,
    /// H.264 profile.
    pub profile: Profile,
    /// level_idc: 31 is level 3.1.
    pub level_idc: u8,
    /// How hard the encoder works.
    pub preset: Preset,
    /// Every second frame is left out.
    pub halve_rate: bool,
    /// What encodes it.
    #[serde(default)]
    pub encoder: EncoderName,
}

/// The H.264 profiles that are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Profile {
    /// Constrained Baseline.
    Baseline,
    /// Main.
    Main,
    /// High.
    High,
}

/// What becomes of the sound.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AudioPlan {
    /// There is none.
    None,
    /// The source's packets as they come.
    Copy,
    /// Decoded, brought to stereo, encoded once for all rungs.
    Encode(AudioSettings),
    /// There is none, and silence in this coding takes its place. No encoder runs for it.
    Silence(AudioSettings),
}

/// How sound is encoded: AAC-LC.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AudioSettings {
    /// Samples a second.
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// Bits a second.
    pub bitrate_bps: u32,
}

/// What decides where segments begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CutMode {
    /// A copied rung is there: at the source's keyframes.
    Keyframes,
    /// Everything is encoded, or there is only sound: on a grid.
    Grid,
}

impl Rung {
    /// Whether the source's packets are used as they come.
    pub fn is_copy(&self) -> bool {
        self.treatment == Treatment::Copy
    }

    /// Whether an encoder makes it.
    pub fn is_encoded(&self) -> bool {
        matches!(self.treatment, Treatment::Encode(_))
    }

    /// How the picture is coded that stands in for its own; `None` where that comes.
    pub fn blank(&self) -> Option<&BlankSettings> {
        match &self.treatment {
            Treatment::Blank(settings) => Some(settings),
            Treatment::Copy | Treatment::Encode(_) => None,
        }
    }
}

impl Plan {
    /// Whether anything must be encoded at all.
    pub fn needs_transcoder(&self) -> bool {
        self.rungs.iter().any(Rung::is_encoded) || self.encoded_sounds() > 0
    }

    /// Whether all that viewers see is a picture that stands in for one.
    pub fn is_blank(&self) -> bool {
        self.rungs.iter().any(|rung| rung.blank().is_some())
    }

    /// Tracks of sound that are encoded.
    fn encoded_sounds(&self) -> usize {
        let sounds = self.alternates.iter().map(|alternate| &alternate.audio).chain([&self.audio]);
        sounds.filter(|audio| matches!(audio, AudioPlan::Encode(_))).count()
    }
}

impl fmt::Display for Plan {
    /// A small table: a line a rung, the sound, the segments, the notes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rung in &self.rungs {
            write!(f, "{:<6} {:>9}", rung.name, format!("{}x{}", rung.width, rung.height))?;
            let rate = rung.frame_rate.map_or_else(|| "?".to_owned(), |rate| Rate(rate).to_string());
            write!(f, " {rate:>5} fps  ")?;
            match &rung.treatment {
                Treatment::Copy => f.write_str("copy                    ")?,
                Treatment::Blank(_) => f.write_str("a dark picture          ")?,
                Treatment::Encode(settings) => {
                    let rate = format!("{} kbit/s", settings.bitrate_bps / 1000);
                    let level = level_name(settings.level_idc);
                    write!(f, "{rate:<12} {:<8} {level}", settings.profile.as_str())?;
                    if settings.encoder != EncoderName::default() {
                        write!(f, " {}", settings.encoder)?;
                    }
                }
            }
            writeln!(f, "  {}", rung.reason)?;
        }
        match &self.audio {
            AudioPlan::None => writeln!(f, "sound  none")?,
            AudioPlan::Copy => writeln!(f, "sound  copy")?,
            AudioPlan::Silence(_) => writeln!(f, "sound  silence")?,
            AudioPlan::Encode(audio) => writeln!(
                f,
                "sound  AAC-LC {} Hz, {} channels, {} kbit/s",
                audio.sample_rate,
                audio.channels,
                audio.bitrate_bps / 1000
            )?,
        }
        if self.audio_only {
            writeln!(f, "sound  alone, too, for viewers with less bandwidth than pictures need")?;
        }
        for alternate in &self.alternates {
            let how = match &alternate.audio {
                AudioPlan::None | AudioPlan::Silence(_) => "missing",
                AudioPlan::Copy => "copy",
                AudioPlan::Encode(_) => "encoded",
            };
            writeln!(f, "further sound: {} ({how})", alternate.sound.name)?;
        }
        let cut = match self.cut {
            CutMode::Keyframes => "at the source's keyframes",
            CutMode::Grid => "on a fixed grid",
        };
        writeln!(f, "segments cut {cut}, at most {} s", self.target_duration)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

impl Profile {
    /// x264's word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Main => "main",
            Self::High => "high",
        }
    }
}
