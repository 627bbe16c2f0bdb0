//! Several tracks through the packager.

use bytes::Bytes;
use hls::presentation::Settings;
use media::{Epoch, MediaEvent, aac, h264};
use transcode::{
    ladder::{self, Wishes},
    source::Probe,
};

use super::*;

/// x264, 1280x720, High@3.1, 30 fps.
const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
];
const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
const FIRST: MediaSequence = MediaSequence(100);

fn configs() -> Vec<MediaEvent> {
    let units = |unit: &'static [u8]| vec![Bytes::from_static(unit)];
    let video = Arc::new(VideoConfig::H264(h264::Config::from_units(units(SPS), units(PPS)).unwrap()));
    let audio = Arc::new(AudioConfig::Aac(aac::Config::lc(48_000, 2).unwrap()));
    (0..2)
        .flat_map(|track| {
            [
                MediaEvent::VideoConfig(TrackId(track), video.clone()),
                MediaEvent::AudioConfig(TrackId(track), audio.clone()),
            ]
        })
        .collect()
}

fn packet(kind: TrackKind, track: u8, ticks: i64, keyframe: bool, size: usize) -> Packet {
    let at = MediaTime::from_ticks(ticks);
    let mut data = vec![0xA5; size];
    if kind == TrackKind::Video {
        data[..4].copy_from_slice(&(size as u32 - 4).to_be_bytes());
        data[4] = if keyframe { 0x65 } else { 0x41 };
    }
    Packet { track: TrackId(track), kind, pts: at, dts: at, keyframe, data: data.into() }
}

/// 30 frames and 47 sounds a second of two tracks each, keyframes every two seconds. Track 1's pictures come before
/// track 0's and are stamped a millisecond earlier, and its sound comes half a second early. `silent` says from when to
/// when, in seconds, track 1's pictures and sound stay away.
fn packets(seconds: i64, silent: std::ops::Range<i64>) -> Vec<Packet> {
    let mut packets = Vec::new();
    let there = |ticks: i64| !(silent.start * 90_000..silent.end * 90_000).contains(&ticks);
    for frame in 0..seconds * 30 {
        let (at, key) = (frame * 3000, frame % 60 == 0);
        if there(at) {
            packets.push((2 * frame, packet(TrackKind::Video, 1, at + 90_000 - 90, key, 600)));
        }
        packets.push((2 * frame + 1, packet(TrackKind::Video, 0, at + 90_000, key, 1200)));
    }
    for nth in 0..seconds * 90_000 / 1920 {
        let at = nth * 1920;
        packets.push((2 * (at / 3000) + 1, packet(TrackKind::Audio, 0, at + 90_000, true, 300)));
        if there(at) {
            packets.push((2 * (at / 3000 - 15), packet(TrackKind::Audio, 1, at + 90_000, true, 200)));
        }
    }
    packets.sort_by_key(|(order, _)| *order);
    packets.into_iter().map(|(_, packet)| packet).collect()
}

/// Packages everything as one publication; no rung is encoded.
fn packaged(packets: &[Packet]) -> Packager {
    let wishes = Wishes { max_rungs: 1, ..Wishes::default() };
    let mut probe = Probe::new(&wishes);
    configs().iter().for_each(|event| probe.see(event));
    let mut seen = packets.iter();
    let source = loop {
        if let Some(verdict) = probe.verdict() {
            break verdict.unwrap();
        }
        probe.see(&MediaEvent::Packet(seen.next().unwrap().clone()));
    };
    let plan = ladder::plan(&source, &wishes);
    assert!(!plan.needs_transcoder(), "{plan}");
    let settings = Settings {
        name: "show".parse().unwrap(),
        session: Epoch(1),
        target_duration: plan.target_duration,
        window: MediaSpan::from_millis(60_000),
        min_segments: 6,
        discontinuity_sequence: 0,
        part_target: MediaSpan::from_millis(500),
    };
    let clock = WallClock { at: MediaTime::from_ticks(90_000), unix_micros: 1_795_348_800_000_000 };
    let publication = Publication { plan: &plan, source: Some(&source), clock, continues: false };
    let mut packager = Packager::new(settings, false, &publication, FIRST, None);
    for packet in packets {
        packager.source(packet.clone());
        packager.publish(Instant::now());
    }
    packager.finish(Instant::now());
    packager
}

