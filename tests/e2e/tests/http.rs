#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]
//! HTTP as players, caches and curl see it.

use e2e::harness::{PATIENCE, Publisher, Stage, alone, clip, has, segments};
use e2e::http::{Client, Url};
use std::process::Command;

/// curl's status, head and body of a request.
fn curl(arguments: &[&str]) -> (u16, String, Vec<u8>) {
    let output =
        Command::new("curl").args(["-sS", "-i", "--max-time", "10"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let split = output.stdout.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&output.stdout[..split]).to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, output.stdout[split + 4..].to_vec())
}

#[track_caller]
fn has_line(head: &str, line: &str) {
    assert!(head.lines().any(|l| l.trim() == line), "{line:?} is not in\n{head}");
}

#[test]
fn headers_ranges_and_encodings_are_what_players_need() {
    if !has("curl") {
        return;
    }
    let _alone = alone();
    let stage = Stage::new(&[]);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let _encoder = Publisher::copy(&stage.home, &clip.path, 0, &stage.url());
    let watch = stage.watch();
    segments(&watch, 3, PATIENCE);
    drop(watch);
    let top = stage.gateway.live_url("studio");
    let mut client = Client::default();
    let url = Url::parse(&top).unwrap();
    let text = client.get(&url).unwrap().text().unwrap();
    let list = url.join(text.lines().find(|l| !l.starts_with('#')).unwrap()).unwrap();
    let entries = client.get(&list).unwrap().text().unwrap();
    let segment =
        list.join(entries.lines().find(|l| !l.starts_with('#') && l.ends_with(".ts")).unwrap()).unwrap();
    let (list, segment) = (list.to_string(), segment.to_string());

    // Lists: type, CORS, no long caching, tag and 304, gzip on request, no ranges.
    for url in [&top, &list] {
        let (status, head, body) = curl(&[url]);
        assert_eq!(status, 200);
        has_line(&head, "content-type: application/vnd.apple.mpegurl");
        has_line(&head, "access-control-allow-origin: *");
        assert!(head.contains("vary:") && head.contains("accept-encoding"), "{head}");
        assert!(!head.contains("max-age=31536000"), "{head}");
        assert!(body.starts_with(b"#EXTM3U\n"));
        let (status, head, zipped) = curl(&[url, "-H", "Accept-Encoding: gzip"]);
        assert_eq!(status, 200);
        has_line(&head, "content-encoding: gzip");
        assert!(zipped.starts_with(&[0x1f, 0x8b]));
        let tag = head.lines().find_map(|l| l.strip_prefix("etag: ")).expect("an ETag").to_owned();
        let (status, head, body) =
            curl(&[url, "-H", "Accept-Encoding: gzip", "-H", &format!("If-None-Match: {tag}")]);
        // A new segment may have come between the two: then it is a new list with a new tag.
        assert!(status == 304 && body.is_empty() || !head.contains(&tag), "{status}\n{head}");
        let (status, head, body) = curl(&["-I", url]);
        assert!(status == 200 && body.is_empty() && head.contains("content-length: "), "{head}");
    }

    // Segments: for ever, whole or by range, never compressed.
    let (status, head, whole) = curl(&[&segment, "-H", "Accept-Encoding: gzip"]);
    assert_eq!(status, 200);
    has_line(&head, "content-type: video/mp2t");
    has_line(&head, "access-control-allow-origin: *");
    has_line(&head, "accept-ranges: bytes");
    has_line(&head, &format!("content-length: {}", whole.len()));
    assert!(
        !head.contains("content-encoding") && head.contains("immutable") && head.contains("max-age="),
        "{head}"
    );
    for (range, from, to) in
        [("0-187", 0, 188), ("188-375", 188, 376), ("-188", whole.len() - 188, whole.len())]
    {
        let (status, head, part) = curl(&[&segment, "-H", &format!("Range: bytes={range}")]);
        assert_eq!((status, &part[..]), (206, &whole[from..to]), "{range}");
        has_line(&head, &format!("content-range: bytes {from}-{}/{}", to - 1, whole.len()));
    }
    let (status, head, _) = curl(&[&segment, "-H", &format!("Range: bytes={}-", whole.len())]);
    assert_eq!(status, 416);
    has_line(&head, &format!("content-range: bytes */{}", whole.len()));
    let (status, head, body) = curl(&["-I", &segment]);
    assert!(status == 200 && body.is_empty());
    has_line(&head, &format!("content-length: {}", whole.len()));

    // A browser's preflight.
    let (status, head, _) = curl(&[
        "-X",
        "OPTIONS",
        &segment,
        "-H",
        "Origin: https://player.example",
        "-H",
        "Access-Control-Request-Method: GET",
        "-H",
        "Access-Control-Request-Headers: range",
    ]);
    assert!(status == 200 || status == 204, "{status}");
    has_line(&head, "access-control-allow-origin: *");
    assert!(head.contains("access-control-allow-headers:") && head.contains("range"), "{head}");

    // What is not there says so, to a script of any origin.
    let base = format!("http://{}", stage.gateway.http);
    for path in
        ["/live/nobody/index.m3u8", "/live/studio/1/360p/index.m3u8", "/live/../../etc/passwd", "/nothing"]
    {
        let (status, head, body) = curl(&["--path-as-is", &format!("{base}{path}")]);
        assert_eq!(status, 404, "{path}\n{head}");
        has_line(&head, "access-control-allow-origin: *");
        assert!(!head.contains("max-age=31536000"), "{head}");
        let told = serde_json::from_slice::<serde_json::Value>(&body).is_ok();
        assert!(told || !path.starts_with("/live/nobody"), "{path}: {}", String::from_utf8_lossy(&body));
    }
    let (status, _, _) = curl(&["-X", "DELETE", &top]);
    assert_eq!(status, 405);

    // Health and figures.
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(curl(&[&format!("{base}{path}")]).0, 200, "{path}");
    }
    let (_, head, body) = curl(&[&format!("{base}/api/v1/streams")]);
    has_line(&head, "content-type: application/json");
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert!(
        value.to_string().contains("\"studio\"") && !value.to_string().contains(&stage.key.secret),
        "{value}"
    );
    let metrics = String::from_utf8(curl(&[&format!("{base}/metrics")]).2).unwrap();
    assert!(metrics.contains("# TYPE") && !metrics.contains(&stage.key.secret), "{metrics}");

    // The page.
    for path in ["/", "/watch/studio", "/embed/studio"] {
        let (status, head, body) = curl(&[&format!("{base}{path}")]);
        assert!(status == 200 && head.contains("content-type: text/html"), "{path}\n{head}");
        assert!(String::from_utf8_lossy(&body).to_lowercase().contains("<!doctype html>"), "{path}");
    }
}
