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
