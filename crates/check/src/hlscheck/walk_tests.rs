//! A live low-latency presentation watched for a few seconds, right and with one thing broken at a time.

use super::watch::{Options, Watch};
use crate::cmafcheck::synth::{Bx, find, leaf, picture};
use crate::report::Findings;
use crate::testing::server::{Reply, Request, Server};
use crate::testing::show::{Fault, Show};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What the watch of a show finds in so many seconds.
fn watched(fault: Fault, seconds: f64) -> Findings {
    let show = Show::new(fault);
    let server = Server::start(Arc::new(move |request: &Request| show.answer(request)));
    let watch = Watch::start(Options::whole(server.url("/index.m3u8")));
    thread::sleep(Duration::from_secs_f64(seconds));
    watch.finish().unwrap().findings
}

fn media(path: &str) -> bool {
    path == "/v/index.m3u8"
}

/// An edit of the list of pictures.
macro_rules! list {
    (|$text:ident| $edit:expr) => {
        Fault { list: |path, $text| if media(path) { $edit } else { $text }, ..Fault::default() }
    };
}

/// An edit of answers to a path.
macro_rules! reply {
    ($test:expr, |$reply:ident| $edit:expr) => {
        Fault {
            reply: |request, mut $reply| {
                let test: fn(&Request) -> bool = $test;
                if test(request) {
                    $edit
                }
                $reply
            },
            ..Fault::default()
        }
    };
}

fn media_fault(media: fn(bool, u64, u64, &mut Vec<Bx>)) -> Fault {
    Fault { media, ..Fault::default() }
}

fn is_list(request: &Request) -> bool {
    request.path == "/v/index.m3u8"
}

fn is_segment(request: &Request) -> bool {
    request.path.starts_with("/v/")
        && request.path.ends_with(".m4s")
        && request.path.matches('.').count() == 1
}

fn is_part(request: &Request) -> bool {
    request.path.starts_with("/v/")
        && request.path.ends_with(".m4s")
        && request.path.matches('.').count() == 2
}

/// The lines of a text that hold none of a word.
fn without(text: &str, word: &str) -> String {
    text.lines().filter(|l| !l.contains(word)).map(|l| format!("{l}\n")).collect()
}

#[track_caller]
fn right(found: &Findings) {
    let all: Vec<String> = found.violations.iter().chain(&found.warnings).map(ToString::to_string).collect();
    assert!(all.is_empty(), "{:#?}", &all[..all.len().min(12)]);
}

#[test]
fn a_right_presentation_raises_nothing() {
    let found = watched(Fault::default(), 8.0);
    right(&found);
}

#[test]
fn one_that_ends_raises_nothing() {
    let found = watched(Fault { ends: Some(4.1), ..Fault::default() }, 8.0);
    right(&found);
}

