//! Whole dialogues in memory: no socket, no clock.

use proptest::prelude::*;

use super::*;
use crate::limits::Limit;
use crate::{
    amf0::{Encoder, Value, decode_all, object},
    chunk::{Writer, csid, writer::Head},
    message::event,
};

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

/// A client that says what it is told to, and a session that hears it.
pub(super) struct Peer {
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) session: Session,
    writer: Writer,
    bytes: BytesMut,
    pub(super) reader: Reader,
    handshaken: bool,
}

impl Peer {
    pub(super) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let now = Instant::now();
        Self {
            start: now,
            now,
            session: Session::new(now, settings),
            writer: Writer::new(),
            bytes: BytesMut::new(),
            reader: Reader::new(Limits::default(), 0),
            handshaken: false,
        }
    }

    pub(super) fn handshake(&mut self) -> &mut Self {
        let mut hello = vec![3];
        hello.extend([0; 2 * handshake::PACKET]);
        self.session.feed(self.now, &hello).unwrap();
        self
    }

    pub(super) fn feed(&mut self) -> Result<(), ProtocolError> {
        let bytes = self.bytes.split();
        self.session.feed(self.now, &bytes)
    }

    pub(super) fn say(&mut self, kind: u8, stream: u32, payload: &[u8]) -> &mut Self {
        let head = Head { csid: csid::COMMAND, kind, stream, timestamp: 0 };
        self.writer.write(&mut self.bytes, head, payload);
        self
    }

    pub(super) fn command(
        &mut self,
        stream: u32,
        name: &str,
        transaction: f64,
        arguments: &[Value],
    ) -> &mut Self {
        let body = Encoder::new().put(name).put(transaction);
        let body = arguments.iter().fold(body, |body, value| body.put(value.clone())).finish();
        self.say(kind::COMMAND, stream, &body)
    }

    pub(super) fn connect(&mut self) -> &mut Self {
        self.handshake();
        let about = object([("app", "live".into()), ("tcUrl", "rtmp://host/live".into())]);
        self.command(0, "connect", 1.0, &[about])
    }

    pub(super) fn publish(&mut self, name: &str) -> &mut Self {
        self.command(1, "publish", 5.0, &[Value::Null, name.into(), "live".into()])
    }

    /// A peer whose publication was accepted.
    pub(super) fn published() -> Self {
        let mut peer = Self::new();
        peer.connect().command(0, "createStream", 4.0, &[Value::Null]).publish("key").feed().unwrap();
        peer.session.answer(Verdict::Accept);
        peer.replies();
        peer.events();
        peer
    }

    /// What came back, a line each.
    pub(super) fn replies(&mut self) -> Vec<String> {
        let bytes = self.session.take_outbound();
        let skipped = if self.handshaken || bytes.is_empty() { 0 } else { 1 + 2 * handshake::PACKET };
        self.handshaken |= skipped > 0;
        let mut input = &bytes[skipped..];
        let mut out = vec![];
        while let Some(message) = self.reader.next(&mut input).unwrap() {
            out.push(match message.kind {
                kind::COMMAND => tell(&decode_all(&message.payload).0, message.stream),
                kind::USER_CONTROL => {
                    format!("event {}", u16::from_be_bytes(*message.payload.first_chunk().unwrap()))
                }
                kind => format!("control {kind}"),
            });
        }
        out
    }

    pub(super) fn events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.session.poll_event()).map(|event| short(&event)).collect()
    }

    /// Moves the clock to `at` seconds after accept, obeying deadlines on the way.
    pub(super) fn wait(&mut self, at: f64) -> Result<(), ProtocolError> {
        let end = self.start + secs(at);
        for _ in 0..1000 {
            let due = self.session.deadline();
            if due > end || self.session.is_closed() {
                break;
            }
            self.now = self.now.max(due);
            self.session.tick(self.now)?;
        }
        self.now = end;
        Ok(())
    }
}

