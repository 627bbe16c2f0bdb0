//! What real encoders sent, read whole and cut anywhere: the same media must come out.

use std::time::Instant;

use media::{MediaEvent, MediaTime, TrackKind};
use rtmp::{Event, Session, Settings, Stats, Verdict};

const FFMPEG: &[u8] = include_bytes!("../testdata/ffmpeg-5.1.9.rtmp");
const FFMPEG_LATE: &[u8] = include_bytes!("../testdata/ffmpeg-5.1.9-late-start.rtmp");
const RTMP2SINK: &[u8] = include_bytes!("../testdata/gstreamer-1.22-rtmp2sink.rtmp");
const RTMPSINK: &[u8] = include_bytes!("../testdata/gstreamer-1.22-rtmpsink.rtmp");

fn replay<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Stats) {
    let now = Instant::now();
    let mut session = Session::new(now, Settings::default());
    let mut events = vec![];
    for piece in pieces {
        session.feed(now, piece).expect("a real encoder breaks no rule");
        while let Some(event) = session.poll_event() {
            if matches!(event, Event::PublishRequested(_)) {
                session.answer(Verdict::Accept);
            }
            events.push(event);
        }
        session.take_outbound();
    }
    (events, session.stats())
}

/// Counts of one kind: packets, keyframes, last PTS in milliseconds.
fn counts(events: &[Event], kind: TrackKind) -> (usize, usize, i64) {
    let mut out = (0, 0, 0);
    let mut last: Option<MediaTime> = None;
    for event in events {
        let Event::Media(MediaEvent::Packet(packet)) = event else { continue };
        if packet.kind != kind {
            continue;
        }
        assert!(packet.pts >= packet.dts && last.is_none_or(|last| packet.dts > last));
        last = Some(packet.dts);
        out.0 += 1;
        out.1 += usize::from(packet.keyframe);
        out.2 = out.2.max(packet.pts.ticks() / 90);
    }
    out
}

#[track_caller]
fn check(name: &str, capture: &[u8], video: (usize, usize, i64), audio: (usize, i64)) {
    let (events, stats) = replay([capture]);
    let sound = counts(&events, TrackKind::Audio);
    assert_eq!((counts(&events, TrackKind::Video), (sound.0, sound.2)), (video, audio), "{name}");
    assert_eq!(
        (stats.media_dropped, stats.nal_repairs, stats.timeline),
        (0, 0, Default::default()),
        "{name}"
    );
    let configs = events.iter().filter(|event| {
        matches!(event, Event::Media(MediaEvent::VideoConfig(..) | MediaEvent::AudioConfig(..)))
    });
    assert_eq!(configs.count(), 2, "{name}: each configuration is told once");
    let odd = events.iter().filter(|e| matches!(e, Event::Note(_) | Event::Media(MediaEvent::Break(_))));
    assert_eq!(odd.collect::<Vec<_>>(), [] as [&Event; 0], "{name}");
    let Some(Event::PublishRequested(request)) = events.first() else {
        panic!("{name}: {:?}", events.first())
    };
    assert_eq!((request.app.as_str(), request.name.expose()), ("live", "key"), "{name}");
}

#[test]
fn captures_give_their_media() {
    check("ffmpeg", FFMPEG, (46, 2, 1600), (69, 1496));
    check("ffmpeg, late start", FFMPEG_LATE, (11, 1, 354), (19, 384));
    check("rtmp2sink", RTMP2SINK, (35, 2, 1133), (54, 1130));
    check("rtmpsink", RTMPSINK, (35, 2, 1133), (54, 1130));
}

#[test]
fn captures_may_be_cut_anywhere() {
    for (name, capture) in [
        ("ffmpeg", FFMPEG),
        ("ffmpeg, late start", FFMPEG_LATE),
        ("rtmp2sink", RTMP2SINK),
        ("rtmpsink", RTMPSINK),
    ] {
        let whole = replay([capture]);
        for step in [1, 2, 3, 5, 11, 17, 127, 128, 129, 1460, 4096, 16_384] {
            assert_eq!(replay(capture.chunks(step)), whole, "{name}, {step} bytes a read");
        }
        for cut in (0..capture.len()).step_by(487) {
            let (head, tail) = capture.split_at(cut);
            assert_eq!(replay([head, tail]), whole, "{name}, cut at {cut}");
        }
    }
}
