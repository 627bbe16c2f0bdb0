//! The ladder of a new presentation.

use media::{AudioConfig, FrameRate, MediaSpan, VideoConfig, aac};

use super::{
    AudioPlan, AudioSettings, AudioWishes, CutMode, EncodeSettings, Mode, Plan, Profile, Rung, RungWish,
    Treatment, Wishes,
    size::{self, HIGH_RATE},
};
use crate::source::{AudioSource, Gop, Rate, Source, VideoSource, level_name, profile_name};

/// A rung costs at most this part of the bits of the one above it.
const STEP: f64 = 0.65;
/// Least bits a second that a picture gets.
const LEAST_BITRATE: u32 = 100_000;
/// Sources larger than this are brought down to it where they cannot be copied.
const LARGEST_ENCODED: u32 = 1080;
/// What a segment may be longer than a whole number of seconds and still round down to it (RFC 8216 §4.3.3.1).
const ROUNDING: MediaSpan = MediaSpan::from_millis(490);
/// What a segment may be longer than a whole number of seconds and still be meant to be that long: 2.002 s at 29.97 fps.
const SLACK: f64 = 0.1;
/// The longest GOP that is reckoned with when everything is copied and none was seen to end.
const UNKNOWN_GOP: MediaSpan = MediaSpan::from_millis(10_000);
/// The coded bits with container and stuffing of MPEG-TS on top, in percent.
const TS_OVERHEAD_PERCENT: u64 = 110;
/// A copied sound track's bits a second where nobody tells.
const USUAL_AUDIO_BPS: u32 = 160_000;
/// Rate to which sound is brought when it is encoded.
const AUDIO_RATE: u32 = 48_000;

/// The ladder for a new presentation.
pub fn plan(source: &Source, wishes: &Wishes) -> Plan {
    let audio = audio(source.audio.as_ref(), wishes);
    let audio_bps = audio_bps(&audio, source.audio.as_ref());
    let mut notes = Vec::new();
    if source.audio.is_none() {
        notes.push("there is no sound; some players start late without".to_owned());
    }
    let Some(video) = &source.video else {
        let target_duration = whole_seconds(wishes.segment);
        notes.push("there is no picture: sound only".to_owned());
        return Plan {
            rungs: Vec::new(),
            audio,
            cut: CutMode::Grid,
            segment: wishes.segment,
            target_duration,
            longest: longest(target_duration),
            notes,
        };
    };
    let obstacle = obstacle(video, wishes.longest_segment);
    let rungs = match (wishes.mode, obstacle) {
        (Mode::Off, obstacle) => {
            if let Some(obstacle) = obstacle {
                notes.push(format!("copied because the ladder is off, though with {obstacle}"));
            }
            vec![copied(video, audio_bps, "the ladder is off".to_owned())]
        }
        (Mode::Auto, None) => ladder(video, wishes, audio_bps, None),
        (Mode::Auto, Some(obstacle)) => ladder(video, wishes, audio_bps, Some(obstacle)),
    };
    if sps(video).interlaced && rungs.iter().any(|rung| !rung.is_copy()) {
        notes.push("the interlaced picture is not deinterlaced: set the encoder to progressive".to_owned());
    }
    let copied = rungs.iter().any(Rung::is_copy);
    let gop = match video.gop {
        Gop::Known { longest, .. } => longest,
        Gop::LongerThan(span) => UNKNOWN_GOP.max(span),
    };
    let target_duration =
        if copied { whole_seconds(wishes.segment.max(gop)) } else { whole_seconds(wishes.segment) };
    let longest = longest(target_duration);
    Plan {
        rungs,
        audio,
        cut: if copied { CutMode::Keyframes } else { CutMode::Grid },
        segment: if copied { least_segment(wishes.segment, longest, gop) } else { wishes.segment },
        target_duration,
        longest,
        notes,
    }
}

