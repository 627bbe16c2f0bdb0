#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]
//! Ends and returns: of the publisher, the encoder process and the gateway, clean and by kill -9.

use e2e::harness::{
    Gateway, Home, PATIENCE, Publisher, Stage, alone, clip, judged, s, segments, to_the_end, until, wait_for,
};
use e2e::hlscheck::Outcome;
use e2e::proc;
use rustix::process::Signal;
use std::net::TcpListener;

/// Each rendition went through exactly this many discontinuities and never lost count.
#[track_caller]
fn discontinuities(outcome: &Outcome, count: u64) {
    for rendition in &outcome.renditions {
        assert_eq!(rendition.discontinuities, count, "{}:\n{outcome}", rendition.name);
        let (first, last) = rendition.msn.unwrap();
        let seen = rendition.entries.len() as u64;
        assert_eq!(last - first + 1, seen, "{}: numbers were left out\n{outcome}", rendition.name);
    }
}

#[test]
fn a_clean_stop_ends_every_list() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let mut encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 3, PATIENCE);
    encoder.stop();
    let outcome = to_the_end(watch, s(10));
    outcome.assert_clean();
    discontinuities(&outcome, 0);
    assert!(outcome.renditions.iter().all(|r| r.ended && r.gaps == 0), "{outcome}");
    wait_for("the worker's end", s(5), || stage.gateway.workers().is_empty().then_some(()));
    // The same name again: a new session at new addresses.
    let before = stage.gateway.get("/live/studio/index.m3u8").unwrap().text().unwrap();
    let _again = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let after = wait_for("a new session", PATIENCE, || {
        let response = stage.gateway.get("/live/studio/index.m3u8").ok().filter(|r| r.status == 200)?;
        response.text().ok().filter(|t| *t != before)
    });
    let uris = |text: &str| -> Vec<String> {
        text.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect()
    };
    assert!(uris(&after).iter().all(|u| !uris(&before).contains(u)), "{before}\n{after}");
}

/// Kills the publisher, stays away for a while, returns.
fn publisher_returns(away: u64) {
    let _alone = alone();
    let stage = Stage::new(&[("publish.hold", "40s")]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let mut encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 3, PATIENCE);
    encoder.kill();
    let gaps = away / 2;
    until(&watch, "gap segments while the stream is held", s(away + 15), |p| p.all(|r| r.gaps >= gaps));
    assert!(!watch.progress().renditions.iter().any(|r| r.ended), "held, not ended");
    let _encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    until(&watch, "three segments behind the gap", PATIENCE, |p| {
        p.all(|r| r.discontinuity > 0 && r.since_discontinuity >= 3)
    });
    let outcome = judged(watch);
    outcome.assert_clean();
    discontinuities(&outcome, 1);
}

#[test]
fn a_killed_publisher_is_held_and_returns_after_one_discontinuity() {
    publisher_returns(6);
}

#[test]
fn a_publisher_that_is_back_at_once_costs_one_discontinuity() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let mut encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 3, PATIENCE);
    encoder.kill();
    let _encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    until(&watch, "three segments of the second publication", PATIENCE, |p| {
        p.all(|r| r.discontinuity > 0 && r.since_discontinuity >= 3)
    });
    let outcome = judged(watch);
    outcome.assert_clean_with_pause(4.0);
    discontinuities(&outcome, 1);
}

#[test]
fn a_publisher_that_stays_away_ends_the_stream_after_the_hold() {
    let _alone = alone();
    let stage = Stage::new(&[("publish.hold", "6s")]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let mut encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 3, PATIENCE);
    encoder.kill();
    let outcome = to_the_end(watch, s(25));
    outcome.assert_clean();
    assert!(outcome.renditions.iter().all(|r| r.ended), "{outcome}");
}

#[test]
fn a_publisher_whose_network_hangs_is_found_dead_and_held() {
    let _alone = alone();
    let stage = Stage::new(&[("rtmp.media_timeout", "2s"), ("publish.hold", "20s")]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 3, PATIENCE);
    encoder.freeze(true);
    until(&watch, "gap segments", s(20), |p| p.all(|r| r.gaps >= 2));
    let _second = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    until(&watch, "two segments of the second publication", PATIENCE, |p| {
        p.all(|r| r.discontinuity > 0 && r.since_discontinuity >= 2)
    });
    encoder.freeze(false);
    let outcome = judged(watch);
    outcome.assert_clean();
    discontinuities(&outcome, 1);
}

/// A link that stands still for less than the time after which a publisher is given up: viewers' lists go on.
#[test]
fn a_publisher_that_stalls_and_comes_back_does_not_stop_the_lists() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 3, PATIENCE);
    encoder.freeze(true);
    let until_then = std::time::Instant::now() + s(8);
    wait_for("eight seconds of silence", s(10), || (std::time::Instant::now() > until_then).then_some(()));
    let before = watch.progress().renditions[0].segments;
    encoder.freeze(false);
    segments(&watch, before + 3, PATIENCE);
    // A second of silence is waited out, since ending a segment costs the rest of its GOP.
    judged(watch).assert_clean_with_pause(4.0);
}

#[test]
fn a_killed_worker_is_replaced_and_the_stream_goes_on() {
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let _encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let watch = stage.watch();
    let before = segments(&watch, 3, PATIENCE);
    let workers = stage.gateway.workers();
    assert_eq!(workers.len(), 1, "one worker a stream");
    e2e::harness::send(workers[0], Signal::KILL);
    let newest = before.renditions[0].newest.unwrap();
    until(&watch, "six more segments in every rendition", PATIENCE, |p| {
        p.all(|r| r.newest.is_some_and(|n| n >= newest + 6))
    });
    let now = stage.gateway.workers();
    assert!(now.len() == 1 && now != workers, "a new worker: {workers:?}, {now:?}");
    let outcome = judged(watch);
    outcome.assert_clean();
    let top = outcome.renditions.iter().max_by_key(|r| r.resolution).unwrap();
    assert_eq!((top.gaps, top.discontinuities), (0, 0), "the copied rung is not hurt\n{outcome}");
}