#[test]
fn faults_are_found() {
    let rows: Vec<(&str, &str, f64, Fault)> = vec![
        ("no PART-INF", "ll.part-inf", 4.0, list!(|t| without(&t, "PART-INF"))),
        (
            "PART-TARGET shorter than its parts",
            "ll.part-long",
            4.0,
            list!(|t| t.replace("PART-TARGET=0.51200", "PART-TARGET=0.49000")),
        ),
        (
            "parts of half the target",
            "ll.part-short",
            4.0,
            list!(|t| t
                .replace("PART-TARGET=0.51200", "PART-TARGET=1.00000")
                .replace("PART-HOLD-BACK=1.53600", "PART-HOLD-BACK=3.00000")),
        ),
        (
            "a part's duration wrong",
            "ll.part-sum",
            4.0,
            list!(|t| t.replace("DURATION=0.50000,URI=\"15.1", "DURATION=0.46000,URI=\"15.1")),
        ),
        (
            "a part shorter than it says",
            "ll.part-duration",
            4.0,
            list!(|t| t.replace("DURATION=0.50000", "DURATION=0.44000")),
        ),
        (
            "a date behind a part",
            "ll.placement",
            4.0,
            list!(|t| t.replace(
                "#EXTINF:2.00000,\n14.m4s",
                "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:28.000Z\n#EXTINF:2.00000,\n14.m4s"
            )),
        ),
        (
            "independent, and is not",
            "ll.independent",
            4.0,
            list!(|t| t.replace(".2.m4s\"\n", ".2.m4s\",INDEPENDENT=YES\n")),
        ),
        ("not flagged", "ll.flagged", 4.0, list!(|t| t.replace(",INDEPENDENT=YES", ""))),
        (
            "PART-HOLD-BACK too low",
            "ll.hold-back",
            4.0,
            list!(|t| t.replace("PART-HOLD-BACK=1.53600", "PART-HOLD-BACK=0.90000")),
        ),
        ("no PART-HOLD-BACK", "ll.hold-back", 4.0, list!(|t| t.replace("PART-HOLD-BACK=1.53600,", ""))),
        (
            "PART-HOLD-BACK below Apple's",
            "ll.hold-back-three",
            4.0,
            list!(|t| t.replace("PART-TARGET=0.51200", "PART-TARGET=0.60000")),
        ),
        (
            "HOLD-BACK too low",
            "ll.hold-back-segments",
            4.0,
            list!(|t| t.replace("PART-HOLD-BACK", "HOLD-BACK=5.9,PART-HOLD-BACK")),
        ),
        ("CAN-SKIP-UNTIL too low", "ll.skip-until", 4.0, list!(|t| t.replace("UNTIL=12.0", "UNTIL=11.0"))),
        (
            "dates to skip alone",
            "ll.skip-until",
            4.0,
            list!(|t| t.replace("CAN-SKIP-UNTIL=12.0", "CAN-SKIP-DATERANGES=YES")),
        ),
        ("no blocking", "ll.can-block", 4.0, list!(|t| t.replace("CAN-BLOCK-RELOAD=YES,", ""))),
        ("no hint", "ll.hint", 4.0, list!(|t| without(&t, "PRELOAD-HINT"))),
        (
            "two hints",
            "ll.hint-one",
            4.0,
            list!(|t| t.clone() + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"x.m4s\"\n"),
        ),
        (
            "hint at another part",
            "ll.hint-uri",
            4.0,
            list!(|t| t.replace("TYPE=PART,URI=\"", "TYPE=PART,URI=\"../v/")),
        ),
        (
            "the hint gives something else",
            "ll.hint-body",
            4.0,
            Fault {
                reply: |q, mut r| {
                    // The hinted request is the one that had to wait: it is the first for this part.
                    if is_part(q) && r.status == 200 && first_time(q) {
                        r.body.push(0);
                    }
                    r
                },
                ..Fault::default()
            },
        ),
        (
            "the hinted part trickles",
            "ll.hint-burst",
            4.0,
            reply!(is_part, |r| r.pieces = Some((5, Duration::from_millis(30)))),
        ),
        ("no report", "ll.report", 4.0, list!(|t| without(&t, "RENDITION-REPORT"))),
        ("a report without its part", "ll.report", 4.0, list!(|t| t.replace(",LAST-PART=", ",X-PART="))),
        ("a report of nothing", "ll.report-uri", 4.0, list!(|t| t.replace("../a/index", "../b/index"))),
        ("a report of long ago", "ll.report-fresh", 4.0, list!(|t| t.replace("LAST-MSN=1", "LAST-MSN=0"))),
        ("a report of the future", "ll.report-fresh", 5.0, list!(|t| t.replace("LAST-MSN=1", "LAST-MSN=2"))),
        ("no delta update", "ll.delta", 7.0, Fault { skip: false, ..Fault::default() }),
        (
            "a delta update with a wrong name",
            "ll.delta-merge",
            7.0,
            list!(|t| if t.contains("SKIP:") {
                t.replace("EXTINF:2.00000,\n1", "EXTINF:2.00000,\n/v/1")
            } else {
                t
            }),
        ),
        (
            "a delta update of too little",
            "ll.delta-boundary",
            7.0,
            list!(|t| t.replace("CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=15.0")),
        ),
        (
            "SKIP where none was asked for",
            "ll.delta-form",
            4.0,
            list!(|t| if t.contains("SKIP:") {
                t
            } else {
                t.replace("#EXT-X-MAP", "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXT-X-MAP")
                    .replace("VERSION:6", "VERSION:9")
            }),
        ),
        ("directives not understood", "ll.block", 4.0, Fault { deaf: true, ..Fault::default() }),
        ("nothing new", "ll.part-late", 6.0, Fault { stops: Some(2.0), ..Fault::default() }),
        ("nothing new for longer", "M11", 9.0, Fault { stops: Some(2.0), ..Fault::default() }),
        ("held for too long", "ll.block-wait", 12.0, Fault { stops: Some(2.0), ..Fault::default() }),
        (
            "numbers far ahead are waited for",
            "ll.block-far",
            9.0,
            reply!(
                |q| is_list(q)
                    && q.query.get("_HLS_msn").is_some_and(|n| n.parse::<u64>().is_ok_and(|n| n > 22)),
                |r| r.status = 404
            ),
        ),
        (
            "a part alone is taken",
            "ll.block-bad",
            9.0,
            reply!(
                |q| is_list(q) && q.query.contains_key("_HLS_part") && !q.query.contains_key("_HLS_msn"),
                |r| r.status = 200
            ),
        ),
        (
            "old numbers are refused",
            "ll.block-old",
            9.0,
            reply!(
                |q| is_list(q)
                    && q.query.get("_HLS_msn").is_some_and(|n| n.parse::<u64>().is_ok_and(|n| n < 8)),
                |r| r.status = 400
            ),
        ),
        (
            "a part behind the end is refused",
            "ll.block-end",
            9.0,
            reply!(|q| is_list(q) && q.query.get("_HLS_part").is_some_and(|p| p == "4"), |r| r.status = 400),
        ),
        (
            "directives behind the end",
            "ll.block-ended",
            8.0,
            Fault {
                ends: Some(4.1),
                ..reply!(
                    |q| is_list(q)
                        && q.query.contains_key("_HLS_skip")
                        && q.query.get("_HLS_part").is_some_and(|p| p == "0"),
                    |r| if String::from_utf8_lossy(&r.body).contains("ENDLIST") {
                        r.status = 400
                    }
                )
            },
        ),
        (
            "a directive in a URI",
            "ll.directives",
            4.0,
            list!(|t| t.replace("\n14.m4s", "\n14.m4s?_HLS_msn=3")),
        ),
        ("sound comes late", "ll.together", 8.0, Fault { late_sound: 1.6, ..Fault::default() }),
        (
            "parts for ever",
            "ll.part-old",
            4.0,
            list!(|t| {
                t.replace("#EXTINF:2.00000,\n5.m4s", "#EXT-X-PART:DURATION=0.50000,URI=\"5.0.m4s\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.50000,URI=\"5.1.m4s\"\n#EXT-X-PART:DURATION=0.50000,URI=\"5.2.m4s\"\n#EXT-X-PART:DURATION=0.50000,URI=\"5.3.m4s\"\n#EXTINF:2.00000,\n5.m4s")
            }),
        ),
        (
            "a listed part is not there",
            "ll.part-there",
            5.0,
            reply!(|q| q.path == "/v/14.2.m4s", |r| r.status = 404),
        ),
        (
            "a part that left is gone",
            "ll.part-stays",
            9.0,
            reply!(|q| is_part(q) && q.method == "HEAD", |r| r.status = 404),
        ),
        (
            "a part changes",
            "ll.part-kept",
            4.0,
            list!(|t| if t.contains("14.1.m4s") && t.contains("14.3.m4s") {
                t.replace("14.1.m4s", "14.1.m4s?x")
            } else {
                t
            }),
        ),
        (
            "a part and its segment differ",
            "ll.part-media",
            6.0,
            media_fault(|video, segment, part, boxes| {
                if video && segment == 14 && part >= 100 {
                    find(boxes, b"mfhd").body[6] ^= 1
                }
            }),
        ),
        (
            "a promise of parts",
            "ll.none",
            9.0,
            list!(|t| without(&without(&t, "#EXT-X-PART:"), "PRELOAD-HINT")),
        ),
        ("no MAP", "M21", 4.0, list!(|t| without(&t, "EXT-X-MAP"))),
        (
            "an early end of a segment",
            "M14",
            7.0,
            reply!(|q| is_segment(q) && q.method == "HEAD", |r| r.status = 404),
        ),
        ("a segment that is not there", "M13", 4.0, reply!(|q| q.path == "/v/9.m4s", |r| r.status = 404)),
        ("other dates than the sound's", "M16", 6.0, list!(|t| t.replace(".000Z", ".040Z"))),
        ("another target duration", "M3", 4.0, list!(|t| t.replace("TARGETDURATION:2", "TARGETDURATION:3"))),
        ("another SERVER-CONTROL", "M26", 4.0, list!(|t| t.replace("UNTIL=12.0", "UNTIL=12.1"))),
        ("one rendition stands still", "V20", 8.0, Fault { late_sound: 6.0, ..Fault::default() }),
        (
            "times far from the sound's",
            "cmaf.av-start",
            4.0,
            media_fault(|video, segment, _, boxes| {
                if video && segment != u64::MAX {
                    let tfdt = &mut find(boxes, b"tfdt").body;
                    let time = u64::from_be_bytes(tfdt[4..12].try_into().unwrap()) + 18_000;
                    tfdt[4..12].copy_from_slice(&time.to_be_bytes());
                }
            }),
        ),
        (
            "other codecs",
            "V4",
            4.0,
            Fault {
                list: |p, t| {
                    if p == "/index.m3u8" {
                        t.replace("avc1.64000d,mp4a.40.2", "avc1.64000d,mp4a.40.5")
                    } else {
                        t
                    }
                },
                ..Fault::default()
            },
        ),
        (
            "another size",
            "V5",
            4.0,
            Fault {
                list: |p, t| if p == "/index.m3u8" { t.replace("320x180,FRAME", "640x360,FRAME") } else { t },
                ..Fault::default()
            },
        ),
        (
            "six channels",
            "V21",
            4.0,
            Fault {
                list: |p, t| {
                    if p == "/index.m3u8" { t.replace("CHANNELS=\"2\"", "CHANNELS=\"6\"") } else { t }
                },
                ..Fault::default()
            },
        ),
        (
            "far too little bandwidth",
            "V2",
            4.0,
            Fault {
                list: |p, t| {
                    if p == "/index.m3u8" {
                        t.replace(
                            "BANDWIDTH=110000,AVERAGE-BANDWIDTH=100000",
                            "BANDWIDTH=50000,AVERAGE-BANDWIDTH=50000",
                        )
                    } else {
                        t
                    }
                },
                ..Fault::default()
            },
        ),
        (
            "no I-FRAMES-ONLY",
            "iframe.only",
            4.0,
            Fault {
                list: |p, t| without(&t, if p.ends_with("iframes.m3u8") { "I-FRAMES-ONLY" } else { "\0" }),
                ..Fault::default()
            },
        ),
        (
            "parts in an I-frame list",
            "iframe.parts",
            4.0,
            Fault {
                list: |p, t| {
                    if p.ends_with("iframes.m3u8") {
                        t.replace("#EXT-X-MEDIA-SEQ", "#EXT-X-PART-INF:PART-TARGET=0.512\n#EXT-X-MEDIA-SEQ")
                    } else {
                        t
                    }
                },
                ..Fault::default()
            },
        ),
        (
            "no I-frame",
            "iframe.key",
            4.0,
            media_fault(|video, segment, part, boxes| {
                if video && segment != u64::MAX && part % 100 == 0 {
                    let samples: Vec<_> = (0..15).map(|n| picture(false, n)).collect();
                    let time = u64::from_be_bytes(find(boxes, b"tfdt").body[4..12].try_into().unwrap());
                    boxes.truncate(1);
                    boxes.extend(crate::cmafcheck::synth::chunk(segment as u32 * 4 + 1, time, &samples));
                }
            }),
        ),
        (
            "an edit list",
            "cmaf.edts",
            4.0,
            media_fault(|_, segment, _, boxes| {
                if segment == u64::MAX {
                    find(boxes, b"trak").inside.push(leaf(b"edts", [0; 8]))
                }
            }),
        ),
        (
            "lists of another type",
            "http.type",
            4.0,
            reply!(is_list, |r| drop(r.headers.insert("content-type", "text/plain".into()))),
        ),
        (
            "segments of another type",
            "http.type",
            4.0,
            reply!(is_segment, |r| drop(r.headers.insert("content-type", "video/mp2t".into()))),
        ),
        (
            "no origins",
            "http.cors",
            4.0,
            reply!(is_segment, |r| drop(r.headers.remove("access-control-allow-origin"))),
        ),
        (
            "no origins on errors",
            "http.cors",
            8.0,
            reply!(|q| q.path.ends_with("not-there"), |r| drop(
                r.headers.remove("access-control-allow-origin")
            )),
        ),
        ("no preflight", "http.preflight", 8.0, reply!(|q| q.method == "OPTIONS", |r| r.status = 405)),
        (
            "Age not exposed",
            "http.expose",
            8.0,
            reply!(is_list, |r| drop(r.headers.remove("access-control-expose-headers"))),
        ),
        (
            "media compressed",
            "http.encoding",
            4.0,
            reply!(is_segment, |r| drop(r.headers.insert("content-encoding", "x".into()))),
        ),
        (
            "lists not compressed",
            "http.gzip",
            8.0,
            Fault {
                reply: |q, r| {
                    if is_list(q) && r.headers.contains_key("content-encoding") { plain(r) } else { r }
                },
                ..Fault::default()
            },
        ),
        ("no ETag", "http.etag", 8.0, reply!(is_list, |r| drop(r.headers.remove("etag")))),
        ("no HEAD", "http.head", 8.0, reply!(|q| is_list(q) && q.method == "HEAD", |r| r.status = 405)),
        (
            "ranges not heard",
            "http.range",
            8.0,
            reply!(|q| is_segment(q) && q.headers.contains_key("range"), |r| r.status = 200),
        ),
        (
            "lists kept for an hour",
            "http.cache",
            8.0,
            reply!(is_list, |r| drop(r.headers.insert("cache-control", "max-age=3600".into()))),
        ),
        (
            "segments never kept",
            "http.cache",
            8.0,
            reply!(is_segment, |r| drop(r.headers.insert("cache-control", "no-store".into()))),
        ),
        (
            "a redirect",
            "http.redirect",
            4.0,
            reply!(|q| q.path == "/v/9.m4s", |r| {
                r.status = 302;
                r.headers.insert("location", "/v/8.m4s".into());
            }),
        ),
        (
            "an old list",
            "http.modified",
            8.0,
            reply!(is_list, |r| {
                r.headers.insert("date", "Sun, 22 Nov 2026 14:00:30 GMT".into());
                r.headers.insert("last-modified", "Sun, 22 Nov 2026 14:00:00 GMT".into());
            }),
        ),
        (
            "a list cannot be had",
            "http.list",
            4.0,
            reply!(|q| q.path == "/a/index.m3u8" && !q.query.is_empty(), |r| r.status = 500),
        ),
        ("a list of no extension", "http.extension", 4.0, list!(|t| t.replace(".m4s\n", ".seg\n"))),
    ];
    let mut missed = Vec::new();
    let mut rows = rows.into_iter();
    // So many at a time: each is a server and a watch with clocks of their own.
    loop {
        let batch: Vec<_> = rows
            .by_ref()
            .take(12)
            .map(|(name, rule, seconds, fault)| thread::spawn(move || (name, rule, watched(fault, seconds))))
            .collect();
        if batch.is_empty() {
            break;
        }
        for run in batch {
            let (name, rule, found) = run.join().unwrap();
            if !found.all_rules().contains(&rule) {
                missed.push(format!("{name}: {rule} not in {:?}", found.all_rules()));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// Whether this path has not been asked of this server before (its port tells which).
fn first_time(request: &Request) -> bool {
    static SEEN: std::sync::Mutex<Vec<(String, String)>> = std::sync::Mutex::new(Vec::new());
    let key = (request.headers.get("host").cloned().unwrap_or_default(), request.path.clone());
    let mut seen = SEEN.lock().unwrap();
    let first = !seen.contains(&key);
    seen.push(key);
    first
}

/// The answer without its compression.
fn plain(mut reply: Reply) -> Reply {
    use std::io::Read;
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(&reply.body[..]).read_to_end(&mut out).unwrap();
    reply.body = out;
    reply.headers.remove("content-encoding");
    reply
}
