//! What real clients sent, read whole and cut anywhere: the same must come out.

use std::{collections::BTreeMap, fmt::Write as _, time::Instant};

use media::{MediaEvent, TrackKind};
use rtmp::{Event, Session, Settings, Stats, Verdict, session::PlayVerdict};

/// Name, bytes, and what comes of them: the request; packets, keyframes and last presentation time of each track; what was
/// odd.
const CAPTURES: [(&str, &[u8], &str); 11] = [
    (
        "ffmpeg-5.1.9",
        include_bytes!("../testdata/ffmpeg-5.1.9.rtmp"),
        "publish live/key?tok=1; audio 0: 92, to 1987 ms; video 0: 60, 2 keys, to 2034 ms; avc1.64000d mp4a.40.2",
    ),
    (
        "ffmpeg-5.1.9-late-start",
        include_bytes!("../testdata/ffmpeg-5.1.9-late-start.rtmp"),
        "publish live/key; audio 0: 26, to 533 ms; video 0: 16, 1 keys, to 521 ms; avc1.42c014 mp4a.40.2",
    ),
    (
        "gstreamer-1.22-rtmp2sink",
        include_bytes!("../testdata/gstreamer-1.22-rtmp2sink.rtmp"),
        "publish live/key; audio 0: 76, to 1600 ms; video 0: 49, 2 keys, to 1602 ms; avc1.64000d mp4a.40.2",
    ),
    (
        "gstreamer-1.22-rtmpsink",
        include_bytes!("../testdata/gstreamer-1.22-rtmpsink.rtmp"),
        "publish live/key; audio 0: 76, to 1600 ms; video 0: 49, 2 keys, to 1603 ms; avc1.64000d mp4a.40.2",
    ),
    (
        "obs-29.0",
        include_bytes!("../testdata/obs-29.0.rtmp"),
        "publish live/key; audio 0: 49, to 1024 ms; video 0: 31, 2 keys, to 1000 ms; mp4a.40.2 avc1.42c01f",
    ),
    (
        "ffmpeg-9.0-hevc-opus",
        include_bytes!("../testdata/ffmpeg-9.0-hevc-opus.rtmp"),
        "publish live/key; audio 0: 77, to 1580 ms; video 0: 48, 2 keys, to 1734 ms; HEVC Opus",
    ),
    (
        "ffmpeg-9.0-av1-flac",
        include_bytes!("../testdata/ffmpeg-9.0-av1-flac.rtmp"),
        "publish live/key; audio 0: 33, to 682 ms; video 0: 22, 1 keys, to 700 ms; AV1 FLAC",
    ),
    (
        "ffmpeg-9.0-vp9-eac3",
        include_bytes!("../testdata/ffmpeg-9.0-vp9-eac3.rtmp"),
        "publish live/key; audio 0: 44, to 1376 ms; video 0: 43, 2 keys, to 1405 ms; E-AC-3 VP9",
    ),
    (
        "ffmpeg-9.0-multitrack",
        include_bytes!("../testdata/ffmpeg-9.0-multitrack.rtmp"),
        "publish live/key; audio 0: 47, to 1027 ms; audio 1: 47, to 1027 ms; video 0: 32, 2 keys, to 1167 ms; video 1: 31, 2 keys, to 1067 ms; avc1.64000d avc1.64000c mp4a.40.2 mp4a.40.2",
    ),
    ("rtmpdump-2.4-play", include_bytes!("../testdata/rtmpdump-2.4-play.rtmp"), "play live/played"),
    ("ffmpeg-5.1.9-play", include_bytes!("../testdata/ffmpeg-5.1.9-play.rtmp"), "play live/played"),
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
    let (mut codecs, mut odd) = (vec![], String::new());
    for event in events {
        match event {
            Event::PublishRequested(request) => {
                write!(out, "publish {}/{}", request.app, request.name.expose()).expect("a string takes all");
                let query = request.query.expose();
                write!(out, "{}{query}", if query.is_empty() { "" } else { "?" })
                    .expect("a string takes all");
            }
            Event::PlayRequested(request) => {
                write!(out, "play {}/{}", request.app, request.name.expose()).expect("a string takes all");
            }
            Event::Media(MediaEvent::VideoConfig(_, config)) => codecs.push(config.codecs()),
            Event::Media(MediaEvent::AudioConfig(_, config)) => codecs.push(config.codecs()),
            Event::Media(MediaEvent::Packet(packet)) => {
                let kind = if packet.kind == TrackKind::Video { "video" } else { "audio" };
                let (count, keys, end, last) = tracks.entry((kind, packet.track)).or_insert((0, 0, 0, None));
                assert!(packet.pts >= packet.dts && last.is_none_or(|last| packet.dts > last));
                *last = Some(packet.dts);
                (*count, *keys) = (*count + 1, *keys + i32::from(packet.keyframe && kind == "video"));
                *end = packet.pts.ticks().div_euclid(90).max(*end);
            }
            Event::Note(note) => write!(odd, "; {note}").expect("a string takes all"),
            Event::Media(MediaEvent::Break(reason)) => {
                write!(odd, "; break {reason:?}").expect("a string takes all")
            }
            _ => {}
        }
    }
    for ((kind, track), (count, keys, end, _)) in tracks {
        let keys = if keys > 0 { format!(", {keys} keys") } else { String::new() };
        write!(out, "; {kind} {}: {count}{keys}, to {end} ms", track.0).expect("a string takes all");
    }
    if !codecs.is_empty() {
        write!(out, "; {}", codecs.join(" ")).expect("a string takes all");
    }
    if (stats.media_dropped, stats.nal_repairs, stats.timeline) != (0, 0, Default::default()) {
        write!(out, "; {stats:?}").expect("a string takes all");
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
/// cut can upset is over with the next header, so many cuts fit one pass, and `APART` passes cover them all.
#[test]
fn captures_may_be_cut_at_every_byte() {
    const APART: usize = 331;
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

/// The end of the handshake and the dialogue, where most has to be remembered from one read to the next, in two pieces at
/// every boundary.
#[test]
fn dialogues_may_be_cut_in_two_anywhere() {
    for (name, capture, _) in CAPTURES {
        in_two(name, &capture[..capture.len().min(4096)], 3060);
    }
}

/// The whole captures in the same way. `cargo test --release -p rtmp --test replay -- --ignored`
#[test]
#[ignore = "a minute long even when optimised: a pass over each capture for each of its bytes"]
fn captures_may_be_cut_in_two_anywhere() {
    for (name, capture, _) in CAPTURES {
        in_two(name, capture, 0);
    }
}

#[track_caller]
fn in_two(name: &str, bytes: &[u8], first: usize) {
    let whole = replay([bytes]);
    for cut in first..bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        assert_eq!(replay([head, tail]), whole, "{name}, cut at {cut}");
    }
}
