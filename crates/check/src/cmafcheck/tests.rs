//! Each rule broken on purpose, each found; and right segments left in peace.

use super::synth::{
    Bx, audio_header, audio_parts, bytes, chunk, find, leaf, node, picture, styp, video_header, video_parts,
};
use super::*;
use crate::report::Findings;
use crate::tscheck::{Entry, SegmentFacts};

const FIRST: Entry = Entry { discontinuity: false, missed: true };
const PLAIN: Entry = Entry { discontinuity: false, missed: false };

fn segment(parts: Vec<Vec<Bx>>) -> Vec<Bx> {
    parts.into_iter().flatten().collect()
}

/// A header and three segments, changed before they are written.
fn run(header: &[Bx], segments: &[Vec<Bx>]) -> (Findings, Vec<SegmentFacts>) {
    let written: Vec<_> = segments.iter().map(|s| bytes(s)).collect();
    run_bytes(&bytes(header), &written)
}

fn run_bytes(header: &[u8], segments: &[Vec<u8>]) -> (Findings, Vec<SegmentFacts>) {
    let mut checker = Checker::new();
    checker.init("header", false, header);
    let facts = segments
        .iter()
        .enumerate()
        .map(|(n, bytes)| checker.segment(&format!("s{n}"), if n == 0 { FIRST } else { PLAIN }, bytes))
        .collect();
    (checker.findings, facts)
}

fn video() -> Vec<Vec<Bx>> {
    (0..3).map(|n| segment(video_parts(n))).collect()
}

#[track_caller]
fn finds_only(name: &str, rule: &str, found: &Findings) {
    assert_eq!(found.all_rules(), [rule], "{name}: {:#?}", (&found.violations, &found.warnings));
}

#[test]
fn right_segments_raise_nothing() {
    let (found, facts) = run(&video_header(), &video());
    assert_eq!(found.all_rules(), [""; 0], "{found:#?}");
    let second = facts[1].video.as_ref().unwrap();
    assert_eq!((second.first_pts, second.frames, second.idrs), (1_080_000, 60, 1));
    assert_eq!((second.codec.as_deref(), second.size), (Some("avc1.64000d"), Some((320, 180))));
    let sounds: Vec<_> = (0..3).map(|n| segment(audio_parts(n))).collect();
    let (found, facts) = run(&audio_header(), &sounds);
    assert_eq!(found.all_rules(), [""; 0], "{found:#?}");
    let sound = facts[1].audio.as_ref().unwrap();
    assert_eq!((sound.rate, sound.channels, sound.codec.as_deref()), (48_000, 2, Some("mp4a.40.2")));
    assert!((sound.first_pts - 1_080_000).abs() < 961);
}

#[test]
fn parts_tell_what_they_hold() {
    let mut checker = Checker::new();
    checker.init("header", false, &bytes(&video_header()));
    let parts = video_parts(1);
    let part = |n: usize| checker.part(&bytes(&parts[n])).unwrap();
    assert_eq!(part(0), PartFacts { independent: true, micros: 500_000 });
    assert_eq!(part(1), PartFacts { independent: false, micros: 500_000 });
}