/// Name, transaction, and what is worth knowing of the information object.
fn tell(values: &[Value], stream: u32) -> String {
    let name = values[0].text().unwrap();
    let information = match values.get(3) {
        Some(Value::Number(number)) => number.to_string(),
        Some(object @ Value::Object(_)) => {
            object.get("code").and_then(Value::text).unwrap_or_default().into_owned()
        }
        Some(other) => format!("{other:?}"),
        None => String::new(),
    };
    format!("{name} {} {information} @{stream}", values[1].number().unwrap())
}

fn short(event: &Event) -> String {
    match event {
        Event::PublishRequested(request) => format!("publish {}/{}", request.app, request.name.expose()),
        Event::Media(MediaEvent::Packet(packet)) => format!("{:?} {}", packet.kind, packet.pts.ticks() / 90),
        Event::Media(MediaEvent::VideoConfig(..)) => "video config".into(),
        Event::Media(MediaEvent::AudioConfig(..)) => "audio config".into(),
        Event::Media(MediaEvent::Break(reason)) => format!("break {reason:?}"),
        Event::Metadata(metadata) => format!("metadata {:?}", metadata.width),
        Event::PublishEnded { clean } => format!("ended {clean}"),
        Event::Note(note) => format!("note {note}"),
        Event::ConnectRequested(request) => {
            format!("connect {} {:?}", request.app, request.claim.as_ref().and_then(|claim| claim.user()))
        }
        Event::PlayRequested(request) => format!("play {}/{}", request.app, request.name.expose()),
        Event::PlayEnded => "play ended".into(),
    }
}

const SOUND_CONFIG: &[u8] = &[0xAF, 0, 0x11, 0x90];
const SOUND: &[u8] = &[0xAF, 1, 0x21, 0x10];

#[test]
fn the_usual_dialogue() {
    let mut peer = Peer::new();
    let name = || [Value::Null, "key".into()];
    peer.connect().feed().unwrap();
    assert_eq!(peer.replies(), ["control 5", "control 6", "_result 1 NetConnection.Connect.Success @0",]);
    peer.command(0, "releaseStream", 2.0, &name()).command(0, "FCPublish", 3.0, &name());
    peer.command(0, "createStream", 4.0, &[Value::Null]).publish("key?a=b").feed().unwrap();
    assert_eq!(
        peer.replies(),
        [
            "_result 2 Undefined @0",
            "onFCPublish 3 NetStream.Publish.Start @0",
            "_result 3 Undefined @0",
            "_result 4 1 @0",
        ]
    );
    assert_eq!(peer.events(), ["publish live/key"]);
    peer.session.answer(Verdict::Accept);
    assert_eq!(peer.replies(), ["event 0", "onStatus 0 NetStream.Publish.Start @1"]);
    let metadata =
        Encoder::new().put("@setDataFrame").put("onMetaData").put_ecma(&object([("width", 640.0.into())]));
    peer.say(kind::DATA, 1, &metadata.finish()).say(kind::AUDIO, 1, SOUND_CONFIG).say(kind::AUDIO, 1, SOUND);
    peer.feed().unwrap();
    assert_eq!(peer.events(), ["metadata Some(640)", "audio config", "Audio 0"]);
    peer.command(0, "FCUnpublish", 6.0, &name()).command(0, "deleteStream", 7.0, &[Value::Null, 1.0.into()]);
    peer.feed().unwrap();
    assert_eq!(
        peer.replies(),
        [
            "onFCUnpublish 6 NetStream.Unpublish.Success @0",
            "_result 6 Undefined @0",
            "onStatus 0 NetStream.Unpublish.Success @1",
        ]
    );
    assert_eq!(peer.events(), ["ended true"]);
    peer.wait(60.0).unwrap();
    assert!(peer.session.is_closed(), "a quiet goodbye is no error");
}