/// Why the picture cannot be copied, as a thing that it has, and what would change it; `None` when it can be.
pub(super) fn obstacle(video: &VideoSource, cap: MediaSpan) -> Option<String> {
    let sps = sps(video);
    let reason = match video.gop {
        Gop::Known { longest, .. } if longest.as_secs_f64() > cap.as_secs_f64() + SLACK => format!(
            "keyframes up to {:.1} s apart: set the keyframe interval to 2 s in the encoder to save this encode",
            longest.as_secs_f64()
        ),
        Gop::LongerThan(span) => format!(
            "keyframes more than {:.1} s apart: set the keyframe interval to 2 s in the encoder to save this encode",
            span.as_secs_f64()
        ),
        Gop::Known { open: true, .. } => "open GOPs, at which segments cannot be cut: \
                                          switch them off in the encoder (x264: open-gop=0) to save this encode"
            .to_owned(),
        Gop::Known { .. } => match sps.profile_idc {
            _ if sps.interlaced => {
                "an interlaced picture: set the encoder to progressive to save this encode".to_owned()
            }
            _ if sps.chroma_format != 1 => format!(
                "colour format {}, which few players take: set it to NV12 or I420 (4:2:0) in the encoder \
                 to save this encode",
                match sps.chroma_format {
                    0 => "grey",
                    2 => "4:2:2",
                    _ => "4:4:4",
                }
            ),
            _ if sps.bit_depth != 8 => format!(
                "{} bits a sample, which few players take: set the encoder to 8 bits to save this encode",
                sps.bit_depth
            ),
            66 | 77 | 100 if sps.level_idc > 52 => format!(
                "level {}, which is above what players take: set at most 5.2 in the encoder to save this encode",
                level_name(sps.level_idc)
            ),
            66 | 77 | 100 => match video.frame_rate {
                Some(rate) if rate.as_f64() > 60.5 => format!(
                    "{} fps: set at most 60 in the encoder to save this encode",
                    Rate(rate)
                ),
                _ => return None,
            },
            other => format!(
                "profile {}, which few players take: set the profile to high in the encoder to save this encode",
                profile_name(other)
            ),
        },
    };
    Some(reason)
}

/// The top rung and those below it.
fn ladder(video: &VideoSource, wishes: &Wishes, audio_bps: u32, obstacle: Option<String>) -> Vec<Rung> {
    let size = video.dimensions();
    let short = size.0.min(size.1);
    let top = if obstacle.is_some() { short.min(LARGEST_ENCODED) } else { short };
    let (with_top, top_bps, mut below) = if wishes.rungs.is_empty() {
        let mut below = size::below(top);
        while below.len() + 1 > wishes.max_rungs.max(1) {
            below.remove(0);
        }
        (true, None, below)
    } else {
        named(&wishes.rungs, short)
    };
    let mut rungs = Vec::with_capacity(below.len() + 1);
    // What the rung above costs; the source itself sets the first limit, where it is known.
    let mut above = video.bitrate_bps;
    if with_top {
        rungs.push(match obstacle {
            None => copied(video, audio_bps, format!("copied: {}", virtues(video))),
            Some(reason) => {
                let wish = RungWish { height: top, bitrate_bps: top_bps };
                let rung =
                    encoded(video, wish, above, wishes, audio_bps, false, format!("encoded: {reason}"));
                above = above.into_iter().chain(average(&rung)).min();
                rung
            }
        });
    } else if below.is_empty() {
        below.push(RungWish { height: top, bitrate_bps: None });
    }
    for wish in below {
        let limit = above.map(|above| (f64::from(above) * STEP) as u32);
        let halve = wish.height <= 480 && video.frame_rate.is_some_and(|rate| rate.as_f64() > HIGH_RATE);
        let reason = "encoded: for viewers with less bandwidth".to_owned();
        let rung = encoded(video, wish, limit, wishes, audio_bps, halve, reason);
        above = average(&rung);
        rungs.push(rung);
    }
    rungs
}

/// The operator's own rungs: whether the source's size is one of them and its rate, and those below it.
fn named(wishes: &[RungWish], short: u32) -> (bool, Option<u32>, Vec<RungWish>) {
    let is_top = |wish: &RungWish| wish.height.abs_diff(short) * 20 <= short;
    let top = wishes.iter().find(|wish| is_top(wish));
    let mut below: Vec<RungWish> =
        wishes.iter().filter(|wish| !is_top(wish) && wish.height < short).copied().collect();
    below.sort_by_key(|wish| std::cmp::Reverse(wish.height));
    below.dedup_by_key(|wish| wish.height);
    let all_above = top.is_none() && below.is_empty();
    (top.is_some() || all_above, top.and_then(|wish| wish.bitrate_bps), below)
}

