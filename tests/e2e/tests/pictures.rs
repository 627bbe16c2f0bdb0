#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]
//! Thumbnails, posters and storyboards of a running gateway, judged by their pixels: each frame of the clip is one code
//! brighter than the one before.

use e2e::harness::{Browser, Gateway, PATIENCE, Publisher, Stage, alone, has, s, wait_for};
use e2e::proc;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;

/// Frames a second of the clip.
const RATE: f64 = 10.0;

/// 20 s whose frames have luma 16, 17, 18 … 215.
fn ramp(dir: &Path) -> PathBuf {
    let path = dir.join("ramp.flv");
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"])
        .arg("nullsrc=s=640x360:r=10,geq=lum='16+N':cb=128:cr=128")
        .args(["-f", "lavfi", "-i", "sine=r=48000", "-t", "20", "-c:v", "libx264", "-preset", "veryfast"])
        .args(["-pix_fmt", "yuv420p", "-g", "10", "-keyint_min", "10", "-sc_threshold", "0", "-c:a", "aac"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

/// Luma of the picture's samples as they are coded, of the first frame in `file`.
fn luma(file: &[u8], format: &str) -> Vec<u8> {
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error", "-f", format, "-i", "-", "-frames:v", "1"])
        .args(["-vf", "extractplanes=y", "-f", "rawvideo", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let file = file.to_vec();
    // It may close its end after the first frame.
    let feed = std::thread::spawn(move || drop(stdin.write_all(&file)));
    let output = child.wait_with_output().unwrap();
    feed.join().unwrap();
    output.stdout
}

fn mean(samples: impl IntoIterator<Item = u8>) -> f64 {
    let (sum, count) = samples.into_iter().fold((0_u64, 0_u64), |(sum, n), v| (sum + u64::from(v), n + 1));
    sum as f64 / count as f64
}

/// Full range as JPEG has it, to video's limited range.
fn limited(full: f64) -> f64 {
    full * 219.0 / 255.0 + 16.0
}

/// Seconds since 1970.
fn date(text: &str) -> f64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond() as f64 / 1000.0
}

/// A cue of the storyboard.
#[derive(Debug)]
struct Cue {
    /// Seconds since 1970.
    from: f64,
    to: f64,
    url: String,
    place: [usize; 4],
}

fn cues(vtt: &str) -> Vec<Cue> {
    let (head, rest) = vtt.split_once("\n\n").unwrap_or((vtt, ""));
    let base = date(head.strip_prefix("WEBVTT\nX-PROGRAM-DATE-TIME=").expect(vtt).trim());
    let clock = |text: &str| text.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap());
    rest.split("\n\n")
        .filter(|cue| !cue.trim().is_empty())
        .map(|cue| {
            let (times, target) = cue.trim().split_once('\n').unwrap();
            let (from, to) = times.split_once(" --> ").unwrap();
            let (url, place) = target.split_once("#xywh=").unwrap();
            let place: Vec<usize> = place.split(',').map(|n| n.parse().unwrap()).collect();
            Cue {
                from: base + clock(from),
                to: base + clock(to),
                url: url.into(),
                place: place.try_into().unwrap(),
            }
        })
        .collect()
}

fn text(gateway: &Gateway, path: &str) -> String {
    let response = gateway.get(path).unwrap();
    assert_eq!(response.status, 200, "{path}");
    response.text().unwrap()
}

/// When the first listed segment begins, and the luma of its first frame.
fn anchor(gateway: &Gateway) -> (f64, f64) {
    let top = text(gateway, "/live/studio/index.m3u8");
    let list = top.lines().find(|line| !line.starts_with('#') && line.ends_with(".m3u8")).unwrap();
    let list = format!("/live/studio/{list}");
    let media = text(gateway, &list);
    let at = media.lines().find_map(|line| line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:")).unwrap();
    let segment = media.lines().find(|line| line.ends_with(".ts")).unwrap();
    let segment = gateway.get(&list.replace("index.m3u8", segment)).unwrap();
    assert_eq!(segment.status, 200);
    (date(at), mean(luma(&segment.body, "mpegts")))
}

/// Every tile shows the frame of its date, by the playlist's dates.
#[track_caller]
fn tiles_are_right(gateway: &Gateway, least: usize) -> usize {
    let path = "/live/studio/storyboard.vtt";
    let (at, dark) = anchor(gateway);
    let all = wait_for(&format!("{least} tiles"), PATIENCE, || {
        let vtt = gateway.get(path).ok().filter(|r| r.status == 200)?;
        Some(cues(&vtt.text().unwrap())).filter(|cues| cues.len() >= least)
    });
    for cue in &all {
        let sheet = gateway.get(&format!("/live/studio/{}", cue.url)).unwrap();
        assert_eq!((sheet.status, sheet.media_type()), (200, "image/jpeg"), "{cue:?}");
        let [x, y, width, height] = cue.place;
        assert_eq!((width, height), (160, 90), "{cue:?}");
        let samples = luma(&sheet.body, "mjpeg");
        assert_eq!(samples.len(), 800 * 450, "{cue:?}");
        let tile = (y + 10..y + height - 10)
            .flat_map(|row| samples[row * 800 + x + 10..row * 800 + x + width - 10].to_vec());
        let (shown, want) = (limited(mean(tile)), dark + (cue.from - at) * RATE);
        // Two codes are two frames, 0.2 s: the coding's loss, and dates in whole milliseconds.
        assert!((shown - want).abs() <= 2.0, "{cue:?} shows {shown}, not {want}");
    }
    assert!(all.is_sorted_by(|a, b| a.to <= b.from + 0.001), "{all:#?}");
    all.len()
}

#[test]
fn a_ladders_storyboard_shows_each_moment() {
    let _alone = alone();
    let stage = Stage::new(&[("pictures.interval", "2s"), ("hls.window", "30s")]);
    let clip = ramp(&stage.home.path(""));
    let mut encoder = Publisher::copy(&stage.home, &clip, 0, &stage.url());
    stage.gateway.wait_live("studio", PATIENCE);
    let gateway = &stage.gateway;
    assert!(tiles_are_right(gateway, 4) >= 4);
    for (kind, size) in [("thumbnail", 320 * 180), ("poster", 640 * 360)] {
        let told = gateway.stream("studio").unwrap();
        let url = told[kind].as_str().unwrap_or_else(|| panic!("no {kind}: {told}"));
        let picture = gateway.get(url).unwrap();
        assert_eq!((picture.status, picture.media_type()), (200, "image/jpeg"));
        let samples = luma(&picture.body, "mjpeg");
        assert_eq!(samples.len(), size, "{kind}");
        let shown = limited(mean(samples));
        assert!((15.0..=217.0).contains(&shown), "{kind}: {shown}");
        let etag = picture.header("etag").unwrap();
        let path = format!("/live/studio/storyboard.vtt?{kind}");
        let vtt = gateway.get(&path).unwrap();
        let again = gateway.request("GET", &path, &[("If-None-Match", vtt.header("etag").unwrap())]).unwrap();
        assert!([200, 304].contains(&again.status), "{kind} {etag}");
    }
    encoder.kill();
    wait_for("the stream to be held", PATIENCE, || {
        gateway.stream("studio").filter(|stream| stream["state"] == "held")
    });
    assert_eq!(gateway.get("/live/studio/thumbnail.jpg").unwrap().status, 200, "held streams keep the last");
    // Back at the clip's beginning: what was before and what comes now each stand by their own dates.
    let before = cues(&text(gateway, "/live/studio/storyboard.vtt")).len();
    let _encoder = Publisher::copy(&stage.home, &clip, 0, &stage.url());
    wait_for("tiles of the second publication", PATIENCE, || {
        let all = cues(&text(gateway, "/live/studio/storyboard.vtt"));
        let ids: std::collections::BTreeSet<&str> =
            all.iter().filter_map(|cue| cue.url.split(['?', '.']).next()).collect();
        (ids.len() >= 2 && all.len() > before.min(10)).then_some(())
    });
}

#[test]
fn a_stream_that_is_only_copied_has_pictures_for_next_to_nothing() {
    let _alone = alone();
    let stage = Stage::new(&[("pictures.interval", "2s"), ("ladder.mode", "off"), ("hls.window", "30s")]);
    let clip = ramp(&stage.home.path(""));
    let _encoder = Publisher::copy(&stage.home, &clip, 0, &stage.url());
    stage.gateway.wait_live("studio", PATIENCE);
    let workers = stage.gateway.workers();
    assert_eq!(workers.len(), 1, "one worker, for the stills");
    let cpu = proc::tree_cpu_seconds(workers[0]);
    sleep(s(6));
    let took = (proc::tree_cpu_seconds(workers[0]) - cpu) / 6.0;
    eprintln!(
        "stills' worker: {:.2} % of a core, {} KiB",
        took * 100.0,
        proc::rss_kib(workers[0]).unwrap_or(0)
    );
    assert!(took < 0.05, "{took} CPU seconds a second");
    assert!(tiles_are_right(&stage.gateway, 4) >= 4);
    // Its death is nobody's problem: the stream goes on, the pictures stay.
    e2e::harness::send(workers[0], rustix::process::Signal::KILL);
    wait_for("the worker's end", s(5), || (!proc::alive(workers[0])).then_some(()));
    assert_eq!(stage.gateway.get("/live/studio/thumbnail.jpg").unwrap().status, 200);
    let state = stage.gateway.stream("studio").unwrap();
    assert_eq!(
        (state["state"].as_str(), &state["counters"]["encoder_restarts"]),
        (Some("live"), &0.into()),
        "{state}"
    );
}

#[test]
fn the_page_shows_them() {
    if !["node", "npm", "chromium"].iter().all(|program| has(program)) {
        return;
    }
    let _alone = alone();
    let stage = Stage::new(&[("pictures.interval", "2s"), ("ladder.mode", "off"), ("hls.window", "30s")]);
    let clip = ramp(&stage.home.path(""));
    let _encoder = Publisher::copy(&stage.home, &clip, 0, &stage.url());
    stage.gateway.wait_live("studio", PATIENCE);
    let (at, dark) = anchor(&stage.gateway);
    let mut browser = Browser::start(&stage.home);
    browser.tell(&format!("open http://{}/ 1280x800", stage.gateway.http));
    let first = browser.tell("thumbnail");
    assert_eq!(first["size"], serde_json::json!([320, 180]));
    wait_for("another thumbnail", s(15), || {
        let next = browser.tell("thumbnail");
        (next["url"] != first["url"]).then_some(())
    });
    browser.tell(&format!("open http://{}/watch/studio 1280x800", stage.gateway.http));
    browser.tell("playing 2");
    for share in ["0.2", "0.6"] {
        let preview = browser.tell(&format!("hover {share}"));
        assert_eq!((&preview["width"], &preview["height"]), (&160.into(), &90.into()), "{preview}");
        assert_eq!(preview["shown"], true, "{preview}");
        let want = dark + (preview["tile"].as_f64().unwrap() / 1000.0 - at) * RATE;
        let shown = limited(preview["grey"].as_f64().unwrap());
        assert!((shown - want).abs() <= 2.5, "{preview}: {shown}, not {want}");
    }
    let state = browser.tell("state");
    assert_eq!(state["complaints"], serde_json::json!([]), "{state}");
    let html = text(&stage.gateway, "/watch/studio");
    let poster = format!("http://{}/live/studio/poster.jpg", stage.gateway.http);
    assert!(html.contains(&format!("<meta property=\"og:image\" content=\"{poster}\" />")), "{html}");
}

#[test]
fn pictures_can_be_turned_off() {
    let _alone = alone();
    let stage = Stage::new(&[("pictures.interval", "0s"), ("ladder.mode", "off")]);
    let clip = ramp(&stage.home.path(""));
    let _encoder = Publisher::copy(&stage.home, &clip, 0, &stage.url());
    stage.gateway.wait_live("studio", PATIENCE);
    assert_eq!(stage.gateway.workers(), [] as [u32; 0]);
    assert_eq!(stage.gateway.get("/live/studio/thumbnail.jpg").unwrap().status, 404);
}
