//! Fragmented MP4: what holds for any packets and cuts, and that its segments are those of the transport stream.

#![allow(clippy::unwrap_used)]

mod support;

use hls::{
    Segment,
    cmaf::Chunked,
    cut::Mode,
    segmenter::{Segmenter, Stats},
};
use media::{MediaSequence, MediaTime, Packet, TrackKind};
use proptest::prelude::*;
use support::{
    Source, audio_config,
    fmp4::{HALF, Read, SECOND, chunk_all, chunks, collect, cut, pictures, shape, sounds},
    picture, plan, segment_all, sound, video_config,
};

/// The same packets and cuts through a segmenter and a chunker.
fn both(packets: &[Packet], mode: Mode) -> (Vec<Segment>, Read, Stats) {
    let has_video = packets.iter().any(|packet| packet.kind == TrackKind::Video);
    let mut segmenter = Segmenter::new(has_video, !has_video);
    segmenter.video_config(video_config());
    segmenter.audio_config(audio_config(48_000));
    let (_, segments) = segment_all(packets, &mut plan(mode), &mut segmenter);
    let mut chunker = if has_video { pictures(HALF) } else { sounds(HALF, 48_000) };
    let read = chunk_all(packets, &mut plan(mode), &mut chunker, HALF);
    let (ts, fmp4) = (segmenter.stats(), chunker.stats());
    assert_eq!(ts.gaps, fmp4.gaps);
    // before a gap it leaves out B-frames too, which nothing could decode
    assert!((0..=2 * ts.gaps).contains(&(fmp4.dropped_pictures - ts.dropped_pictures)), "{ts:?} {fmp4:?}");
    (segments, read, fmp4)
}

#[test]
fn holes_and_breaks_make_the_segments_that_a_transport_stream_has() {
    let video = || Source { audio_rate: 0, ..Source::default() }.packets();
    let without = |from: i64, to: i64| -> Vec<Packet> {
        video().into_iter().filter(|packet| !(from..to).contains(&packet.pts.ticks())).collect()
    };
    for (name, packets, mode) in [
        ("steady", video(), Mode::Keyframes),
        ("a hole of four seconds", without(5 * SECOND / 2, 7 * SECOND), Mode::Keyframes),
        ("a hole over a keyframe", without(7 * SECOND / 2, 5 * SECOND), Mode::Keyframes),
        ("a hole that is none", without(5 * SECOND / 2, 3 * SECOND), Mode::Keyframes),
        ("a grid", video(), Mode::Grid),
        ("B-frames", Source { b_frames: true, audio_rate: 0, ..Source::default() }.packets(), Mode::Grid),
    ] {
        let (segments, read, _) = both(&packets, mode);
        let (ts, fmp4): (Vec<_>, Vec<_>) =
            (segments.iter().map(shape).collect(), read.segments.iter().map(shape).collect());
        assert_eq!(ts, fmp4, "{name}");
    }
}

/// Parts are 85 % of the target at least; but not independent ones, missing ones and those before them, and the last of a
/// segment (draft-pantos-hls-rfc8216bis §4.4.4.9). Nor can one be that comes before a picture too long to join it.
#[track_caller]
fn parts_are_full(segment: &Segment, target: i64) {
    for pair in segment.parts.windows(2) {
        let exempt = pair[0].independent || pair[0].gap || pair[1].gap;
        let long =
            || i64::from(chunks(&pair[1].bytes)[0].samples[0].duration) + pair[0].duration.ticks() > target;
        assert!(
            exempt || pair[0].duration.ticks() * 100 >= target * 85 || long(),
            "{:?} of {segment:?}",
            pair[0]
        );
    }
}

/// The decode times of segments that continue each other do, and each begins with what it shows first.
fn decode_times_go_on(segments: &[Segment]) {
    let mut end = None;
    for segment in segments {
        if segment.gap {
            end = None;
            continue;
        }
        let samples = Read::samples(segment);
        let (first, last) = (&samples[0], samples.last().unwrap());
        if let Some(end) = end.filter(|_| !segment.discontinuity) {
            assert_eq!(first.decode, end, "segment {}", segment.sequence);
        }
        assert_eq!(first.offset, 0, "segment {}", segment.sequence);
        assert_eq!(first.decode, samples.iter().map(|sample| sample.pts()).min().unwrap());
        end = Some(last.decode + i64::from(last.duration));
    }
}

