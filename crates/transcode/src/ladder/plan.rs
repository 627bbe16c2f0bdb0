//! The ladder of a new presentation.

use media::{FrameRate, MediaSpan, TrackId};

use super::{
    AudioPlan, BlankSettings, CutMode, EncodeSettings, Mode, Plan, Profile, Rung, RungWish, Treatment,
    Wishes,
    size::{self, HIGH_RATE},
    sound::{audio, audio_bps, audio_settings, choices},
    tracks::{Ready, ready, short_side},
};
use crate::{
    Blank,
    source::{Gop, Rate, Source, Turn, VideoSource, level_name, profile_name},
};

/// A rung costs at most this part of the bits of the one above it.
const STEP: f64 = 0.65;
/// Pixels of the picture that sound gets which comes without, and about the bits a second that it takes.
const BLANK_SIZE: (u32, u32) = (640, 360);
const BLANK_BPS: u32 = 16_000;
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
/// The coded bits with container and stuffing of MPEG-TS on top, in percent, where pictures fill many packets.
const TS_OVERHEAD_PERCENT: u64 = 110;
/// Where they fill few: packets' headers in percent, and bits that each picture costs (PES and adaptation headers, the
/// delimiter, half a packet of stuffing) and each second (tables, ADTS and PES headers of sound, clock references).
const TS_HEADERS_PERCENT: u64 = 103;
const TS_PICTURE_BITS: f64 = 1_000.0;
const TS_SECOND_BITS: u64 = 12_000;

/// The ladder for a new presentation.
pub fn plan(source: &Source, wishes: &Wishes) -> Plan {
    let audio = match audio(source.audio.as_ref(), wishes) {
        AudioPlan::None if source.audio.is_none() && source.video.is_some() && wishes.fill_sound => {
            AudioPlan::Silence(audio_settings(&wishes.audio))
        }
        audio => audio,
    };
    let audio_bps = audio_bps(&audio, source.audio.as_ref());
    let mut notes = source.notes.clone();
    if source.audio.is_none() {
        let what = match audio {
            AudioPlan::Silence(_) => "there is no sound: viewers get silence",
            _ => "there is no sound; some players start late without",
        };
        notes.push(what.to_owned());
    }
    let (sound, alternates) = choices(source, &audio, wishes, &mut notes);
    let Some(video) = &source.video else {
        let target_duration = whole_seconds(wishes.segment);
        let filled = wishes.fill_picture && audio != AudioPlan::None;
        let what = if filled { "viewers see a dark one" } else { "sound only" };
        notes.push(format!("there is no picture: {what}"));
        return Plan {
            rungs: if filled { vec![blank(audio_bps)] } else { Vec::new() },
            lead: TrackId::default(),
            audio,
            sound,
            alternates,
            cut: CutMode::Grid,
            segment: wishes.segment,
            target_duration,
            longest: longest(target_duration),
            notes,
            audio_only: filled && wishes.audio_only,
        };
    };
    let obstacle = obstacle(video, wishes.longest_segment);
    let ready = ready(source, wishes.longest_segment, &mut notes);
    let lead = ready.as_ref().map_or(video, |ready| ready.lead);
    let mut rungs = match (ready, wishes.mode) {
        (Some(ready), mode) if ready.copied.iter().any(|track| track.track != video.track) => {
            several(video, &ready, wishes, audio_bps, obstacle.filter(|_| mode == Mode::Auto), &mut notes)
        }
        (_, Mode::Off) => {
            if let Some(obstacle) = obstacle {
                notes.push(format!("copied because the ladder is off, though with {obstacle}"));
            }
            vec![copied(video, audio_bps, "the ladder is off".to_owned())]
        }
        (_, Mode::Auto) => ladder(video, wishes, audio_bps, obstacle),
    };
    name_apart(&mut rungs);
    let copied = rungs.iter().any(Rung::is_copy);
    let gop = match lead.gop {
        Gop::Known { longest, .. } => longest,
        Gop::LongerThan(span) => UNKNOWN_GOP.max(span),
    };
    let target_duration =
        if copied { whole_seconds(wishes.segment.max(gop)) } else { whole_seconds(wishes.segment) };
    let longest = longest(target_duration);
    let audio_only = wishes.audio_only && audio != AudioPlan::None;
    Plan {
        lead: lead.track,
        rungs,
        audio,
        sound,
        alternates,
        cut: if copied { CutMode::Keyframes } else { CutMode::Grid },
        segment: if copied { least_segment(wishes.segment, longest, gop) } else { wishes.segment },
        target_duration,
        longest,
        notes,
        audio_only,
    }
}

