//! Each rule broken on purpose, each found; and right lists left in peace.

use super::across::{self, Checked, Side};
use super::history::{History, Listed};
use super::media::{self, List};
use super::{multivariant, outcome};
use crate::report::{Finding, Findings};
use crate::tscheck::{SegmentFacts, VideoFacts};
use std::collections::BTreeMap;
use std::time::Duration;

/// A list of 2 s segments `first..=last`; the date runs with the number.
fn list(first: u64, last: u64) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:4\n"
    );
    for msn in first..=last {
        let second = msn * 2;
        text += &format!(
            "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:{:02}:{:02}.000Z\n#EXTINF:2.00000,\n{msn}.ts\n",
            second / 60,
            second % 60
        );
    }
    text
}

fn parse(text: &str) -> (List, Findings) {
    let mut found = Findings::default();
    let list = media::parse(text.as_bytes(), "list", &mut found);
    (list, found)
}

/// What was broken, whether it binds or advises.
fn said(found: &Findings) -> Vec<Finding> {
    found.violations.iter().chain(&found.warnings).cloned().collect()
}

#[track_caller]
fn finds(name: &str, rule: &str, violations: &[Finding]) {
    assert!(violations.iter().any(|v| v.rule == rule), "{name}: {rule} not in {violations:#?}");
}

#[test]
fn a_right_list_is_read_and_raises_nothing() {
    let (list, found) = parse(&list(7, 12).replace("9.ts", "9.ts\n#EXT-X-DISCONTINUITY"));
    assert_eq!(said(&found), []);
    assert_eq!(list.target, Some(2));
    assert_eq!(list.last_msn(), Some(12));
    assert_eq!(list.micros(), 12_000_000);
    let numbers: Vec<_> = list.entries.iter().map(|e| e.discontinuity_number).collect();
    assert_eq!(numbers, [4, 4, 4, 5, 5, 5]);
    assert_eq!(list.entries[1].date.unwrap() - list.entries[0].date.unwrap(), 2_000_000);
}

#[test]
fn faults_of_one_text_are_found() {
    let right = list(7, 12);
    let rows: &[(&str, &str, String)] = &[
        ("no EXTM3U", "file.first-line", right.replacen("#EXTM3U\n", "", 1)),
        ("byte order mark", "file.text", format!("\u{feff}{right}")),
        ("space behind a URI", "file.text", right.replace("9.ts", "9.ts ")),
        ("control character", "file.text", right.replace("9.ts", "9\u{7}.ts")),
        ("URI without EXTINF", "file.text", right.replace("9.ts", "9.ts\n9b.ts")),
        ("EXTINF at the end", "file.text", format!("{right}#EXTINF:2.00000,\n")),
        ("EXTINF without comma", "file.text", right.replace("2.00000,", "2.00000")),
        ("EXTINF twice", "file.repeat", right.replace("9.ts", "#EXTINF:2.00000,\n9.ts")),
        (
            "tag twice",
            "file.repeat",
            right.replace("#EXT-X-TARGETDURATION:2", "#EXT-X-TARGETDURATION:2\n#EXT-X-TARGETDURATION:2"),
        ),
        (
            "DISCONTINUITY twice",
            "file.repeat",
            right.replace("9.ts", "9.ts\n#EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY"),
        ),
        ("decimals in version 2", "file.version", right.replace("VERSION:3", "VERSION:2")),
        (
            "variant in a media list",
            "file.mixed",
            right.replace("9.ts", "9.ts\n#EXT-X-STREAM-INF:BANDWIDTH=1"),
        ),
        (
            "attributes with a space",
            "file.attributes",
            right.replace("#EXT-X-VERSION:3", "#EXT-X-VERSION:3\n#EXT-X-START:TIME-OFFSET=1, PRECISE=YES"),
        ),
        ("no TARGETDURATION", "M1", right.replace("#EXT-X-TARGETDURATION:2\n", "")),
        ("TARGETDURATION 0", "M1", right.replace("DURATION:2", "DURATION:0")),
        ("TARGETDURATION decimal", "M1", right.replace("DURATION:2\n", "DURATION:2.5\n")),
        ("MEDIA-SEQUENCE late", "M4", right.replace("9.ts", "9.ts\n#EXT-X-MEDIA-SEQUENCE:7")),
        ("DISCONTINUITY-SEQUENCE late", "M6", right.replace("9.ts", "9.ts\n#EXT-X-DISCONTINUITY-SEQUENCE:4")),
        ("date without zone", "M15", right.replace("16.000Z", "16.000")),
        ("date in seconds", "M15", right.replace("16.000Z", "16Z")),
        ("no date", "M15", right.replace("16.000Z", "tomorrow")),
    ];
    for (name, rule, text) in rows {
        finds(name, rule, &said(&parse(text).1));
    }
}

