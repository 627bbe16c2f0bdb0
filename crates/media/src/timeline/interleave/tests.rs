use bytes::Bytes;

use super::*;

fn packet(kind: TrackKind, track: u8, ms: i64) -> Packet {
    let at = MediaTime::ZERO + MediaSpan::from_millis(ms);
    Packet { track: TrackId(track), kind, pts: at, dts: at, keyframe: true, data: Bytes::new() }
}

fn video(ms: i64) -> Packet {
    packet(TrackKind::Video, 0, ms)
}

fn audio(ms: i64) -> Packet {
    packet(TrackKind::Audio, 0, ms)
}

/// What comes out, as `(is video, milliseconds)`, and how much in milliseconds of the stream each packet was held.
fn run(packets: impl IntoIterator<Item = Packet>) -> (Vec<(bool, i64)>, i64, u64) {
    let (mut order, mut out, mut told, mut held) = (Interleave::default(), VecDeque::new(), vec![], 0);
    for packet in packets {
        let (kind, track, now) = (packet.kind, packet.track, packet.dts);
        order.push(packet, &mut out);
        assert!(order.held() <= MAX_HELD);
        for event in out.drain(..) {
            let MediaEvent::Packet(packet) = event else { panic!() };
            if (packet.kind, packet.track) == (kind, track) {
                held = held.max((now - packet.dts).millis());
            }
            told.push((packet.kind == TrackKind::Video, packet.dts.ticks() / 90));
        }
    }
    order.flush(&mut out);
    let rest = out.iter().filter_map(|event| match event {
        MediaEvent::Packet(packet) => Some((packet.kind == TrackKind::Video, packet.dts.ticks() / 90)),
        _ => None,
    });
    told.extend(rest);
    (told, held, order.reordered())
}

/// Sound and pictures of 20 s, each packet as soon as its time has come, sound `late_ms` after the pictures.
fn pair(step_video: i64, step_audio: i64, late_ms: i64) -> Vec<Packet> {
    let mut all: Vec<(i64, Packet)> =
        (0..20_000 / step_video).map(|n| (n * step_video, video(n * step_video))).collect();
    all.extend((0..20_000 / step_audio).map(|n| (n * step_audio + late_ms, audio(n * step_audio))));
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, packet)| packet).collect()
}

#[test]
fn well_interleaved_streams_are_not_held() {
    for (name, packets) in [
        ("the usual", pair(33, 21, 0)),
        ("sound 400 ms late", pair(33, 21, 400)),
        ("sound 400 ms ahead", pair(33, 21, -400)),
        ("one picture a second", pair(1000, 21, 0)),
        ("a picture every five seconds", pair(5000, 21, 0)),
        ("long packets of sound", pair(40, 500, 0)),
        ("pictures alone", pair(40, 20_000, 0)),
    ] {
        let (told, held, reordered) = run(packets.clone());
        let want: Vec<_> = packets.iter().map(|p| (p.kind == TrackKind::Video, p.dts.ticks() / 90)).collect();
        assert_eq!((told, held, reordered), (want, 0, 0), "{name}");
    }
}

#[test]
fn a_track_that_runs_ahead_waits_until_the_other_is_near() {
    for late in [900, 1400, -900, -1400] {
        let packets = pair(33, 21, late);
        let count = packets.len();
        let (told, held, reordered) = run(packets);
        assert_eq!(told.len(), count, "{late}");
        assert!(held <= WINDOW.millis() + 40, "{late}: held {held} ms");
        assert!(reordered > 0, "{late}");
        let mut newest = [0, 0];
        let mut worst = 0;
        for (nth, (is_video, ms)) in told.iter().enumerate() {
            newest[usize::from(*is_video)] = *ms;
            if nth > 200 && nth < count - 200 {
                worst = worst.max((newest[0] - newest[1]).abs());
            }
        }
        assert!(worst <= TOLERANCE.millis() + 60, "{late}: {worst} ms apart");
    }
}

#[test]
fn bursts_come_out_in_order() {
    // 800 ms of sound, then 800 ms of pictures, as mobile libraries write them
    let packets = (0..20).flat_map(|burst| {
        let sound = (0..40).map(move |n| audio(burst * 800 + n * 20));
        sound.chain((0..20).map(move |n| video(burst * 800 + n * 40)))
    });
    let (told, held, _) = run(packets);
    assert_eq!(told.len(), 1200);
    assert!(held <= WINDOW.millis() + 40);
    for kind in [false, true] {
        assert!(told.iter().filter(|(is, _)| *is == kind).map(|(_, ms)| ms).is_sorted());
    }
}

#[test]
fn a_track_that_ends_holds_the_others_once_and_not_again() {
    let (told, held, reordered) =
        run((0..250).flat_map(|n| [Some(video(n * 40)), (n < 50).then(|| audio(n * 40))]).flatten());
    assert_eq!(told.len(), 300);
    assert!(held <= WINDOW.millis() + 40, "{held}");
    assert!(reordered < 30, "{reordered}");
}

#[test]
fn a_track_a_minute_ahead_is_held_for_the_window() {
    let packets = (0..500).flat_map(|n| [video(n * 40), audio(60_000 + n * 40)]);
    let (told, held, _) = run(packets);
    assert_eq!(told.len(), 1000);
    assert!(held <= WINDOW.millis() + 40, "{held}");
}

#[test]
fn further_tracks_count_too() {
    let packets = (0..500).flat_map(|n| {
        [
            video(n * 40 + 700),
            audio(n * 40),
            packet(TrackKind::Video, 1, n * 40),
            packet(TrackKind::Audio, 3, n * 40),
        ]
    });
    let (told, _, reordered) = run(packets);
    assert_eq!(told.len(), 2000);
    assert!(reordered > 0);
}

proptest::proptest! {
    #[test]
    fn nothing_is_lost_or_swapped_within_a_track(
        steps in proptest::collection::vec((0usize..4, 1i64..3000), 1..600)
    ) {
        let mut at = [0i64; 4];
        let packets: Vec<_> = steps.into_iter().map(|(lane, step)| {
            at[lane] += step;
            let kind = if lane % 2 == 0 { TrackKind::Video } else { TrackKind::Audio };
            packet(kind, (lane / 2) as u8, at[lane])
        }).collect();
        let (mut order, mut out) = (Interleave::default(), VecDeque::new());
        for packet in packets.clone() {
            order.push(packet, &mut out);
            proptest::prop_assert!(order.held() <= MAX_HELD);
        }
        order.flush(&mut out);
        for kind in [TrackKind::Video, TrackKind::Audio] {
            for track in 0..2 {
                let of = |packet: &&Packet| packet.kind == kind && packet.track == TrackId(track);
                let came: Vec<_> = packets.iter().filter(of).cloned().collect();
                let told: Vec<_> = out.iter().filter_map(|event| match event {
                    MediaEvent::Packet(packet) => Some(packet),
                    _ => None,
                }).filter(of).cloned().collect();
                proptest::prop_assert_eq!(told, came);
            }
        }
    }
}
