//! What a ladder will cost, before it runs: for the operator who looks at a plan. The true cost is measured when it runs.

use media::FrameRate;
use serde::Serialize;

use super::{EncoderName, Plan, Preset, Rung, Treatment};
use crate::source::Source;

/// CPU seconds for a million luma samples, of one core of a server of 2023: 1080p30 decodes in 0.158 s a second, and the
/// rungs 720, 480 and 360 below it are scaled in 0.048 s (zimg) and encoded by x264's `veryfast` in 0.689 s.
const DECODE: f64 = 0.158 / 62.2;
const SCALE: f64 = 0.048 / 46.9;
const ENCODE: f64 = 0.689 / 46.9;
/// CPU seconds a second for one stereo track, decoded and encoded.
const SOUND: f64 = 0.012;

/// CPU seconds that a second of the stream is expected to take: 1.0 keeps one core busy.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Estimate {
    /// Decoding the picture.
    pub decode: f64,
    /// Bringing it to the rungs' sizes.
    pub scale: f64,
    /// Encoding the rungs, on the CPU.
    pub encode: f64,
    /// The sound.
    pub sound: f64,
}

impl Estimate {
    /// All of it.
    pub fn total(self) -> f64 {
        self.decode + self.scale + self.encode + self.sound
    }
}

/// What `plan` is expected to cost with pictures as busy as those of usual video.
pub fn estimate(plan: &Plan, source: &Source) -> Estimate {
    let mut sum = Estimate::default();
    for rung in &plan.rungs {
        let Some(cost) = estimate_rung(rung, source) else { continue };
        // All encoded rungs are made of one track, decoded once.
        sum.decode = cost.decode;
        sum.scale += cost.scale;
        sum.encode += cost.encode;
    }
    sum.sound = SOUND * plan.encoded_sounds() as f64;
    sum
}

/// The same for one rung, with the decoding that all encoded rungs share and without sound; `None` where it is copied.
pub fn estimate_rung(rung: &Rung, source: &Source) -> Option<Estimate> {
    let Treatment::Encode(settings) = &rung.treatment else { return None };
    let feed = source.pictures().find(|video| video.track == rung.track);
    let size = (rung.width, rung.height);
    let made = samples(size, rung.frame_rate);
    Some(Estimate {
        decode: feed.map_or(0.0, |video| DECODE * samples(video.dimensions(), video.frame_rate)),
        scale: if feed.is_some_and(|video| video.dimensions() == size) { 0.0 } else { SCALE * made },
        encode: ENCODE * made * work(settings.encoder, settings.preset),
        sound: 0.0,
    })
}

/// Millions of luma samples a second.
fn samples((width, height): (u32, u32), rate: Option<FrameRate>) -> f64 {
    f64::from(width) * f64::from(height) * rate.map_or(30.0, FrameRate::as_f64) / 1e6
}

/// Beside x264's `veryfast`.
fn work(encoder: EncoderName, preset: Preset) -> f64 {
    if encoder.is_hardware() {
        return 0.1; // the CPU hands the pictures over
    }
    let speed = match preset {
        Preset::Ultrafast => 0.4,
        Preset::Economy => 0.5,
        Preset::Superfast | Preset::Auto => 0.55,
        Preset::Veryfast => 1.0,
        Preset::Quality => 1.3,
        Preset::Faster => 1.7,
        Preset::Fast => 2.0,
        Preset::Medium => 3.0,
    };
    match encoder {
        EncoderName::Libx265 => 3.0 * speed,
        EncoderName::Libsvtav1 => 2.0 * speed,
        _ => speed,
    }
}