/// A second rung of the same name gets its track's number behind it.
fn name_apart(rungs: &mut [Rung]) {
    for at in 1..rungs.len() {
        let (before, rest) = rungs.split_at_mut(at);
        if before.iter().any(|rung| rung.name == rest[0].name) {
            rest[0].name = format!("{}-{}", rest[0].name, rest[0].track.0);
        }
    }
}

/// Why the picture cannot be copied, as a thing that it has, and what would change it; `None` when it can be.
pub(super) fn obstacle(video: &VideoSource, cap: MediaSpan) -> Option<String> {
    let Some(sps) = sps(video) else {
        return Some(format!("{}, which few players take in HLS", video.config.codecs()));
    };
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
            _ if video.turn != Turn::NONE => {
                "a picture that lies on its side or is mirrored, which few players put right: \
                 hold the camera so that it does not to save this encode"
                    .to_owned()
            }
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
        let chosen = wishes.rungs.is_empty();
        if chosen && limit.is_some_and(|limit| limit < LEAST_BITRATE) && !rungs.is_empty() {
            break; // the one above is as small as a picture can be
        }
        let reason = "encoded: for viewers with less bandwidth".to_owned();
        let rung = encoded(video, wish, limit, wishes, audio_bps, halves(video, wish), reason);
        above = average(&rung);
        rungs.push(rung);
    }
    rungs
}

/// The rungs of a source with ready-made ones: all of those, the default track on top of them where it is larger and must
/// be encoded, and what is missing below. What is encoded is made of one track: the default one if that is decoded
/// anyway, else the smallest, which is cheapest.
fn several(
    video: &VideoSource,
    ready: &Ready<'_>,
    wishes: &Wishes,
    audio_bps: u32,
    obstacle: Option<String>,
    notes: &mut Vec<String>,
) -> Vec<Rung> {
    let mut rungs = Vec::new();
    let (Some(largest), Some(smallest)) = (ready.copied.first(), ready.copied.last()) else { return rungs };
    let mut feed = *smallest;
    if let Some(obstacle) = obstacle {
        let top = short_side(video).min(LARGEST_ENCODED);
        if top > short_side(largest) && !size::close(top, short_side(largest)) {
            let wish = RungWish { height: top, bitrate_bps: None };
            let reason = format!("encoded: {obstacle}");
            rungs.push(encoded(video, wish, video.bitrate_bps, wishes, audio_bps, false, reason));
            feed = video;
        } else {
            notes.push(format!("track {} is left out: it has {obstacle}", video.track.0));
        }
    }
    for track in &ready.copied {
        rungs.push(copied(track, audio_bps, format!("copied: {}", virtues(track))));
    }
    if wishes.mode == Mode::Off {
        return rungs;
    }
    let least = short_side(smallest);
    let mut below = if wishes.rungs.is_empty() { size::below(least) } else { named(&wishes.rungs, least).2 };
    while rungs.len() + below.len() > wishes.max_rungs && !below.is_empty() {
        below.remove(0);
    }
    let mut above = smallest.bitrate_bps;
    for wish in below {
        let limit = above.map(|above| (f64::from(above) * STEP) as u32);
        let reason = format!("encoded: for viewers with less bandwidth than the encoder's {least}p needs");
        let rung = encoded(feed, wish, limit, wishes, audio_bps, halves(feed, wish), reason);
        above = average(&rung);
        rungs.push(rung);
    }
    rungs
}

