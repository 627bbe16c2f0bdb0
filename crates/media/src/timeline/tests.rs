use super::*;

const MS: i64 = 90;
const V: TrackId = TrackId(0);

/// Feeds 25 fps stamps and returns the DTS in milliseconds, with the number of breaks.
fn video(stamps: &[u32]) -> (Vec<i64>, usize, Repairs) {
    let mut timeline = Timeline::new();
    let mut breaks = 0;
    let out = stamps.iter().map(|stamp| {
        let placed = timeline.video(V, WireMillis(*stamp), 0, 0);
        breaks += usize::from(placed.broke.is_some());
        placed.dts.ticks() / MS
    });
    let out = out.collect();
    (out, breaks, timeline.repairs())
}

#[test]
fn video_stamps_are_unwrapped_and_repaired() {
    for (name, stamps, want, breaks) in [
        ("plain", vec![0, 40, 80], vec![0, 40, 80], 0),
        ("starts anywhere", vec![20_000_000, 20_000_040], vec![0, 40], 0),
        ("wraps at 2^32", vec![u32::MAX - 39, 0, 40], vec![0, 40, 80], 0),
        ("passes 2^31", vec![0x7FFF_FFF0, 0x8000_0018], vec![0, 40], 0),
        ("equal stamps", vec![0, 0, 40], vec![0, 0, 40], 0),
        ("one glitch forward", vec![0, 40, 86_400_000, 120, 160], vec![0, 40, 80, 120, 160], 0),
        ("a day forward", vec![0, 40, 86_400_000, 86_400_040, 86_400_080], vec![0, 40, 80, 120, 160], 1),
        ("reset to zero", vec![500_000, 500_040, 0, 40, 80], vec![0, 40, 80, 120, 160], 1),
        ("a pause is kept", vec![0, 40, 5_040], vec![0, 40, 5_040], 0),
    ] {
        let (got, broke, _) = video(&stamps);
        assert_eq!((got, broke), (want, breaks), "{name}");
    }
}

#[test]
fn a_jump_on_both_tracks_keeps_their_distance() {
    let mut timeline = Timeline::new();
    let mut breaks = 0;
    let mut offsets = vec![];
    for frame in 0..200u32 {
        let jump = if frame < 100 { 0 } else { 86_400_000 };
        let sound = timeline.audio(V, WireMillis(frame * 20 + jump), 0, 960, 48_000).unwrap();
        let picture = timeline.video(V, WireMillis(frame * 20 + jump), 0, 0);
        breaks += usize::from(sound.broke.is_some()) + usize::from(picture.broke.is_some());
        offsets.push((sound.pts - picture.pts).millis());
    }
    assert_eq!(breaks, 1);
    assert!(offsets.iter().all(|offset| offset.abs() <= 1), "{offsets:?}");
}

#[test]
fn one_track_reset_does_not_move_the_other() {
    let mut timeline = Timeline::new();
    let mut last = (0, 0);
    for frame in 0..300u32 {
        let sound = timeline
            .audio(
                V,
                WireMillis(if frame < 150 { 900_000 + frame * 20 } else { (frame - 150) * 20 }),
                0,
                960,
                48_000,
            )
            .unwrap();
        let picture = timeline.video(V, WireMillis(900_000 + frame * 20), 0, 0);
        last = (sound.pts.ticks() / MS, picture.pts.ticks() / MS);
    }
    assert!((last.0 - last.1).abs() <= 25, "{last:?}");
}

#[test]
fn audio_runs_on_its_samples() {
    let mut timeline = Timeline::new();
    let mut last = None;
    for frame in 0..10_000u64 {
        let exact = frame * 1024 * 1000 / 44_100;
        let jitter = [0, 1, 0, 3][frame as usize % 4];
        let placed = timeline.audio(V, WireMillis((exact + jitter) as u32), 0, 1024, 44_100).unwrap();
        assert_eq!(placed.pts, MediaTime::ZERO + MediaSpan::from_samples(frame * 1024, 44_100));
        last = Some(placed);
    }
    assert!(last.is_some());
    assert_eq!(timeline.repairs(), Repairs::default());
}

#[test]
fn audio_is_anchored_anew_after_a_hole() {
    let mut timeline = Timeline::new();
    // The first packet after the hole may be a stray stamp; the second proves the hole.
    for (wire, want) in [(0, 0), (21, 1920), (43, 3840), (500, 5760), (521, 521 * MS), (543, 521 * MS + 1920)]
    {
        assert_eq!(timeline.audio(V, WireMillis(wire), 0, 1024, 48_000).unwrap().pts.ticks(), want);
    }
    assert_eq!(timeline.repairs().audio_reanchored, 1);
}

