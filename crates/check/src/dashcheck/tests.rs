//! Each rule broken on purpose, each found; and right MPDs left in peace.

use super::history::History;
use super::mpd::{self, Mpd};
use super::timing::{self, From, Next};
use super::{Options, judge, watch};
use crate::cmafcheck::synth::{Bx, audio_header, audio_parts, bytes, video_header, video_parts};
use crate::report::Findings;
use crate::testing::server::{Reply, Request, Server, by_the_book};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Numbers and durations, low latency; begins at `{START}`.
const NUMBERED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" profiles="urn:mpeg:dash:profile:isoff-live:2011"
 availabilityStartTime="2026-11-22T14:00:00Z" publishTime="2026-11-22T14:30:00Z" minimumUpdatePeriod="PT1S"
 timeShiftBufferDepth="PT12S" suggestedPresentationDelay="PT3S" minBufferTime="PT2S" maxSegmentDuration="PT2.1S">
 <ServiceDescription id="0"><Latency target="3000"/></ServiceDescription>
 <Period id="p0" start="PT0S">
  <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
   <ProducerReferenceTime id="0" type="encoder" wallClockTime="2026-11-22T14:00:00Z" presentationTime="900000"/>
   <SegmentTemplate timescale="90000" presentationTimeOffset="900000" initialization="$RepresentationID$/init.mp4"
    media="$RepresentationID$/$Number$.m4s" startNumber="0" duration="180000" availabilityTimeOffset="1.5" availabilityTimeComplete="false"/>
   <Representation id="v" codecs="avc1.64000d" bandwidth="60000" width="320" height="180" frameRate="30"/>
  </AdaptationSet>
  <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="und">
   <ProducerReferenceTime id="1" type="encoder" wallClockTime="2026-11-22T14:00:00Z" presentationTime="480000"/>
   <SegmentTemplate timescale="48000" presentationTimeOffset="480000" initialization="$RepresentationID$/init.mp4"
    media="$RepresentationID$/$Number$.m4s" startNumber="0" duration="96000" availabilityTimeOffset="1.5" availabilityTimeComplete="false"/>
   <Representation id="a" codecs="mp4a.40.2" bandwidth="60000"/>
  </AdaptationSet>
 </Period>
 <UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-xsdate:2014" value="/time"/>
</MPD>
"#;

/// A timeline of three segments from 10 on.
const TIMELINE: &str = r#"<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" profiles="p" availabilityStartTime="2026-11-22T14:00:00Z"
 publishTime="2026-11-22T14:30:00Z" minimumUpdatePeriod="PT1S" minBufferTime="PT2S">
 <Period id="p0" start="PT0S"><AdaptationSet mimeType="video/mp4">
  <SegmentTemplate timescale="10" initialization="i" media="$Time$" startNumber="5"><SegmentTimeline><S t="100" d="20" r="1"/><S d="30"/></SegmentTimeline></SegmentTemplate>
  <Representation id="v" codecs="avc1.64000d" bandwidth="60000" width="320" height="180" frameRate="30"/>
 </AdaptationSet></Period>
 <UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-xsdate:2014" value="/time"/>
</MPD>"#;

fn read(text: &str) -> (Mpd, Findings) {
    let mut found = Findings::default();
    let mpd = mpd::parse(text, "MPD", &mut found).unwrap();
    judge::alone(&mpd, "MPD", &mut found);
    (mpd, found)
}

#[track_caller]
fn finds_only(name: &str, rule: &str, found: &Findings) {
    assert_eq!(found.all_rules(), [rule], "{name}: {:#?}", (&found.violations, &found.warnings));
}

#[test]
fn right_mpds_raise_nothing() {
    for text in [NUMBERED, TIMELINE] {
        let found = read(text).1;
        assert_eq!(found.all_rules(), [""; 0], "{found:#?}");
    }
}

