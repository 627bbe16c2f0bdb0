//! Whole sessions through plan, segmenter and muxer, read back by an independent demuxer.

#![allow(clippy::unwrap_used)]

mod support;

use hls::{
    Segment,
    cut::{Cut, Mode},
};
use media::{MediaSpan, Packet, TrackKind};
use proptest::prelude::*;
use support::{Source, demux::Demuxer, demux::Pes, plan, segment_all, segmenter};

const BASE: i64 = 900_000;

fn wire(ticks: i64) -> u64 {
    ((ticks + BASE) as u64) & ((1 << 33) - 1)
}

/// Demuxes a session and checks that every packet came through, in its place, with its times.
#[track_caller]
fn check(packets: &[Packet], segments: &[Segment], has_video: bool, has_audio: bool, rate: u32) {
    let mut demuxer = Demuxer::default();
    let lead = if has_video { TrackKind::Video } else { TrackKind::Audio };
    for (nth, segment) in segments.iter().enumerate() {
        let read = demuxer.segment(&segment.bytes, has_video, has_audio);
        let (from, to) = (segment.start, segments.get(nth + 1).map(|next| next.start));
        if let Some(to) = to {
            assert_eq!(segment.duration, to - from, "duration is next start - start");
        }
        // decode order makes the split of pictures: from this keyframe to the next segment's
        let opens = |at| packets.iter().position(|packet| packet.kind == lead && packet.pts == at);
        let first = opens(from).unwrap();
        let last = to.map_or(packets.len(), |to| opens(to).unwrap());
        let pictures: Vec<&Packet> =
            packets[first..last].iter().filter(|packet| packet.kind == TrackKind::Video).collect();
        let got: Vec<&Pes> = read.iter().filter(|pes| pes.pid == 0x100).collect();
        assert_eq!(got.len(), pictures.len(), "pictures of segment {nth}");
        for (pes, packet) in got.iter().zip(&pictures) {
            assert_eq!((pes.pts, pes.dts), (wire(packet.pts.ticks()), wire(packet.dts.ticks())));
            let sent: Vec<&[u8]> = media::h264::units(&packet.data).collect();
            let units = pes.units();
            let own = units.iter().filter(|unit| !matches!(unit[0] & 31, 7..=9));
            assert!(own.copied().eq(sent), "the same NAL units");
        }
        let sounds: Vec<&Packet> = packets
            .iter()
            .filter(|packet| packet.kind == TrackKind::Audio && packet.pts >= from)
            .filter(|packet| to.is_none_or(|to| packet.pts < to))
            .collect();
        let mut got = vec![];
        for pes in read.iter().filter(|pes| pes.pid == 0x101) {
            for (frame, (raw, ..)) in pes.adts().into_iter().enumerate() {
                got.push((
                    pes.pts as i64 + MediaSpan::from_samples(frame as u64 * 1024, rate).ticks(),
                    raw.to_vec(),
                ));
            }
        }
        assert_eq!(got.len(), sounds.len(), "sounds of segment {nth}");
        for ((pts, raw), packet) in got.iter().zip(&sounds) {
            let off = (*pts & ((1 << 33) - 1)) - wire(packet.pts.ticks()) as i64;
            assert!(off.abs() <= 1, "counted time of a sound is off by {off}");
            assert_eq!(raw, &packet.data);
        }
    }
}

#[track_caller]
fn session(source: &Source) -> (Vec<Cut>, Vec<Segment>) {
    let packets = source.packets();
    let (has_video, has_audio) = (source.frame > 0, source.audio_rate > 0);
    let mut segmenter = segmenter(has_video, has_audio);
    if has_audio {
        segmenter.audio_config(support::audio_config(source.audio_rate));
    }
    let mode = if has_video { Mode::Keyframes } else { Mode::Grid };
    let (cuts, segments) = segment_all(&packets, &mut plan(mode), &mut segmenter);
    check(&packets, &segments, has_video, has_audio, source.audio_rate);
    assert_eq!(segmenter.stats(), hls::segmenter::Stats::default());
    (cuts, segments)
}

#[test]
fn a_plain_session() {
    let (_, segments) = session(&Source { seconds: 20.0, ..Source::default() });
    assert_eq!(segments.len(), 10);
    assert!(segments.iter().all(|segment| segment.duration.ticks() == 180_000));
    assert_eq!(segments[3].unix_micros, support::CLOCK.unix_micros + 6_000_000);
    assert_eq!(segments[9].sequence.0, 109);
}