fn average(rung: &Rung) -> Option<u32> {
    match &rung.treatment {
        Treatment::Copy => None,
        Treatment::Encode(settings) => Some(settings.bitrate_bps),
    }
}

/// A rung of the source's own packets.
pub(super) fn copied(video: &VideoSource, audio_bps: u32, reason: String) -> Rung {
    let (width, height) = video.dimensions();
    Rung {
        name: format!("{}p", width.min(height)),
        width,
        height,
        frame_rate: video.frame_rate,
        treatment: Treatment::Copy,
        codecs: Some(video.config.codecs()),
        reason,
        peak_bps: None,
        average_bps: video.bitrate_bps.map(|bps| on_the_wire(f64::from(bps) + f64::from(audio_bps))),
    }
}

fn encoded(
    video: &VideoSource,
    wish: RungWish,
    limit: Option<u32>,
    wishes: &Wishes,
    audio_bps: u32,
    halve_rate: bool,
    reason: String,
) -> Rung {
    let (width, height) = size::scaled(video.dimensions(), wish.height);
    let frame_rate = if halve_rate { video.frame_rate.map(FrameRate::halved) } else { video.frame_rate };
    let usual = size::bitrate(width, height, frame_rate);
    let bitrate_bps =
        wish.bitrate_bps.unwrap_or_else(|| limit.map_or(usual, |limit| usual.min(limit))).max(LEAST_BITRATE);
    let settings = settings((width, height), frame_rate, bitrate_bps, wishes, halve_rate);
    let (peak, average) = declared(&settings, wishes.segment, audio_bps);
    Rung {
        name: format!("{}p", wish.height),
        width,
        height,
        frame_rate,
        treatment: Treatment::Encode(settings),
        codecs: None,
        reason,
        peak_bps: Some(peak),
        average_bps: Some(average),
    }
}

pub(super) fn settings(
    (width, height): (u32, u32),
    frame_rate: Option<FrameRate>,
    bitrate_bps: u32,
    wishes: &Wishes,
    halve_rate: bool,
) -> EncodeSettings {
    let (maxrate_bps, bufsize_bits) = size::cap(bitrate_bps);
    // x264's ultrafast uses nothing beyond Baseline; declaring more would keep old phones away for nothing.
    let profile = match wishes.preset {
        super::Preset::Ultrafast => Profile::Baseline,
        _ => size::profile(width, height),
    };
    EncodeSettings {
        bitrate_bps,
        maxrate_bps,
        bufsize_bits,
        profile,
        level_idc: size::level(width, height, frame_rate, maxrate_bps),
        preset: wishes.preset,
        halve_rate,
    }
}

/// BANDWIDTH and AVERAGE-BANDWIDTH: a segment of D seconds holds at most what flows into the VBV in that time and what
/// it held before.
pub(super) fn declared(settings: &EncodeSettings, segment: MediaSpan, audio_bps: u32) -> (u64, u64) {
    let seconds = segment.as_secs_f64().max(0.5);
    let burst = f64::from(settings.bufsize_bits) / seconds;
    let peak = f64::from(settings.maxrate_bps) + burst + f64::from(audio_bps);
    (on_the_wire(peak), on_the_wire(f64::from(settings.bitrate_bps) + f64::from(audio_bps)))
}

fn on_the_wire(bps: f64) -> u64 {
    (bps.ceil() as u64 * TS_OVERHEAD_PERCENT).div_ceil(100)
}

/// What becomes of the sound.
pub(super) fn audio(source: Option<&AudioSource>, wishes: &Wishes) -> AudioPlan {
    match source {
        None => AudioPlan::None,
        Some(audio) if wishes.mode == Mode::Off => copy_or_leave(audio),
        Some(audio) if plays_everywhere(aac_of(audio)) && !wishes.audio.always_encode => AudioPlan::Copy,
        Some(_) => AudioPlan::Encode(audio_settings(&wishes.audio)),
    }
}

