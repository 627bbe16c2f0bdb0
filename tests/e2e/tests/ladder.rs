#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]
//! `sluice ladder` on a file, on live streams by three ways, and on what cannot be looked at.

use e2e::harness::{PATIENCE, Publisher, Stage, alone, clip, segments};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Sizes of the rungs and whether they are copied, largest first; of a plan, or of a running stream as the API tells it.
fn rungs(stage: &Stage, arguments: &[&str]) -> Vec<(u64, u64, bool)> {
    let output = stage.home.sluice(&["ladder", "--json"]).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rungs = plan["rungs"].as_array().or_else(|| plan["renditions"].as_array()).expect("rungs");
    let sized =
        rungs.iter().filter_map(|rung| Some((rung, rung["width"].as_u64()?, rung["height"].as_u64()?)));
    let copied = |rung: &Value| rung["reason"].as_str().is_some_and(|reason| reason.starts_with("copied"));
    sized.map(|(rung, width, height)| (width, height, copied(rung))).collect()
}

/// What it says of an input that it refuses, and that it does so in time.
fn refusal(stage: &Stage, input: &str, within: Duration) -> String {
    let started = Instant::now();
    let output = stage.home.sluice(&["ladder", input]).output().unwrap();
    assert!(!output.status.success(), "{input} was taken");
    assert!(output.stdout.is_empty() && started.elapsed() < within, "{input}: {:?}", started.elapsed());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_plan_is_told_for_files_and_live_sources() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("854x480", 30, 24, 60, &[]);
    let file = rungs(&stage, &[clip.path.to_str().unwrap()]);
    assert_eq!(file.first(), Some(&(854, 480, true)), "{file:?}");
    assert!(file.len() > 1 && file[1..].iter().all(|(_, _, copied)| !copied), "{file:?}");

    let _encoder = Publisher::copy(&stage.home, &clip.path, 1, &stage.url());
    let watch = stage.watch();
    segments(&watch, 3, PATIENCE);
    drop(watch);
    let playlist = stage.gateway.live_url("studio");
    let rtmp = stage.url().replace(&stage.key.secret, "studio");
    let listen = format!("http.listen={}", playlist.split('/').nth(2).unwrap());
    for arguments in [&[&*playlist][..], &[&*rtmp], &["studio", "--set", &listen]] {
        assert_eq!(rungs(&stage, arguments), file, "{arguments:?}");
    }
}

#[test]
fn what_cannot_be_looked_at_is_named() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let text = stage.home.path("notes.txt");
    std::fs::write(&text, "no media\n").unwrap();
    let closed = "rtmp://127.0.0.1:1/live/studio";
    for input in ["missing.mp4", text.to_str().unwrap(), closed, "http://127.0.0.1:1/index.m3u8"] {
        let said = refusal(&stage, input, Duration::from_secs(10));
        assert!(said.contains(input), "{input}: {said}");
    }
    // Takes the connection and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/index.m3u8", silent.local_addr().unwrap());
    assert!(refusal(&stage, &url, Duration::from_secs(25)).contains("gave up"));
}