#[test]
fn m3u8_rs_gives_a_second_opinion() {
    // A comma in the title makes m3u8-rs take the tail for a URI.
    let (_, found) = parse(&list(7, 12).replace("2.00000,\n9.ts", "2.00000,one,two\n9.ts"));
    finds("title with a comma", "file.m3u8-rs", &said(&found));
}

/// Lists at times in seconds, given to one history.
fn over_time(looks: &[(f64, String)]) -> (History, Vec<Finding>) {
    let mut history = History::new("720p");
    for (at, text) in looks {
        let (list, found) = parse(text);
        assert_eq!(said(&found), [], "at {at}");
        history.see(Duration::from_secs_f64(*at), list);
    }
    let violations = said(&history.findings);
    (history, violations)
}

#[test]
fn a_sliding_list_raises_nothing() {
    let (history, violations) = over_time(&[
        (0.0, list(7, 12)),
        (1.9, list(7, 13)),
        (2.0, list(8, 13)),
        (3.9, list(8, 14)),
        (5.9, list(10, 15)),
        (8.0, format!("{}#EXT-X-ENDLIST\n", list(10, 16))),
        (20.0, format!("{}#EXT-X-ENDLIST\n", list(10, 16))),
    ]);
    assert_eq!(violations, []);
    assert_eq!(history.versions(), 6);
    let seven = &history.listed()[&7];
    assert_eq!(seven.removed, Some(Duration::from_secs(2)));
    // Its own 2 s behind the longest list that held it, 14 s.
    assert_eq!(seven.needed_until(), Duration::from_secs(16));
    assert!((history.longest_gap().as_secs_f64() - 2.1).abs() < 1e-6);
}

