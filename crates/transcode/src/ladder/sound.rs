//! What becomes of the tracks of sound.

use media::aac;

use super::{Alternate, AudioPlan, AudioSettings, AudioWishes, Mode, Sound, Wishes};
use crate::source::{AudioSource, Source};

/// A copied sound track's bits a second where nobody tells.
const USUAL_AUDIO_BPS: u32 = 160_000;
/// Rate to which sound is brought when it is encoded.
const AUDIO_RATE: u32 = 48_000;
/// Longest name of a sound, in characters.
const MAX_NAME: usize = 64;

/// What becomes of the sound.
pub(super) fn audio(source: Option<&AudioSource>, wishes: &Wishes) -> AudioPlan {
    match source {
        None => AudioPlan::None,
        Some(audio) if wishes.mode == Mode::Off => copy_or_leave(audio),
        Some(audio) if audio.config.aac().is_some_and(plays_everywhere) && !wishes.audio.always_encode => {
            AudioPlan::Copy
        }
        Some(_) => AudioPlan::Encode(audio_settings(&wishes.audio)),
    }
}

/// Without an encoder, sound that MPEG-TS cannot carry is left out.
fn copy_or_leave(audio: &AudioSource) -> AudioPlan {
    let fits = audio.config.aac().is_some_and(|aac| aac.adts_header(1).is_some());
    if fits { AudioPlan::Copy } else { AudioPlan::None }
}

pub(super) fn audio_settings(wishes: &AudioWishes) -> AudioSettings {
    AudioSettings {
        sample_rate: AUDIO_RATE,
        channels: 2,
        bitrate_bps: wishes.bitrate_bps.clamp(32_000, 320_000),
    }
}

/// AAC-LC or HE-AAC, mono or stereo, heard at 22.05 to 48 kHz.
fn plays_everywhere(config: &aac::Config) -> bool {
    let heard_rate = config.sample_rate * if config.extension == 0 { 1 } else { 2 };
    config.object_type == 2
        && matches!(config.extension, 0 | 5 | 29)
        && (1..=2).contains(&config.channels)
        && (22_050..=48_000).contains(&heard_rate)
        && config.samples_per_frame == 1024
        && config.adts_header(1).is_some()
}

/// Bits a second that the sound adds to every rung.
pub(super) fn audio_bps(plan: &AudioPlan, source: Option<&AudioSource>) -> u32 {
    match plan {
        AudioPlan::None => 0,
        // Silence needs a few bits only, but the sound that may come in its place is to fit.
        AudioPlan::Encode(settings) | AudioPlan::Silence(settings) => settings.bitrate_bps,
        AudioPlan::Copy => source.and_then(|audio| audio.bitrate_bps).unwrap_or(USUAL_AUDIO_BPS),
    }
}

/// The sounds of a new presentation: the one in every rung, and the others.
pub(super) fn choices(
    source: &Source,
    main: &AudioPlan,
    wishes: &Wishes,
    notes: &mut Vec<String>,
) -> (Sound, Vec<Alternate>) {
    let mut names = Vec::new();
    let first = source.audio.as_ref().map(|audio| sound(audio, main, &mut names)).unwrap_or_default();
    let mut alternates = Vec::new();
    for track in &source.more_audio {
        let plan = audio(Some(track), wishes);
        if plan == AudioPlan::None || source.audio.is_none() {
            let codec = track.config.codecs();
            notes
                .push(format!("sound track {} is left out: {codec} would have to be encoded", track.track.0));
            continue;
        }
        let sound = sound(track, &plan, &mut names);
        alternates.push(Alternate { id: format!("audio-{}", track.track.0), sound, audio: plan });
    }
    (first, alternates)
}

/// The further sounds of a source that came back, or changed: those that the presentation has.
pub(super) fn again(
    running: &[Alternate],
    source: &Source,
    wishes: &Wishes,
    notes: &mut Vec<String>,
) -> Vec<Alternate> {
    for track in &source.more_audio {
        if !running.iter().any(|alternate| alternate.sound.track == track.track) {
            notes.push(format!(
                "sound track {} is new and is left out until the stream starts anew",
                track.track.0
            ));
        }
    }
    let alternate = |alternate: &Alternate| {
        let found = source.more_audio.iter().find(|track| track.track == alternate.sound.track);
        if found.is_none() {
            notes.push(format!("the sound {:?} has gone", alternate.sound.name));
        }
        let plan = keep_coding(&alternate.audio, found, wishes);
        Alternate { audio: plan, ..alternate.clone() }
    };
    running.iter().map(alternate).collect()
}

/// What becomes of a sound whose presentation has it by `running` already.
pub(super) fn keep_coding(running: &AudioPlan, source: Option<&AudioSource>, wishes: &Wishes) -> AudioPlan {
    match (running, audio(source, wishes)) {
        // What was encoded, or silence, was AAC-LC: anything else copied would change the CODECS name.
        (AudioPlan::Encode(settings) | AudioPlan::Silence(settings), AudioPlan::Copy)
            if source.is_some_and(|audio| audio.config.codecs() != "mp4a.40.2") =>
        {
            AudioPlan::Encode(settings.clone())
        }
        (AudioPlan::Encode(settings) | AudioPlan::Silence(settings), AudioPlan::Encode(_)) => {
            AudioPlan::Encode(settings.clone())
        }
        (_, plan) => plan,
    }
}

fn sound(source: &AudioSource, plan: &AudioPlan, names: &mut Vec<String>) -> Sound {
    let label = &source.label;
    let told = label.name.clone().filter(|name| !name.trim().is_empty());
    let name: String = told
        .or_else(|| label.language.clone())
        .unwrap_or_else(|| {
            if names.is_empty() { "Main".to_owned() } else { format!("Sound {}", names.len() + 1) }
        })
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_NAME)
        .collect();
    let mut distinct = name.clone();
    let mut nth = 2;
    while names.contains(&distinct) {
        distinct = format!("{name} {nth}");
        nth += 1;
    }
    names.push(distinct.clone());
    Sound {
        track: source.track,
        name: distinct,
        language: label.language.clone().filter(|tag| is_tag(tag)),
        channels: match plan {
            AudioPlan::Encode(settings) | AudioPlan::Silence(settings) => settings.channels,
            AudioPlan::Copy | AudioPlan::None => source.config.channels(),
        },
    }
}

/// A language tag by its letters (RFC 5646 §2.1).
fn is_tag(tag: &str) -> bool {
    (2..=35).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
