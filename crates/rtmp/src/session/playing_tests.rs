//! Players, passwords and what client and server can do: whole dialogues in memory.

use std::sync::Arc;

use bytes::Bytes;
use media::{AudioConfig, MediaTime, Packet, TrackId, TrackKind, VideoConfig, aac, h264};

use super::{tests::Peer, *};
use crate::amf0::{Value, decode_all, object};

fn configs() -> [MediaEvent; 2] {
    const SPS: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
        0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
    let video =
        h264::Config::from_units(vec![Bytes::from_static(SPS)], vec![Bytes::from_static(PPS)]).unwrap();
    [
        MediaEvent::VideoConfig(TrackId(0), Arc::new(VideoConfig::H264(video))),
        MediaEvent::AudioConfig(TrackId(0), Arc::new(AudioConfig::Aac(aac::Config::lc(48_000, 2).unwrap()))),
    ]
}

fn packet(kind: TrackKind, ms: i64, keyframe: bool) -> MediaEvent {
    let at = MediaTime::from_ticks(90 * ms);
    let data = Bytes::from_static(&[0, 0, 0, 1, 0x65]);
    MediaEvent::Packet(Packet { track: TrackId(0), kind, pts: at, dts: at, keyframe, data })
}

/// A player whose `play` was accepted.
fn playing() -> Peer {
    let mut peer = Peer::new();
    peer.connect().command(0, "createStream", 2.0, &[Value::Null]);
    peer.command(1, "play", 0.0, &[Value::Null, "show".into(), (-2000.0).into()]).feed().unwrap();
    assert_eq!(peer.events(), ["play live/show"]);
    peer.replies();
    peer.session.answer_play(PlayVerdict::Accept);
    peer
}

/// Kind and time of each media message, codes of the rest.
fn heard(peer: &mut Peer) -> Vec<String> {
    let bytes = peer.session.take_outbound();
    let mut input = &bytes[..];
    let mut out = vec![];
    while let Some(message) = peer.reader.next(&mut input).unwrap() {
        let values = decode_all(&message.payload).0;
        out.push(match message.kind {
            kind::VIDEO => {
                format!("video {:02x}{:02x} {}", message.payload[0], message.payload[1], message.timestamp)
            }
            kind::AUDIO => {
                format!("audio {:02x}{:02x} {}", message.payload[0], message.payload[1], message.timestamp)
            }
            kind::DATA => values[0].text().unwrap().into_owned(),
            kind::COMMAND => values[3].get("code").and_then(Value::text).unwrap_or_default().into_owned(),
            kind::USER_CONTROL => format!("event {}", message.payload[1]),
            kind => format!("kind {kind}"),
        });
    }
    out
}

#[test]
fn a_player_hears_what_players_wait_for_and_then_the_stream_from_0() {
    let mut peer = playing();
    let started =
        ["event 0", "NetStream.Play.Reset", "NetStream.Play.Start", "|RtmpSampleAccess", "onStatus"];
    assert_eq!(heard(&mut peer), started);
    peer.session.send_metadata(&Metadata { width: Some(640), ..Metadata::default() });
    configs().iter().for_each(|event| peer.session.send_media(event));
    for event in [
        packet(TrackKind::Video, 5000, true),
        packet(TrackKind::Audio, 4990, true),
        packet(TrackKind::Video, 5040, false),
        packet(TrackKind::Audio, 5020, true),
    ] {
        peer.session.send_media(&event);
    }
    assert_eq!(
        heard(&mut peer),
        [
            "onMetaData",
            "video 1700 0",
            "audio af00 0",
            "video 1701 0",
            "audio af01 0",
            "video 2701 40",
            "audio af01 20"
        ]
    );
    peer.session.end_play("The stream has ended.");
    assert_eq!(heard(&mut peer), ["NetStream.Play.UnpublishNotify", "NetStream.Play.Stop", "event 1"]);
    assert_eq!(peer.events(), ["play ended"]);
    peer.wait(2.0).unwrap();
    assert!(peer.session.is_closed());
}