#[test]
fn faults_of_one_mpd_are_found() {
    let end = |text: &str| text.replace("type=\"dynamic\"", "type=\"static\"");
    let second = "<Period id=\"p1\" start=\"PT60S\"><AdaptationSet mimeType=\"audio/mp4\"><SegmentTemplate timescale=\"1\" duration=\"2\" media=\"$Number$\" initialization=\"i\"/><Representation id=\"a\" codecs=\"opus\" bandwidth=\"1\"/></AdaptationSet></Period>\n <UTCTiming";
    let rows: &[(&str, &str, String)] = &[
        ("another name space", "dash.xml", NUMBERED.replace("schema:mpd:2011", "schema:mpd:2010")),
        (
            "a type of our own",
            "dash.xml",
            TIMELINE.replace("type=\"dynamic\"", "type=\"dynamic\" maxSegmentDuration=\"2 s\""),
        ),
        (
            "a span that is none",
            "dash.xml",
            NUMBERED.replace("timeShiftBufferDepth=\"PT12S\"", "timeShiftBufferDepth=\"12\""),
        ),
        ("no publishTime", "dash.mpd", NUMBERED.replace("publishTime=\"2026-11-22T14:30:00Z\"", "")),
        ("no minBufferTime", "dash.mpd", NUMBERED.replace("minBufferTime=\"PT2S\"", "")),
        ("no clock", "dash.utc", NUMBERED.replace("UTCTiming", "Timing")),
        ("two Representations of one id", "dash.ids", NUMBERED.replace("id=\"a\"", "id=\"v\"")),
        ("a Period without id", "dash.ids", NUMBERED.replace("Period id=\"p0\"", "Period")),
        (
            "a hole between Periods",
            "dash.period",
            NUMBERED
                .replace("start=\"PT0S\"", "start=\"PT0S\" duration=\"PT59S\"")
                .replace("<UTCTiming", second),
        ),
        ("no bandwidth", "dash.attributes", NUMBERED.replace("bandwidth=\"60000\" width", "width")),
        ("no frameRate", "dash.attributes", NUMBERED.replace("frameRate=\"30\"", "")),
        ("no codecs", "dash.attributes", NUMBERED.replace("codecs=\"mp4a.40.2\"", "")),
        (
            "an identifier of our own",
            "dash.template",
            NUMBERED.replace("$RepresentationID$/$Number$", "$RepresentationID$/$Count$$Number$"),
        ),
        ("one segment for ever", "dash.template", NUMBERED.replace("$Number$", "1")),
        (
            "no duration",
            "dash.template",
            TIMELINE.replace(
                "<SegmentTimeline><S t=\"100\" d=\"20\" r=\"1\"/><S d=\"30\"/></SegmentTimeline>",
                "",
            ),
        ),
        ("no timescale", "dash.timescale", TIMELINE.replace("timescale=\"10\"", "")),
        (
            "a hole in the timeline",
            "dash.timeline",
            TIMELINE.replace("<S d=\"30\"/>", "<S t=\"141\" d=\"30\"/>"),
        ),
        (
            "an overlap in the timeline",
            "dash.timeline",
            TIMELINE.replace("<S d=\"30\"/>", "<S t=\"139\" d=\"30\"/>"),
        ),
        ("S without d", "dash.timeline", TIMELINE.replace("<S d=\"30\"/>", "<S/>")),
        (
            "offset of a whole segment",
            "dash.offset",
            NUMBERED.replace("availabilityTimeOffset=\"1.5\"", "availabilityTimeOffset=\"2.0\""),
        ),
        ("offset and complete", "dash.offset", NUMBERED.replace("availabilityTimeComplete=\"false\"", "")),
        (
            "infinite offset with a timeline",
            "dash.offset",
            TIMELINE.replace("startNumber", "availabilityTimeOffset=\"INF\" startNumber"),
        ),
        ("no target latency", "dash.latency", NUMBERED.replace("target=\"3000\"", "")),
        ("no producer's clock", "dash.producer", NUMBERED.replace("ProducerReferenceTime", "Producer")),
        (
            "static, and to be updated",
            "dash.end",
            end(TIMELINE).replace("<Period id", "<Period duration=\"PT9S\" id"),
        ),
        ("static, without an end", "dash.end", end(TIMELINE).replace("minimumUpdatePeriod=\"PT1S\"", "")),
        ("a delay over the buffer", "dash.delay", NUMBERED.replace("Delay=\"PT3S\"", "Delay=\"PT13S\"")),
    ];
    for (name, rule, text) in rows {
        finds_only(name, rule, &read(text).1);
    }
    let mut found = Findings::default();
    assert!(mpd::parse("<MPD", "MPD", &mut found).is_none());
    finds_only("no XML", "dash.xml", &found);
}

