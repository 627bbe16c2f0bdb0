#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]
//! The instruments themselves, held against material that is not ours: ffmpeg's own HLS, a clip with known faults.

use e2e::harness::{Home, alone, clip, flv, s, wait_for};
use e2e::hlscheck::{Options, Watch};
use e2e::{avsync, tscheck};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

fn ffmpeg(arguments: &[&str]) {
    let output =
        Command::new("ffmpeg").args(["-v", "error", "-nostdin", "-y"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn sound_that_is_late_is_measured() {
    let _alone = alone();
    let home = Home::new();
    let clip = clip("640x360", 30, 12, 60, &[]);
    let path = clip.path.to_str().unwrap();
    let (median, _) = avsync::summary(&avsync::offsets(&clip.path).unwrap()).unwrap();
    let late = home.path("late.flv");
    let to = late.to_str().unwrap();
    ffmpeg(&["-i", path, "-itsoffset", "0.12", "-i", path, "-map", "0:v", "-map", "1:a", "-c", "copy", to]);
    let (shifted, _) = avsync::summary(&avsync::offsets(&late).unwrap()).unwrap();
    assert!(median.abs() < 30.0, "{median}");
    assert!((shifted - median - 120.0).abs() < 3.0, "{shifted} against {median}");
}

#[test]
fn flv_files_are_read_and_written_as_they_are() {
    let home = Home::new();
    let clip = clip("640x360", 30, 12, 60, &[]);
    let tags = flv::read(&clip.path).unwrap();
    assert_eq!(tags.iter().filter(|t| t.kind == 9 && t.body.get(1) == Some(&1)).count() as u64, clip.frames);
    assert_eq!(tags.iter().filter(|t| t.is_header()).count(), 2);
    flv::write(&home.path("copy.flv"), &tags).unwrap();
    assert_eq!(flv::read(&home.path("copy.flv")).unwrap(), tags);
}

/// ffmpeg's segments are right in times and content, and known to differ from our rules in form.
#[test]
fn ffmpegs_own_segments_are_judged_as_known() {
    let home = Home::new();
    let clip = clip("640x360", 30, 12, 60, &[]);
    let (list, pattern) = (home.path("l.m3u8"), home.path("%d.ts"));
    let (from, pattern) = (clip.path.to_str().unwrap(), pattern.to_str().unwrap());
    let names = [
        "-c",
        "copy",
        "-f",
        "hls",
        "-hls_time",
        "2",
        "-hls_list_size",
        "0",
        "-hls_segment_filename",
        pattern,
    ];
    ffmpeg(&[&["-i", from], &names[..], &[list.to_str().unwrap()]].concat());
    let mut checker = tscheck::Checker::new(None);
    for n in 0..6 {
        let bytes = std::fs::read(home.path(&format!("{n}.ts"))).unwrap();
        checker.segment(&format!("{n}"), tscheck::Entry { missed: n == 0, discontinuity: false }, &bytes);
    }
    let report = checker.finish();
    let pictures: u64 = report.segments.iter().filter_map(|s| s.video.as_ref()).map(|v| v.frames).sum();
    assert_eq!(pictures, clip.frames);
    // The SDT stands first and is of a PID that no PMT names; SPS and AUD come as the encoder wrote them; audio is
    // batched past the cut, its times rounded to milliseconds. Counters, PCR, DTS, ADTS and CRC have to be clean.
    let allowed = [
        "ts.psi-first",
        "ts.pid",
        "ts.rai",
        "ts.interleave",
        "ts.adts",
        "ts.pes",
        "ts.audio-home",
        "ts.audio-gap",
        "ts.aud",
        "ts.params",
        "ts.nal",
    ];
    for rule in report.findings.all_rules() {
        assert!(allowed.contains(&rule), "{:#?}", report.findings);
    }
    assert!(report.findings.all_rules().contains(&"ts.psi-first"));
}

/// A file server for a directory, with faults to switch on.
struct Server {
    address: String,
    faults: Arc<Mutex<Vec<&'static str>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    fn start(dir: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let faults = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, flag) = (faults.clone(), stop.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if flag.load(Ordering::Relaxed) {
                    return;
                }
                let (dir, faults) = (dir.clone(), shared.clone());
                thread::spawn(move || Self::serve(stream, &dir, &faults));
            }
        });
        Server { address, faults, stop }
    }

    fn serve(mut stream: std::net::TcpStream, dir: &std::path::Path, faults: &Mutex<Vec<&'static str>>) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut request = String::new();
        while reader.read_line(&mut request).unwrap_or(0) > 0 {
            let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
            let head = request.starts_with("HEAD");
            while request.trim() != "" {
                request.clear();
                if reader.read_line(&mut request).unwrap_or(0) == 0 {
                    return;
                }
            }
            request.clear();
            let list = path.ends_with("m3u8");
            let faults = faults.lock().unwrap().clone();
            let on = |name: &str| faults.contains(&name);
            let body = std::fs::read(dir.join(&path[1..])).ok().filter(|_| list || !on("segments gone"));
            let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
            let mut body = body.unwrap_or_default();
            if list && on("bitrate") {
                body = String::from_utf8(body)
                    .unwrap()
                    .replacen("#EXTINF", "#EXT-X-BITRATE:9\n#EXTINF", 1)
                    .into_bytes();
            }
            let kind = match (list, on("type")) {
                (true, false) => "application/vnd.apple.mpegurl",
                (false, false) => "video/mp2t",
                _ => "text/plain",
            };
            let cors = if on("cors") { "" } else { "Access-Control-Allow-Origin: *\r\n" };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{cors}Content-Length: {}\r\n\r\n",
                body.len()
            );
            if stream.write_all(answer.as_bytes()).is_err() || (!head && stream.write_all(&body).is_err()) {
                return;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = std::net::TcpStream::connect(&self.address);
    }
}

