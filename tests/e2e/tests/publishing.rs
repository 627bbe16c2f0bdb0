#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]
//! What real encoders send plays, in every rung, by every rule.

use e2e::avsync;
use e2e::harness::{
    PATIENCE, Publisher, Stage, alone, clip, ffmpeg, gstreamer, has, s, segments, to_the_end, until,
};
use e2e::hlscheck::{Outcome, Watch, decode};
use e2e::tscheck::SegmentFacts;
use std::process::Command;
use std::time::{Duration, Instant};

/// How far the sound of each rendition is from where the source has it, ms: median and largest over all flashes.
fn av_offset(outcome: &Outcome, source: &std::path::Path) -> f64 {
    let (reference, _) = avsync::summary(&avsync::offsets(source).unwrap()).expect("flashes in the source");
    let mut worst: f64 = 0.0;
    for rendition in &outcome.renditions {
        for file in &rendition.joined {
            let offsets: Vec<f64> = avsync::offsets(file).unwrap().iter().map(|o| o - reference).collect();
            let Some((median, max)) = avsync::summary(&offsets) else { continue };
            eprintln!("  A/V offset of {}: median {median:.1} ms, largest {max:.1} ms", rendition.name);
            worst = worst.max(max);
        }
    }
    worst
}

#[test]
fn ffmpeg_is_copied_into_a_ladder_without_loss() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 26, 60, &[]);
    let mut encoder = Publisher::copy(&stage.home, &clip.path, 1, &stage.url());
    let watch = stage.watch();
    let outcome = to_the_end(watch, s(50));
    assert!(encoder.wait(s(5)).success(), "{}", encoder.log());
    outcome.assert_clean();
    assert!(outcome.renditions.len() >= 2, "a ladder: {outcome}");
    for rendition in &outcome.renditions {
        assert!(
            rendition.frames.abs_diff(clip.frames) <= 1,
            "{}: {} pictures of {}",
            rendition.name,
            rendition.frames,
            clip.frames
        );
        assert_eq!((rendition.gaps, rendition.discontinuities), (0, 0), "{outcome}");
    }
    let worst = av_offset(&outcome, &clip.path);
    assert!(worst < 40.0, "sound is {worst:.1} ms off");
    aligned(&outcome, 12);
    // A viewer may come in anywhere: each segment decodes by itself.
    for rendition in &outcome.renditions {
        for msn in rendition.facts.keys() {
            let said = decode::decode(&rendition.dir.join(format!("{msn}.ts"))).unwrap();
            assert!(said.is_empty(), "{} {msn}: {said}", rendition.name);
        }
    }
}

/// Every rung has the same numbers, and each number begins with the same picture and lasts as long.
#[track_caller]
fn aligned(outcome: &Outcome, at_least: usize) {
    let (first, others) = outcome.renditions.split_first().unwrap();
    assert!(first.facts.len() >= at_least && !others.is_empty(), "{outcome}");
    for other in others {
        assert_eq!(first.msn, other.msn, "{outcome}");
        for (msn, a) in &first.facts {
            let b = &other.facts[msn];
            assert_eq!(a.start(), b.start(), "{msn}\n{outcome}");
            assert_eq!(first.entries[msn].micros, other.entries[msn].micros, "{msn}\n{outcome}");
            let frames = |f: &SegmentFacts| f.video.as_ref().map(|v| v.frames);
            assert_eq!(frames(a), frames(b), "{msn}\n{outcome}");
        }
    }
}

#[test]
fn the_first_list_comes_soon() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 14, 60, &[]);
    let started = Instant::now();
    let _encoder = Publisher::copy(&stage.home, &clip.path, 1, &stage.url());
    stage.gateway.wait_live("studio", PATIENCE);
    let took = started.elapsed();
    eprintln!("from the encoder's start to the first playable list: {took:.2?}, with keyframes 2 s apart");
    assert!(took < Duration::from_millis(3500), "{took:?}");
}

#[test]
fn b_frames_and_an_open_hand_on_the_keyframe_interval_play() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    // Keyframes every 1.5 s, three B-frames, 44.1 kHz: nothing falls on a round number.
    let clip = clip("640x360", 30, 15, 45, &["-preset", "veryfast", "-bf", "3", "-ar", "44100"]);
    let _encoder = Publisher::copy(&stage.home, &clip.path, 1, &stage.url());
    let outcome = to_the_end(stage.watch(), s(50));
    outcome.assert_clean();
    for rendition in &outcome.renditions {
        assert!(
            rendition.frames.abs_diff(clip.frames) <= 1,
            "{}: {} pictures",
            rendition.name,
            rendition.frames
        );
    }
    let worst = av_offset(&outcome, &clip.path);
    assert!(worst < 40.0, "sound is {worst:.1} ms off");
}