const SECOND: i64 = 1_000_000;

#[test]
fn faults_over_time_are_found() {
    let later = |text: &str| text.replace("14:30:00Z", "14:30:01Z");
    let next = later(TIMELINE).replace("r=\"1\"/><S d=\"30\"/>", "r=\"1\"/><S d=\"30\" r=\"1\"/>");
    let run = |texts: &[(i64, String)]| {
        let mut history = History::default();
        let mut found = Findings::default();
        for (at, text) in texts {
            history.see(*at * SECOND, &read(text).0, "MPD", &mut found);
        }
        found
    };
    assert_eq!(run(&[(0, TIMELINE.into()), (3, next.clone()), (4, next.clone())]).all_rules(), [""; 0]);
    assert_eq!(run(&[(0, NUMBERED.into()), (60, NUMBERED.into())]).all_rules(), [""; 0]);
    let rows: &[(&str, &str, String)] = &[
        ("another start of time", "dash.constant", next.replace("14:00:00Z", "14:00:01Z")),
        ("the period moves", "dash.constant", next.replace("start=\"PT0S\"", "start=\"PT1S\"")),
        ("another id", "dash.constant", next.replace("id=\"v\"", "id=\"w\"")),
        ("another timescale", "dash.constant", next.replace("timescale=\"10\"", "timescale=\"11\"")),
        ("publishTime falls", "dash.publish", next.replace("14:30:01Z", "14:29:59Z")),
        ("changed without a word", "dash.publish", next.replace("14:30:01Z", "14:30:00Z")),
        ("a segment lasts longer", "dash.timeline", next.replace("d=\"30\" r=\"1\"", "d=\"31\" r=\"1\"")),
        ("static and back", "dash.end", next.clone()),
    ];
    for (name, rule, second) in rows {
        let first = if *rule == "dash.end" {
            TIMELINE.replace("\"dynamic\"", "\"static\"")
        } else {
            TIMELINE.to_owned()
        };
        finds_only(name, rule, &run(&[(0, first), (3, second.clone())]));
    }
    finds_only("stands still", "dash.advance", &run(&[(0, TIMELINE.into()), (30, TIMELINE.into())]));
}

