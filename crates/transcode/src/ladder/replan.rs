//! The ladder of a source that came back, or changed, while its presentation is being served.

use media::{FrameRate, MediaSpan};

use super::{
    AudioPlan, BlankSettings, CutMode, EncodeSettings, Mode, Plan, Profile, Rung, Sound, Treatment, Wishes,
    plan::{declared, least_segment, obstacle, settings},
    size,
    sound::{self, audio_bps, keep_coding},
    tracks::short_side,
};
use crate::source::{Gop, Source, VideoSource};

/// A source faster than a rung's declared rate by more than this part is halved for it.
const FASTER: f64 = 1.3;
/// A declared frame rate may be missed by this part.
const SAME_RATE: f64 = 1.02;

/// Whether a presentation that `running` describes can go on with this source. It cannot where pictures are new, and where
/// they have gone and nothing can stand in for them: without sound, or where viewers were promised another coding than H.264.
pub fn continues(running: &Plan, source: &Source) -> bool {
    let never = |rung: &Rung| rung.blank().is_some_and(|blank| blank.instead.is_none());
    let had_pictures = running.rungs.iter().any(|rung| !never(rung));
    match (&source.video, had_pictures) {
        (Some(_), had_pictures) => had_pictures,
        (None, false) => true,
        (None, true) => {
            let h264 = |codecs: &String| codecs.starts_with("avc1.");
            running.audio != AudioPlan::None && running.rungs.iter().all(|rung| rung.codecs.iter().all(h264))
        }
    }
}

/// The plan for a source that came back, or changed, while `running` is being served: the same rungs by name and size
/// and the same TARGETDURATION. A rung is copied only from a track whose size, frame rate and CODECS name are what they
/// were and whose keyframes still come in time, and where the leading track's do; else it is encoded, the picture fitted
/// into the rung's size. Without pictures all rungs show a dark one. To be asked where the source [`continues`].
pub fn replan(running: &Plan, source: &Source, wishes: &Wishes) -> Plan {
    let mut notes = source.notes.clone();
    let audio = match (&running.audio, keep_coding(&running.audio, source.audio.as_ref(), wishes)) {
        (AudioPlan::None, AudioPlan::None) => AudioPlan::None,
        (AudioPlan::None, _) => {
            notes.push("the sound is new and is left out until the stream starts anew".to_owned());
            AudioPlan::None
        }
        (AudioPlan::Silence(settings), AudioPlan::None) => AudioPlan::Silence(settings.clone()),
        (before, AudioPlan::None) => {
            notes.push("the sound has gone".to_owned());
            match before {
                _ if !wishes.fill_sound || source.video.is_none() => AudioPlan::None,
                AudioPlan::Encode(settings) => AudioPlan::Silence(settings.clone()),
                _ => AudioPlan::Silence(sound::audio_settings(&wishes.audio)),
            }
        }
        (_, plan) => plan,
    };
    let audio_bps = audio_bps(&audio, source.audio.as_ref());
    let alternates = sound::again(&running.alternates, source, wishes, &mut notes);
    match &source.video {
        None if !running.rungs.is_empty() => {
            notes.push("there is no picture: viewers see a dark one".to_owned());
        }
        Some(_) if running.rungs.is_empty() => {
            notes.push("the picture is new and is left out until the stream starts anew".to_owned());
        }
        _ => {}
    }
    let match_up = MatchUp::new(running, source, wishes);
    let rungs: Vec<Rung> = match &match_up {
        None => running.rungs.iter().map(|rung| without(rung, wishes)).collect(),
        Some(match_up) => {
            let again = |(at, rung)| again(rung, match_up.copied[at], match_up, running, wishes, audio_bps);
            running.rungs.iter().enumerate().map(again).collect()
        }
    };
    let copied = rungs.iter().any(Rung::is_copy);
    let lead = match_up.map(|match_up| match_up.lead);
    let gop = match lead.map(|video| video.gop) {
        Some(Gop::Known { longest, .. }) => longest,
        _ => running.longest,
    };
    Plan {
        rungs,
        lead: lead.map_or(running.lead, |video| video.track),
        audio,
        sound: Sound {
            track: source.audio.as_ref().map_or(running.sound.track, |audio| audio.track),
            ..running.sound.clone()
        },
        alternates,
        cut: if copied { CutMode::Keyframes } else { CutMode::Grid },
        segment: if copied {
            least_segment(wishes.segment, running.longest, gop)
        } else {
            wishes.segment.min(running.longest)
        },
        target_duration: running.target_duration,
        longest: running.longest,
        notes,
        audio_only: running.audio_only,
    }
}

/// Which track stands for which rung.
struct MatchUp<'a> {
    /// Per rung the track that it is copied from.
    copied: Vec<Option<&'a VideoSource>>,
    lead: &'a VideoSource,
    /// What all other rungs are made of.
    feed: &'a VideoSource,
}

