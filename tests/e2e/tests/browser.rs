#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]
//! The product's own page in Chromium. Screenshots go to target/e2e-shots.

use e2e::harness::{Browser, PATIENCE, Process, Publisher, Stage, alone, clip, has, holds_for, s, wait_for};
use serde_json::Value;
use std::path::PathBuf;

fn shots() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../e2e-shots");
    std::fs::create_dir_all(&dir).unwrap();
    dir.canonicalize().unwrap()
}

fn shot(browser: &mut Browser, name: &str) {
    browser.tell(&format!("shot {}", shots().join(name).display()));
}

fn ready() -> bool {
    ["node", "npm", "chromium"].iter().all(|program| has(program))
}

/// Nothing failed to load and no script erred.
#[track_caller]
fn no_complaints(answer: &Value) {
    assert_eq!(answer["complaints"], Value::Array(vec![]), "{answer}");
    assert_eq!(answer["mediaError"], Value::Null, "{answer}");
}

#[test]
fn the_watch_page_plays_and_switches_levels() {
    if !ready() {
        return;
    }
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("1280x720", 30, 20, 60, &[]);
    let _encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    stage.gateway.wait_live("studio", PATIENCE);
    let mut browser = Browser::start(&stage.home);
    browser.tell(&format!("open http://{}/watch/studio 1280x800", stage.gateway.http));
    let playing = browser.tell("playing 5");
    no_complaints(&playing);
    assert!(playing["took"].as_f64().unwrap() < 7.0, "it plays in real time: {playing}");
    let menu = browser.tell("menu open");
    let heights: Vec<&str> = menu["items"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(heights.contains(&"auto") && heights.contains(&"720") && heights.len() >= 3, "{menu}");
    shot(&mut browser, "desktop-menu.png");
    let mut rungs: Vec<u32> = heights.iter().filter_map(|h| h.parse().ok()).collect();
    rungs.sort_unstable();
    for height in [rungs[0], 720] {
        browser.tell(&format!("level {height}"));
        let playing = browser.tell("playing 3");
        assert_eq!(playing["size"][1], height, "{playing}");
        shot(&mut browser, &format!("desktop-{height}.png"));
    }
    browser.tell("level auto");
    no_complaints(&browser.tell("state"));

    browser.tell(&format!("open http://{}/watch/studio 390x844 dark --touch", stage.gateway.http));
    no_complaints(&browser.tell("playing 3"));
    shot(&mut browser, "phone-dark.png");
    browser.tell(&format!("open http://{}/ 1280x800 dark", stage.gateway.http));
    shot(&mut browser, "home-dark.png");
    browser.tell(&format!("open http://{}/embed/studio 640x360", stage.gateway.http));
    no_complaints(&browser.tell("playing 2"));
    browser.tell(&format!("open http://{}/watch/nobody 1280x800", stage.gateway.http));
    browser.tell("await OFFLINE 10");
    shot(&mut browser, "offline.png");
}

#[test]
fn a_viewer_outlives_the_publishers_absence_and_sees_the_end() {
    if !ready() {
        return;
    }
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let mut encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    stage.gateway.wait_live("studio", PATIENCE);
    let mut browser = Browser::start(&stage.home);
    browser.tell(&format!("open http://{}/watch/studio", stage.gateway.http));
    browser.tell("playing 3");
    encoder.kill();
    browser.tell("await RECONNECTING 20");
    shot(&mut browser, "held.png");
    let mut encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    browser.tell("await LIVE,BEHIND 30");
    let back = browser.tell("playing 5");
    assert_eq!(back["mediaError"], Value::Null);
    encoder.stop();
    browser.tell("await ENDED,REPLAY 40");
    shot(&mut browser, "ended.png");
}

#[test]
fn a_viewer_outlives_a_restart_of_the_gateway() {
    if !ready() {
        return;
    }
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let mut encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    stage.gateway.wait_live("studio", PATIENCE);
    let mut browser = Browser::start(&stage.home);
    browser.tell(&format!("open http://{}/watch/studio", stage.gateway.http));
    browser.tell("playing 3");
    let Stage { mut gateway, key, home } = stage;
    gateway.kill();
    encoder.kill();
    let gateway = gateway.again(&home).unwrap();
    let _encoder = Publisher::copy(&home, &clip.path, 0, &gateway.publish_url(&key));
    wait_for("new segments", PATIENCE, || {
        gateway.stream("studio").filter(|s| s.to_string().contains("\"live\""))
    });
    let back = browser.tell("playing 8 45");
    assert_eq!(back["mediaError"], Value::Null, "{back}");
}

#[test]
fn the_burnt_in_clock_tells_the_latency() {
    if !ready() {
        return;
    }
    let _alone = alone();
    let stage = Stage::new(&[]);
    let mut command = stage.home.sluice(&["demo", &stage.url(), "--size", "640x360", "--bitrate", "800k"]);
    let mut demo = Process::start("sluice demo", &mut command, &stage.home.path("demo.log")).unwrap();
    stage.gateway.wait_live("studio", PATIENCE);
    let mut browser = Browser::start(&stage.home);
    browser.tell(&format!("open http://{}/watch/studio", stage.gateway.http));
    browser.tell("playing 3");
    let clock = browser.tell("clock 150 60");
    let (median, p95) = (clock["median"].as_i64().unwrap(), clock["p95"].as_i64().unwrap());
    eprintln!("glass to glass: median {median} ms, p95 {p95} ms");
    assert!((500..=8000).contains(&median), "{clock}");
    holds_for("the demo", s(1), || demo.ended().map_or(Ok(()), |status| Err(status.to_string())));
}