/// Rules that need a server to be broken: type, CORS, missing and early-removed segments, false figures, late lists.
#[test]
fn faults_of_a_server_are_found() {
    let _alone = alone();
    let home = Home::new();
    let clip = clip("640x360", 30, 12, 60, &[]);
    let (from, pattern) = (clip.path.to_str().unwrap(), home.path("%d.ts"));
    let list = home.path("whole.m3u8");
    ffmpeg(&[
        "-i",
        from,
        "-c",
        "copy",
        "-f",
        "hls",
        "-hls_time",
        "2",
        "-hls_list_size",
        "0",
        "-hls_flags",
        "program_date_time",
        "-hls_segment_filename",
        pattern.to_str().unwrap(),
        list.to_str().unwrap(),
    ]);
    let whole = std::fs::read_to_string(&list).unwrap();
    // A second rendition that lags, of the same segments; figures far too low; a size that is not the picture's.
    let show = |from: usize, to: usize, end: bool| {
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{from}\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n"
        );
        let entries: Vec<&str> = whole.split_inclusive(".ts\n").collect();
        for entry in &entries[from..to] {
            let from = entry.find("#EXTINF").unwrap();
            let date = entry.find("#EXT-X-PROGRAM-DATE-TIME").unwrap();
            text += &entry[date.min(from)..];
        }
        text + if end { "#EXT-X-ENDLIST\n" } else { "" }
    };
    for name in ["a", "b"] {
        std::fs::create_dir_all(home.path(name)).unwrap();
        for n in 0..6 {
            std::fs::copy(home.path(&format!("{n}.ts")), home.path(&format!("{name}/{n}.ts"))).unwrap();
        }
        std::fs::write(home.path(&format!("{name}/l.m3u8")), show(0, 3, false)).unwrap();
    }
    let multivariant = "#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1100,AVERAGE-BANDWIDTH=1000,CODECS=\"avc1.640029,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=30.000\na/l.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=2200000,AVERAGE-BANDWIDTH=2100000,CODECS=\"avc1.42c01e,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=15.000\nb/l.m3u8\n";
    std::fs::write(home.path("index.m3u8"), multivariant).unwrap();
    let server = Server::start(home.path(""));
    let mut options = Options::new(format!("http://{}/index.m3u8", server.address), home.path("out"));
    options.decode = false;
    let watch = Watch::start(options);
    let see = |what: &str, test: &dyn Fn(u64, u64) -> bool| {
        wait_for(what, s(10), || {
            let p = watch.progress();
            (p.renditions.len() == 2
                && test(p.renditions[0].newest.unwrap_or(0), p.renditions[1].newest.unwrap_or(0)))
            .then_some(())
        });
    };
    see("the first lists", &|a, b| (a, b) == (2, 2));
    *server.faults.lock().unwrap() = vec!["type", "cors", "bitrate"];
    std::fs::write(home.path("a/l.m3u8"), show(0, 4, false)).unwrap();
    see("one more in a", &|a, b| (a, b) == (3, 2));
    let rounds = watch.progress().rounds;
    wait_for("the lag to be told", s(10), || (watch.progress().rounds > rounds + 12).then_some(()));
    // Segment 4 is listed and not there; segment 0 leaves, and goes at once.
    *server.faults.lock().unwrap() = vec!["segments gone"];
    std::fs::write(home.path("a/l.m3u8"), show(1, 5, false)).unwrap();
    see("a hole in a", &|a, _| a == 4);
    std::fs::write(home.path("a/l.m3u8"), show(1, 6, true)).unwrap();
    std::fs::write(home.path("b/l.m3u8"), show(0, 3, true)).unwrap();
    wait_for("the end", s(10), || watch.progress().over.then_some(()));
    let outcome = watch.finish().unwrap();
    for rule in ["http.type", "http.cors", "M2", "M11", "M13", "M14", "M22", "M27", "V2", "V4", "V5", "V20"] {
        assert!(outcome.findings.rules().contains(&rule), "{rule} not found\n{outcome}");
    }
}