#[test]
fn a_request_tells_what_the_encoder_was_given() {
    let mut peer = Peer::new();
    peer.handshake();
    let about = object([
        ("app", "live/one".into()),
        ("tcUrl", "rtmp://example.org:1935/live/one".into()),
        ("flashVer", "FMLE/3.0\n".into()),
    ]);
    peer.command(0, "connect", 1.0, &[about]).publish("show?key=s3cret").feed().unwrap();
    let events: Vec<_> = std::iter::from_fn(|| peer.session.poll_event()).collect();
    let Some(Event::PublishRequested(request)) =
        events.iter().find(|e| matches!(e, Event::PublishRequested(_)))
    else {
        panic!()
    };
    assert_eq!(
        (request.app.as_str(), request.name.expose(), request.query.expose()),
        ("live/one", "show", "key=s3cret")
    );
    assert_eq!(
        (request.tc_url_host.as_deref(), request.flash_ver.as_deref()),
        (Some("example.org"), Some("FMLE/3.0"))
    );
    assert!(!format!("{events:?}{:?}", peer.session).contains("s3cret"));
}

#[test]
fn commands_may_come_in_any_order_and_none_goes_unanswered() {
    let mut peer = Peer::new();
    peer.connect().feed().unwrap();
    peer.replies();
    let null = [Value::Null];
    for (name, transaction, want) in [
        ("_checkbw", 2.0, vec!["_result 2 Null @0"]),
        ("createStream", 3.0, vec!["_result 3 1 @0"]),
        ("createStream", 4.0, vec!["_result 4 2 @0"]),
        ("FCPublish", 5.0, vec!["onFCPublish 5 NetStream.Publish.Start @0", "_result 5 Undefined @0"]),
        ("getStreamLength", 6.0, vec!["_result 6 0 @0"]),
        ("setPeerInfo", 7.0, vec!["_result 7 Null @0"]),
        ("releaseStream", 0.0, vec![]),
        ("FCPublish", 0.0, vec![]),
        ("whatever", 0.0, vec![]),
        ("_result", 8.0, vec![]),
        (
            "FCUnpublish",
            9.0,
            vec!["onFCUnpublish 9 NetStream.Unpublish.Success @0", "_result 9 Undefined @0"],
        ),
        ("deleteStream", 10.0, vec![]),
    ] {
        peer.command(0, name, transaction, &null).feed().unwrap();
        assert_eq!(peer.replies(), want, "{name}");
    }
    assert_eq!(peer.events(), [""; 0]);
}

#[test]
fn publish_is_taken_however_it_comes() {
    let mut peer = Peer::new();
    peer.connect().command(0, "publish", 0.0, &[Value::Null, "key".into()]).feed().unwrap();
    assert_eq!(peer.events(), ["publish live/key", "note published without createStream"]);
    peer.session.answer(Verdict::Accept);
    assert_eq!(peer.replies()[3..], ["event 0", "onStatus 0 NetStream.Publish.Start @1"]);
    peer.command(1, "publish", 0.0, &[Value::Null, "key".into()]).feed().unwrap();
    assert_eq!(peer.replies(), ["onStatus 0 NetStream.Publish.Start @1"], "twice is fine");
    peer.command(2, "publish", 0.0, &[Value::Null, "other".into()]).feed().unwrap();
    assert_eq!(peer.replies(), ["onStatus 0 NetStream.Publish.BadName @2"], "another name is not");
    peer.say(kind::AUDIO, 0x0100_0000, SOUND_CONFIG).feed().unwrap();
    assert_eq!(
        peer.events()[1..],
        ["audio config", "note sends media on another message stream than it publishes"]
    );
}

#[test]
fn any_goodbye_ends_it_once() {
    for (name, stream, command, argument) in [
        ("deleteStream by id", 0, "deleteStream", Value::Number(1.0)),
        ("deleteStream by name (rtmp2sink)", 0, "deleteStream", "key".into()),
        ("deleteStream without argument", 0, "deleteStream", Value::Null),
        ("deleteStream of nonsense", 0, "deleteStream", f64::NAN.into()),
        ("closeStream", 1, "closeStream", Value::Null),
        ("FCUnpublish", 0, "FCUnpublish", "key".into()),
    ] {
        let mut peer = Peer::published();
        for _ in 0..2 {
            peer.command(stream, command, 0.0, &[Value::Null, argument.clone()]);
        }
        peer.feed().unwrap();
        assert_eq!(peer.events(), ["ended true"], "{name}");
    }
    let mut peer = Peer::published();
    peer.command(0, "createStream", 8.0, &[Value::Null]).command(
        0,
        "deleteStream",
        0.0,
        &[Value::Null, 2.0.into()],
    );
    peer.feed().unwrap();
    assert_eq!(peer.events(), [""; 0], "another stream of the connection was meant");
}