#[test]
fn single_late_stamps_tear_no_hole_into_the_sound() {
    let mut timeline = Timeline::new();
    for frame in 0..500u64 {
        let late = if frame % 50 == 7 { 30 } else { 0 };
        let placed =
            timeline.audio(V, WireMillis((frame * 1024 / 48 + late) as u32), 0, 1024, 48_000).unwrap();
        assert_eq!(placed.pts.ticks(), frame as i64 * 1920);
    }
    assert_eq!(timeline.repairs(), Repairs::default());
}

#[test]
fn a_lasting_drift_is_followed() {
    let mut timeline = Timeline::new();
    for frame in 0..100u64 {
        let off = if frame < 50 { 0 } else { 60 };
        let placed =
            timeline.audio(V, WireMillis((frame * 1024 / 48 + off) as u32), 0, 1024, 48_000).unwrap();
        if frame > 60 {
            assert!((placed.pts.ticks() - (frame as i64 * 1920 + 60 * MS)).abs() <= 90, "{frame}");
        }
    }
    assert_eq!(timeline.repairs().audio_reanchored, 1);
}

#[test]
fn sound_that_runs_ahead_is_brought_back_without_overlap() {
    let mut timeline = Timeline::new();
    let mut last: Option<MediaTime> = None;
    for frame in 0..200u64 {
        // After a loop of its source the sound is stamped 42 ms earlier than its samples say.
        let back = if frame < 50 { 0 } else { 42 };
        let wire = (frame * 1024 / 48 - back) as u32;
        let Some(placed) = timeline.audio(V, WireMillis(wire), 0, 1024, 48_000) else { continue };
        if let Some(last) = last {
            assert_eq!((placed.pts - last).ticks(), 1920, "{frame}");
        }
        if frame > 70 {
            assert!((placed.pts.ticks() - i64::from(wire) * MS).abs() <= 1920, "{frame}");
        }
        last = Some(placed.pts);
    }
    assert_eq!(timeline.repairs().audio_left_out, 2);
}

#[test]
fn composition_times_may_be_negative() {
    let mut timeline = Timeline::new();
    timeline.video(V, WireMillis(0), 0, 0);
    let placed = timeline.video(V, WireMillis(40), -20, 0);
    assert!(placed.pts >= placed.dts);
}

proptest::proptest! {
    #[test]
    fn output_times_rise(stamps in proptest::collection::vec((proptest::prelude::any::<u32>(), -100i32..1000, proptest::prelude::any::<bool>()), 1..100)) {
        let mut timeline = Timeline::new();
        let mut last = [None; 2];
        for (stamp, composition, sound) in stamps {
            let placed = if sound { timeline.audio(V, WireMillis(stamp), 0, 1024, 44_100) } else { Some(timeline.video(V, WireMillis(stamp), composition, 0)) };
            let Some(placed) = placed else { continue };
            proptest::prop_assert!(placed.pts >= placed.dts);
            if let Some(last) = last[usize::from(sound)] { proptest::prop_assert!(placed.dts > last); }
            last[usize::from(sound)] = Some(placed.dts);
        }
    }
}

/// One message of a table: which track, its stamp.
#[derive(Clone, Copy, Debug)]
enum Tag {
    Video(u8, u32),
    Audio(u8, u32),
}

/// Feeds messages (sound in packets of 20 ms) and returns each one's milliseconds, the breaks, and the repairs.
fn place(tags: &[Tag]) -> (Vec<Option<i64>>, usize, Repairs) {
    let (mut timeline, mut breaks) = (Timeline::new(), 0);
    let mut out = vec![];
    for tag in tags {
        let placed = match *tag {
            Tag::Video(track, wire) => Some(timeline.video(TrackId(track), WireMillis(wire), 0, 0)),
            Tag::Audio(track, wire) => timeline.audio(TrackId(track), WireMillis(wire), 0, 960, 48_000),
        };
        breaks += usize::from(placed.is_some_and(|placed| placed.broke.is_some()));
        out.push(placed.map(|placed| placed.dts.ticks() / MS));
    }
    (out, breaks, timeline.repairs())
}

