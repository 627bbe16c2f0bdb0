//! Each rule broken on purpose, each found; and right segments left in peace.

use super::synth::{PPS, SPS, Synth, Unit, adts, nal};
use super::*;

const PLAIN: Entry = Entry { discontinuity: false, missed: false };
const BREAK: Entry = Entry { discontinuity: true, missed: false };

fn run(segments: &[(Entry, Vec<u8>)]) -> Report {
    let mut checker = Checker::new(None);
    for (i, (entry, bytes)) in segments.iter().enumerate() {
        checker.segment(&format!("s{i}"), *entry, bytes);
    }
    checker.finish()
}

fn three(mut synth: Synth) -> Vec<(Entry, Vec<u8>)> {
    (0..3).map(|i| (PLAIN, synth.segment(i))).collect()
}

/// Three segments, the second one's units changed by `change`.
fn with_units(change: impl FnOnce(&mut Vec<Unit>)) -> Report {
    let mut synth = Synth::default();
    let first = synth.segment(0);
    let mut units = synth.units(1);
    change(&mut units);
    let second = synth.write(&units);
    run(&[(PLAIN, first), (PLAIN, second), (PLAIN, synth.segment(2))])
}

/// Three segments, the second one's bytes changed by `change`.
fn with_bytes(change: impl FnOnce(&mut Vec<u8>)) -> Report {
    let mut segments = three(Synth::default());
    change(&mut segments[1].1);
    run(&segments)
}

fn video(units: &mut [Unit], n: usize) -> &mut Unit {
    units.iter_mut().filter(|u| u.video).nth(n).unwrap()
}

fn sound(units: &mut [Unit], n: usize) -> &mut Unit {
    units.iter_mut().filter(|u| !u.video).nth(n).unwrap()
}

#[track_caller]
fn finds(report: &Report, rule: &str) {
    assert!(report.findings.all_rules().contains(&rule), "{rule} not found in {:#?}", report.findings);
}

#[track_caller]
fn finds_only(report: &Report, rule: &str) {
    finds(report, rule);
    assert_eq!(report.findings.all_rules(), [rule], "{:#?}", report.findings.violations);
}

#[test]
fn right_segments_raise_nothing() {
    for (name, with_video, with_audio, base) in [
        ("both", true, true, 900_000),
        ("video alone", true, false, 900_000),
        ("audio alone", false, true, 900_000),
        ("over the 33-bit wrap", true, true, (1 << 33) - 270_000),
    ] {
        let report = run(&three(Synth { with_video, with_audio, base, ..Synth::default() }));
        assert_eq!(report.findings.all_rules(), [""; 0], "{name}");
        assert_eq!(report.segments.len(), 3, "{name}");
    }
}

#[test]
fn facts_are_told() {
    let report = run(&three(Synth::default()));
    let second = &report.segments[1];
    let pictures = second.video.as_ref().unwrap();
    assert_eq!((pictures.first_pts, pictures.frames, pictures.idrs), (1_080_000, 60, 1));
    assert_eq!(pictures.codec.as_deref(), Some("avc1.64001f"));
    assert_eq!(second.audio.as_ref().unwrap().rate, 48_000);
    assert!(second.av_offset().unwrap().abs() < 3 * 1920);
}