#[test]
fn a_connection_may_publish_again() {
    let mut peer = Peer::published();
    peer.command(0, "deleteStream", 0.0, &[Value::Null, 1.0.into()]);
    peer.command(0, "createStream", 8.0, &[Value::Null]);
    peer.command(2, "publish", 0.0, &[Value::Null, "two".into()]).feed().unwrap();
    assert_eq!(peer.events(), ["ended true", "publish live/two"]);
    peer.session.answer(Verdict::Accept);
    assert_eq!(peer.replies().last().unwrap(), "onStatus 0 NetStream.Publish.Start @2");
}

#[test]
fn refusals_are_said_before_the_connection_closes() {
    for (name, code, want) in [
        ("unknown key", RefusalCode::BadName, "onStatus 0 NetStream.Publish.BadName @1"),
        ("not now", RefusalCode::Denied, "onStatus 0 NetStream.Publish.Denied @1"),
    ] {
        let mut peer = Peer::new();
        peer.connect().publish("key").feed().unwrap();
        peer.session.answer(Verdict::Refuse { code, description: "No such key.".into() });
        assert_eq!(peer.replies().last().unwrap(), want, "{name}");
        peer.wait(0.4).unwrap();
        assert!(!peer.session.is_closed(), "{name}: the peer still reads");
        peer.publish("key").feed().unwrap();
        assert_eq!(peer.replies(), [""; 0]);
        peer.wait(0.6).unwrap();
        assert!(peer.session.is_closed(), "{name}");
    }
    for (name, publish, want) in [
        ("no key at all", "", "onStatus 0 NetStream.Publish.BadName @1"),
        ("dots", "../x", "onStatus 0 NetStream.Publish.BadName @1"),
    ] {
        let mut peer = Peer::new();
        peer.handshake().command(0, "connect", 1.0, &[object([])]).publish(publish).feed().unwrap();
        assert_eq!(peer.replies().last().unwrap(), want, "{name}");
        assert!(!peer.events().iter().any(|event| event.starts_with("publish ")), "{name}");
    }
    let mut peer = Peer::new();
    peer.handshake().command(0, "connect", 1.0, &[object([("app", "../..".into())])]).feed().unwrap();
    assert_eq!(peer.replies(), ["_error 1 NetConnection.Connect.InvalidApp @0"]);
}

#[test]
fn a_running_publication_may_be_refused_or_shut_down() {
    let mut peer = Peer::published();
    peer.session.answer(Verdict::Refuse {
        code: RefusalCode::BadName,
        description: "Another encoder took over.".into(),
    });
    assert_eq!(peer.replies(), ["onStatus 0 NetStream.Publish.BadName @1"]);
    assert_eq!(peer.events(), ["ended false"]);
    let mut peer = Peer::published();
    peer.session.shut_down("The server restarts.");
    assert_eq!(
        peer.replies(),
        ["onStatus 0 NetStream.Unpublish.Success @1", "onStatus 0 NetConnection.Connect.AppShutdown @0",]
    );
    assert_eq!(peer.events(), ["ended false"]);
    peer.wait(1.0).unwrap();
    assert!(peer.session.is_closed());
    let mut silent = Peer::new();
    silent.session.shut_down("The server restarts.");
    assert!(silent.session.is_closed());
}