proptest! {
    /// Pictures of any rhythm, with a hole, with stamps of RTMP's precision: the segments are those of the transport
    /// stream, and parts and times keep their rules.
    #[test]
    fn segments_are_those_of_the_transport_stream(
        frame in prop_oneof![Just(1500), Just(1800), Just(3000), Just(3003), Just(3600), Just(3750)],
        gop in prop_oneof![Just(24u64), Just(30), Just(50), Just(60), Just(75)],
        b_frames in any::<bool>(),
        millis in any::<bool>(),
        grid in any::<bool>(),
        start in 0..20 * SECOND,
        hole in proptest::option::of((SECOND..8 * SECOND, prop_oneof![0..SECOND / 2, 13 * SECOND / 10..3 * SECOND])),
    ) {
        let source = Source { frame, gop, b_frames, start, audio_rate: 0, ..Source::default() };
        let mut packets = source.packets();
        if millis {
            for packet in &mut packets {
                packet.pts = MediaTime::from_ticks(packet.pts.ticks() / 90 * 90);
                packet.dts = MediaTime::from_ticks(packet.dts.ticks() / 90 * 90);
            }
        }
        if let Some((from, long)) = hole {
            let (from, to) = (start + from, start + from + long);
            packets.retain(|packet| packet.dts.ticks() < from || packet.dts.ticks() >= to);
        }
        let mode = if grid { Mode::Grid } else { Mode::Keyframes };
        let (segments, read, stats) = both(&packets, mode);
        prop_assert_eq!(
            segments.iter().map(shape).collect::<Vec<_>>(),
            read.segments.iter().map(shape).collect::<Vec<_>>()
        );
        let written: usize = read.segments.iter().filter(|segment| !segment.gap).map(|s| Read::samples(s).len()).sum();
        prop_assert_eq!(written as u64 + stats.dropped_pictures, packets.len() as u64);
        decode_times_go_on(&read.segments);
        read.segments.iter().for_each(|segment| parts_are_full(segment, HALF));
    }
}

/// What may happen to a chunker.
#[derive(Clone, Debug)]
enum Op {
    Cut { step: u64, at: i64, discontinuity: bool },
    Frame { step: i64, late: i64, keyframe: bool, size: usize },
    Rewind,
    GiveUp(u64),
    Finish,
    Config(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (0u64..3, -SECOND..3 * SECOND, any::<bool>())
            .prop_map(|(step, at, discontinuity)| Op::Cut { step, at, discontinuity }),
        20 => (prop_oneof![Just(3600), -4000..9000i64, Just(2 * SECOND)], -8000..20_000i64, any::<u8>(), 0usize..40)
            .prop_map(|(step, late, keyframe, size)| Op::Frame { step, late, keyframe: keyframe < 60, size }),
        1 => Just(Op::Rewind),
        1 => (0u64..4).prop_map(Op::GiveUp),
        1 => Just(Op::Finish),
        1 => any::<bool>().prop_map(Op::Config),
    ]
}

proptest! {
    /// Whatever comes, parts make up segments, files say what lists say, and nothing is longer than it may be.
    #[test]
    fn whatever_comes(ops in proptest::collection::vec(op(), 1..200), video in any::<bool>()) {
        let mut chunker = if video { pictures(HALF) } else { sounds(HALF, 44_100) };
        let mut read = Read { hostile: true, ..Read::default() };
        let (mut sequence, mut at) = (0, 0);
        for op in ops {
            match op {
                Op::Cut { step, at: off, discontinuity } => {
                    sequence += step;
                    chunker.cut(cut(sequence, at + off, discontinuity));
                }
                Op::Frame { step, late, keyframe, size } => {
                    at += step;
                    chunker.push(if video {
                        picture(7, at + late, at, keyframe, size)
                    } else {
                        sound(7, at, size)
                    });
                }
                Op::Rewind => { chunker.rewind(); }
                Op::GiveUp(ahead) => chunker.give_up(MediaSequence(sequence.saturating_sub(1) + ahead)),
                Op::Finish => chunker.finish(),
                Op::Config(first) => {
                    chunker.video_config(video_config());
                    chunker.audio_config(audio_config(if first { 44_100 } else { 48_000 }));
                }
            }
            collect(&mut chunker, &mut read, HALF);
        }
        chunker.finish();
        collect(&mut chunker, &mut read, HALF);
    }
}

/// Any time at all, mostly one at which arithmetic ends.
fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(i64::MIN),
        Just(i64::MAX),
        Just(i64::MAX - 900_000),
        any::<i64>(),
        -100 * SECOND..100 * SECOND,
        0..SECOND
    ]
}

proptest! {
    #[test]
    fn no_time_is_too_far(
        ops in proptest::collection::vec((any::<u8>(), any_time(), any_time(), any::<bool>()), 1..60),
        video in any::<bool>(),
    ) {
        let mut chunker = if video { pictures(HALF) } else { sounds(HALF, 44_100) };
        for (nth, (kind, one, other, flag)) in ops.into_iter().enumerate() {
            match kind % 8 {
                0 | 1 => chunker.cut(cut(nth as u64, one, flag)),
                2 if flag => { chunker.rewind(); }
                3 if flag => chunker.give_up(MediaSequence(nth as u64)),
                _ if video => chunker.push(picture(7, one, other, flag, 10)),
                _ => chunker.push(sound(7, one, 10)),
            }
            while let Some(event) = chunker.poll() {
                if let Chunked::Part { part, .. } = event {
                    prop_assert!((0..=HALF).contains(&part.duration.ticks()), "{part:?}");
                }
            }
        }
        chunker.finish();
    }
}