#[test]
fn segments_are_to_be_had_at_their_time() {
    let (mpd, _) = read(NUMBERED);
    let begin = timing::start(&mpd, 0);
    let template = mpd.periods[0].sets[0].representations[0].template.as_ref().unwrap();
    let at = |seconds: f64| begin + (seconds * 1e6) as i64;
    let number = |from| match timing::next(&mpd, 0, template, from) {
        Next::Segment(s) => Some((s.number, s.time, s.available - begin, s.ends - begin)),
        _ => None,
    };
    assert_eq!(number(From::Edge(at(0.4))), None);
    assert_eq!(number(From::Edge(at(0.5))), Some((0, 900_000, 500_000, 2_000_000)));
    assert_eq!(number(From::Edge(at(2.49))), Some((0, 900_000, 500_000, 2_000_000)));
    assert_eq!(number(From::Edge(at(2.5))), Some((1, 1_080_000, 2_500_000, 4_000_000)));
    assert_eq!(number(From::Oldest(at(5.0))), Some((0, 900_000, 500_000, 2_000_000)));
    let Next::Segment(first) = timing::next(&mpd, 0, template, From::Edge(at(2.5))) else { panic!() };
    assert_eq!(number(From::Behind(first)).map(|n| n.0), Some(2));
    let (mpd, _) = read(TIMELINE);
    let begin = timing::start(&mpd, 0);
    let template = mpd.periods[0].sets[0].representations[0].template.as_ref().unwrap();
    let Next::Segment(newest) = timing::next(&mpd, 0, template, From::Edge(begin + 15 * SECOND)) else {
        panic!()
    };
    assert_eq!(
        (newest.number, newest.time, newest.duration, newest.available - begin),
        (6, 120, 20, 14 * SECOND)
    );
    let Next::Segment(last) = timing::next(&mpd, 0, template, From::Behind(newest)) else { panic!() };
    assert_eq!((last.number, last.time, last.available - begin), (7, 140, 17 * SECOND));
    assert_eq!(timing::next(&mpd, 0, template, From::Behind(last)), Next::Unknown);
}

/// How a live presentation differs from a right one.
struct Fault {
    mpd: fn(String) -> String,
    media: fn(bool, u64, &mut Vec<Vec<Bx>>),
    reply: fn(&Request, Reply) -> Reply,
    late: f64,
}

const RIGHT: Fault = Fault { mpd: |t| t, media: |_, _, _| {}, reply: |_, r| r, late: 0.0 };

/// The live presentation of `NUMBERED`, 100 s old when it begins.
fn answer(started: Instant, fault: &Fault, request: &Request) -> Reply {
    let now = 100.0 + started.elapsed().as_secs_f64() - fault.late;
    let sound = request.path.starts_with("/a/");
    let kind = if sound { "audio/mp4" } else { "video/mp4" };
    let clock = || jiff::Timestamp::now();
    let reply = match request.path.as_str() {
        "/live.mpd" => {
            let begin =
                clock() - jiff::SignedDuration::from_secs_f64(100.0 + started.elapsed().as_secs_f64());
            let text = NUMBERED.replace(
                "availabilityStartTime=\"2026-11-22T14:00:00Z\"",
                &format!("availabilityStartTime=\"{}\"", START.get_or_init(started, begin)),
            );
            Reply::ok("application/dash+xml", 0, (fault.mpd)(text))
        }
        "/time" => Reply::ok("text/plain", 0, clock().to_string()),
        "/v/init.mp4" => Reply::ok(kind, 3600, bytes(&video_header())),
        "/a/init.mp4" => Reply::ok(kind, 3600, bytes(&audio_header())),
        path => match path.rsplit_once('/').and_then(|(_, f)| f.strip_suffix(".m4s")?.parse::<u64>().ok()) {
            None => Reply::bare(404),
            Some(n) => {
                let open = n as f64 * 2.0 + 0.5 <= now;
                if !open || (n as f64) * 2.0 + 40.0 < now {
                    Reply::bare(404)
                } else {
                    let mut parts = if sound { audio_parts(n) } else { video_parts(n) };
                    (fault.media)(!sound, n, &mut parts);
                    let whole = (n + 1) as f64 * 2.0;
                    let mut reply =
                        Reply::ok(kind, 3600, parts.iter().flat_map(|p| bytes(p)).collect::<Vec<u8>>());
                    if whole > now + 0.2 {
                        reply.pieces = Some((3, Duration::from_secs_f64((whole - now) / 4.0)));
                    }
                    reply
                }
            }
        },
    };
    let streamed = reply.pieces.is_some();
    (fault.reply)(request, if streamed { reply } else { by_the_book(request, reply) })
}

/// The date at which each show began, told alike in every MPD.
struct Starts(std::sync::Mutex<Vec<(Instant, String)>>);

static START: Starts = Starts(std::sync::Mutex::new(Vec::new()));

