//! What the segmenter does when the source, an encoder or the sound does not do as it should.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{HashSet, VecDeque};

use hls::{
    Segment,
    cut::{Cut, Mode},
    segmenter::{Segmenter, Stats},
};
use media::{MediaSequence, MediaSpan, MediaTime, Packet, TrackKind};
use proptest::prelude::*;
use support::{CLOCK, Source, demux::Demuxer, picture, plan, segment_all, segmenter};

const SECOND: i64 = 90_000;

fn cut(sequence: u64, at: i64, discontinuity: bool) -> Cut {
    Cut { sequence: MediaSequence(sequence), at: MediaTime::from_ticks(at), discontinuity, clock: CLOCK }
}

fn drain(segmenter: &mut Segmenter) -> Vec<Segment> {
    std::iter::from_fn(|| segmenter.poll()).collect()
}

/// "number start+duration" in milliseconds; `!` a discontinuity, `-` a gap.
fn shape(segments: &[Segment]) -> Vec<String> {
    let one = |segment: &Segment| {
        let marks = [(segment.discontinuity, "!"), (segment.gap, "-")];
        let marks: String = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark).collect();
        format!("{} {}+{}{marks}", segment.sequence, segment.start.ticks() / 90, segment.duration.millis())
    };
    segments.iter().map(one).collect()
}

fn run(packets: &[Packet]) -> (Vec<Segment>, Stats) {
    let mut segmenter = segmenter(true, true);
    let (_, segments) = segment_all(packets, &mut plan(Mode::Keyframes), &mut segmenter);
    let mut demuxer = Demuxer::default();
    for segment in segments.iter().filter(|segment| !segment.gap) {
        demuxer.segment(&segment.bytes, true, true);
    }
    (segments, segmenter.stats())
}

fn without(packets: Vec<Packet>, kind: TrackKind, from: i64, to: i64) -> Vec<Packet> {
    let hit = |packet: &Packet| packet.kind == kind && (from..to).contains(&packet.pts.ticks());
    packets.into_iter().filter(|packet| !hit(packet)).collect()
}

#[test]
fn a_segment_is_out_as_soon_as_sound_reaches_its_end() {
    let packets = Source::default().packets();
    let (mut plan, mut segmenter) = (plan(Mode::Keyframes), segmenter(true, true));
    for packet in packets {
        if packet.kind == TrackKind::Video {
            plan.see(&packet, CLOCK).into_iter().for_each(|cut| segmenter.cut(cut));
        }
        let at = packet.pts;
        segmenter.push(packet);
        if segmenter.poll().is_some() {
            assert!((at - MediaTime::from_ticks(2 * SECOND)).millis() < 25, "{at:?}");
            return;
        }
    }
    panic!("no segment came");
}

#[test]
fn sound_that_stays_away_is_waited_for_once() {
    let packets = without(Source::default().packets(), TrackKind::Audio, 3 * SECOND, 99 * SECOND);
    let mut plan = plan(Mode::Keyframes);
    let mut segmenter = segmenter(true, true);
    let mut out_at = vec![];
    for packet in packets
        .into_iter()
        .filter(|packet| packet.kind == TrackKind::Video || packet.pts.ticks() < 3 * SECOND)
    {
        if packet.kind == TrackKind::Video {
            plan.see(&packet, CLOCK).into_iter().for_each(|cut| segmenter.cut(cut));
        }
        let at = packet.pts.ticks() / 90;
        segmenter.push(packet);
        out_at.extend(drain(&mut segmenter).iter().map(|segment| (segment.sequence.0, at)));
    }
    assert_eq!(out_at, [(100, 2005), (101, 5000), (102, 6000), (103, 8000)]);
    assert_eq!(segmenter.stats().audio_waits, 1);
}

#[test]
fn sound_that_comes_back_is_waited_for_again() {
    let packets = without(Source::default().packets(), TrackKind::Audio, 3 * SECOND, 7 * SECOND);
    let (segments, stats) = run(&packets);
    assert_eq!(segments.len(), 5);
    assert_eq!(stats, Stats { audio_waits: 1, ..Stats::default() });
}

#[test]
fn sound_a_little_late_goes_into_the_next_segment() {
    let mut packets = Source::default().packets();
    let late = |packet: &Packet| {
        packet.kind == TrackKind::Audio && (3 * SECOND..4 * SECOND).contains(&packet.pts.ticks())
    };
    let (held, mut rest): (Vec<_>, Vec<_>) = packets.drain(..).partition(late);
    let back = rest.iter().position(|packet| packet.pts.ticks() >= 51 * SECOND / 10).unwrap();
    let rest_of_sound: Vec<_> = rest
        .extract_if(..back, |packet| packet.kind == TrackKind::Audio && packet.pts.ticks() >= 4 * SECOND)
        .collect();
    let back = rest.iter().position(|packet| packet.pts.ticks() >= 51 * SECOND / 10).unwrap();
    rest.splice(back..back, held.into_iter().chain(rest_of_sound));
    let (segments, stats) = run(&rest);
    assert_eq!(segments.len(), 5);
    assert_eq!(stats.audio_waits, 1);
    // half a second of it is still taken
    assert_eq!(stats.dropped_sounds, 24);
}

