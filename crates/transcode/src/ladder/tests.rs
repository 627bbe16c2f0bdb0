//! Tables of plans.

use media::MediaSpan;

use super::{tests_support::*, *};
use crate::source::{Gop, Keyframes, Label, Source};

/// `720p copy, 480p 1400, 360p 800 @15` for a plan's rungs.
fn shape(plan: &Plan) -> String {
    let rung = |rung: &Rung| {
        let (wide, high) = (rung.width, rung.height);
        match &rung.treatment {
            Treatment::Copy => format!("{} {wide}x{high} copy", rung.name),
            Treatment::Blank(_) => format!("{} {wide}x{high} dark", rung.name),
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
        ("portrait", video(720, 1280, 30, 2000), "720p 720x1280 copy, 480p 480x854 1400, 360p 360x640 800"),
        (
            "1080p portrait",
            video(1080, 1920, 30, 2000),
            "1080p 1080x1920 copy, 720p 720x1280 3000, 480p 480x854 1400, 360p 360x640 800",
        ),
        (
            "ultrawide",
            video(2560, 1080, 30, 2000),
            "1080p 2560x1080 copy, 720p 1706x720 4000, 480p 1138x480 1870, 360p 854x360 1070",
        ),
        ("4:3", video(640, 480, 30, 2000), "480p 640x480 copy, 360p 480x360 600, 240p 320x240 300"),
        ("240p", video(426, 240, 30, 2000), "240p 426x240 copy"),
        (
            "4K60",
            video(3840, 2160, 60, 2000),
            "2160p 3840x2160 copy, 720p 1280x720 4500, 480p 854x480 1400 halved, 360p 640x360 800 halved",
        ),
        ("1 fps", video(1280, 720, 1, 2000), "720p 1280x720 copy, 480p 854x480 1090, 360p 640x360 620"),
        (
            "unknown rate",
            video(1280, 720, 0, 2000),
            "720p 1280x720 copy, 480p 854x480 1400, 360p 640x360 800",
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
    check("copied", &source, &Wishes::default(), "720p 1280x720 copy, 480p 854x480 975, 360p 640x360 633");
    source.video.as_mut().unwrap().gop = Gop::LongerThan(MediaSpan::from_millis(4000));
    check("encoded", &source, &Wishes::default(), "720p 1280x720 1500, 480p 854x480 975, 360p 640x360 633");
}

#[test]
fn no_rung_is_above_the_source_whatever_it_is() {
    for (width, height) in
        [(3840, 2160), (1280, 720), (720, 1280), (2560, 1080), (640, 480), (426, 240), (64, 36)]
    {
        for (fps, gop_ms) in [(0, 2000), (1, 2000), (15, 8333), (30, 2000), (60, 8333)] {
            for bps in [None, Some(60_000), Some(140_000), Some(900_000), Some(40_000_000)] {
                let name = format!("{width}x{height} at {fps}, {bps:?}, GOP {gop_ms} ms");
                let mut source = video(width, height, fps, gop_ms);
                source.video.as_mut().unwrap().bitrate_bps = bps;
                let plan = plan(&source, &Wishes::default());
                assert!(!plan.rungs.is_empty() && plan.rungs.len() <= 4, "{name}: {plan}");
                assert!(
                    plan.rungs.iter().all(|rung| rung.width <= width && rung.height <= height),
                    "{name}: {plan}"
                );
                assert!(plan.rungs.is_sorted_by(|a, b| a.height > b.height), "{name}: {plan}");
                let rates: Vec<u32> = plan
                    .rungs
                    .iter()
                    .filter_map(|rung| match &rung.treatment {
                        Treatment::Encode(settings) => Some(settings.bitrate_bps),
                        Treatment::Copy | Treatment::Blank(_) => None,
                    })
                    .collect();
                assert!(rates.is_sorted_by(|a, b| a >= b), "{name}: {plan}");
                assert!(rates.iter().all(|rate| bps.is_none_or(|bps| *rate <= bps)), "{name}: {plan}");
                let cost = estimate(&plan, &source);
                assert!(cost.total() >= 0.0 && (cost.encode > 0.0) != rates.is_empty(), "{name}: {cost:?}");
            }
        }
    }
}

#[test]
fn sound_alone_has_no_rungs_and_next_to_no_cost() {
    let source = with_audio(Source::default(), &[0x11, 0x90]);
    let plan = plan(&source, &Wishes::default());
    assert!(plan.rungs.is_empty() && plan.audio == AudioPlan::Copy, "{plan}");
    assert_eq!(estimate(&plan, &source).total(), 0.0);
}

#[test]
fn a_ladder_costs_about_what_was_measured() {
    let source = video(1920, 1080, 30, 2000);
    let wishes = Wishes { preset: Preset::Veryfast, ..Wishes::default() };
    let cost = estimate(&plan(&source, &wishes), &source);
    assert!((cost.total() - (0.158 + 0.067 + 0.689)).abs() < 0.02, "{cost:?}");
    let named = Wishes { encoder: EncoderName::H264Nvenc, ..wishes };
    let plan = plan(&source, &named);
    assert!(estimate(&plan, &source).encode < 0.1 && plan.to_string().contains("h264_nvenc"), "{plan}");
}

#[test]
fn what_stands_in_the_way_of_a_copy_is_said() {
    let long = Gop::LongerThan(MediaSpan::from_millis(4000));
    let open = Gop::Known { longest: MediaSpan::from_millis(2000), scene_cuts: false, open: true };
    for (name, change, want) in [
        ("a long GOP", Change::Gop(known(8333)), Some("up to 8.3 s apart: set the keyframe interval to 2 s")),
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
        assert!(plan.rungs[0].reason.contains(want.unwrap_or("copied")), "{name}: {}", plan.rungs[0].reason);
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
            AudioPlan::None | AudioPlan::Silence(_) => panic!("{name}"),
        }
    }
    let silent = Source { audio: None, ..video(1280, 720, 30, 2000) };
    assert!(matches!(plan(&silent, &Wishes::default()).audio, AudioPlan::Silence(_)));
    let unfilled = Wishes { fill_sound: false, ..Wishes::default() };
    assert_eq!(plan(&silent, &unfilled).audio, AudioPlan::None);
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
    // In a small rung each picture's last packet counts for more: 120 kbit/s are 228 kbit/s with 64 kbit/s of sound.
    let low = RungWish { height: 120, bitrate_bps: Some(120_000) };
    let wishes = Wishes {
        rungs: vec![low],
        audio: AudioWishes { bitrate_bps: 64_000, always_encode: true },
        ..Wishes::default()
    };
    let low = super::plan(&with_audio(video(480, 270, 30, 2000), &[0x11, 0x90]), &wishes);
    assert_eq!(low.rungs.last().and_then(|rung| rung.average_bps), Some(231_520));
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
        ("another profile", changed(video(1280, 720, 30, 2000), &Change::Sps(77, 31, 1, 8, false)), false),
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
    let halved = |rung: &Rung| matches!(&rung.treatment, Treatment::Encode(settings) if settings.halve_rate);
    assert!(faster.rungs.iter().all(halved), "declared frame rates hold");
    let silent = replan(&running, &Source { audio: None, ..video(1280, 720, 30, 2000) }, &Wishes::default());
    assert_eq!(silent.notes.len(), 1);
    assert!(matches!(&silent.audio, AudioPlan::Silence(_)), "its place is kept");
    assert_eq!(
        replan(&silent, &video(1280, 720, 30, 2000), &Wishes::default()).audio,
        AudioPlan::Copy,
        "and taken again"
    );
}

#[test]
fn a_plan_reads_as_a_table() {
    let text = plan(&with_audio(video(1280, 720, 30, 8333), &[0x11, 0x90]), &Wishes::default()).to_string();
    assert!(text.lines().count() == 5 && text.contains("720p    1280x720"), "{text}");
}

/// Tracks of 16:9 by their heights, all H.264 with keyframes every 2 s, unless `shifted` or `hevc`.
fn tracks(heights: &[u32], shifted: &[u8], hevc: &[u8]) -> Source {
    let at = |nth: i64, off: i64| media::MediaTime::from_ticks(nth * 180_000 + off);
    let mut all = heights.iter().zip(0u8..).map(|(height, track)| {
        let mut one = video((height * 16 / 9 + 1) & !1, *height, 30, 2000).video.unwrap();
        one.track = media::TrackId(track);
        one.bitrate_bps = Some(height * 4000);
        let off = if shifted.contains(&track) { 45_000 } else { i64::from(track) * 30 };
        one.keyframes = Keyframes { at: (0..3).map(|nth| at(nth, off)).collect(), until: at(2, 90_000) };
        if hevc.contains(&track) {
            one.config = std::sync::Arc::new(media::VideoConfig::Other(media::OtherVideo {
                codec: media::VideoCodec::Hevc,
                extradata: bytes::Bytes::new(),
                width: height * 16 / 9,
                height: *height,
                bit_depth: 8,
                frame_rate: None,
                color: None,
            }));
        }
        one
    });
    let first = all.next();
    let more = all.collect();
    Source { video: first, more_video: more, ..with_audio(Source::default(), &[0x11, 0x90]) }
}

/// The tracks that rungs are made of: `0 1 2>` where the last is decoded.
fn made_of(plan: &Plan) -> String {
    let one = |rung: &Rung| format!("{}{}", rung.track.0, if rung.is_copy() { "" } else { ">" });
    plan.rungs.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn ready_made_rungs_are_copied_and_small_ones_filled_in() {
    for (name, heights, shifted, hevc, want, made, notes) in [
        (
            "two tracks",
            &[1080, 720][..],
            &[][..],
            &[][..],
            "1080p 1920x1080 copy, 720p 1280x720 copy, 480p 854x480 1400, 360p 640x360 800",
            "0 1 1> 1>",
            0,
        ),
        (
            "a whole ladder",
            &[1080, 720, 480, 360],
            &[],
            &[],
            "1080p 1920x1080 copy, 720p 1280x720 copy, 480p 854x480 copy, 360p 640x360 copy",
            "0 1 2 3",
            0,
        ),
        (
            "largest last",
            &[360, 1080],
            &[],
            &[],
            "1080p 1920x1080 copy, 360p 640x360 copy, 240p 426x240 400",
            "1 0 0>",
            0,
        ),
        (
            "other keyframes",
            &[1080, 720],
            &[1],
            &[],
            "1080p 1920x1080 copy, 720p 1280x720 2808, 480p 854x480 1400, 360p 640x360 800",
            "0 0> 0> 0>",
            1,
        ),
        (
            "a larger HEVC track, which is decoded, above",
            &[1080, 720, 360],
            &[],
            &[0],
            "1080p 1920x1080 4320, 720p 1280x720 copy, 360p 640x360 copy, 240p 426x240 400",
            "0> 1 2 0>",
            0,
        ),
        (
            "a small HEVC track is left out",
            &[1080, 720, 360],
            &[],
            &[2],
            "1080p 1920x1080 copy, 720p 1280x720 copy, 480p 854x480 1400, 360p 640x360 800",
            "0 1 1> 1>",
            1,
        ),
        (
            "the same size twice",
            &[720, 720],
            &[],
            &[],
            "720p 1280x720 copy, 720p-1 1280x720 copy, 480p 854x480 1400, 360p 640x360 800",
            "0 1 1> 1>",
            0,
        ),
    ] {
        let source = tracks(heights, shifted, hevc);
        let plan = plan(&source, &Wishes::default());
        assert_eq!((shape(&plan).as_str(), made_of(&plan).as_str()), (want, made), "{name}");
        assert_eq!(plan.notes.len(), notes, "{name}: {:?}", plan.notes);
        let names: std::collections::HashSet<_> = plan.rungs.iter().map(|rung| &rung.name).collect();
        assert_eq!(names.len(), plan.rungs.len(), "{name}");
        assert_eq!(plan.lead.0, if hevc.contains(&0) { 1 } else { 0 }, "{name}");
        // coming back as it was changes nothing, coming back with the first track alone keeps the rungs
        let back = replan(&plan, &source, &Wishes::default());
        assert_eq!(made_of(&back), made, "{name}");
        let alone = Source { more_video: Vec::new(), ..source.clone() };
        let lone = replan(&plan, &alone, &Wishes::default());
        assert_eq!(lone.rungs.len(), plan.rungs.len(), "{name}");
        assert!(lone.rungs.iter().all(|rung| rung.track.0 == 0), "{name}");
        assert_eq!(made_of(&replan(&lone, &source, &Wishes::default())), made, "{name}: and again with all");
    }
}

#[test]
fn further_sounds_are_offered_beside_the_first() {
    let mut source = video(1280, 720, 30, 2000);
    let sound = |track: u8, asc: &[u8], name: Option<&str>, language: Option<&str>| {
        let mut audio = with_audio(Source::default(), asc).audio.unwrap();
        audio.track = media::TrackId(track);
        audio.label = Label { name: name.map(str::to_owned), language: language.map(str::to_owned) };
        audio
    };
    source.audio = Some(sound(0, &[0x11, 0x90], None, Some("de")));
    source.more_audio = vec![
        sound(1, &[0x12, 0x08], Some("Commentary"), Some("en")),
        sound(3, &[0x11, 0xB0], Some("Commentary"), Some("not a tag")),
        sound(4, &[0x11, 0x90], None, None),
    ];
    let plan = plan(&source, &Wishes::default());
    assert_eq!((plan.sound.name.as_str(), plan.sound.language.as_deref()), ("de", Some("de")));
    let got: Vec<_> = plan
        .alternates
        .iter()
        .map(|one| {
            let encoded = matches!(one.audio, AudioPlan::Encode(_));
            (
                one.id.as_str(),
                one.sound.name.as_str(),
                one.sound.language.as_deref(),
                one.sound.channels,
                encoded,
            )
        })
        .collect();
    assert_eq!(
        got,
        [
            ("audio-1", "Commentary", Some("en"), 1, false),
            ("audio-3", "Commentary 2", None, 2, true),
            ("audio-4", "Sound 4", None, 2, false)
        ]
    );
    let job = crate::Job::of(&plan, &source).unwrap();
    assert_eq!(job.audio.iter().map(|audio| audio.track.0).collect::<Vec<_>>(), [3]);
    source.more_audio.remove(0);
    let again = replan(&plan, &source, &Wishes::default());
    assert_eq!(again.alternates[0].audio, AudioPlan::None);
    assert_eq!(again.alternates[1..], plan.alternates[1..]);
    assert_eq!(again.notes.len(), 1);
}

#[test]
fn sizes_are_those_that_are_shown() {
    for (name, size, change, want) in [
        ("anamorphic HD", (1440, 1080), Change::Aspect(4, 3), "1080p 1920x1080 copy"),
        ("PAL, wide", (720, 576), Change::Aspect(16, 11), "576p 1047x576 copy"),
        ("no sensible shape", (1280, 720), Change::Aspect(1, 100), "720p 1280x720 copy"),
        ("a phone held upright", (1280, 720), Change::Sideways, "720p 720x1280 3000"),
    ] {
        let source = changed(video(size.0, size.1, 30, 2000), &change);
        check(name, &source, &Wishes { max_rungs: 1, ..Wishes::default() }, want);
    }
}

#[test]
fn what_lies_on_its_side_is_encoded_upright() {
    let source = changed(video(1280, 720, 30, 2000), &Change::Sideways);
    let plan = plan(&source, &Wishes::default());
    assert!(plan.rungs.iter().all(|rung| !rung.is_copy() && rung.height > rung.width), "{plan}");
    assert!(plan.rungs[0].reason.contains("on its side"), "{plan}");
}

#[test]
fn sound_alone_gets_a_dark_picture_only_where_that_is_wished() {
    let heard = Source { video: None, ..with_audio(video(1280, 720, 30, 2000), &[0x11, 0x90]) };
    let wishes = Wishes { fill_picture: true, ..Wishes::default() };
    let filled = plan(&heard, &wishes);
    assert!(filled.is_blank() && !filled.needs_transcoder(), "{filled}");
    let rung = &filled.rungs[0];
    assert_eq!((&*rung.name, rung.width, rung.height, rung.is_copy()), ("360p", 640, 360, false));
    assert!(filled.to_string().contains("a dark picture"), "{filled}");
    assert_eq!((filled.cut, filled.audio.clone()), (CutMode::Grid, AudioPlan::Copy));
    assert!(crate::Job::of(&filled, &heard).is_none());
    assert!(!plan(&heard, &Wishes::default()).is_blank());
    assert!(continues(&filled, &heard));
    assert_eq!(replan(&filled, &heard, &wishes).rungs, filled.rungs);
    assert!(!continues(&filled, &video(1280, 720, 30, 2000)), "real pictures deserve their own ladder");
}

#[test]
fn pictures_that_go_are_filled_in_and_come_back_as_they_were() {
    let wishes = Wishes::default();
    let source = with_audio(video(1280, 720, 30, 2000), &[0x11, 0x90]);
    let running = plan(&source, &wishes);
    assert!(running.rungs.len() > 1 && running.rungs[0].is_copy(), "{running}");
    let heard = Source { video: None, ..source.clone() };
    assert!(continues(&running, &heard));
    let dark = replan(&running, &heard, &wishes);
    assert_eq!(dark.rungs.len(), running.rungs.len());
    assert_eq!((dark.cut, dark.target_duration), (CutMode::Grid, running.target_duration));
    for (dark, before) in dark.rungs.iter().zip(&running.rungs) {
        let blank = dark.blank().unwrap();
        assert_eq!((&dark.name, dark.width, &dark.codecs), (&before.name, before.width, &before.codecs));
        if let Treatment::Encode(settings) = &before.treatment {
            assert_eq!((blank.level_idc, blank.instead.as_ref()), (settings.level_idc, Some(settings)));
        }
    }
    let promised = running.rungs[0].codecs.clone().unwrap();
    let blank = dark.rungs[0].blank().unwrap();
    assert!(promised.ends_with(&format!("{:02x}", blank.level_idc)), "{promised} and {blank:?}");
    let again = replan(&replan(&dark, &heard, &wishes), &source, &wishes);
    let treatments = |plan: &Plan| plan.rungs.iter().map(|rung| rung.treatment.clone()).collect::<Vec<_>>();
    assert_eq!(treatments(&again), treatments(&running));
    assert!(!continues(&Plan { audio: AudioPlan::None, ..running.clone() }, &heard), "nothing would be left");
    let mut other = running;
    other.rungs[0].codecs = Some("hvc1.1.6.L93.90".to_owned());
    assert!(!continues(&other, &heard), "the dark picture is H.264");
}

#[test]
fn sound_alone_is_a_variant_only_beside_pictures() {
    let wishes = Wishes { audio_only: true, ..Wishes::default() };
    let both = with_audio(video(1280, 720, 30, 2000), &[0x11, 0x90]);
    let running = plan(&both, &wishes);
    assert!(running.audio_only && running.to_string().contains("sound  alone"), "{running}");
    assert!(replan(&running, &both, &Wishes::default()).audio_only, "a list that was told stays");
    let heard = Source { video: None, ..both.clone() };
    assert!(!plan(&heard, &wishes).audio_only, "it is all there is");
    let mute = Source { audio: None, ..both };
    assert!(!plan(&mute, &Wishes { fill_sound: false, ..wishes }).audio_only);
}