#[test]
fn faults_over_time_are_found() {
    let event =
        |text: String| text.replace("#EXT-X-VERSION:3", "#EXT-X-VERSION:3\n#EXT-X-PLAYLIST-TYPE:EVENT");
    let gap = |text: String| text.replace("11.ts", "11.ts\n#EXT-X-GAP");
    type Row<'a> = (&'a str, &'a str, Vec<(f64, String)>);
    let rows: &[Row<'_>] = &[
        (
            "TARGETDURATION changes",
            "M1",
            vec![(0.0, list(7, 12)), (1.0, list(7, 13).replace("DURATION:2", "DURATION:3"))],
        ),
        (
            "EXTINF over TARGETDURATION",
            "M2",
            vec![(0.0, list(7, 12).replace("2.00000,\n9.ts", "2.50000,\n9.ts"))],
        ),
        ("MEDIA-SEQUENCE falls", "M4", vec![(0.0, list(7, 12)), (1.0, list(6, 13))]),
        (
            "URI of a number changes",
            "M5",
            vec![(0.0, list(7, 12)), (1.0, list(7, 12).replace("9.ts", "x.ts"))],
        ),
        (
            "EXTINF of a number changes",
            "M5",
            vec![(0.0, list(7, 12)), (1.0, list(7, 12).replace("2.00000,\n9.ts", "1.90000,\n9.ts"))],
        ),
        (
            "a segment left, the number stayed",
            "M5",
            vec![(0.0, list(7, 14)), (1.0, list(8, 14).replace("SEQUENCE:8", "SEQUENCE:7"))],
        ),
        (
            "a discontinuity comes later",
            "M6",
            vec![(0.0, list(7, 12)), (1.0, list(7, 12).replace("9.ts\n", "9.ts\n#EXT-X-DISCONTINUITY\n"))],
        ),
        (
            "DISCONTINUITY-SEQUENCE falls",
            "M6",
            vec![(0.0, list(7, 12)), (1.0, list(13, 20).replace("SEQUENCE:4", "SEQUENCE:3"))],
        ),
        (
            "a tag leaves uncounted",
            "M6",
            vec![(0.0, list(7, 14).replace("7.ts\n", "7.ts\n#EXT-X-DISCONTINUITY\n")), (1.0, list(9, 15))],
        ),
        (
            "no DISCONTINUITY-SEQUENCE",
            "M7",
            vec![(0.0, list(7, 12).replace("#EXT-X-DISCONTINUITY-SEQUENCE:4\n", ""))],
        ),
        (
            "DISCONTINUITY-SEQUENCE goes",
            "M7",
            vec![(0.0, list(7, 12)), (1.0, list(7, 12).replace("#EXT-X-DISCONTINUITY-SEQUENCE:4\n", ""))],
        ),
        ("nothing new for 3.1 s", "M11", vec![(0.0, list(7, 12)), (1.0, list(7, 13)), (4.1, list(7, 13))]),
        (
            "nothing new for long, seen late",
            "M11",
            vec![(0.0, list(7, 12)), (3.1, list(7, 12)), (4.1, list(7, 13))],
        ),
        ("the newest leaves", "M12", vec![(0.0, list(7, 12)), (1.0, list(7, 11))]),
        ("too little left", "M12", vec![(0.0, list(7, 12)), (1.0, list(11, 12))]),
        ("a hole is filled later", "M12", vec![(0.0, list(7, 12)), (1.0, list(14, 20)), (2.0, list(13, 20))]),
        ("five segments left", "M22", vec![(0.0, list(7, 12)), (1.0, list(8, 12))]),
        (
            "no date at all",
            "M15",
            vec![(
                0.0,
                list(7, 12).lines().filter(|l| !l.contains("DATE")).map(|l| format!("{l}\n")).collect(),
            )],
        ),
        ("a date changes", "M16", vec![(0.0, list(7, 12)), (1.0, list(7, 12).replace("18.000Z", "18.004Z"))]),
        (
            "discontinuity without date",
            "M17",
            vec![(
                0.0,
                list(7, 12)
                    .replace("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:18.000Z", "#EXT-X-DISCONTINUITY"),
            )],
        ),
        ("PLAYLIST-TYPE", "M18", vec![(0.0, event(list(7, 12))), (1.9, event(list(8, 14)))]),
        ("a GAP goes", "M23", vec![(0.0, gap(list(7, 12))), (1.0, list(7, 12))]),
        ("ENDLIST is taken back", "M24", vec![(0.0, list(7, 12) + "#EXT-X-ENDLIST\n"), (1.0, list(7, 12))]),
        (
            "more behind ENDLIST",
            "M24",
            vec![(0.0, list(7, 12) + "#EXT-X-ENDLIST\n"), (1.0, list(7, 13) + "#EXT-X-ENDLIST\n")],
        ),
        (
            "START at the edge",
            "M25",
            vec![(
                0.0,
                list(7, 12).replace("#EXT-X-VERSION:3", "#EXT-X-VERSION:3\n#EXT-X-START:TIME-OFFSET=-5.9"),
            )],
        ),
        (
            "SERVER-CONTROL comes",
            "M26",
            vec![
                (0.0, list(7, 12)),
                (
                    1.0,
                    list(7, 12)
                        .replace("#EXT-X-VERSION:3", "#EXT-X-VERSION:3\n#EXT-X-SERVER-CONTROL:HOLD-BACK=6.0"),
                ),
            ],
        ),
        (
            "KEY changes",
            "M28",
            vec![
                (0.0, list(7, 12)),
                (
                    1.0,
                    list(7, 12)
                        .replace("#EXT-X-VERSION:3", "#EXT-X-VERSION:3\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\""),
                ),
            ],
        ),
    ];
    for (name, rule, looks) in rows {
        finds(name, rule, &over_time(looks).1);
    }
}

#[test]
fn numbers_are_held_over_a_restart() {
    let run = |second: String| {
        let mut history = History::new("720p");
        history.see(Duration::ZERO, parse(&list(7, 12)).0);
        history.outage();
        history.see(Duration::from_secs(60), parse(&second).0);
        said(&history.findings)
    };
    assert_eq!(run(list(20, 21).replace("SEQUENCE:4", "SEQUENCE:5")), []);
    finds("numbers fell", "M4", &run(list(5, 6)));
    finds("discontinuity numbers fell", "M6", &run(list(20, 21).replace("SEQUENCE:4", "SEQUENCE:0")));
}

