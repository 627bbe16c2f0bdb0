#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]
//! Real OBS Studio, under a virtual display, with its default keyframe interval and with 2 s.

use e2e::harness::{Home, PATIENCE, Process, Stage, alone, has, judged, s, segments, until};
use e2e::hlscheck::Outcome;
use std::process::Command;

fn obs(home: &Home, server: &str, key: &str, keyint: &str, seconds: &str) -> Process {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../obs/publish.sh"));
    command.args([server, key, "--keyint", keyint, "--seconds", seconds, "--dir"]).arg(home.path("obs"));
    Process::start("OBS", &mut command, &home.path("obs.log")).unwrap()
}

/// Streams for a while, stops OBS as its user would, watches to the end. OBS with software OpenGL and a ladder fill
/// two cores to the brim, so lists may come late; what they hold is judged in full.
fn obs_plays(keyint: &str) -> Option<(Stage, Outcome)> {
    if !["obs", "Xvfb"].iter().all(|program| has(program)) {
        return None;
    }
    let stage = Stage::new(&[]);
    let server = format!("rtmp://{}/live", stage.gateway.rtmp);
    let mut publisher = obs(&stage.home, &server, &stage.key.secret, keyint, "16");
    let watch = stage.watch();
    segments(&watch, 7, PATIENCE);
    let story = stage.gateway.stream("studio").unwrap_or_default();
    eprintln!("the API on it: {story}");
    assert!(story.to_string().contains("obs-output module"), "the encoder's name: {story}");
    until(&watch, "the end of the lists", s(45), |p| p.over || p.all(|r| r.ended));
    assert!(publisher.wait(s(15)).success(), "{}", publisher.log());
    let outcome = judged(watch);
    outcome.assert_clean_but(&["M11", "V20"]);
    Some((stage, outcome))
}

#[test]
fn obs_with_its_default_keyframe_interval_plays() {
    let _alone = alone();
    let Some((stage, outcome)) = obs_plays("0") else { return };
    let longest = outcome.renditions.iter().flat_map(|r| r.entries.values()).map(|e| e.micros).max().unwrap();
    assert!(longest <= 2_200_000, "segments of 2 s: {longest} µs\n{outcome}");
    assert!(outcome.renditions.iter().any(|r| r.resolution == Some((1280, 720))), "{outcome}");
    assert!(stage.gateway.log().contains("eyframe"), "why it is encoded:\n{}", stage.gateway.log());
}

#[test]
fn obs_with_two_seconds_is_copied() {
    let _alone = alone();
    let Some((stage, outcome)) = obs_plays("2") else { return };
    assert!(outcome.renditions.iter().any(|r| r.resolution == Some((1280, 720))), "{outcome}");
    assert!(stage.gateway.log().contains("720p copy"), "{}", stage.gateway.log());
}

#[test]
fn obs_with_a_wrong_key_is_refused() {
    if !["obs", "Xvfb"].iter().all(|program| has(program)) {
        return;
    }
    let _alone = alone();
    let stage = Stage::new(&[]);
    let server = format!("rtmp://{}/live", stage.gateway.rtmp);
    let mut publisher = obs(&stage.home, &server, "notthekey", "2", "10");
    assert_eq!(publisher.wait(s(50)).code(), Some(3), "{}", publisher.log());
    let said = publisher.log();
    assert!(said.contains("BadName") || said.contains("key"), "OBS was told why:\n{said}");
}