#[test]
fn b_frames_and_44_1_khz() {
    session(&Source { gop: 61, b_frames: true, audio_rate: 44_100, seconds: 20.33, ..Source::default() });
}

#[test]
fn pictures_alone() {
    session(&Source { audio_rate: 0, ..Source::default() });
}

#[test]
fn sound_alone() {
    for audio_rate in [48_000, 44_100, 22_050] {
        let (_, segments) = session(&Source { frame: 0, audio_rate, ..Source::default() });
        assert!((5..=6).contains(&segments.len()), "the grid may fall before the last frame");
        assert!((segments[1].duration - MediaSpan::from_millis(2000)).abs() < MediaSpan::from_millis(47));
    }
}

#[test]
fn few_frames_a_second_still_have_their_pcr() {
    for frame in [18_000, 45_000, 89_999] {
        session(&Source { frame, gop: 4, seconds: 30.0, ..Source::default() });
        session(&Source { frame, gop: 4, seconds: 30.0, audio_rate: 0, ..Source::default() });
    }
}

#[test]
fn times_wrap_after_26_hours() {
    let start = (1 << 33) - BASE - 5 * 90_000;
    for (frame, b_frames) in [(3000, false), (1500, true), (0, false)] {
        session(&Source { start, frame, b_frames, gop: 61, ..Source::default() });
    }
    session(&Source { start: start * 3, ..Source::default() });
}

#[test]
fn a_discontinuity_is_indicated_once_per_pid() {
    let packets = Source::default().packets();
    let mut plan = plan(Mode::Keyframes);
    plan.break_at_next();
    let (_, segments) = segment_all(&packets, &mut plan, &mut segmenter(true, true));
    let mut demuxer = Demuxer::default();
    for (nth, segment) in segments.iter().enumerate() {
        assert_eq!(segment.discontinuity, nth == 0);
        let read = demuxer.segment(&segment.bytes, true, true);
        for pid in [0x100, 0x101] {
            let flags: Vec<bool> =
                read.iter().filter(|pes| pes.pid == pid).map(|pes| pes.discontinuity).collect();
            assert!(flags[0] == (nth == 0) && !flags[1..].contains(&true));
        }
    }
}

#[test]
fn sound_shares_packets() {
    let packets = Source { sizes: vec![100], ..Source::default() }.packets();
    let (_, segments) = segment_all(&packets, &mut plan(Mode::Keyframes), &mut segmenter(true, true));
    let read = Demuxer::default().segment(&segments[1].bytes, true, true);
    let sounds: Vec<_> = read.iter().filter(|pes| pes.pid == 0x101).collect();
    let frames: usize = sounds.iter().map(|pes| pes.adts().len()).sum();
    assert!(frames / sounds.len() >= 8, "{frames} frames in {} PES", sounds.len());
    assert!(sounds.iter().all(|pes| pes.adts().len() <= 10));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    /// Sizes around every stuffing boundary, any rhythm, any start.
    #[test]
    fn any_session_reads_back(
        sizes in proptest::collection::vec(prop_oneof![8usize..800, 8usize..70_000], 1..40),
        frame in prop_oneof![Just(0i64), 1500i64..10_000, 10_000i64..80_000],
        gop in 3u64..50,
        b_frames in any::<bool>(),
        audio_rate in prop_oneof![Just(48_000u32), Just(44_100), Just(22_050), Just(0)],
        start in -500_000i64..1 << 34,
    ) {
        prop_assume!(frame > 0 || audio_rate > 0);
        let gop = (gop / 3 * 3 + 1).max(4); // whole groups of I (P B B)…
        session(&Source { start, seconds: 7.0, frame, gop, b_frames, audio_rate, sizes });
    }
}

#[test]
fn one_allocation_holds_a_segment_with_little_to_spare() {
    for size in [150, 1_000, 30_000] {
        let packets = Source { sizes: vec![size], ..Source::default() }.packets();
        let (_, segments) = segment_all(&packets, &mut plan(Mode::Keyframes), &mut segmenter(true, true));
        for segment in segments {
            let len = segment.bytes.len();
            let capacity = Vec::from(segment.bytes).capacity();
            assert!(capacity - len <= len / 8, "{capacity} bytes held for {len}");
        }
    }
}