#[test]
fn a_hole_ends_the_segment_where_the_pictures_ended() {
    // away from 2.5 s to 7 s; pictures from 7 s to the keyframe at 8 s belong to nothing
    let packets = without(Source::default().packets(), TrackKind::Video, 5 * SECOND / 2, 7 * SECOND);
    let (segments, stats) = run(&packets);
    assert_eq!(shape(&segments), ["100 0+2000", "101 2000+500", "102 8000+2000!"]);
    assert_eq!(stats.dropped_pictures, 30);
    assert_eq!(segments[2].unix_micros - segments[0].unix_micros, 8_000_000);
    // sound of the hole is left out
    let heard: usize = segments
        .iter()
        .flat_map(|segment| Demuxer::default().segment(&segment.bytes, true, true))
        .filter(|pes| pes.pid == 0x101)
        .map(|pes| pes.adts().len())
        .sum();
    assert_eq!(heard as u64 + stats.dropped_sounds, 469);
    assert!((210..213).contains(&heard), "4.5 s of sound: {heard}");
}

#[test]
fn a_break_without_a_hole_loses_nothing() {
    let (mut plan, mut segmenter) = (plan(Mode::Keyframes), segmenter(true, true));
    let mut packets = Source::default().packets();
    let after =
        packets.split_off(packets.iter().position(|packet| packet.pts.ticks() >= 3 * SECOND).unwrap());
    let mut cuts = vec![];
    for packet in packets.into_iter().chain(after) {
        if packet.pts.ticks() == 3 * SECOND {
            plan.break_at_next();
        }
        if packet.kind == TrackKind::Video {
            cuts.extend(plan.see(&packet, CLOCK));
            cuts.drain(..).for_each(|cut| segmenter.cut(cut));
        }
        segmenter.push(packet);
    }
    segmenter.finish();
    let segments = drain(&mut segmenter);
    assert_eq!(shape(&segments)[..4], ["100 0+2000", "101 2000+2000", "102 4000+2000!", "103 6000+2000"]);
    assert_eq!(segmenter.stats(), Stats::default());
}

#[test]
fn a_cut_that_no_keyframe_answers_is_a_gap() {
    let mut segmenter = segmenter(true, false);
    for (sequence, at) in [(5, 0), (6, 2 * SECOND), (7, 4 * SECOND)] {
        segmenter.cut(cut(sequence, at, false));
    }
    for nth in 0..180 {
        segmenter.push(picture(nth, nth as i64 * 3000, nth as i64 * 3000, nth == 0 || nth == 121, 100));
    }
    assert_eq!(segmenter.oldest_unfinished(), Some(MediaSequence(7)));
    segmenter.finish();
    let segments = drain(&mut segmenter);
    assert_eq!(shape(&segments), ["5 0+2000", "6 2000+2033-", "7 4033+1966"]);
    assert!(segments[1].bytes.is_empty());
    assert_eq!((segmenter.stats().gaps, segmenter.stats().dropped_pictures), (1, 61));
    assert_eq!(segmenter.oldest_unfinished(), None);
}

#[test]
fn a_later_cut_replaces_what_was_told_ahead() {
    let mut segmenter = segmenter(true, false);
    segmenter.cut(cut(5, 0, false));
    segmenter.cut(cut(6, 2 * SECOND, false));
    segmenter.cut(cut(6, SECOND, true));
    segmenter.cut(cut(7, 3 * SECOND, false));
    for nth in 0..120 {
        segmenter.push(picture(nth, nth as i64 * 3000, nth as i64 * 3000, nth % 30 == 0, 100));
    }
    segmenter.cut(cut(6, 9 * SECOND, false)); // open already
    segmenter.finish();
    assert_eq!(shape(&drain(&mut segmenter)), ["5 0+1000", "6 1000+2000!", "7 3000+1000"]);
}

#[test]
fn nothing_is_made_of_packets_before_a_cut_or_without_a_configuration() {
    let mut segmenter = Segmenter::new(true, true);
    segmenter.push(picture(0, 0, 0, true, 100));
    segmenter.cut(cut(1, 0, false));
    segmenter.push(picture(0, 0, 0, true, 100));
    segmenter.push(support::sound(0, 0, 100));
    segmenter.finish();
    assert_eq!(drain(&mut segmenter), []);
    assert_eq!(segmenter.stats(), Stats { dropped_pictures: 2, dropped_sounds: 1, ..Stats::default() });
}

