//! The ladder of a source that came back, or changed, while its presentation is being served.

use media::{FrameRate, MediaSpan};

use super::{
    AudioPlan, CutMode, Mode, Plan, Profile, Rung, Treatment, Wishes,
    plan::{audio, audio_bps, audio_settings, declared, least_segment, obstacle, settings},
    size,
};
use crate::source::{Gop, Source, VideoSource};

/// A source faster than a rung's declared rate by more than this part is halved for it.
const FASTER: f64 = 1.3;
/// A declared frame rate may be missed by this part.
const SAME_RATE: f64 = 1.02;

/// The plan for a source that came back, or changed, while `running` is being served: the same rungs by name and size
/// and the same TARGETDURATION. A rung is copied only where size, frame rate and CODECS name are what they were and
/// its keyframes still come in time; else it is encoded, the picture fitted into the rung's size.
pub fn replan(running: &Plan, source: &Source, wishes: &Wishes) -> Plan {
    let mut notes = Vec::new();
    let audio = match (&running.audio, audio(source.audio.as_ref(), wishes)) {
        (AudioPlan::None, AudioPlan::None) => AudioPlan::None,
        (AudioPlan::None, _) => {
            notes.push("the sound is new and is left out until the stream starts anew".to_owned());
            AudioPlan::None
        }
        (_, AudioPlan::None) => {
            notes.push("the sound has gone".to_owned());
            AudioPlan::None
        }
        // What was encoded was AAC-LC: anything else copied would change the CODECS name.
        (AudioPlan::Encode(settings), AudioPlan::Copy)
            if source.audio.as_ref().is_some_and(|audio| audio.config.codecs() != "mp4a.40.2") =>
        {
            AudioPlan::Encode(settings.clone())
        }
        (AudioPlan::Encode(settings), AudioPlan::Encode(_)) => AudioPlan::Encode(settings.clone()),
        (_, AudioPlan::Encode(_)) => AudioPlan::Encode(audio_settings(&wishes.audio)),
        (_, AudioPlan::Copy) => AudioPlan::Copy,
    };
    let audio_bps = audio_bps(&audio, source.audio.as_ref());
    let rungs: Vec<Rung> = match &source.video {
        None => {
            if !running.rungs.is_empty() {
                notes.push("the picture has gone".to_owned());
            }
            Vec::new()
        }
        Some(video) => {
            if running.rungs.is_empty() {
                notes.push("the picture is new and is left out until the stream starts anew".to_owned());
            }
            running.rungs.iter().map(|rung| again(rung, video, running.longest, wishes, audio_bps)).collect()
        }
    };
    let copied = rungs.iter().any(Rung::is_copy);
    let gop = match source.video.as_ref().map(|video| video.gop) {
        Some(Gop::Known { longest, .. }) => longest,
        _ => running.longest,
    };
    Plan {
        rungs,
        audio,
        cut: if copied { CutMode::Keyframes } else { CutMode::Grid },
        segment: if copied {
            least_segment(wishes.segment, running.longest, gop)
        } else {
            wishes.segment.min(running.longest)
        },
        target_duration: running.target_duration,
        longest: running.longest,
        notes,
    }
}

fn again(rung: &Rung, video: &VideoSource, longest: MediaSpan, wishes: &Wishes, audio_bps: u32) -> Rung {
    let differs = if wishes.mode == Mode::Off { None } else { difference(rung, video, longest) };
    let Some(difference) = differs else {
        // Its name, size and rate stay what was declared.
        return Rung {
            treatment: Treatment::Copy,
            reason: "copied: the source is as it was".to_owned(),
            ..rung.clone()
        };
    };
    let size = (size::even(f64::from(rung.width)), size::even(f64::from(rung.height)));
    let faster = |rate: FrameRate, declared: FrameRate| rate.as_f64() > declared.as_f64() * FASTER;
    let halve_rate =
        matches!((video.frame_rate, rung.frame_rate), (Some(rate), Some(declared)) if faster(rate, declared));
    let frame_rate = if halve_rate { video.frame_rate.map(FrameRate::halved) } else { video.frame_rate };
    let settings = match &rung.treatment {
        Treatment::Encode(before) => super::EncodeSettings { halve_rate, ..before.clone() },
        Treatment::Copy => {
            let mut made =
                settings(size, frame_rate, size::bitrate(size.0, size.1, frame_rate), wishes, halve_rate);
            keep_codecs(&mut made, size, frame_rate, rung.codecs.as_deref());
            made
        }
    };
    let (peak, average) = declared(&settings, wishes.segment, audio_bps);
    Rung {
        width: size.0,
        height: size.1,
        treatment: Treatment::Encode(settings),
        reason: difference,
        peak_bps: rung.peak_bps.or(Some(peak)),
        average_bps: rung.average_bps.or(Some(average)),
        ..rung.clone()
    }
}

/// Why the source cannot stand for a rung as it is; `None` when it can.
fn difference(rung: &Rung, video: &VideoSource, longest: MediaSpan) -> Option<String> {
    let Some(codecs) = &rung.codecs else { return Some("encoded: as before".to_owned()) };
    if let Some(obstacle) = obstacle(video, longest) {
        return Some(format!("encoded: {obstacle}"));
    }
    let (width, height) = video.dimensions();
    if (width, height) != (rung.width, rung.height) {
        return Some(format!(
            "encoded: the picture is {width}x{height} now, the running stream {}x{}",
            rung.width, rung.height
        ));
    }
    if *codecs != video.config.codecs() {
        return Some(format!(
            "encoded: the codec is {} now, the running stream's {codecs}",
            video.config.codecs()
        ));
    }
    match (video.frame_rate, rung.frame_rate) {
        (Some(rate), Some(declared)) if rate.as_f64() > declared.as_f64() * SAME_RATE => {
            Some("encoded: the frame rate is higher than the running stream's".to_owned())
        }
        _ => None,
    }
}

/// Takes profile and level from a CODECS name such as `avc1.64001f`, so that the rung keeps it.
fn keep_codecs(
    settings: &mut super::EncodeSettings,
    (width, height): (u32, u32),
    frame_rate: Option<FrameRate>,
    codecs: Option<&str>,
) {
    let hex = codecs.and_then(|codecs| codecs.strip_prefix("avc1.")).unwrap_or_default();
    let byte = |at: usize| hex.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    if let (Some(profile), Some(level)) = (byte(0), byte(4)) {
        settings.profile = match profile {
            66 => Profile::Baseline,
            77 => Profile::Main,
            _ => Profile::High,
        };
        // A level is exceeded for the bit rate alone: then there are fewer bits.
        if settings.level_idc > level
            && let Some(most) = size::most_bps(level).filter(|most| *most < settings.maxrate_bps)
        {
            let fewer =
                |bits: u32| (u64::from(bits) * u64::from(most) / u64::from(settings.maxrate_bps)) as u32;
            (settings.bitrate_bps, settings.bufsize_bits) =
                (fewer(settings.bitrate_bps), fewer(settings.bufsize_bits));
            settings.maxrate_bps = most;
            settings.level_idc = size::level(width, height, frame_rate, most);
        }
        settings.level_idc = settings.level_idc.max(level);
    }
}