#[test]
fn pictures_begin_at_a_keyframe_whatever_was_missed() {
    for (name, command, arguments, undo) in [
        (
            "pause",
            "pause",
            vec![Value::Null, true.into(), 0.0.into()],
            Some(("pause", vec![Value::Null, false.into()])),
        ),
        ("seek", "seek", vec![Value::Null, 1000.0.into()], None),
        (
            "receiveVideo",
            "receiveVideo",
            vec![Value::Null, false.into()],
            Some(("receiveVideo", vec![Value::Null, true.into()])),
        ),
    ] {
        let mut peer = playing();
        configs().iter().for_each(|event| peer.session.send_media(event));
        peer.session.send_media(&packet(TrackKind::Video, 0, true));
        heard(&mut peer);
        peer.command(1, command, 0.0, &arguments).feed().unwrap();
        if let Some((command, arguments)) = undo {
            peer.session.send_media(&packet(TrackKind::Video, 40, true));
            peer.command(1, command, 0.0, &arguments).feed().unwrap();
        }
        peer.session.send_media(&packet(TrackKind::Video, 80, false));
        peer.session.send_media(&packet(TrackKind::Video, 120, true));
        let video: Vec<_> = heard(&mut peer).into_iter().filter(|line| line.starts_with("video")).collect();
        assert_eq!(video, ["video 1701 120"], "{name}");
    }
    let mut peer = playing();
    configs().iter().for_each(|event| peer.session.send_media(event));
    peer.command(1, "receiveAudio", 0.0, &[Value::Null, false.into()]).feed().unwrap();
    heard(&mut peer);
    peer.session.send_media(&packet(TrackKind::Audio, 0, true));
    peer.session.send_media(&packet(TrackKind::Video, 0, false));
    assert_eq!(heard(&mut peer), [""; 0]);
}

#[test]
fn a_stream_that_begins_anew_goes_on_for_its_players() {
    let mut peer = playing();
    configs().iter().for_each(|event| peer.session.send_media(event));
    for (ms, keyframe) in [(60_000, true), (70_000, false), (500, true), (540, false)] {
        peer.session.send_media(&packet(TrackKind::Video, ms, keyframe));
    }
    let stamps: Vec<_> = heard(&mut peer)
        .into_iter()
        .filter(|line| line.starts_with("video 1701") || line.starts_with("video 2701"))
        .collect();
    assert_eq!(stamps, ["video 1701 0", "video 2701 10000", "video 1701 10000", "video 2701 10040"]);
}

#[test]
fn a_player_that_wants_a_part_gets_no_more() {
    let mut peer = Peer::new();
    let arguments = [Value::Null, "show".into(), (-1000.0).into(), 2000.0.into()];
    peer.connect().command(1, "play", 0.0, &arguments).feed().unwrap();
    peer.session.answer_play(PlayVerdict::Accept);
    peer.replies();
    configs().iter().for_each(|event| peer.session.send_media(event));
    (0..100).for_each(|n| peer.session.send_media(&packet(TrackKind::Video, n * 40, n == 0)));
    let heard = heard(&mut peer);
    let frames = heard.iter().filter(|line| line.starts_with("video 1701") || line.starts_with("video 2701"));
    assert_eq!(frames.count(), 51);
    assert_eq!(heard[heard.len() - 3..], ["NetStream.Play.Complete", "NetStream.Play.Stop", "event 1"]);
}

#[test]
fn status_of_pause_and_seek() {
    let mut peer = playing();
    heard(&mut peer);
    peer.command(1, "pause", 0.0, &[Value::Null, true.into(), 0.0.into()]);
    peer.command(1, "pause", 0.0, &[Value::Null, false.into(), 0.0.into()]);
    peer.command(1, "seek", 0.0, &[Value::Null, 0.0.into()]).feed().unwrap();
    assert_eq!(
        heard(&mut peer),
        [
            "NetStream.Pause.Notify",
            "NetStream.Unpause.Notify",
            "event 1",
            "event 0",
            "NetStream.Seek.Notify",
            "NetStream.Play.Start"
        ]
    );
}

#[test]
fn play_again_replaces_and_goodbyes_end_it_once() {
    let mut peer = playing();
    peer.command(1, "play", 0.0, &[Value::Null, "other".into()]).feed().unwrap();
    assert_eq!(peer.events(), ["play ended", "play live/other"]);
    peer.session.answer_play(PlayVerdict::Accept);
    peer.command(0, "deleteStream", 0.0, &[Value::Null, 1.0.into()]).feed().unwrap();
    peer.command(0, "deleteStream", 0.0, &[Value::Null, 1.0.into()]).feed().unwrap();
    assert_eq!(peer.events(), ["play ended"]);
    for (argument, name) in [(Value::Boolean(false), "play(false)"), ("../etc".into(), "unclean name")] {
        let mut peer = playing();
        peer.command(1, "play", 0.0, &[Value::Null, argument]).feed().unwrap();
        assert_eq!(peer.events(), ["play ended"], "{name}");
    }
}