#[test]
fn one_segment_takes_a_minute_at_most() {
    let mut segmenter = segmenter(true, false);
    segmenter.cut(cut(1, 0, false));
    for nth in 0..40_000 {
        segmenter.push(picture(nth, nth as i64 * 3000, nth as i64 * 3000, nth == 0, 100));
    }
    segmenter.finish();
    assert_eq!(shape(&drain(&mut segmenter)), ["1 0+60033"]);
}

#[test]
fn a_new_configuration_is_written_from_its_keyframe_on() {
    let mut segmenter = segmenter(true, false);
    segmenter.cut(cut(1, 0, false));
    segmenter.push(picture(0, 0, 0, true, 100));
    let mut config = support::video_config().h264().unwrap().clone();
    config.pps_units = vec![vec![0x68, 0xEE, 0x06, 0xE2, 0xC0].into()];
    segmenter.video_config(std::sync::Arc::new(media::VideoConfig::H264(config.clone())));
    segmenter.push(picture(1, 3000, 3000, true, 100));
    segmenter.finish();
    let segments = drain(&mut segmenter);
    let read = Demuxer::default().segment(&segments[0].bytes, true, false);
    assert_eq!(read[0].units()[2], support::PPS);
    assert_eq!(read[1].units()[2], config.pps_units[0]);
}

#[test]
fn after_a_finish_counters_go_on() {
    let packets = Source::default().packets();
    let (mut plan, mut segmenter) = (plan(Mode::Keyframes), segmenter(true, true));
    let (_, mut segments) = segment_all(&packets, &mut plan, &mut segmenter);
    plan.end();
    let shifted: Vec<_> =
        packets.into_iter().map(|packet| packet.shifted(MediaSpan::from_millis(60_000))).collect();
    segments.extend(segment_all(&shifted, &mut plan, &mut segmenter).1);
    assert_eq!(segments.len(), 10);
    assert_eq!(shape(&segments)[5], "105 60000+2000!");
    let mut demuxer = Demuxer::default();
    for segment in &segments {
        demuxer.segment(&segment.bytes, true, true);
    }
}

#[test]
fn renditions_agree_however_late_one_is() {
    let source = Source { seconds: 20.0, audio_rate: 0, ..Source::default() };
    let packets = without(source.packets(), TrackKind::Video, 700_000, 900_000);
    for mode in [Mode::Keyframes, Mode::Grid] {
        let mut plan = plan(mode);
        let (mut prompt, mut late) = (segmenter(true, false), segmenter(true, false));
        let mut waiting = VecDeque::new();
        for packet in &packets {
            for cut in plan.see(packet, CLOCK) {
                prompt.cut(cut);
                late.cut(cut);
            }
            // on the grid, encoders make an IDR wherever one is asked for: here, everywhere
            let packet = Packet { keyframe: packet.keyframe || mode == Mode::Grid, ..packet.clone() };
            prompt.push(packet.clone());
            waiting.push_back(packet);
            if waiting.len() > 150 {
                waiting.pop_front().into_iter().for_each(|packet| late.push(packet));
            }
        }
        waiting.into_iter().for_each(|packet| late.push(packet));
        prompt.finish();
        late.finish();
        let (prompt, late) = (drain(&mut prompt), drain(&mut late));
        assert_eq!(shape(&prompt), shape(&late));
        assert_eq!(prompt.iter().filter(|segment| segment.discontinuity).count(), 1, "the hole");
        assert!(prompt.iter().all(|segment| !segment.gap && segment.duration.millis() < 2500));
    }
}