/// Whether a small rung takes every second frame: of a fast source's, unless they come unevenly, which would leave holes.
fn halves(video: &VideoSource, wish: RungWish) -> bool {
    wish.height <= 480
        && !video.variable_rate
        && video.frame_rate.is_some_and(|rate| rate.as_f64() > HIGH_RATE)
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
        Treatment::Copy | Treatment::Blank(_) => None,
        Treatment::Encode(settings) => Some(settings.bitrate_bps),
    }
}

/// The only rung of a source that never had a picture.
fn blank(audio_bps: u32) -> Rung {
    let (width, height) = BLANK_SIZE;
    let frame_rate = Some(Blank::FRAME_RATE);
    Rung {
        name: format!("{height}p"),
        width,
        height,
        frame_rate,
        track: TrackId::default(),
        treatment: Treatment::Blank(BlankSettings {
            profile: size::profile(width, height),
            level_idc: size::level(width, height, frame_rate, BLANK_BPS),
            instead: None,
        }),
        codecs: None,
        reason: "dark: there is no picture".to_owned(),
        peak_bps: None,
        average_bps: Some(on_the_wire(u64::from(BLANK_BPS + audio_bps), frame_rate)),
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
        track: video.track,
        treatment: Treatment::Copy,
        codecs: Some(video.config.codecs()),
        reason,
        peak_bps: None,
        average_bps: video
            .bitrate_bps
            .map(|bps| on_the_wire(u64::from(bps) + u64::from(audio_bps), video.frame_rate)),
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
    let frame_rate = frame_rate.map(size::encoded_rate);
    let usual = size::bitrate(width, height, frame_rate);
    let bitrate_bps =
        wish.bitrate_bps.unwrap_or_else(|| usual.max(LEAST_BITRATE).min(limit.unwrap_or(u32::MAX))).max(1);
    let settings = settings((width, height), frame_rate, bitrate_bps, wishes, halve_rate);
    let (peak, average) = declared(&settings, frame_rate, wishes.segment, audio_bps);
    Rung {
        name: format!("{}p", wish.height),
        width,
        height,
        frame_rate,
        track: video.track,
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
        encoder: wishes.encoder,
    }
}

/// BANDWIDTH and AVERAGE-BANDWIDTH: a segment of D seconds holds at most what flows into the VBV in that time and what
/// it held before.
pub(super) fn declared(
    settings: &EncodeSettings,
    frame_rate: Option<FrameRate>,
    segment: MediaSpan,
    audio_bps: u32,
) -> (u64, u64) {
    let (peak, average) = picture_rates(settings, segment);
    let wire = |rate: u64| on_the_wire(rate + u64::from(audio_bps), frame_rate);
    (wire(peak), wire(average))
}

/// Peak and average of a rung's coded pictures in segments of this length, in bits a second, without sound and container.
pub fn picture_rates(settings: &EncodeSettings, segment: MediaSpan) -> (u64, u64) {
    let seconds = segment.as_secs_f64().max(0.5);
    let burst = (f64::from(settings.bufsize_bits) / seconds).ceil() as u64;
    (u64::from(settings.maxrate_bps) + burst, u64::from(settings.bitrate_bps))
}

/// What coded bits become in segments.
fn on_the_wire(coded: u64, rate: Option<FrameRate>) -> u64 {
    let pictures = (rate.map_or(30.0, FrameRate::as_f64) * TS_PICTURE_BITS).ceil() as u64;
    let small = (coded * TS_HEADERS_PERCENT).div_ceil(100) + pictures + TS_SECOND_BITS;
    small.max((coded * TS_OVERHEAD_PERCENT).div_ceil(100))
}

fn sps(video: &VideoSource) -> Option<&media::h264::SpsInfo> {
    video.config.h264().map(|config| &config.sps)
}

fn virtues(video: &VideoSource) -> String {
    let Some(sps) = sps(video) else { return video.config.codecs() };
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