#[test]
fn a_refused_player_reads_why_and_a_publisher_plays_nothing() {
    let mut peer = Peer::new();
    peer.connect().command(1, "play", 0.0, &[Value::Null, "show".into()]).feed().unwrap();
    peer.session.answer_play(PlayVerdict::Refuse { description: "No such stream.".into() });
    assert_eq!(peer.replies()[3..], ["onStatus 0 NetStream.Play.StreamNotFound @1"]);
    peer.wait(2.0).unwrap();
    assert!(peer.session.is_closed());
    let mut peer = Peer::published();
    peer.command(1, "play", 0.0, &[Value::Null, "show".into()]).feed().unwrap();
    assert_eq!(peer.replies(), ["onStatus 0 NetStream.Play.Failed @1"]);
    assert_eq!(peer.events(), [""; 0], "the publication goes on");
    let mut peer = playing();
    heard(&mut peer);
    peer.publish("key").feed().unwrap();
    assert_eq!(peer.replies(), ["onStatus 0 NetStream.Publish.BadName @1"]);
}

#[test]
fn players_are_pinged_and_asked_for_nothing_more() {
    let mut peer = playing();
    heard(&mut peer);
    peer.wait(100.0).unwrap();
    assert_eq!(heard(&mut peer), ["event 6"; 3]);
    peer.session.shut_down("The server is stopping.");
    let last = heard(&mut peer);
    assert_eq!(last[0], "NetStream.Play.UnpublishNotify");
}

fn asking() -> Peer {
    Peer::with(Settings { ask_at_connect: true, ..Settings::default() })
}

#[test]
fn the_owner_may_be_asked_at_connect() {
    let mut peer = asking();
    let url = "rtmp://host/live?authmod=adobe&user=ann";
    let about = object([("app", "live?authmod=adobe&user=ann".into()), ("tcUrl", url.into())]);
    peer.handshake().command(0, "connect", 1.0, &[about]);
    peer.command(0, "createStream", 2.0, &[Value::Null]).publish("show").feed().unwrap();
    assert_eq!(peer.events(), ["connect live Some(\"ann\")"]);
    assert_eq!(peer.replies(), [""; 0], "what follows waits");
    peer.session.answer_connect(ConnectVerdict::Accept { user: Some("ann".into()) });
    assert_eq!(peer.replies()[2..], ["_result 1 NetConnection.Connect.Success @0", "_result 2 1 @0"]);
    let Some(Event::PublishRequested(request)) = peer.session.poll_event() else { panic!() };
    assert_eq!(
        (request.user.as_deref(), request.name.expose(), request.query.expose()),
        (Some("ann"), "show", "")
    );
}

#[test]
fn a_challenge_is_an_error_with_its_description_and_then_the_end() {
    let mut peer = asking();
    peer.connect().feed().unwrap();
    let Some(Event::ConnectRequested(request)) = peer.session.poll_event() else { panic!() };
    assert!(request.app == "live" && request.claim.is_none() && !request.plays);
    peer.session.answer_connect(ConnectVerdict::Reject { description: "code=403 need auth".into() });
    assert_eq!(peer.replies(), ["_error 1 NetConnection.Connect.Rejected @0"]);
    peer.wait(2.0).unwrap();
    assert!(peer.session.is_closed());
    let mut silent = asking();
    silent.connect().feed().unwrap();
    assert!(silent.wait(60.0).is_err(), "an owner that never answers is not waited for");
}

#[test]
fn who_can_reconnect_is_asked_to() {
    for (caps, want) in [(0.0, false), (1.0, true)] {
        let mut peer = Peer::new();
        let about = object([("app", "live".into()), ("capsEx", caps.into())]);
        peer.handshake().command(0, "connect", 1.0, &[about]).publish("key").feed().unwrap();
        peer.session.answer(Verdict::Accept);
        peer.replies();
        assert_eq!(peer.session.request_reconnect("The server is about to stop."), want);
        let asked = ["onStatus 0 NetConnection.Connect.ReconnectRequest @0"];
        assert_eq!(peer.replies(), if want { &asked[..] } else { &[] });
        assert!(!peer.session.is_closed(), "it is served until it leaves");
    }
}