/// Without an encoder, sound that MPEG-TS cannot carry is left out.
fn copy_or_leave(audio: &AudioSource) -> AudioPlan {
    if aac_of(audio).adts_header(1).is_some() { AudioPlan::Copy } else { AudioPlan::None }
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
        AudioPlan::Encode(settings) => settings.bitrate_bps,
        AudioPlan::Copy => source.and_then(|audio| audio.bitrate_bps).unwrap_or(USUAL_AUDIO_BPS),
    }
}

fn aac_of(audio: &AudioSource) -> &aac::Config {
    let AudioConfig::Aac(config) = &*audio.config;
    config
}

fn sps(video: &VideoSource) -> &media::h264::SpsInfo {
    let VideoConfig::H264(config) = &*video.config;
    &config.sps
}

fn virtues(video: &VideoSource) -> String {
    let sps = sps(video);
    let gop = match video.gop {
        Gop::Known { longest, .. } => format!("keyframes every {:.1} s", longest.as_secs_f64()),
        Gop::LongerThan(_) => "keyframes of unknown distance".to_owned(),
    };
    format!("{gop}, {} {}", profile_name(sps.profile_idc), level_name(sps.level_idc))
}

/// EXT-X-TARGETDURATION for segments meant to be this long.
fn whole_seconds(span: MediaSpan) -> u32 {
    (span.as_secs_f64() - SLACK).ceil().clamp(1.0, 60.0) as u32
}

/// The longest segment that rounds to the target duration.
fn longest(target_duration: u32) -> MediaSpan {
    MediaSpan::from_millis(i64::from(target_duration) * 1000) + ROUNDING
}