#[test]
fn broken_headers_are_found() {
    type Change = fn(&mut Vec<Bx>);
    let rows: &[(&str, &str, Change)] = &[
        ("an old brand alone", "cmaf.brand", |h| h[0].body = b"isom\0\0\0\0isommp42".to_vec()),
        ("moov before ftyp", "cmaf.init", |h| h.swap(0, 1)),
        ("no trex", "cmaf.init", |h| find(h, b"mvex").inside.clear()),
        ("samples in the header", "cmaf.init", |h| find(h, b"stts").body[7] = 1),
        ("data elsewhere", "cmaf.init", |h| find(h, b"url ").body[3] = 0),
        ("two tracks", "cmaf.one-track", |h| {
            let mut trak = find(h, b"trak").clone();
            find(&mut trak.inside, b"tkhd").body[15] = 2;
            find(h, b"moov").inside.push(trak);
            let mut trex = find(h, b"trex").clone();
            trex.body[7] = 2;
            find(h, b"mvex").inside.push(trex);
        }),
        ("an edit list", "cmaf.edts", |h| {
            find(h, b"trak").inside.push(node(b"edts", vec![leaf(b"elst", [0; 8])]))
        }),
        ("a duration", "cmaf.duration", |h| find(h, b"mvhd").body[19] = 7),
        ("parameter sets in the samples", "cmaf.entry", |h| find(h, b"avc1").kind = *b"avc3"),
        ("another profile than its SPS", "cmaf.config", |h| find(h, b"avcC").body[1] = 0x4d),
        ("another size than its SPS", "cmaf.config", |h| find(h, b"avc1").body[25] ^= 2),
    ];
    for (name, rule, change) in rows {
        let mut header = video_header();
        change(&mut header);
        // A header that cannot be used leaves the segments unchecked.
        finds_only(name, rule, &run(&header, &video()).0);
    }
}

#[test]
fn broken_segments_are_found() {
    type Change = fn(&mut Vec<Vec<Bx>>);
    fn trun(parts: &mut [Vec<Bx>], part: usize) -> &mut Vec<u8> {
        &mut find(&mut parts[part], b"trun").body
    }
    let rows: &[(&str, &str, Change)] = &[
        ("mdat before moof", "cmaf.order", |p| p[1].swap(0, 1)),
        ("moof alone", "cmaf.order", |p| drop(p[3].pop())),
        ("a header in the segment", "cmaf.order", |p| p[1].splice(0..0, video_header()).for_each(drop)),
        ("styp in front of a later chunk", "cmaf.styp", |p| p[2].insert(0, styp())),
        ("sidx", "cmaf.sidx", |p| p[0].insert(1, leaf(b"sidx", [0; 32]))),
        ("another track", "cmaf.tfhd", |p| find(&mut p[1], b"tfhd").body[7] = 9),
        ("not relative to moof", "cmaf.tfhd", |p| find(&mut p[1], b"tfhd").body[1] = 0),
        ("no tfdt", "cmaf.tfdt", |p| {
            find(&mut p[1], b"traf").inside.remove(1);
            let trun = trun(p, 1);
            let offset = u32::from_be_bytes(trun[8..12].try_into().unwrap()) - 20;
            trun[8..12].copy_from_slice(&offset.to_be_bytes());
        }),
        ("tfdt 10 ticks late", "cmaf.tfdt-sum", |p| find(&mut p[3], b"tfdt").body[11] += 10),
        ("a picture too long", "cmaf.tfdt-sum", |p| trun(p, 1)[15] += 1),
        ("samples behind mdat", "cmaf.trun", |p| trun(p, 1)[11] += 1),
        ("mdat longer than its samples", "cmaf.trun", |p| p[1][1].body.push(0)),
        ("first picture shown late", "cmaf.start", |p| {
            let mut samples: Vec<_> = (0..15).map(|n| picture(n == 0, n)).collect();
            for sample in &mut samples {
                sample.offset = 6000;
            }
            let first = chunk(5, 1_080_000, &samples);
            p[0].splice(1.., first).for_each(drop);
            for n in 1..4 {
                let trun = trun(p, n);
                for at in 0..15 {
                    trun[12 + at * 16 + 12..][..4].copy_from_slice(&6000u32.to_be_bytes());
                }
            }
        }),
        ("P picture flagged as key", "cmaf.flags", |p| {
            trun(p, 1)[20..24].copy_from_slice(&0x0200_0000u32.to_be_bytes());
        }),
        ("IDR not flagged", "cmaf.flags", |p| {
            trun(p, 0)[20..24].copy_from_slice(&0x0101_0000u32.to_be_bytes());
        }),
        ("opens on a P picture", "cmaf.sync-first", |p| {
            let samples: Vec<_> = (0..15).map(|n| picture(false, n)).collect();
            p[0].splice(1.., chunk(5, 1_080_000, &samples)).for_each(drop);
        }),
        ("moof number falls", "cmaf.mfhd", |p| find(&mut p[2], b"mfhd").body[7] = 1),
        ("a NAL unit runs over", "cmaf.nal", |p| p[1][1].body[3] += 1),
        ("two pictures in a sample", "cmaf.nal", |p| {
            let mut samples: Vec<_> = (0..15).map(|n| picture(false, n)).collect();
            let more = samples[3].data.clone();
            samples[3].data.extend(more);
            p[1] = chunk(6, 1_125_000, &samples);
        }),
        ("SPS in a sample", "cmaf.inband", |p| {
            let mut samples: Vec<_> = (0..15).map(|n| picture(false, n)).collect();
            samples[3].data.splice(0..0, [0, 0, 0, 4, 0x67, 0x64, 0, 0x0d]);
            p[1] = chunk(6, 1_125_000, &samples);
        }),
        ("two pictures at one time", "cmaf.pts", |p| {
            trun(p, 1)[12 + 12..][..4].copy_from_slice(&3000u32.to_be_bytes());
        }),
        ("emsg of version 0", "cmaf.emsg", |p| p[1].insert(0, leaf(b"emsg", [0; 24]))),
    ];
    for (name, rule, change) in rows {
        let mut parts = video_parts(1);
        change(&mut parts);
        let segments = [segment(video_parts(0)), segment(parts), segment(video_parts(2))];
        finds_only(name, rule, &run(&video_header(), &segments).0);
    }
}