fn gstreamer_plays(sink: &str) {
    if !has("gst-launch-1.0") {
        return;
    }
    let _alone = alone();
    let stage = Stage::new(&[]);
    let pipeline = format!(
        "videotestsrc is-live=true pattern=smpte num-buffers=360 ! video/x-raw,width=640,height=360,framerate=30/1,format=I420 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=60 bitrate=600 \
         ! flvmux streamable=true name=m ! {sink} \
         audiotestsrc is-live=true num-buffers=562 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 ! voaacenc bitrate=96000 ! m."
    );
    let mut encoder = gstreamer(&stage.home, &pipeline.replace("URL", &stage.url()));
    let watch = stage.watch();
    segments(&watch, 3, PATIENCE);
    encoder.wait(s(40));
    let outcome = to_the_end(watch, s(50));
    outcome.assert_clean();
}

#[test]
fn gstreamers_rtmp2sink_plays() {
    gstreamer_plays("rtmp2sink location=URL");
}

#[test]
fn gstreamers_rtmpsink_plays() {
    // librtmp takes options behind the URL, divided by spaces: none here.
    gstreamer_plays("rtmpsink location=URL");
}

#[test]
fn ffmpeg_plays_the_live_url() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let _encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    stage.gateway.wait_live("studio", PATIENCE);
    let output = Command::new("ffmpeg")
        .args(["-v", "warning", "-nostdin", "-xerror", "-i", &stage.gateway.live_url("studio")])
        .args(["-map", "0:v:0", "-map", "0:a:0", "-t", "12", "-f", "null", "-progress", "-", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "the player said:\n{said}");
    let progress = String::from_utf8_lossy(&output.stdout).into_owned();
    let frames = progress.lines().filter_map(|l| l.strip_prefix("frame=")).next_back().unwrap_or("0");
    let frames: u64 = frames.trim().parse().unwrap();
    assert!((350..=362).contains(&frames), "{frames} pictures in 12 s of 30 fps");
}

/// Length of the clips of `plays`.
const SECONDS: u32 = 12;

/// Publishes the clip once, watches to the end, and asks for clean lists.
fn plays(size: &str, rate: u32, gop: u32, more: &[&str], settings: &[(&str, &str)]) -> (Stage, Outcome) {
    let (stage, outcome) = played(size, rate, gop, more, settings);
    outcome.assert_clean();
    (stage, outcome)
}

fn played(size: &str, rate: u32, gop: u32, more: &[&str], settings: &[(&str, &str)]) -> (Stage, Outcome) {
    let stage = Stage::new(settings);
    let clip = clip(size, rate, SECONDS, gop, more);
    let mut encoder = Publisher::copy(&stage.home, &clip.path, 1, &stage.url());
    let watch = stage.watch();
    until(&watch, "a segment", PATIENCE, |p| p.all(|r| r.segments > 0));
    let story = stage.gateway.stream("studio");
    eprintln!("the API on it: {}", story.unwrap_or_default());
    let outcome = to_the_end(watch, s(60));
    assert!(encoder.wait(s(5)).success(), "{}", encoder.log());
    (stage, outcome)
}

#[test]
fn without_audio_it_plays_with_silence() {
    let _alone = alone();
    let (_stage, outcome) = plays("640x360", 30, 60, &["-an"], &[]);
    for rendition in &outcome.renditions {
        assert!(rendition.facts.values().all(|f| f.audio.is_some()), "{outcome}");
        assert!(rendition.frames.abs_diff(u64::from(SECONDS) * 30) <= 1, "{outcome}");
    }
}

#[test]
fn without_video_it_plays() {
    let _alone = alone();
    let (_stage, outcome) = plays("640x360", 30, 60, &["-vn"], &[]);
    assert_eq!(outcome.renditions.len(), 1, "{outcome}");
    let sound = &outcome.renditions[0];
    assert!(sound.facts.values().all(|f| f.video.is_none()) && sound.resolution.is_none(), "{outcome}");
    assert!((sound.seconds - f64::from(SECONDS)).abs() < 0.2, "{outcome}");
}

#[test]
fn without_video_a_dark_one_plays_if_that_is_wished() {
    let _alone = alone();
    let (_stage, outcome) = plays("640x360", 30, 60, &["-vn"], &[("ladder.fill_picture", "true")]);
    assert_eq!(outcome.renditions.len(), 1, "{outcome}");
    let dark = &outcome.renditions[0];
    assert_eq!(dark.resolution, Some((640, 360)), "{outcome}");
    let idrs =
        dark.facts.values().all(|f| f.audio.is_some() && f.video.as_ref().is_some_and(|v| v.idrs >= 1));
    assert!(idrs && dark.frames.abs_diff(u64::from(SECONDS) * 5) <= 1, "{outcome}");
    assert!((dark.seconds - f64::from(SECONDS)).abs() < 0.3, "{outcome}");
}