impl Starts {
    fn get_or_init(&self, of: Instant, begin: jiff::Timestamp) -> String {
        let mut known = self.0.lock().unwrap();
        if let Some((_, text)) = known.iter().find(|(instant, _)| *instant == of) {
            return text.clone();
        }
        known.push((of, begin.to_string()));
        begin.to_string()
    }
}

fn checked(fault: Fault) -> Findings {
    let started = Instant::now();
    let server = Server::start(Arc::new(move |request: &Request| answer(started, &fault, request)));
    let url = crate::fetch::url(&server.url("/live.mpd")).unwrap();
    let outcome =
        watch(&Options { url, time: Duration::from_secs(7), insecure: false }, &mut |_| {}).unwrap();
    assert!(outcome.representations.iter().all(|r| r.segments >= 2), "{outcome:#?}");
    outcome.findings
}

#[test]
fn a_right_presentation_raises_nothing() {
    let found = checked(RIGHT);
    assert_eq!(found.all_rules(), [""; 0], "{found:#?}");
}

#[test]
fn faults_of_a_presentation_are_found() {
    let rows: Vec<(&str, &str, Fault)> = vec![
        ("segments half a second late", "dash.available", Fault { late: 0.6, ..RIGHT }),
        ("a clock that is none", "dash.utc", Fault { mpd: |t| t.replace("/time", "/v/init.mp4"), ..RIGHT }),
        (
            "the window is longer than what is kept",
            "dash.gone",
            Fault { mpd: |t| t.replace("PT12S", "PT60S"), ..RIGHT },
        ),
        (
            "times of another origin",
            "dash.tfdt",
            Fault {
                mpd: |t| t.replace("presentationTimeOffset=\"900000\"", "presentationTimeOffset=\"780000\""),
                ..RIGHT
            },
        ),
        (
            "segments longer than told",
            "dash.max-duration",
            Fault { mpd: |t| t.replace("PT2.1S", "PT1.9S"), ..RIGHT },
        ),
        (
            "too little bandwidth",
            "dash.bandwidth",
            Fault { mpd: |t| t.replace("bandwidth=\"60000\" width", "bandwidth=\"30000\" width"), ..RIGHT },
        ),
        ("other codecs", "dash.codecs", Fault { mpd: |t| t.replace("avc1.64000d", "avc1.640015"), ..RIGHT }),
        (
            "another size",
            "dash.codecs",
            Fault { mpd: |t| t.replace("width=\"320\"", "width=\"640\""), ..RIGHT },
        ),
        (
            "another frame rate",
            "dash.frame-rate",
            Fault { mpd: |t| t.replace("frameRate=\"30\"", "frameRate=\"25\""), ..RIGHT },
        ),
        (
            "whole segments alone",
            "dash.chunked",
            Fault {
                reply: |_, mut r| {
                    if let Some((count, pause)) = r.pieces.take() {
                        std::thread::sleep(pause * (count as u32 + 1));
                    }
                    r
                },
                ..RIGHT
            },
        ),
        (
            "a wrong type",
            "http.type",
            Fault {
                reply: |q, mut r| {
                    if q.path == "/live.mpd" {
                        r.headers.insert("content-type", "text/xml".into());
                    }
                    r
                },
                ..RIGHT
            },
        ),
        (
            "a segment shorter than told",
            "dash.duration",
            Fault {
                media: |video, _, parts| {
                    if video {
                        parts.truncate(1)
                    }
                },
                ..RIGHT
            },
        ),
    ];
    let runs: Vec<_> = rows
        .into_iter()
        .map(|(name, rule, fault)| std::thread::spawn(move || (name, rule, checked(fault))))
        .collect();
    for run in runs {
        let (name, rule, found) = run.join().unwrap();
        assert!(
            found.all_rules().contains(&rule),
            "{name}: {rule} not in {:#?}",
            (&found.violations, &found.warnings)
        );
    }
}
