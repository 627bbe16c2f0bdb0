//! RTMPE from the first byte to the accepted publisher, over and over: what goes wrong with it does so by chance.

use super::*;
use crate::{
    amf0::{Encoder, Value, decode_all, object},
    chunk::{Writer, csid, writer::Head},
    handshake::signing::{Manner, Padding, Scheme, SigningClient},
};

const FLASH_PLAYER_LIKE: Manner =
    Manner { version: 6, scheme: Scheme::KeyFirst, signs_c2: false, padding: Padding::Behind };

/// The dialogue up to the accepted publisher, in the clear.
fn dialogue() -> BytesMut {
    let (mut writer, mut out) = (Writer::new(), BytesMut::new());
    let head = |stream| Head { csid: csid::COMMAND, kind: kind::COMMAND, stream, timestamp: 0 };
    let about = object([("app", "live".into()), ("tcUrl", "rtmpe://host/live".into())]);
    writer.write(&mut out, head(0), &Encoder::new().put("connect").put(1.0).put(about).finish());
    writer.write(&mut out, head(0), &Encoder::new().put("createStream").put(4.0).put(Value::Null).finish());
    let publish = Encoder::new().put("publish").put(5.0).put(Value::Null).put("key").put("live").finish();
    writer.write(&mut out, head(1), &publish);
    out
}

/// One connection: names of the commands and kinds of the other messages that the client was sent.
fn connect(manner: Manner, seed: u64, step: usize) -> Vec<String> {
    let now = Instant::now();
    let mut session = Session::new(now, Settings::default());
    let mut up = BytesMut::new();
    let mut client = SigningClient::start(manner, seed, &mut up);
    let feed = |session: &mut Session, bytes: &[u8]| {
        for piece in bytes.chunks(step) {
            session.feed(now, piece).unwrap();
            while let Some(event) = session.poll_event() {
                let Event::PublishRequested(request) = event else { panic!("{event:?}") };
                assert_eq!((request.app.as_str(), request.name.expose()), ("live", "key"));
                session.answer(Verdict::Accept);
            }
        }
    };
    feed(&mut session, &up.split());
    assert_eq!(session.handshake(), None);
    let down = session.take_outbound();
    let mut ciphers = client.feed(&mut &down[..], &mut up).unwrap();
    // The dialogue stands right behind C2, as it does when the network gathers both.
    let mut chunks = dialogue();
    ciphers.outbound.apply(&mut chunks);
    up.unsplit(chunks);
    feed(&mut session, &up);
    assert_eq!(session.handshake(), Some(HandshakeKind::Encrypted));
    let mut replies = session.take_outbound().to_vec();
    ciphers.inbound.apply(&mut replies);
    let (mut reader, mut input) = (Reader::new(Limits::default(), 0), &replies[..]);
    std::iter::from_fn(|| reader.next(&mut input).unwrap())
        .map(|message| match message.kind {
            kind::COMMAND => decode_all(&message.payload).0[0].text().unwrap().into_owned(),
            kind => format!("control {kind}"),
        })
        .collect()
}

/// One connection in 128 meets a short key or a short secret.
#[test]
fn three_hundred_connections_in_a_row() {
    for seed in 0..300 {
        let padding = [Padding::InFront, Padding::Behind][seed as usize % 2];
        let replies = connect(Manner { padding, ..FLASH_PLAYER_LIKE }, seed, 5000);
        // No Set Chunk Size (control 1), which the reader would have taken in silence: the next test looks for it.
        assert_eq!(
            replies,
            ["control 5", "control 6", "_result", "_result", "control 4", "onStatus"],
            "connection {seed}"
        );
    }
}

#[test]
fn it_may_be_cut_anywhere() {
    for step in [1, 2, 1535, 1536, 1537, 3073, 3074] {
        assert_eq!(connect(FLASH_PLAYER_LIKE, 1, step).len(), 6, "{step} bytes a read");
    }
}

/// FFmpeg would send Set Chunk Size back and misread its own message.
#[test]
fn an_encrypted_publisher_is_never_sent_a_chunk_size() {
    let now = Instant::now();
    let mut session = Session::new(now, Settings::default());
    let mut up = BytesMut::new();
    let mut client = SigningClient::start(FLASH_PLAYER_LIKE, 3, &mut up);
    session.feed(now, &up.split()).unwrap();
    let down = session.take_outbound();
    let mut ciphers = client.feed(&mut &down[..], &mut up).unwrap();
    let mut chunks = dialogue();
    ciphers.outbound.apply(&mut chunks);
    up.unsplit(chunks);
    session.feed(now, &up).unwrap();
    session.answer(Verdict::Accept);
    let mut replies = session.take_outbound().to_vec();
    ciphers.inbound.apply(&mut replies);
    let chunk_size = [2, 0, 0, 0, 0, 0, 4, kind::SET_CHUNK_SIZE];
    assert!(!replies.windows(chunk_size.len()).any(|bytes| bytes == chunk_size));
}

#[test]
fn it_can_be_switched_off() {
    let now = Instant::now();
    let mut session = Session::new(now, Settings { rtmpe: false, ..Settings::default() });
    let error = session.feed(now, &[6]).unwrap_err().to_string();
    assert!(error.contains("switched off"), "{error}");
    assert!(session.is_closed());
}