#[test]
fn codings_that_are_not_taken_end_the_publication_in_words() {
    let mut peer = Peer::published();
    peer.say(kind::VIDEO, 1, b"\x90vvc1\x01").feed().unwrap();
    assert_eq!(peer.replies(), ["onStatus 0 NetStream.Publish.Rejected @1"]);
    let events = peer.events();
    assert!(events[0].contains("VVC"), "{events:?}");
    assert_eq!(events[1], "ended false");
}

#[test]
fn input_waits_for_the_verdict() {
    let mut peer = Peer::new();
    peer.connect()
        .publish("key")
        .say(kind::AUDIO, 1, SOUND_CONFIG)
        .say(kind::AUDIO, 1, SOUND)
        .feed()
        .unwrap();
    assert_eq!(peer.events(), ["publish live/key", "note published without createStream"]);
    peer.session.answer(Verdict::Accept);
    assert_eq!(peer.events(), ["audio config", "Audio 0"]);

    let mut peer = Peer::new();
    peer.connect().publish("key").feed().unwrap();
    let error = peer.session.feed(peer.now, &vec![0; (1 << 20) + 1]).unwrap_err();
    assert_eq!(error, ProtocolError::Held { limit: 1 << 20 });

    let mut peer = Peer::new();
    peer.connect().publish("key").feed().unwrap();
    peer.session.feed(peer.now, &[0xFF]).unwrap(); // fmt 3 on a fresh chunk stream, read after the verdict
    peer.session.answer(Verdict::Accept);
    assert_eq!(peer.session.deadline(), peer.now);
    assert!(matches!(peer.session.tick(peer.now), Err(ProtocolError::Chunk(_))));
    assert_eq!(peer.events().last().unwrap(), "ended false");
    assert!(peer.session.is_closed());
}