/// The least length of a segment cut at keyframes that come at most `gop` apart, such that waiting for the next one
/// never makes it longer than `longest`: wherever that keyframe stands, scene cuts included.
pub(super) fn least_segment(wished: MediaSpan, longest: MediaSpan, gop: MediaSpan) -> MediaSpan {
    // A keyframe of a regular 2 s GOP may be stamped some milliseconds early.
    let wished = wished - MediaSpan::from_millis(50);
    (longest - gop).min(wished).max(MediaSpan::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ladder::{replan, tests_support::*};

    /// `720p copy, 480p 1400, 360p 800 @15` for a plan's rungs.
    fn shape(plan: &Plan) -> String {
        let rung = |rung: &Rung| {
            let (wide, high) = (rung.width, rung.height);
            match &rung.treatment {
                Treatment::Copy => format!("{} {wide}x{high} copy", rung.name),
                Treatment::Encode(settings) => {
                    let halved = if settings.halve_rate { " halved" } else { "" };
                    format!("{} {wide}x{high} {}{halved}", rung.name, settings.bitrate_bps / 1000)
                }
            }
        };
        plan.rungs.iter().map(rung).collect::<Vec<_>>().join(", ")
    }

    #[track_caller]
    fn check(name: &str, source: &Source, wishes: &Wishes, want: &str) -> Plan {
        let plan = plan(source, wishes);
        assert_eq!(shape(&plan), want, "{name}");
        for rung in &plan.rungs {
            let Treatment::Encode(settings) = &rung.treatment else { continue };
            assert!(rung.width % 2 == 0 && rung.height % 2 == 0, "{name}");
            assert!(settings.bufsize_bits <= settings.maxrate_bps, "{name}");
            assert!(rung.peak_bps.unwrap() > rung.average_bps.unwrap(), "{name}");
        }
        let names: std::collections::HashSet<_> = plan.rungs.iter().map(|rung| &rung.name).collect();
        assert_eq!(names.len(), plan.rungs.len(), "{name}: names differ");
        plan
    }

    #[test]
    fn ladders_by_source() {
        for (name, source, want) in [
            (
                "1080p30",
                video(1920, 1080, 30, 2000),
                "1080p 1920x1080 copy, 720p 1280x720 3000, 480p 854x480 1400, 360p 640x360 800",
            ),
            ("720p30", video(1280, 720, 30, 2000), "720p 1280x720 copy, 480p 854x480 1400, 360p 640x360 800"),
            (
                "720p60",
                video(1280, 720, 60, 2000),
                "720p 1280x720 copy, 480p 854x480 1400 halved, 360p 640x360 800 halved",
            ),
            (
                "1080p60",
                video(1920, 1080, 60, 1000),
                "1080p 1920x1080 copy, 720p 1280x720 4500, 480p 854x480 1400 halved, 360p 640x360 800 halved",
            ),
            (
                "portrait",
                video(720, 1280, 30, 2000),
                "720p 720x1280 copy, 480p 480x854 1400, 360p 360x640 800",
            ),
            ("480p", video(854, 480, 30, 2000), "480p 854x480 copy, 360p 640x360 800, 240p 428x240 400"),
            ("360p", video(640, 360, 30, 2000), "360p 640x360 copy, 240p 426x240 400"),
            ("tiny", video(320, 180, 30, 2000), "180p 320x180 copy"),
            (
                "no double top",
                video(1366, 768, 30, 2000),
                "768p 1366x768 copy, 480p 854x480 1400, 360p 640x360 800",
            ),
            (
                "1440p loses the second",
                video(2560, 1440, 30, 2000),
                "1440p 2560x1440 copy, 720p 1280x720 3000, 480p 854x480 1400, 360p 640x360 800",
            ),
            (
                "OBS's default GOP",
                video(1280, 720, 30, 8333),
                "720p 1280x720 3000, 480p 854x480 1400, 360p 640x360 800",
            ),
            (
                "2160p that must be encoded",
                video(3840, 2160, 30, 8333),
                "1080p 1920x1080 5000, 720p 1280x720 3000, 480p 854x480 1400, 360p 640x360 800",
            ),
            (
                "odd sizes",
                video(1279, 719, 30, 8333),
                "719p 1278x718 2990, 480p 854x480 1400, 360p 640x360 800, 240p 426x240 400",
            ),
        ] {
            check(name, &source, &Wishes::default(), want);
        }
    }

    #[test]
    fn a_poor_source_is_not_made_richer() {
        let mut source = video(1280, 720, 30, 2000);
        source.video.as_mut().unwrap().bitrate_bps = Some(1_500_000);
        check(
            "copied",
            &source,
            &Wishes::default(),
            "720p 1280x720 copy, 480p 854x480 975, 360p 640x360 633",
        );
        source.video.as_mut().unwrap().gop = Gop::LongerThan(MediaSpan::from_millis(4000));
        check(
            "encoded",
            &source,
            &Wishes::default(),
            "720p 1280x720 1500, 480p 854x480 975, 360p 640x360 633",
        );
    }

    #[test]
    fn what_stands_in_the_way_of_a_copy_is_said() {
        let long = Gop::LongerThan(MediaSpan::from_millis(4000));
        let open = Gop::Known { longest: MediaSpan::from_millis(2000), scene_cuts: false, open: true };
        for (name, change, want) in [
            (
                "a long GOP",
                Change::Gop(known(8333)),
                Some("up to 8.3 s apart: set the keyframe interval to 2 s"),
            ),
            ("the cap itself", Change::Gop(known(4000)), None),
            ("29.97 fps at the cap", Change::Gop(known(4004)), None),
            ("over the cap", Change::Gop(known(4200)), Some("up to 4.2 s apart")),
            ("unknown GOP", Change::Gop(long), Some("more than 4.0 s apart")),
            ("open GOP", Change::Gop(open), Some("open-gop=0")),
            ("4:4:4", Change::Sps(244, 31, 3, 8, false), Some("4:4:4")),
            ("4:2:2", Change::Sps(122, 31, 2, 8, false), Some("4:2:2")),
            ("10 bit", Change::Sps(110, 31, 1, 10, false), Some("10 bits")),
            ("High 10 with 8 bits", Change::Sps(110, 31, 1, 8, false), Some("profile High 10")),
            ("interlaced", Change::Sps(100, 31, 1, 8, true), Some("progressive")),
            ("level 6", Change::Sps(100, 60, 1, 8, false), Some("level 6.0")),
            ("level 5.2", Change::Sps(100, 52, 1, 8, false), None),
            ("Baseline", Change::Sps(66, 31, 1, 8, false), None),
            ("Main", Change::Sps(77, 31, 1, 8, false), None),
            ("120 fps", Change::Rate(120), Some("at most 60")),
            ("60 fps", Change::Rate(60), None),
        ] {
            let source = changed(video(1280, 720, 30, 2000), &change);
            let plan = plan(&source, &Wishes::default());
            assert_eq!(plan.rungs[0].is_copy(), want.is_none(), "{name}: {}", plan.rungs[0].reason);
            assert_eq!(plan.cut == CutMode::Keyframes, want.is_none(), "{name}");
            assert!(
                plan.rungs[0].reason.contains(want.unwrap_or("copied")),
                "{name}: {}",
                plan.rungs[0].reason
            );
            assert!(plan.rungs[1..].iter().all(|rung| !rung.is_copy()), "{name}");
        }
    }

    #[test]
    fn the_operators_own_rungs() {
        let rungs = |list: &[(u32, Option<u32>)]| Wishes {
            rungs: list
                .iter()
                .map(|(height, bitrate_bps)| RungWish { height: *height, bitrate_bps: *bitrate_bps })
                .collect(),
            ..Wishes::default()
        };
        let source = video(1920, 1080, 30, 2000);
        for (name, wishes, want) in [
            (
                "top and one",
                rungs(&[(1080, None), (540, Some(900_000))]),
                "1080p 1920x1080 copy, 540p 960x540 900",
            ),
            ("without the top", rungs(&[(720, None)]), "720p 1280x720 3000"),
            (
                "out of order, twice",
                rungs(&[(360, None), (720, None), (360, None)]),
                "720p 1280x720 3000, 360p 640x360 800",
            ),
            ("larger than the source", rungs(&[(2160, None)]), "1080p 1920x1080 copy"),
            ("one at most", Wishes { max_rungs: 1, ..Wishes::default() }, "1080p 1920x1080 copy"),
            ("none at most", Wishes { max_rungs: 0, ..Wishes::default() }, "1080p 1920x1080 copy"),
            ("off", Wishes { mode: Mode::Off, ..Wishes::default() }, "1080p 1920x1080 copy"),
        ] {
            check(name, &source, &wishes, want);
        }
        let long = video(1920, 1080, 30, 8333);
        let off = check(
            "off, long GOP",
            &long,
            &Wishes { mode: Mode::Off, ..Wishes::default() },
            "1080p 1920x1080 copy",
        );
        assert_eq!((off.target_duration, off.needs_transcoder(), off.notes.len()), (9, false, 1));
    }

    #[test]
    fn target_durations_hold_whatever_keyframes_come() {
        for (name, gop, scene_cuts, want) in [
            ("2 s", 2000, false, 2),
            ("2 s at 29.97", 2002, false, 2),
            ("1 s", 1000, false, 2),
            ("3 s", 3000, false, 3),
            ("2.5 s", 2500, true, 3),
            ("the cap", 4004, true, 4),
            ("encoded", 8333, true, 2),
        ] {
            let mut source = video(1280, 720, 30, gop);
            source.video.as_mut().unwrap().gop =
                Gop::Known { longest: MediaSpan::from_millis(gop), scene_cuts, open: false };
            let plan = plan(&source, &Wishes::default());
            assert_eq!(plan.target_duration, want, "{name}");
            assert_eq!(plan.longest.millis(), i64::from(want) * 1000 + 490, "{name}");
            if plan.cut == CutMode::Keyframes {
                // a keyframe just short of the least segment, and the next as late as it may come
                assert!(plan.segment + MediaSpan::from_millis(gop) <= plan.longest, "{name}");
                assert!(plan.segment < MediaSpan::from_millis(2000), "{name}: a keyframe at 2 s must do");
            } else {
                assert_eq!(plan.segment.millis(), 2000, "{name}");
            }
        }
    }

    #[test]
    fn sound_is_copied_where_every_player_takes_it() {
        for (name, asc, want_copy) in [
            ("AAC-LC 48 kHz stereo", vec![0x11, 0x90], true),
            ("AAC-LC 44.1 kHz mono", vec![0x12, 0x08], true),
            ("HE-AAC 22.05 kHz", vec![0x2B, 0x92, 0x08, 0x00], true),
            ("22.05 kHz", vec![0x13, 0x90], true),
            ("16 kHz", vec![0x14, 0x10], false),
            ("96 kHz", vec![0x10, 0x10], false),
            ("5.1", vec![0x11, 0xB0], false),
            ("Main profile", vec![0x09, 0x90], false),
            ("960 samples", vec![0x11, 0x94], false),
        ] {
            let plan = plan(&with_audio(video(1280, 720, 30, 2000), &asc), &Wishes::default());
            match &plan.audio {
                AudioPlan::Copy => assert!(want_copy, "{name}"),
                AudioPlan::Encode(settings) => {
                    assert!(!want_copy, "{name}");
                    assert_eq!(
                        (settings.sample_rate, settings.channels, settings.bitrate_bps),
                        (48_000, 2, 128_000)
                    );
                }
                AudioPlan::None => panic!("{name}"),
            }
        }
        let silent = Source { audio: None, ..video(1280, 720, 30, 2000) };
        assert_eq!(plan(&silent, &Wishes::default()).audio, AudioPlan::None);
        let heard = Source { video: None, ..with_audio(video(1280, 720, 30, 2000), &[0x11, 0x90]) };
        let only = plan(&heard, &Wishes::default());
        assert_eq!((only.rungs.len(), only.cut, only.needs_transcoder()), (0, CutMode::Grid, false));
    }

    #[test]
    fn declared_rates_follow_the_rule() {
        let plan = plan(&with_audio(video(1280, 720, 30, 8333), &[0x11, 0xB0]), &Wishes::default());
        // (1.25 + 1/2 s) x 3 Mbit/s + 128 kbit/s of sound, and 10 % for MPEG-TS
        assert_eq!(plan.rungs[0].peak_bps, Some(5_915_800));
        assert_eq!(plan.rungs[0].average_bps, Some(3_440_800));
    }

    #[test]
    fn a_source_that_comes_back_keeps_the_rungs() {
        let running = plan(&with_audio(video(1280, 720, 30, 2000), &[0x11, 0x90]), &Wishes::default());
        for (name, source, want_copy) in [
            ("the same", video(1280, 720, 30, 2000), true),
            ("a shorter GOP", video(1280, 720, 30, 1000), true),
            ("slower", video(1280, 720, 25, 2000), true),
            ("a longer GOP than TARGETDURATION allows", video(1280, 720, 30, 3000), false),
            ("OBS's default GOP", video(1280, 720, 30, 8333), false),
            ("larger", video(1920, 1080, 30, 2000), false),
            ("portrait", video(720, 1280, 30, 2000), false),
            ("faster", video(1280, 720, 60, 2000), false),
            (
                "another profile",
                changed(video(1280, 720, 30, 2000), &Change::Sps(77, 31, 1, 8, false)),
                false,
            ),
        ] {
            let again = replan(&running, &source, &Wishes::default());
            let key = |plan: &Plan| {
                plan.rungs.iter().map(|rung| (rung.name.clone(), rung.width, rung.height)).collect::<Vec<_>>()
            };
            assert_eq!(key(&again), key(&running), "{name}");
            assert_eq!(
                (again.target_duration, again.longest),
                (running.target_duration, running.longest),
                "{name}"
            );
            assert_eq!(again.rungs[0].is_copy(), want_copy, "{name}: {}", again.rungs[0].reason);
            assert_eq!(again.cut == CutMode::Keyframes, want_copy, "{name}");
            if let Treatment::Encode(settings) = &again.rungs[0].treatment {
                assert_eq!(
                    (settings.profile, settings.level_idc >= 31),
                    (Profile::High, true),
                    "{name}: codecs stay"
                );
            }
            let back = replan(&again, &video(1280, 720, 30, 2000), &Wishes::default());
            assert!(back.rungs[0].is_copy(), "{name}: and back");
        }
        let faster = replan(&running, &video(1280, 720, 60, 2000), &Wishes::default());
        let halved =
            |rung: &Rung| matches!(&rung.treatment, Treatment::Encode(settings) if settings.halve_rate);
        assert!(faster.rungs.iter().all(halved), "declared frame rates hold");
        let silent =
            replan(&running, &Source { audio: None, ..video(1280, 720, 30, 2000) }, &Wishes::default());
        assert_eq!((silent.audio, silent.notes.len()), (AudioPlan::None, 1));
    }

    #[test]
    fn a_plan_reads_as_a_table() {
        let text =
            plan(&with_audio(video(1280, 720, 30, 8333), &[0x11, 0x90]), &Wishes::default()).to_string();
        assert!(text.lines().count() == 5 && text.contains("720p    1280x720"), "{text}");
    }
}
