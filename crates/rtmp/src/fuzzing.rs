//! Bodies of the fuzz targets, so that they compile and run with the tests. Each takes any bytes; each panics when
//! something does not hold that always must. [`TARGETS`] names them all, [`seeds`] gives them something to start from.

mod opening;
mod parts;
mod seeds;
mod words;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use media::{AudioConfig, MediaEvent, TrackId, aac};

use crate::{
    Event, Session, Settings, Verdict,
    amf0::{Encoder, decode_all},
    chunk::{Reader, Writer, csid, writer::Head},
    flv, handshake,
    limits::{FIRST_RESERVATION, Limits},
    message::kind,
    metadata::Metadata,
    session::{ConnectVerdict, PlayVerdict},
    tracks::{Sink, Tracks},
};

pub use self::{
    opening::{handshake, tunnel},
    parts::{aggregate, configs},
    seeds::seeds,
    words::{amf3, auth, resolve},
};

/// Takes any bytes; panics where something does not hold.
pub type Target = fn(&[u8]);

/// Every target by the name it has in `fuzz/`.
pub const TARGETS: [(&str, Target); 12] = [
    ("handshake", handshake),
    ("chunk", chunk),
    ("amf0", amf0),
    ("amf3", amf3),
    ("flv", flv),
    ("aggregate", aggregate),
    ("configs", configs),
    ("session", session),
    ("publishing", publishing),
    ("resolve", resolve),
    ("auth", auth),
    ("tunnel", tunnel),
];

/// The chunk reader: the first byte is the size of the reads. Any cut gives the same messages; memory stays bounded.
pub fn chunk(data: &[u8]) {
    let Some((&step, data)) = data.split_first() else { return };
    let run = |step: usize| {
        let (mut reader, mut out) = (Reader::new(Limits::default(), 0), vec![]);
        for mut piece in data.chunks(step) {
            loop {
                match reader.next(&mut piece) {
                    Ok(Some(message)) => out.push(message),
                    Ok(None) => break,
                    Err(error) => return (out, Some(error)),
                }
            }
            let bound = 2 * data.len() + 9 * FIRST_RESERVATION;
            assert!(reader.held_bytes() <= bound, "{} bytes held", reader.held_bytes());
        }
        (out, None)
    };
    assert_eq!(run(usize::from(step).max(1)), run(data.len().max(1)));
}

/// AMF0: what can be read can be written and is read back the same.
pub fn amf0(data: &[u8]) {
    let (values, _) = decode_all(&Bytes::copy_from_slice(data));
    let _ = Metadata::from_values(&values);
    let body = values.iter().fold(Encoder::new(), |out, value| out.put(value.clone())).finish();
    let (again, error) = decode_all(&body);
    assert_eq!(error, None);
    assert_eq!(format!("{again:?}"), format!("{values:?}")); // as text: NaN differs from itself
}

/// Tag bodies through the tracks: pieces of up to 255 bytes, each behind its length; bit 0 of the next byte says video.
/// Times rise and packets stay within their message.
pub fn flv(mut data: &[u8]) {
    let (mut tracks, mut sink, mut wire) = (Tracks::new(), Sink::new(), 0u32);
    while let [len, how, rest @ ..] = data {
        let (body, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        data = rest;
        wire = wire.wrapping_add(u32::from(*how) << (how >> 4));
        let body = Bytes::copy_from_slice(body);
        let _ = (flv::video(&body).count(), flv::audio(&body).count());
        let _ = if how & 1 == 1 {
            tracks.video(wire, &body, &mut sink)
        } else {
            tracks.audio(wire, &body, &mut sink)
        };
    }
    tracks.flush(&mut sink);
    let mut last = std::collections::HashMap::new();
    for event in sink {
        let MediaEvent::Packet(packet) = event else { continue };
        assert!(packet.pts >= packet.dts);
        let before = last.insert((packet.kind, packet.track), packet.dts);
        assert!(before.is_none_or(|before| packet.dts > before));
    }
}

/// A session past its handshake; the first byte's bit 0 says past an accepted publish as well, with bit 2 an accepted
/// play; bit 1 that the owner is asked about `connect`; the second byte is the size of the reads.
pub fn session(data: &[u8]) {
    let [first, step, data @ ..] = data else { return };
    let mut now = Instant::now();
    let ask_at_connect = first & 2 == 2;
    let mut session = Session::new(now, Settings { ask_at_connect, ..Settings::default() });
    let mut opening = BytesMut::zeroed(1 + 2 * handshake::PACKET);
    opening[0] = 3;
    if first & 1 == 1 {
        let mut writer = Writer::new();
        let head = Head { csid: csid::COMMAND, kind: kind::COMMAND, stream: 0, timestamp: 0 };
        let about = crate::amf0::object([("app", "live".into())]);
        writer.write(&mut opening, head, &Encoder::new().put("connect").put(1.0).put(about).finish());
        let role = if first & 4 == 4 { "play" } else { "publish" };
        let request = Encoder::new().put(role).put(0.0).put(crate::amf0::Value::Null).put("key").finish();
        writer.write(&mut opening, head, &request);
    }
    let sound = aac::Config::lc(48_000, 2).expect("a rate and a count that exist");
    let sound = MediaEvent::AudioConfig(TrackId::default(), Arc::new(AudioConfig::Aac(sound)));
    let whole = [&opening[..]];
    for piece in whole.into_iter().chain(data.chunks(usize::from(*step).max(1))) {
        now += Duration::from_millis(1);
        let result = session
            .feed(now, piece)
            .and_then(|()| if session.deadline() <= now { session.tick(now) } else { Ok(()) });
        while let Some(event) = session.poll_event() {
            match event {
                Event::PublishRequested(_) => session.answer(Verdict::Accept),
                Event::PlayRequested(_) => session.answer_play(PlayVerdict::Accept),
                Event::ConnectRequested(_) => session.answer_connect(ConnectVerdict::Accept { user: None }),
                _ => {}
            }
        }
        session.send_media(&sound); // for nobody unless it plays
        session.take_outbound();
        assert!(result.is_ok() || session.is_closed());
        if session.is_closed() {
            return;
        }
    }
}

/// A session past an accepted publish, where nearly all of a connection's life is spent; the first byte is the size of
/// the reads.
pub fn publishing(data: &[u8]) {
    session(&[&[1], data].concat());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    #[test]
    fn every_target_passes_its_seeds_and_has_some() {
        let mut seeded = BTreeSet::new();
        for (name, seed) in super::seeds() {
            let (name, target) = super::TARGETS.into_iter().find(|(target, _)| *target == name).unwrap();
            target(&seed);
            seeded.insert(name);
        }
        assert_eq!(seeded, super::TARGETS.iter().map(|(name, _)| *name).collect());
    }

    /// What `fuzz/` builds is what stands here.
    #[test]
    fn every_target_is_built() {
        let manifest = include_str!("../fuzz/Cargo.toml");
        for (name, _) in super::TARGETS {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_pass_every_target(data in prop::collection::vec(any::<u8>(), 0..600)) {
            for (_, target) in super::TARGETS {
                target(&data);
            }
        }
    }
}