impl<'a> MatchUp<'a> {
    /// `None` without pictures.
    fn new(running: &Plan, source: &'a Source, wishes: &Wishes) -> Option<Self> {
        let video = source.video.as_ref()?;
        let fits = |rung: &Rung, track: &VideoSource| {
            let only = wishes.mode == Mode::Off && source.more_video.is_empty();
            only || difference(rung, track, running.longest).is_none()
        };
        let stands = |track: &&VideoSource| running.rungs.iter().any(|rung| fits(rung, track));
        let able: Vec<&VideoSource> = source.pictures().filter(stands).collect();
        let default = able.iter().copied().find(|track| track.track == video.track);
        let lead = default.or_else(|| able.iter().copied().max_by_key(|track| short_side(track)));
        let mut free: Vec<&VideoSource> = able
            .into_iter()
            .filter(|track| {
                lead.is_some_and(|lead| track.track == lead.track || track.keyframes.follow(&lead.keyframes))
            })
            .collect();
        let mut copied = Vec::with_capacity(running.rungs.len());
        for rung in &running.rungs {
            let own = free.iter().position(|track| track.track == rung.track && fits(rung, track));
            let found = own.or_else(|| free.iter().position(|track| fits(rung, track)));
            copied.push(found.map(|at| free.remove(at)));
        }
        let largest = |track: &&VideoSource| short_side(track);
        let needed = running
            .rungs
            .iter()
            .zip(&copied)
            .filter(|(_, copied)| copied.is_none())
            .map(|(rung, _)| rung.width.min(rung.height))
            .max()
            .unwrap_or(0);
        let feeds = || [video].into_iter().chain(copied.iter().copied().flatten()).rev();
        let feed = feeds()
            .filter(|track| short_side(track) >= needed)
            .min_by_key(largest)
            .or_else(|| feeds().max_by_key(largest))
            .unwrap_or(video);
        Some(Self { copied, lead: lead.unwrap_or(feed), feed })
    }
}

fn again(
    rung: &Rung,
    copied: Option<&VideoSource>,
    match_up: &MatchUp<'_>,
    running: &Plan,
    wishes: &Wishes,
    audio_bps: u32,
) -> Rung {
    if let Some(track) = copied {
        // Its name, size and rate stay what was declared.
        return Rung {
            track: track.track,
            treatment: Treatment::Copy,
            reason: "copied: the source is as it was".to_owned(),
            ..rung.clone()
        };
    }
    let video = match_up.feed;
    let difference = difference(rung, video, running.longest)
        .unwrap_or_else(|| "encoded: its keyframes do not stand where the leading track's do".to_owned());
    let size = (size::even(f64::from(rung.width)), size::even(f64::from(rung.height)));
    let faster = |rate: FrameRate, declared: FrameRate| rate.as_f64() > declared.as_f64() * FASTER;
    let halve_rate =
        matches!((video.frame_rate, rung.frame_rate), (Some(rate), Some(declared)) if faster(rate, declared));
    let frame_rate = if halve_rate { video.frame_rate.map(FrameRate::halved) } else { video.frame_rate };
    let frame_rate = frame_rate.map(size::encoded_rate);
    let settings = encode_settings(rung, size, frame_rate, halve_rate, wishes);
    let (peak, average) = declared(&settings, frame_rate, wishes.segment, audio_bps);
    Rung {
        width: size.0,
        height: size.1,
        track: video.track,
        treatment: Treatment::Encode(settings),
        reason: difference,
        peak_bps: rung.peak_bps.or(Some(peak)),
        average_bps: rung.average_bps.or(Some(average)),
        ..rung.clone()
    }
}

/// A rung whose pictures have gone.
fn without(rung: &Rung, wishes: &Wishes) -> Rung {
    let blank = rung.blank().cloned().unwrap_or_else(|| {
        let size = (size::even(f64::from(rung.width)), size::even(f64::from(rung.height)));
        let settings = encode_settings(rung, size, rung.frame_rate, false, wishes);
        BlankSettings { profile: settings.profile, level_idc: settings.level_idc, instead: Some(settings) }
    });
    Rung {
        treatment: Treatment::Blank(blank),
        reason: "dark: there is no picture".to_owned(),
        ..rung.clone()
    }
}

/// How a rung is encoded now: as before, or so that it keeps the CODECS name that it was copied under.
fn encode_settings(
    rung: &Rung,
    size: (u32, u32),
    frame_rate: Option<FrameRate>,
    halve_rate: bool,
    wishes: &Wishes,
) -> EncodeSettings {
    match &rung.treatment {
        Treatment::Encode(before) | Treatment::Blank(BlankSettings { instead: Some(before), .. }) => {
            EncodeSettings { halve_rate, ..before.clone() }
        }
        Treatment::Copy | Treatment::Blank(_) => {
            let mut made =
                settings(size, frame_rate, size::bitrate(size.0, size.1, frame_rate), wishes, halve_rate);
            keep_codecs(&mut made, size, frame_rate, rung.codecs.as_deref());
            made
        }
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
    settings: &mut EncodeSettings,
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