#[test]
fn a_box_that_is_cut_is_found() {
    let mut segments: Vec<Vec<u8>> = video().iter().map(|s| bytes(s)).collect();
    segments[2].pop();
    finds_only("a byte lost", "cmaf.box", &run_bytes(&bytes(&video_header()), &segments).0);
    let mut header = bytes(&video_header());
    header[0] = 0xff;
    finds_only("a box of 4 GB", "cmaf.box", &run_bytes(&header, &[]).0);
}

#[test]
fn changes_between_segments_need_a_discontinuity() {
    let run = |discontinuity: bool, header: &[Bx], shift: u64| {
        let mut checker = Checker::new();
        checker.init("header", false, &bytes(&video_header()));
        checker.segment("s0", FIRST, &bytes(&segment(video_parts(0))));
        checker.init("header 2", discontinuity, &bytes(header));
        let entry = Entry { discontinuity, missed: false };
        checker.segment("s1", entry, &bytes(&segment(video_parts(1 + shift))));
        checker.findings
    };
    assert_eq!(run(false, &video_header(), 0).all_rules(), [""; 0]);
    finds_only("times jump", "cmaf.continuity", &run(false, &video_header(), 1));
    assert_eq!(run(true, &video_header(), 1).all_rules(), [""; 0]);
    let mut other = video_header();
    find(&mut other, b"mdhd").body[15] ^= 1;
    finds_only("another timescale", "M8", &run(false, &other, 0));
    let mut other = video_header();
    let avcc = &mut find(&mut other, b"avcC").body;
    *avcc.last_mut().unwrap() ^= 1;
    finds_only("another PPS", "M9", &run(false, &other, 0));
    assert_eq!(run(true, &other, 0).all_rules(), [""; 0]);
}

/// Whatever is cut off or changed, nothing panics.
#[test]
fn damaged_bytes_are_survived() {
    let (header, segment) = (bytes(&video_header()), bytes(&segment(video_parts(0))));
    for n in 0..header.len() {
        run_bytes(&header[..n], std::slice::from_ref(&segment));
        let mut header = header.clone();
        header[n] ^= 0xff;
        run_bytes(&header, std::slice::from_ref(&segment));
    }
    for n in (0..segment.len()).step_by(3) {
        let mut segment = segment.clone();
        segment[n] ^= 0xff;
        run_bytes(&header, &[segment[..n].to_vec(), segment]);
    }
}