#[test]
fn each_fault_is_repaired_and_counted() {
    use Tag::{Audio as A, Video as V};
    let none = Repairs::default();
    let day = 86_400_000;
    for (name, tags, want, breaks, repairs) in [
        ("nothing wrong", vec![V(0, 0), A(0, 0), V(0, 20), A(0, 20)], vec![0, 0, 20, 20], 0, none),
        (
            "24-bit clocks wrap on both tracks",
            vec![V(0, 0xFF_FFF0), A(0, 0xFF_FFF0), V(0, 4), A(0, 4)],
            vec![0, 0, 20, 20],
            0,
            Repairs { wrapped: 2, ..none },
        ),
        (
            "the 33-bit clock behind it wraps",
            vec![V(0, 95_443_708), V(0, 10), V(0, 30)],
            vec![0, 20, 40],
            0,
            Repairs { wrapped: 1, ..none },
        ),
        (
            "RTMP's own clock wraps",
            vec![V(0, u32::MAX - 9), V(0, 10), V(0, 30)],
            vec![0, 20, 40],
            0,
            Repairs { wrapped: 1, ..none },
        ),
        (
            "a track begins on a clock of its own",
            vec![V(0, 500_000), V(0, 500_040), A(0, 0), A(0, 20)],
            vec![0, 40, 40, 60],
            0,
            Repairs { aligned: 1, ..none },
        ),
        (
            "a track that begins late stands where it says",
            vec![V(0, 0), V(0, 5_000), A(0, 4_900), A(0, 4_920)],
            vec![0, 5_000, 4_900, 4_920],
            0,
            none,
        ),
        (
            "a track begins after another has been rebased",
            vec![V(0, day), V(0, day + 40), V(0, 0), V(0, 40), A(0, 40), A(0, 60)],
            vec![0, 40, 80, 120, 120, 140],
            1,
            Repairs { restamped: 1, rebased: 1, ..none },
        ),
        (
            "equal stamps, and one before",
            vec![V(0, 0), V(0, 0), V(0, 40), V(0, 30), V(0, 80)],
            vec![0, 0, 40, 40, 80],
            0,
            Repairs { nudged: 2, ..none },
        ),
        (
            "one stray stamp",
            vec![V(0, 0), V(0, 40), V(0, day), V(0, 120)],
            vec![0, 40, 80, 120],
            0,
            Repairs { restamped: 1, ..none },
        ),
        (
            "a further track follows in silence",
            vec![
                V(0, 0),
                V(1, 0),
                V(0, 40),
                V(1, 40),
                V(1, day),
                V(1, day + 40),
                V(0, day),
                V(0, day + 40),
                V(0, day + 80),
                V(1, day + 80),
            ],
            vec![0, 0, 40, 40, 80, 120, 80, 120, 160, 160],
            1,
            Repairs { restamped: 2, rebased: 2, ..none },
        ),
        (
            "a further track's own reset is no break",
            vec![
                V(0, 90_000),
                V(1, 90_000),
                V(0, 90_040),
                V(1, 90_040),
                V(1, 0),
                V(1, 40),
                V(0, 90_080),
                V(1, 80),
            ],
            vec![0, 0, 40, 40, 80, 120, 80, 160],
            0,
            Repairs { restamped: 1, rebased: 1, ..none },
        ),
    ] {
        let want: Vec<_> = want.into_iter().map(Some).collect();
        assert_eq!(place(&tags), (want, breaks, repairs), "{name}");
    }
}

#[test]
fn nanoseconds_are_added_to_the_time_of_showing() {
    let mut timeline = Timeline::new();
    let placed = timeline.video(V, WireMillis(0), 0, 500_000);
    assert_eq!((placed.dts.ticks(), placed.pts.ticks()), (0, 45));
    let placed = timeline.video(V, WireMillis(40), 10, 999_999);
    assert_eq!((placed.dts.ticks(), placed.pts.ticks()), (40 * MS, 50 * MS + 89));
}

#[test]
fn sound_that_changes_its_coding_is_counted_from_its_next_stamp() {
    let mut timeline = Timeline::new();
    timeline.audio(V, WireMillis(0), 0, 960, 48_000);
    timeline.restart_sound(V);
    let placed = timeline.audio(V, WireMillis(61), 0, 960, 48_000).unwrap();
    assert_eq!((placed.pts.ticks(), timeline.repairs()), (61 * MS, Repairs::default()));
}

#[test]
fn every_repair_has_a_row() {
    let mut sum =
        Repairs { wrapped: 1, restamped: 2, rebased: 3, aligned: 4, nudged: 5, ..Repairs::default() };
    (sum.reordered, sum.audio_reanchored, sum.audio_left_out) = (6, 7, 8);
    assert_eq!(sum.rows().map(|(_, count)| count), [1, 2, 3, 4, 5, 6, 7, 8]);
    sum += sum;
    assert_eq!(sum.rows().map(|(_, count)| count), [2, 4, 6, 8, 10, 12, 14, 16]);
}

/// Ends of senders' clocks, in milliseconds.
const CLOCKS: [u64; 5] = [1 << 24, 47_721_859, 1 << 31, 95_443_718, 1 << 32];