const MULTIVARIANT: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n\
#EXT-X-STREAM-INF:BANDWIDTH=3300000,AVERAGE-BANDWIDTH=2900000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30.000,CLOSED-CAPTIONS=NONE\n1/720p/index.m3u8\n\
#EXT-X-STREAM-INF:BANDWIDTH=1300000,AVERAGE-BANDWIDTH=1100000,CODECS=\"avc1.64001e,mp4a.40.2\",RESOLUTION=854x480,FRAME-RATE=30.000,CLOSED-CAPTIONS=NONE\n1/480p/index.m3u8\n\
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=300000,CODECS=\"avc1.64001e\",RESOLUTION=854x480,URI=\"1/480p/iframes.m3u8\"\n";

#[test]
fn faults_of_a_multivariant_playlist_are_found() {
    let run = |text: &str| {
        let mut found = Findings::default();
        multivariant::parse(text.as_bytes(), "multivariant", &mut found);
        said(&found)
    };
    assert_eq!(run(MULTIVARIANT), []);
    let media = |attributes: &str| {
        MULTIVARIANT
            .replace("#EXT-X-STREAM-INF:BANDWIDTH=3", &format!("{attributes}\n#EXT-X-STREAM-INF:BANDWIDTH=3"))
    };
    let audio =
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Main\",LANGUAGE=\"und\",DEFAULT=YES,URI=\"a.m3u8\"";
    let captions = "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"c\",NAME=\"C\",LANGUAGE=\"en\"";
    let rows: &[(&str, &str, String)] = &[
        ("no INDEPENDENT-SEGMENTS", "V1", MULTIVARIANT.replace("#EXT-X-INDEPENDENT-SEGMENTS\n", "")),
        ("no BANDWIDTH", "V2", MULTIVARIANT.replace("BANDWIDTH=3300000,AVERAGE", "AVERAGE")),
        ("no AVERAGE-BANDWIDTH", "V3", MULTIVARIANT.replace("AVERAGE-BANDWIDTH=2900000,", "")),
        (
            "average over peak",
            "V3",
            MULTIVARIANT.replace("AVERAGE-BANDWIDTH=2900000", "AVERAGE-BANDWIDTH=3300001"),
        ),
        ("no CODECS", "V4", MULTIVARIANT.replace("CODECS=\"avc1.64001e,mp4a.40.2\",", "")),
        ("no RESOLUTION", "V5", MULTIVARIANT.replace("RESOLUTION=854x480,", "")),
        ("FRAME-RATE of one decimal", "V5", MULTIVARIANT.replace("30.000", "30.0")),
        (
            "VIDEO-RANGE of our own",
            "V6",
            MULTIVARIANT.replace("RESOLUTION=854x480", "RESOLUTION=854x480,VIDEO-RANGE=HDR"),
        ),
        ("captions on one alone", "V7", MULTIVARIANT.replacen(",CLOSED-CAPTIONS=NONE", "", 1)),
        (
            "group that is not there",
            "V8",
            MULTIVARIANT.replace("RESOLUTION=854x480", "RESOLUTION=854x480,AUDIO=\"a\""),
        ),
        ("one name twice", "V9", media(&format!("{audio}\n{audio}"))),
        (
            "different members",
            "V10",
            media(&format!("{audio}\n{}", audio.replace("\"a\"", "\"b\"").replace("Main", "Other"))),
        ),
        ("no LANGUAGE", "V11", media(&audio.replace("LANGUAGE=\"und\",", ""))),
        ("captions with a URI", "V13", media(&format!("{captions},URI=\"c\",INSTREAM-ID=\"CC1\""))),
        ("captions without INSTREAM-ID", "V14", media(captions)),
        ("one BANDWIDTH twice", "V15", MULTIVARIANT.replace("BANDWIDTH=1300000", "BANDWIDTH=3300000")),
        ("another aspect ratio", "V15", MULTIVARIANT.replace("854x480", "640x480")),
        (
            "SCORE on one alone",
            "V17",
            MULTIVARIANT.replace("RESOLUTION=854x480", "RESOLUTION=854x480,SCORE=1"),
        ),
        ("quoted NONE", "file.attributes", MULTIVARIANT.replace("CAPTIONS=NONE", "CAPTIONS=\"NONE\"")),
        (
            "an attribute twice",
            "file.attributes",
            MULTIVARIANT.replace("RESOLUTION=854x480", "RESOLUTION=854x480,RESOLUTION=854x480"),
        ),
        ("segments", "file.mixed", format!("{MULTIVARIANT}#EXTINF:2,\nx.ts\n")),
    ];
    for (name, rule, text) in rows {
        finds(name, rule, &run(text));
    }
}