#[test]
fn a_killed_gateway_leaves_no_worker_and_goes_on_where_it_was() {
    let _alone = alone();
    let mut stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let mut encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let mut options = stage.options("studio");
    options.outages = true;
    let watch = e2e::hlscheck::Watch::start(options);
    let before = segments(&watch, 4, PATIENCE);
    let workers = stage.gateway.workers();
    assert!(!workers.is_empty());
    stage.gateway.kill();
    encoder.kill();
    wait_for("the orphaned worker's end", s(5), || workers.iter().all(|w| !proc::alive(*w)).then_some(()));
    until(&watch, "the outage to be seen", s(10), |p| p.outages > 0);
    let Stage { gateway, key, home } = stage;
    let gateway = gateway.again(&home).expect("the gateway starts again on its ports");
    let _encoder = Publisher::copy(&home, &clip.path, 0, &gateway.publish_url(&key));
    let newest = before.renditions.iter().filter_map(|r| r.newest).max().unwrap();
    let number = before.renditions[0].discontinuity;
    until(&watch, "new segments at the old addresses", PATIENCE, |p| {
        p.all(|r| {
            r.newest.is_some_and(|n| n > newest) && r.discontinuity > number && r.since_discontinuity >= 3
        })
    });
    let outcome = judged(watch);
    outcome.assert_clean();
    for rendition in &outcome.renditions {
        assert!(rendition.discontinuities >= 1, "a restart is a discontinuity\n{outcome}");
    }
}

#[test]
fn sigterm_ends_in_time_with_no_worker_left() {
    let _alone = alone();
    for (streams, ends) in [("end", true), ("hold", false)] {
        let mut stage = Stage::new(&[("shutdown.grace", "8s"), ("shutdown.streams", streams)]);
        let clip = clip("640x360", 30, 24, 60, &[]);
        let mut encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
        let mut options = stage.options("studio");
        options.outages = true;
        let watch = e2e::hlscheck::Watch::start(options);
        segments(&watch, 3, PATIENCE);
        let workers = stage.gateway.workers();
        let status = stage.gateway.terminate(s(9));
        assert_eq!(status.code(), Some(0), "{}", stage.gateway.log());
        assert!(workers.iter().all(|w| !proc::alive(*w)), "a worker outlived the gateway");
        wait_for("the encoder's end", s(10), || encoder.ended());
        let ended = watch.progress().renditions.iter().all(|r| r.ended);
        let outcome = judged(watch);
        outcome.assert_clean();
        assert!(ended || !ends, "ENDLIST was to be seen before the end ({streams})\n{outcome}");
    }
}

#[test]
fn a_bad_configuration_is_told_whole_with_exit_78() {
    let home = Home::new();
    let file = home.path("sluice.toml");
    std::fs::write(&file, "[hls]\nsegment = \"2 parsecs\"\nwindo = \"20s\"\n\n[rtmp]\nlisten = 7\n").unwrap();
    let output = home
        .sluice(&["serve", "--config"])
        .arg(&file)
        .env("SLUICE_HLS_MIN_SEGMENTS", "none")
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(78), "{said}");
    for fault in [
        "sluice.toml:2",
        "parsecs",
        "sluice.toml:3",
        "hls.window",
        "sluice.toml:6",
        "SLUICE_HLS_MIN_SEGMENTS",
    ] {
        assert!(said.contains(fault), "{fault} is not told:\n{said}");
    }
    assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
}

#[test]
fn a_port_in_use_is_named_with_the_setting_that_changes_it() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, other, setting) in
        [("--rtmp-listen", "--http-listen", "rtmp"), ("--http-listen", "--rtmp-listen", "http")]
    {
        let output = home
            .sluice(&["serve", flag, &address, other, "127.0.0.1:0", "--data-dir"])
            .arg(home.path("data"))
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains(&address), "which port:\n{said}");
        let names = [format!("{setting}.listen"), format!("{setting}-listen"), format!("[{setting}] listen")];
        assert!(names.iter().any(|n| said.contains(n.as_str())), "by which setting it is changed:\n{said}");
    }
}

#[test]
fn help_teaches_and_keys_are_listed_and_revoked() {
    let home = Home::new();
    let run = |arguments: &[&str]| {
        let output = home.sluice(arguments).arg("--data-dir").arg(home.path("data")).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let help = home.sluice(&["--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for word in ["demo", "keys", "OBS", "rtmp://"] {
        assert!(help.contains(word), "{word} is not in --help:\n{help}");
    }
    let key = home.key("studio");
    let (_, list) = run(&["keys", "list"]);
    assert!(list.contains("studio") && !list.contains(&key.secret), "{list}");
    let id = list.lines().find(|l| l.contains("studio")).and_then(|l| l.split_whitespace().next()).unwrap();
    assert_eq!(run(&["keys", "revoke", id]).0, Some(0));
    let gateway: Gateway = home.gateway(&[]);
    let clip = clip("640x360", 30, 12, 60, &[]);
    let mut encoder = Publisher::copy(&home, &clip.path, 1, &gateway.publish_url(&key));
    assert!(!encoder.wait(s(10)).success(), "a revoked key publishes");
}