#[test]
fn pictures_that_stop_leave_the_sound_to_go_on() {
    let _alone = alone();
    let stage = Stage::new(&[("ladder.rungs", "360:600k,240:300k")]);
    let clip = clip("640x360", 30, SECONDS, 60, &["-vf", "trim=end=6"]);
    // FFmpeg would hold the sound back for ten seconds, waiting for pictures to put it between.
    let at_once = ["-c", "copy", "-max_interleave_delta", "100000", "-f", "flv"];
    let file = clip.path.to_string_lossy();
    let mut encoder =
        ffmpeg(&stage.home, ["-re", "-i", &file].into_iter().chain(at_once).chain([stage.url().as_str()]));
    let watch = stage.watch();
    until(&watch, "a segment", PATIENCE, |p| p.all(|r| r.segments > 0));
    let outcome = to_the_end(watch, s(60));
    assert!(encoder.wait(s(5)).success(), "{}", encoder.log());
    // Three seconds to be sure, and the segment that was open.
    outcome.assert_clean_with_pause(6.0);
    assert_eq!(outcome.renditions.len(), 2, "{outcome}");
    for rendition in &outcome.renditions {
        assert_eq!((rendition.gaps, rendition.discontinuities), (0, 1), "{outcome}");
        let sound = rendition.facts.values().all(|f| f.audio.is_some() && f.video.is_some());
        assert!(sound, "{outcome}");
        // 6 s of pictures, and dark ones for what is left
        assert!(rendition.frames.abs_diff(180 + 29) <= 3, "{outcome}");
        assert!((rendition.seconds - f64::from(SECONDS)).abs() < 0.5, "{outcome}");
    }
}

#[test]
fn the_sound_alone_is_a_variant_if_that_is_wished() {
    let _alone = alone();
    let (_stage, outcome) = played("640x360", 30, 60, &[], &[("ladder.audio_only", "true")]);
    // Its segments begin with the first sound at or after the pictures'.
    outcome.assert_clean_but(&["M16", "V19"]);
    let sound = outcome.rendition("audio").expect("a variant with the sound alone");
    assert!(sound.facts.values().all(|f| f.video.is_none() && f.audio.is_some()), "{outcome}");
    assert!(sound.resolution.is_none() && (sound.seconds - f64::from(SECONDS)).abs() < 0.2, "{outcome}");
}

#[test]
fn a_ten_second_gop_is_encoded_in_its_own_size_too() {
    let _alone = alone();
    let (stage, outcome) = plays("640x360", 30, 300, &[], &[]);
    for rendition in &outcome.renditions {
        assert!(rendition.frames.abs_diff(u64::from(SECONDS) * 30) <= 1, "{outcome}");
        let longest = rendition.entries.values().map(|e| e.micros).max().unwrap();
        assert!(longest <= 2_100_000, "segments of 2 s, not {longest} µs");
        assert!(rendition.facts.values().all(|f| f.video.as_ref().is_some_and(|v| v.idrs >= 1)), "{outcome}");
    }
    assert!(outcome.rendition("360p").is_some(), "the source's own size is there: {outcome}");
    let log = stage.gateway.log();
    assert!(log.contains("eyframe"), "the log says why the source is not copied:\n{log}");
}

#[test]
fn four_four_four_is_made_playable() {
    let _alone = alone();
    let more = ["-pix_fmt", "yuv444p", "-profile:v", "high444"];
    let (_stage, outcome) = plays("640x360", 30, 60, &more, &[]);
    for rendition in &outcome.renditions {
        assert!(rendition.frames.abs_diff(u64::from(SECONDS) * 30) <= 1, "{outcome}");
        for facts in rendition.facts.values() {
            let codec = facts.video.as_ref().and_then(|v| v.codec.clone()).unwrap();
            assert!(!codec.starts_with("avc1.f4"), "{codec} plays in no browser");
        }
    }
}

#[test]
fn fifty_frames_a_second_in_portrait_play() {
    let _alone = alone();
    let (_stage, outcome) = plays("404x720", 50, 100, &[], &[]);
    let top = &outcome.renditions[0];
    assert_eq!(top.resolution, Some((404, 720)), "{outcome}");
    assert!(top.frames.abs_diff(u64::from(SECONDS) * 50) <= 1, "{outcome}");
    for rendition in &outcome.renditions {
        let (w, h) = rendition.resolution.unwrap();
        assert!(w < h, "portrait stays portrait: {outcome}");
    }
}

#[test]
fn two_streams_at_once_are_both_right() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let other = stage.home.key("other");
    let (a, b) = (clip("640x360", 30, 14, 60, &[]), clip("426x240", 25, 14, 50, &[]));
    let _first = Publisher::copy(&stage.home, &a.path, 1, &stage.url());
    let _second = Publisher::copy(&stage.home, &b.path, 1, &stage.gateway.publish_url(&other));
    let (watch, second) = (stage.watch(), Watch::start(stage.options("other")));
    let outcome = to_the_end(watch, s(60));
    to_the_end(second, s(30)).assert_clean();
    outcome.assert_clean();
}