#[test]
fn broken_bytes_are_found() {
    type Change = fn(&mut Vec<u8>);
    let rows: &[(&str, &str, Change)] = &[
        ("sync byte gone", "ts.packet", |b| b[188 * 5] = 0x46),
        ("half a packet at the end", "ts.packet", |b| b.truncate(b.len() - 100)),
        ("transport error indicator", "ts.packet", |b| b[188 * 9 + 1] |= 0x80),
        ("scrambled", "ts.packet", |b| b[188 * 9 + 3] |= 0xc0),
        ("PAT away", "ts.psi-first", |b| drop(b.drain(..188))),
        ("PMT away", "ts.psi-first", |b| drop(b.drain(188..376))),
        ("PAT CRC", "ts.psi", |b| b[13] ^= 1),
        ("PMT CRC", "ts.psi", |b| b[188 + 20] ^= 1),
        ("pointer field", "ts.psi", |b| b[4] = 1),
        ("a packet lost", "ts.counter", |b| drop(b.drain(188 * 4..188 * 5))),
        ("a packet twice", "ts.counter", |b| {
            let copy = b[188 * 4..188 * 5].to_vec();
            b.splice(188 * 5..188 * 5, copy);
        }),
        ("null packet", "ts.pid", |b| {
            let mut null = vec![0x47, 0x1f, 0xff, 0x10];
            null.resize(188, 0xff);
            b.extend(null);
        }),
        ("PCR reserved bits", "ts.pcr", |b| b[188 * 2 + 10] &= 0x81),
        ("RAI in the middle of a PES", "ts.rai", |b| {
            let mut packet = b[188 * 3..188 * 4].to_vec();
            assert_eq!(packet[3] & 0x30, 0x10);
            // Same bytes, pushed over two packets with an adaptation field before them.
            packet[3] = 0x30 | packet[3] & 15;
            packet.splice(4..4, [1, 0x40]);
            packet.truncate(188);
            b.splice(188 * 3..188 * 4, packet);
        }),
    ];
    for (name, rule, change) in rows {
        let report = with_bytes(change);
        assert!(report.findings.all_rules().contains(rule), "{name}: {:#?}", report.findings.violations);
    }
}

#[test]
fn broken_units_are_found() {
    type Change = fn(&mut Vec<Unit>);
    let rows: &[(&str, &str, Change)] = &[
        ("PCR 133 ms apart", "ts.pcr", |u| video(u, 8).pcr = None),
        ("no PCR at the head", "ts.pcr", |u| video(u, 0).pcr = None),
        ("PCR above DTS", "ts.pcr-dts", |u| {
            let unit = video(u, 10);
            unit.pcr = Some(unit.dts + 300);
        }),
        ("audio PES cut", "ts.pes-complete", |u| {
            let unit = sound(u, 4);
            unit.declared = Some(unit.data.len() + 8 + 50);
        }),
        ("DTS falls", "ts.dts", |u| {
            let before = video(u, 20).dts;
            let unit = video(u, 21);
            (unit.pts, unit.dts) = (before - 10, before - 10);
        }),
        ("PTS below DTS", "ts.dts", |u| video(u, 21).pts -= 3000 * 2),
        ("two pictures at one time", "ts.pts", |u| video(u, 21).pts += 3000),
        ("leading picture", "ts.pts", |u| video(u, 1).pts -= 6000),
        ("RAI on a P picture", "ts.rai", |u| video(u, 7).rai = true),
        ("no RAI on the IDR", "ts.rai", |u| video(u, 0).rai = false),
        ("RAI on audio", "ts.rai", |u| sound(u, 3).rai = true),
        ("no AUD", "ts.aud", |u| drop(video(u, 5).data.drain(..6))),
        ("two AUDs", "ts.aud", |u| video(u, 5).data.splice(6..6, nal(&[9, 0xf0])).for_each(drop)),
        ("AUD behind SEI", "ts.aud", |u| video(u, 5).data.splice(0..0, nal(&[6, 5, 0x80])).for_each(drop)),
        ("3-byte first start code", "ts.nal", |u| drop(video(u, 5).data.drain(..1))),
        ("empty NAL unit", "ts.nal", |u| video(u, 5).data.extend([0, 0, 1])),
        ("bytes before the start code", "ts.nal", |u| video(u, 5).data.insert(0, 7)),
        ("two pictures in a PES", "ts.nal", |u| {
            let copy = video(u, 6).data[6..].to_vec();
            video(u, 5).data.extend(copy);
        }),
        ("no SPS", "ts.params", |u| drop(video(u, 0).data.drain(6..16))),
        ("PPS before SPS", "ts.params", |u| {
            let head = [nal(&[9, 0xf0]), nal(&PPS), nal(&SPS)].concat();
            video(u, 0).data.splice(..head.len(), head).for_each(drop);
        }),
        ("SEI before SPS", "ts.params", |u| {
            video(u, 0).data.splice(6..6, nal(&[6, 5, 0x80])).for_each(drop);
        }),
        ("other PPS", "ts.params", |u| video(u, 0).data[22] ^= 1),
        ("opens on a P picture", "ts.idr-first", |u| {
            let p = video(u, 1).data.clone();
            let unit = video(u, 0);
            unit.data = p;
            unit.rai = false;
        }),
        ("audio does not start on a header", "ts.adts", |u| sound(u, 2).data.insert(0, 0)),
        ("ADTS runs over", "ts.adts", |u| sound(u, 2).data.truncate(250)),
        ("other sampling rate", "ts.adts", |u| {
            for at in [0, 97, 195] {
                sound(u, 2).data[at + 2] ^= 1 << 2;
            }
        }),
        ("half a second in a PES", "ts.adts", |u| {
            sound(u, 2).data = (0..24).flat_map(|_| adts(50)).collect()
        }),
        ("audio gap", "ts.audio-gap", |u| sound(u, 5).pts += 95),
        ("audio overlap", "ts.audio-gap", |u| drop(sound(u, 5).data.drain(..97))),
        ("no audio", "ts.missing", |u| u.retain(|u| u.video)),
        ("no video", "ts.missing", |u| u.retain(|u| !u.video)),
        ("audio late", "ts.av-start", |u| {
            let at = u.iter().position(|u| !u.video).unwrap();
            u.remove(at);
        }),
        ("audio far behind", "ts.interleave", |u| u.sort_by_key(|u| !u.video)),
    ];
    for (name, rule, change) in rows {
        let report = with_units(change);
        assert!(report.findings.all_rules().contains(rule), "{name}: {:#?}", report.findings.violations);
    }
}