#[test]
fn every_phase_has_an_end() {
    type Setup = fn(&mut Peer);
    let rows: [(&str, Setup, f64, Phase); 6] = [
        ("silence", |_| {}, 5.0, Phase::FirstByte),
        ("half a handshake", |peer| peer.session.feed(peer.now, &[3]).unwrap(), 10.0, Phase::Handshake),
        (
            "no connect",
            |peer| {
                peer.handshake();
            },
            10.0,
            Phase::Connect,
        ),
        ("no publish", |peer| peer.connect().feed().unwrap(), 20.0, Phase::Publish),
        ("no verdict", |peer| peer.connect().publish("key").feed().unwrap(), 10.0, Phase::Verdict),
        ("no media", |peer| *peer = Peer::published(), 15.0, Phase::FirstMedia),
    ];
    for (name, setup, at, phase) in rows {
        let mut peer = Peer::new();
        setup(&mut peer);
        peer.wait(at - 0.1).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!peer.session.is_closed(), "{name}");
        match peer.wait(at) {
            Err(ProtocolError::Timeout { phase: met, .. }) => assert_eq!(met, phase, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        assert!(peer.session.is_closed(), "{name}");
    }
    let mut peer = Peer::published();
    peer.say(kind::AUDIO, 1, SOUND_CONFIG).feed().unwrap();
    peer.wait(29.9).unwrap();
    peer.say(kind::AUDIO, 1, SOUND).feed().unwrap();
    peer.wait(59.8).unwrap();
    assert_eq!(peer.replies(), [format!("event {}", event::PING_REQUEST)]);
    assert!(matches!(peer.wait(60.0), Err(ProtocolError::Timeout { phase: Phase::Media, .. })));
    assert_eq!(peer.events().last().unwrap(), "ended false");
}

#[test]
fn a_byte_now_and_then_wins_no_time() {
    let mut peer = Peer::new();
    peer.session.feed(peer.now, &[3]).unwrap();
    for second in 1..10 {
        peer.wait(f64::from(second)).unwrap();
        peer.session.feed(peer.now, &[0]).unwrap();
    }
    assert!(peer.wait(10.0).is_err());
}

#[test]
fn command_floods_close() {
    let mut peer = Peer::new();
    peer.connect();
    for _ in 0..60 {
        peer.command(0, "_checkbw", 2.0, &[Value::Null]);
    }
    let error = peer.feed().unwrap_err();
    assert_eq!(
        error,
        ProtocolError::TooManyCommands {
            which: Limit::CommandsPerSecond,
            limit: 50,
            span: "within a second"
        }
    );
    assert_eq!(error.limit().map(Limit::as_str), Some("commands_per_second"));
}

#[test]
fn acks_and_control_messages_work_before_connect_and_on_any_chunk_stream() {
    let mut peer = Peer::new();
    peer.handshake();
    peer.writer.set_chunk_size(&mut peer.bytes, 4096); // as OBS does
    peer.say(kind::WINDOW_ACK_SIZE, 7, &5000u32.to_be_bytes());
    let about = object([("app", "live".into())]);
    peer.command(0, "connect", 1.0, &[about]).feed().unwrap();
    assert_eq!(peer.replies().last().unwrap(), "control 3", "3073 bytes are more than half of 5000");
    peer.say(kind::USER_CONTROL, 0, &[0, 6, 1, 2, 3, 4]).feed().unwrap();
    assert_eq!(peer.replies(), ["event 7"]);
}

#[test]
fn malformed_commands_are_survived() {
    let mut peer = Peer::new();
    peer.connect().feed().unwrap();
    peer.replies();
    for (name, body, want) in [
        ("no name", &b"\x05"[..], vec![]),
        ("garbage", b"\xFF\xFF", vec![]),
        (
            "cut behind the transaction",
            b"\x02\0\x0ccreateStream\0\x40\x10\0\0\0\0\0\0\x03",
            vec!["_result 4 1 @0"],
        ),
        ("AMF3 argument", b"\x02\0\x08_checkbw\0\x40\x10\0\0\0\0\0\0\x11\x01", vec!["_result 4 Null @0"]),
    ] {
        peer.say(kind::COMMAND, 0, body).feed().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(peer.replies(), want, "{name}");
    }
    peer.say(kind::COMMAND_AMF3, 0, b"\0\x02\0\x0ccreateStream\0\x40\x10\0\0\0\0\0\0\x05").feed().unwrap();
    assert_eq!(peer.replies(), ["_result 4 2 @0"], "the AMF3 form with AMF0 values");
    let mut early = Peer::new();
    early.handshake().say(kind::COMMAND, 0, b"\x02\0\xFFcon");
    assert!(matches!(early.feed(), Err(ProtocolError::BadConnect { .. })));
}

#[test]
fn connect_may_come_twice_if_it_says_the_same() {
    let mut peer = Peer::new();
    peer.connect().feed().unwrap();
    let about = object([("app", "live".into()), ("tcUrl", "rtmp://host/live".into())]);
    peer.command(0, "connect", 1.0, &[about]).feed().unwrap();
    peer.command(0, "connect", 1.0, &[object([("app", "other".into())])]);
    assert_eq!(peer.feed(), Err(ProtocolError::ConnectChanged));
}

#[test]
fn strangers_are_closed_with_a_reason() {
    let mut peer = Peer::new();
    let error = peer.session.feed(peer.now, b"GET / HTTP/1.1\r\n\r\n").unwrap_err().to_string();
    assert!(error.contains("byte 0") && error.contains("47 45 54 20"), "{error}");
    assert!(peer.session.is_closed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hostile_bytes_end_in_an_error_or_in_nothing(
        bytes in prop::collection::vec(any::<u8>(), 0..3000), connected in any::<bool>(), step in 1usize..500,
    ) {
        let mut peer = if connected { Peer::published() } else { Peer::new() };
        if !connected { peer.handshake(); }
        for piece in bytes.chunks(step) {
            if peer.session.feed(peer.now, piece).is_err() { break; }
            while let Some(event) = peer.session.poll_event() {
                if matches!(event, Event::PublishRequested(_)) { peer.session.answer(Verdict::Accept); }
            }
        }
        prop_assert!(peer.session.reader.held_bytes() <= 2 * bytes.len() + 9 * crate::limits::FIRST_RESERVATION);
        prop_assert!(peer.session.link.out.len() <= 80 * bytes.len() + 8192);
    }
}