proptest::proptest! {
    /// A clock of any length, started anywhere near its end, gives the same times as one that never ends.
    #[test]
    fn clocks_of_any_length_wrap_without_a_seam(
        clock in 0usize..5, before in 0u64..5_000, steps in proptest::collection::vec(1u64..1_000, 1..60)
    ) {
        let end = CLOCKS[clock];
        let (mut timeline, mut at, start) = (Timeline::new(), end - 1 - before, end - 1 - before);
        for step in std::iter::once(0).chain(steps) {
            at += step;
            let placed = timeline.video(V, WireMillis((at % end) as u32), 0, 0);
            proptest::prop_assert_eq!(placed.dts.ticks() / MS, (at - start) as i64);
            proptest::prop_assert_eq!(placed.broke, None);
        }
        let wraps = u64::from(at >= end);
        proptest::prop_assert_eq!(timeline.repairs(), Repairs { wrapped: wraps, ..Repairs::default() });
    }

    /// A jump on all tracks keeps them together: one break, and nobody moves against another.
    #[test]
    fn tracks_that_jump_together_stay_together(
        jump in proptest::prop_oneof![-40_000_000i64..-3_000, 20_000i64..40_000_000], at in 2i64..20, tracks in 1u8..4
    ) {
        let (mut timeline, mut breaks) = (Timeline::new(), 0);
        for frame in 0..40i64 {
            let wire = (50_000_000 + frame * 40 + if frame < at { 0 } else { jump }) as u32;
            let mut seen = vec![];
            for track in 0..tracks {
                let placed = timeline.video(TrackId(track), WireMillis(wire), 0, 0);
                breaks += usize::from(placed.broke.is_some());
                seen.push(placed.dts.ticks() / MS);
            }
            proptest::prop_assert!(seen.iter().all(|ms| (ms - frame * 40).abs() <= 1), "{frame}: {seen:?}");
        }
        proptest::prop_assert_eq!(breaks, 1);
        proptest::prop_assert_eq!(timeline.repairs().rebased, u64::from(tracks));
    }

    /// One track's resets leave the others exactly where they were.
    #[test]
    fn one_tracks_resets_do_not_move_the_others(resets in proptest::collection::vec(3usize..30, 1..5)) {
        let (mut alone, mut beside) = (Timeline::new(), Timeline::new());
        let mut own = 0u32;
        for frame in 0..150u32 {
            let wire = WireMillis(7_000_000 + frame * 40);
            own = if resets.iter().any(|at| frame as usize % (at + 30) == *at) { 0 } else { own + 40 };
            let placed = beside.video(V, wire, 0, 0);
            beside.audio(V, WireMillis(own), 0, 1920, 48_000);
            proptest::prop_assert_eq!(placed.dts, alone.video(V, wire, 0, 0).dts);
        }
    }

    /// Stamps that stand still or step back are moved up by a tick each, and by no more.
    #[test]
    fn stamps_that_do_not_rise_are_nudged(steps in proptest::collection::vec(-40i64..80, 1..100)) {
        let (mut timeline, mut at) = (Timeline::new(), 100_000i64);
        let (mut last, mut nudged) = (None, 0);
        for step in steps {
            at += step;
            let placed = timeline.video(V, WireMillis(at as u32), 0, 0).dts;
            nudged += u64::from(last.is_some_and(|last: MediaTime| placed.ticks() == last.ticks() + 1));
            last = Some(placed);
        }
        proptest::prop_assert_eq!(timeline.repairs(), Repairs { nudged, ..Repairs::default() });
    }

    /// Sound in packets of any length runs on its samples however its stamps jitter, and loses nothing.
    #[test]
    fn sound_of_any_packet_length_runs_on_its_samples(
        packets in proptest::collection::vec((120u32..5760, 0u32..2), 1..200)
    ) {
        let (mut timeline, mut samples) = (Timeline::new(), 0u64);
        for (len, jitter) in packets {
            let wire = (samples / 48) as u32 + jitter;
            let placed = timeline.audio(V, WireMillis(9_000 + wire), 0, len, 48_000);
            let first = placed.is_some_and(|placed| placed.pts == MediaTime::ZERO);
            let start = MediaSpan::from_samples(samples, 48_000);
            let off = placed.map(|placed| (placed.pts - MediaTime::ZERO - start).ticks().abs());
            proptest::prop_assert!(first || off.is_some_and(|off| off <= 2 * MS), "{off:?}");
            samples += u64::from(len);
        }
        proptest::prop_assert_eq!(timeline.repairs(), Repairs::default());
    }
}