/// Segments 0, 1, 2 … of 2 s and 60 pictures each, first pictures at `starts` ticks.
fn segments(starts: &[i64]) -> BTreeMap<u64, Checked> {
    let (list, _) = parse(&list(0, starts.len() as u64 - 1));
    let mut history = History::new("x");
    history.see(Duration::ZERO, list);
    let checked = |(msn, listed): (&u64, &Listed)| {
        let first = starts[*msn as usize];
        let video = VideoFacts {
            first_pts: first,
            last_pts: first + 59 * 3000,
            first_dts: first,
            frames: 60,
            idrs: 1,
            codec: None,
            size: None,
        };
        let facts = SegmentFacts { name: String::new(), bytes: 1000, video: Some(video), audio: None };
        (*msn, Checked { listed: listed.clone(), facts: Some(facts) })
    };
    history.listed().iter().map(checked).collect()
}

fn side<'a>(segments: &'a BTreeMap<u64, Checked>, place: &'a str) -> Side<'a> {
    Side { place, target: Some(2), server_control: None, segments }
}

#[test]
fn lists_are_held_against_their_media() {
    let run = |starts: &[i64]| {
        let segments = segments(starts);
        let mut found = Findings::default();
        let drift = across::durations(&side(&segments, "x"), &mut found);
        (drift, said(&found))
    };
    let even: Vec<i64> = (0..6).map(|n| 900_000 + n * 180_000).collect();
    let (drift, violations) = run(&even);
    assert_eq!(violations, []);
    assert!(drift.sum_ms < 0.01 && drift.date_ms < 0.01, "{drift:?}");
    // 2.1 s where the list says 2.
    finds("one EXTINF", "M20", &run(&[0, 189_000, 369_000]).1);
    // 10 ms each is within a frame, their sum after four is not.
    let drifting: Vec<i64> = (0..6).map(|n| n * 180_900).collect();
    let (_, violations) = run(&drifting);
    finds("sum of EXTINF", "M19", &violations);
    finds("dates drift from the media", "M16", &violations);
    assert!(!violations.iter().any(|v| v.rule == "M20"), "{violations:?}");
}

#[test]
fn renditions_are_held_against_each_other() {
    let even: Vec<i64> = (0..6).map(|n| n * 180_000).collect();
    let one = segments(&even);
    let run = |other: &Side<'_>| {
        let mut found = Findings::default();
        across::compare(&[side(&one, "720p"), Side { ..*other }], &mut found);
        said(&found)
    };
    let two = segments(&even);
    assert_eq!(run(&side(&two, "480p")), []);
    finds("target duration", "M3", &run(&Side { target: Some(3), ..side(&two, "480p") }));
    finds("server control", "M26", &run(&Side { server_control: Some("HOLD-BACK=6"), ..side(&two, "480p") }));
    let mut shifted = even.clone();
    shifted[3] += 3000;
    finds("first picture", "V19", &run(&side(&segments(&shifted), "480p")));
    let mut other = segments(&even);
    other.get_mut(&3).unwrap().listed.entry.discontinuity_number += 1;
    finds("discontinuity numbers", "M10", &run(&side(&other, "480p")));
    let mut other = segments(&even);
    *other.get_mut(&3).unwrap().listed.entry.date.as_mut().unwrap() += 5_000;
    finds("dates", "M16", &run(&side(&other, "480p")));
}

#[test]
fn declared_rates_are_held_against_measured_ones() {
    let run = |peak: u64, average: u64, seconds: f64| {
        let mut found = Findings::default();
        outcome::declared("x", (Some(1000), Some(peak)), (Some(800), Some(average)), seconds, &mut found);
        (found.rules(), found.notes.len())
    };
    assert_eq!(run(1000, 800, 60.0), (vec![], 0));
    assert_eq!(run(1250, 880, 60.0), (vec![], 2));
    assert_eq!(run(1251, 881, 60.0), (vec!["V2", "V3"], 0));
    assert_eq!(run(1000, 2000, 6.0), (vec![], 1), "an average needs time");
    assert_eq!(run(300, 800, 60.0), (vec![], 1), "three times too high helps nobody");
}
