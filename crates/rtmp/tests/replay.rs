//! What real clients sent, read whole and cut anywhere: the same must come out.

use std::{collections::BTreeMap, fmt::Write as _, time::Instant};

use media::{MediaEvent, TrackKind};
use rtmp::{Event, Session, Settings, Stats, Verdict, session::PlayVerdict};

/// Name, bytes, and what comes of them: the request; packets, keyframes and last presentation time of each track; what was
/// odd.
const CAPTURES: [(&str, &[u8], &str); 6] = [
    (
        "ffmpeg-5.1.9",
        include_bytes!("../testdata/ffmpeg-5.1.9.rtmp"),
        "publish live/key?tok=1; audio 0: 92, to 1987 ms; video 0: 60, 2 keys, to 2034 ms; 2 configs",
    ),
    (
        "ffmpeg-5.1.9-late-start",
        include_bytes!("../testdata/ffmpeg-5.1.9-late-start.rtmp"),
        "publish live/key; audio 0: 26, to 533 ms; video 0: 16, 1 keys, to 521 ms; 2 configs",
    ),
    (
        "gstreamer-1.22-rtmp2sink",
        include_bytes!("../testdata/gstreamer-1.22-rtmp2sink.rtmp"),
        "publish live/key; audio 0: 76, to 1600 ms; video 0: 49, 2 keys, to 1602 ms; 2 configs",
    ),
    (
        "gstreamer-1.22-rtmpsink",
        include_bytes!("../testdata/gstreamer-1.22-rtmpsink.rtmp"),
        "publish live/key; audio 0: 76, to 1600 ms; video 0: 49, 2 keys, to 1603 ms; 2 configs",
    ),
    (
        "obs-29.0",
        include_bytes!("../testdata/obs-29.0.rtmp"),
        "publish live/key; audio 0: 49, to 1024 ms; video 0: 31, 2 keys, to 1000 ms; 2 configs",
    ),
    ("rtmpdump-2.4-play", include_bytes!("../testdata/rtmpdump-2.4-play.rtmp"), "play live/played"),
];

fn replay<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Stats) {
    let now = Instant::now();
    let mut session = Session::new(now, Settings::default());
    let mut events = vec![];
    for piece in pieces {
        session.feed(now, piece).expect("a real client breaks no rule");
        while let Some(event) = session.poll_event() {
            match event {
                Event::PublishRequested(_) => session.answer(Verdict::Accept),
                Event::PlayRequested(_) => session.answer_play(PlayVerdict::Accept),
                _ => {}
            }
            events.push(event);
        }
        session.take_outbound();
    }
    (events, session.stats())
}

/// A replay in a few lines.
fn told(events: &[Event], stats: &Stats) -> String {
    let (mut out, mut tracks) = (String::new(), BTreeMap::new());
    let (mut configs, mut odd) = (0, String::new());
    for event in events {
        match event {
            Event::PublishRequested(request) => {
                write!(out, "publish {}/{}", request.app, request.name.expose()).unwrap();
                let query = request.query.expose();
                write!(out, "{}{query}", if query.is_empty() { "" } else { "?" }).unwrap();
            }
            Event::PlayRequested(request) => {
                write!(out, "play {}/{}", request.app, request.name.expose()).unwrap();
            }
            Event::Media(MediaEvent::VideoConfig(..) | MediaEvent::AudioConfig(..)) => configs += 1,
            Event::Media(MediaEvent::Packet(packet)) => {
                let kind = if packet.kind == TrackKind::Video { "video" } else { "audio" };
                let (count, keys, end, last) = tracks.entry((kind, packet.track)).or_insert((0, 0, 0, None));
                assert!(packet.pts >= packet.dts && last.is_none_or(|last| packet.dts > last));
                *last = Some(packet.dts);
                (*count, *keys) = (*count + 1, *keys + i32::from(packet.keyframe && kind == "video"));
                *end = packet.pts.ticks().div_euclid(90).max(*end);
            }
            Event::Note(note) => write!(odd, "; {note}").unwrap(),
            Event::Media(MediaEvent::Break(reason)) => write!(odd, "; break {reason:?}").unwrap(),
            _ => {}
        }
    }
    for ((kind, track), (count, keys, end, _)) in tracks {
        let keys = if keys > 0 { format!(", {keys} keys") } else { String::new() };
        write!(out, "; {kind} {}: {count}{keys}, to {end} ms", track.0).unwrap();
    }
    if configs > 0 {
        write!(out, "; {configs} configs").unwrap();
    }
    if (stats.media_dropped, stats.nal_repairs, stats.timeline) != (0, 0, Default::default()) {
        write!(out, "; {stats:?}").unwrap();
    }
    out + &odd
}

#[test]
fn captures_give_their_media() {
    for (name, capture, want) in CAPTURES {
        let (events, stats) = replay([capture]);
        assert_eq!(told(&events, &stats), want, "{name}");
    }
}

/// Every boundary between two bytes is the end of a read once, with uncut input for a while before and behind it. What a
/// cut can upset is over with the next header, so many cuts fit one pass, and `APART` passes cover them all: feeding each
/// capture in two pieces at each of its boundaries would be a pass a byte, and is the test below.
#[test]
fn captures_may_be_cut_at_every_byte() {
    const APART: usize = 521;
    for (name, capture, _) in CAPTURES {
        let whole = replay([capture]);
        assert_eq!(replay(capture.chunks(1)), whole, "{name}, a byte a read");
        for step in [2, 3, 127, 128, 129, 1460, 4096, 16_384] {
            assert_eq!(replay(capture.chunks(step)), whole, "{name}, {step} bytes a read");
        }
        for first in 1..=APART {
            let (head, tail) = capture.split_at(first.min(capture.len()));
            let pieces = [head].into_iter().chain(tail.chunks(APART));
            assert_eq!(replay(pieces), whole, "{name}, cut at {first} and every {APART} bytes");
        }
    }
}

/// The same in two pieces. `cargo test --release -p rtmp --test replay -- --ignored`
#[test]
#[ignore = "minutes long: a pass over each capture for each of its bytes"]
fn captures_may_be_cut_in_two_anywhere() {
    for (name, capture, _) in CAPTURES {
        let whole = replay([capture]);
        for cut in 0..capture.len() {
            let (head, tail) = capture.split_at(cut);
            assert_eq!(replay([head, tail]), whole, "{name}, cut at {cut}");
        }
    }
}