/// Plays a session in which the encoder dies after `after` packets, and all packets from the keyframe of the first
/// unfinished segment on (and the sound a little before it) come again.
fn with_a_rewind(source: &Source, after: usize) -> (Vec<Segment>, Stats) {
    let packets = source.packets();
    let (mut plan, mut segmenter) = (plan(Mode::Keyframes), segmenter(true, true));
    let mut starts = vec![];
    let mut segments = vec![];
    let after = after % packets.len();
    for packet in &packets[..after] {
        if packet.kind == TrackKind::Video {
            for cut in plan.see(packet, CLOCK) {
                starts.push((cut.sequence, cut.at));
                segmenter.cut(cut);
            }
        }
        segmenter.push(packet.clone());
        segments.extend(drain(&mut segmenter));
    }
    let again = segmenter.rewind();
    let from =
        again.and_then(|again| starts.iter().find(|(sequence, _)| *sequence == again)).map(|(_, at)| *at);
    let early = MediaSpan::from_millis(100);
    let replay = packets[..after].iter().filter(|packet| match packet.kind {
        TrackKind::Video => from.is_none_or(|from| packet.pts >= from),
        TrackKind::Audio => from.is_none_or(|from| packet.pts >= from - early),
    });
    for packet in replay {
        segmenter.push(packet.clone());
        segments.extend(drain(&mut segmenter));
    }
    for packet in &packets[after..] {
        if packet.kind == TrackKind::Video {
            plan.see(packet, CLOCK).into_iter().for_each(|cut| segmenter.cut(cut));
        }
        segmenter.push(packet.clone());
        segments.extend(drain(&mut segmenter));
    }
    segmenter.finish();
    segments.extend(drain(&mut segmenter));
    (segments, segmenter.stats())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_rewind_leaves_no_trace(after in 0usize..800, b_frames in any::<bool>()) {
        let source = Source { gop: 61, b_frames, ..Source::default() };
        let (_, want) = segment_all(&source.packets(), &mut plan(Mode::Keyframes), &mut segmenter(true, true));
        let (got, _) = with_a_rewind(&source, after);
        prop_assert_eq!(&got, &want);
    }

    /// Whatever is lost on the way, what comes out is legal, in order, and holds no frame twice.
    #[test]
    fn losses_never_break_the_rules(
        lost in proptest::collection::hash_set(0usize..800, 0..400),
        holes in proptest::collection::vec((0i64..12, 0i64..4, any::<bool>()), 0..3),
        b_frames in any::<bool>(),
    ) {
        let mut packets = Source { gop: 31, b_frames, seconds: 12.0, ..Source::default() }.packets();
        for (from, len, video) in holes {
            let kind = if video { TrackKind::Video } else { TrackKind::Audio };
            packets = without(packets, kind, from * SECOND, (from + len) * SECOND);
        }
        let packets: Vec<_> = packets
            .into_iter()
            .enumerate()
            .filter(|(nth, packet)| packet.keyframe && packet.kind == TrackKind::Video || !lost.contains(nth))
            .map(|(_, packet)| packet)
            .collect();
        prop_assume!(packets.iter().any(|packet| packet.kind == TrackKind::Video && packet.keyframe));
        let (segments, _) = run(&packets);
        let mut seen = HashSet::new();
        let mut demuxer = Demuxer::default();
        for (nth, segment) in segments.iter().enumerate() {
            prop_assert_eq!(segment.sequence.0, 100 + nth as u64);
            prop_assert!(segment.duration > MediaSpan::ZERO);
            if let Some(next) = segments.get(nth + 1) {
                prop_assert!(segment.end() <= next.start);
                prop_assert!(next.discontinuity || segment.end() == next.start);
            }
            for pes in demuxer.segment(&segment.bytes, true, true) {
                if pes.pid == 0x101 {
                    for (raw, ..) in pes.adts() {
                        prop_assert!(seen.insert(raw[..8].to_vec()), "a sound came twice");
                    }
                }
            }
        }
    }
}

#[test]
fn what_stopped_becomes_gaps_and_begins_again_at_a_cut() {
    let packets = Source { audio_rate: 0, seconds: 20.0, ..Source::default() }.packets();
    let (mut plan, mut segmenter) = (plan(Mode::Keyframes), segmenter(true, false));
    let away = |pts: i64| (5 * SECOND..11 * SECOND).contains(&(pts - packets[0].pts.ticks()));
    let mut segments = Vec::new();
    for packet in &packets {
        plan.see(packet, CLOCK).into_iter().for_each(|cut| segmenter.cut(cut));
        if away(packet.pts.ticks()) {
            // the open segment is the one before the next
            segmenter.give_up(MediaSequence(plan.next_sequence().0.saturating_sub(1)));
        } else {
            segmenter.push(packet.clone());
        }
        segments.extend(drain(&mut segmenter));
    }
    segmenter.finish();
    segments.extend(drain(&mut segmenter));
    let numbers: Vec<u64> =
        segments.iter().map(|segment| segment.sequence.0 - segments[0].sequence.0).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "{:?}", shape(&segments));
    let gaps: Vec<u64> =
        numbers.iter().copied().zip(&segments).filter(|(_, s)| s.gap).map(|(n, _)| n).collect();
    assert!(!gaps.is_empty() && gaps.windows(2).all(|two| two[1] == two[0] + 1), "{:?}", shape(&segments));
    for segment in segments.iter().filter(|segment| segment.gap) {
        assert!((1900..2100).contains(&segment.duration.millis()), "{:?}", shape(&segments));
    }
}