#[test]
fn audio_before_the_first_picture_in_the_file_is_found() {
    let report = with_units(|u| {
        let at = u.iter().position(|u| !u.video).unwrap();
        u[..=at].rotate_right(1);
    });
    finds(&report, "ts.psi-first");
}

#[test]
fn a_dts_equal_to_its_pts_is_found() {
    let mut segments = three(Synth::default());
    let mut synth = Synth::default();
    let mut units = synth.units(0);
    video(&mut units, 3).pts += 1; // forces both stamps
    let mut bytes = synth.write(&units);
    let at = bytes.windows(2).position(|w| w == [0xc0, 10]).unwrap();
    let dts = bytes[at + 7..at + 12].to_vec();
    bytes[at + 2..at + 7].copy_from_slice(&dts);
    bytes[at + 2] |= 0x20;
    segments[0].1 = bytes;
    finds_only(&run(&segments), "ts.pes");
}

#[test]
fn layout_faults_are_found() {
    finds(&run(&three(Synth { video_type: 0x24, ..Synth::default() })), "ts.layout");
    finds(&run(&three(Synth { programs: 2, ..Synth::default() })), "ts.psi");
    let mut synth = Synth::default();
    let first = synth.segment(0);
    synth.with_audio = false;
    finds(&run(&[(PLAIN, first), (PLAIN, synth.segment(1))]), "ts.layout");
}

#[test]
fn counters_run_on_over_segments() {
    let first = Synth::default().segment(0);
    let mut fresh = Synth { audio_samples: 0, ..Synth::default() };
    fresh.units(0);
    let second = fresh.segment(1);
    finds(&run(&[(PLAIN, first.clone()), (PLAIN, second.clone())]), "ts.counter");
    let told = run(&[(PLAIN, first), (BREAK, second)]);
    assert_eq!(told.findings.all_rules(), [""; 0]);
    assert_eq!(told.findings.notes.len(), 4, "one a PID: {:?}", told.findings.notes);
}

#[test]
fn a_jump_needs_a_discontinuity() {
    let segments = |entry| {
        let mut synth = Synth::default();
        let first = synth.segment(0);
        synth.base += 90_000 * 3600;
        let second = synth.segment(1);
        run(&[(PLAIN, first), (entry, second)])
    };
    finds(&segments(PLAIN), "ts.jump");
    let told = segments(BREAK);
    assert_eq!(told.findings.all_rules(), [""; 0]);
    assert_eq!(told.findings.notes.len(), 1, "the PCR jump has no indicator: {:?}", told.findings.notes);
}

#[test]
fn audio_of_the_next_segment_is_found() {
    let mut synth = Synth::default();
    let (mut first, mut second) = (synth.units(0), synth.units(1));
    let moved: Vec<_> = second.iter().filter(|u| !u.video).take(2).cloned().collect();
    second.retain(|u| u.video || moved.iter().all(|m| m.pts != u.pts));
    first.extend(moved);
    let segments = [(PLAIN, synth.write(&first)), (PLAIN, synth.write(&second))];
    finds(&run(&segments), "ts.audio-home");
}