/// Numbers and milliseconds, `-` for a gap.
fn shape(view: &RenditionView) -> Vec<String> {
    let one = |segment: &Arc<Segment>| {
        let mark = if segment.gap { "-" } else { "" };
        format!("{}+{}{mark}", segment.sequence.0 - FIRST.0, segment.duration.millis())
    };
    view.listed().iter().map(one).collect()
}

#[test]
fn further_tracks_are_cut_where_the_leading_one_is() {
    let packager = packaged(&packets(10, 0..0));
    let snapshot = packager.snapshot();
    let ids: Vec<_> = snapshot.renditions().iter().map(RenditionView::id).collect();
    assert_eq!(ids, ["720p", "720p-1", "audio-1"]);
    for view in snapshot.renditions() {
        let segments = view.listed();
        assert_eq!(segments.len(), 5, "{}: {:?}", view.id(), shape(view));
        assert!(segments.iter().all(|segment| !segment.gap), "{}: {:?}", view.id(), shape(view));
        for (nth, segment) in (0i64..).zip(segments) {
            let start = segment.start.ticks() - 90_000 - nth * 180_000;
            assert!((-90..=1920).contains(&start), "{}: {nth} begins {start} ticks late", view.id());
        }
    }
    // nothing is lost of any track: 300 frames, 468 sounds
    for (lane, pictures) in packager.lanes.iter().zip([true, true, false]) {
        let stats = lane.packing.stats();
        assert_eq!((stats.gaps, stats.dropped_pictures), (0, 0), "{pictures}");
        assert!(stats.dropped_sounds <= 1, "{pictures}: {stats:?}");
    }
    let list = snapshot.multivariant().unwrap().body();
    let list = std::str::from_utf8(list).unwrap();
    assert!(
        list.contains("URI=\"1/audio-1/index.m3u8\"") && list.matches("#EXT-X-STREAM-INF").count() == 2,
        "{list}"
    );
}

#[test]
fn a_track_that_stops_lists_gaps_until_it_returns() {
    let all = packets(20, 5..12);
    let packager = packaged(&all);
    let snapshot = packager.snapshot();
    let whole = shape(&snapshot.renditions()[0]);
    assert_eq!(whole, (0..10).map(|nth| format!("{nth}+2000")).collect::<Vec<_>>());
    for view in &snapshot.renditions()[1..] {
        let got = shape(view);
        assert_eq!(got.len(), 10, "{}: {got:?}", view.id());
        let gaps: Vec<usize> = (0..10).filter(|at| got[*at].ends_with('-')).collect();
        assert_eq!(gaps, [3, 4, 5], "{}: {got:?}", view.id());
        assert!(got[2].starts_with("2+9") || got[2].starts_with("2+10"), "{}: {got:?}", view.id());
    }
    // and the list moves on while the track is away
    let away = all.iter().take_while(|packet| packet.pts.ticks() < 90_000 * 11).cloned().collect::<Vec<_>>();
    let snapshot = packaged(&away).snapshot();
    let newest: Vec<_> =
        snapshot.renditions().iter().map(|view| view.newest().unwrap().0 - FIRST.0).collect();
    assert!(newest.iter().all(|at| *at >= 3), "{newest:?}");
}

#[test]
fn what_cannot_be_done_without_is_noticed_when_it_stops() {
    let all = packets(10, 0..0);
    let (mut there, gone): (Vec<Packet>, Vec<Packet>) =
        all.into_iter().partition(|packet| packet.pts.ticks() < 90_000 * 6);
    assert_eq!(packaged(&there).starved(), None);
    there.extend(gone.into_iter().filter(|packet| (packet.kind, packet.track.0) != (TrackKind::Video, 0)));
    assert_eq!(packaged(&there).starved(), Some(TrackId(0)), "the leading track");
}
