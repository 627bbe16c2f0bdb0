//! Values and text: AMF3, addresses, credentials.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::{
    Event, Session, Settings,
    amf0::{Encoder, Value, decode_all, object},
    amf3::encode::encode,
    auth::{Challenger, Claim, Outcome, Verifier},
    chunk::{Writer, csid, writer::Head},
    handshake::PACKET,
    message::kind,
    metadata::Metadata,
};

/// Longest description that FFmpeg reads, in bytes.
const DESCRIPTION_MAX: usize = 255;

/// AMF3: what can be read can be written and is read back the same.
pub fn amf3(data: &[u8]) {
    let (values, _) = decode_all(&Bytes::from([&[0x11], data].concat()));
    let _ = Metadata::from_values(&values);
    let Some(value) = values.first() else { return };
    let (again, error) = decode_all(&encode(value));
    assert_eq!(error, None);
    assert_eq!(format!("{again:?}"), format!("{:?}", [value])); // as text: NaN differs from itself
}

/// Pieces of `data` between zero bytes, as text.
fn pieces<const N: usize>(data: &[u8]) -> [String; N] {
    let mut pieces = data.splitn(N, |byte| *byte == 0);
    std::array::from_fn(|_| String::from_utf8_lossy(pieces.next().unwrap_or_default()).into_owned())
}

/// Application, server address and stream name, zero bytes between them, from `connect` and `publish` to what the owner
/// is asked: never an empty name, never anything that climbs out of its place or upsets a log.
pub fn resolve(data: &[u8]) {
    let [app, tc_url, name] = pieces(data);
    let now = Instant::now();
    let mut session = Session::new(now, Settings::default());
    let (mut writer, mut bytes) = (Writer::new(), BytesMut::zeroed(1 + 2 * PACKET));
    bytes[0] = 3;
    let head = Head { csid: csid::COMMAND, kind: kind::COMMAND, stream: 0, timestamp: 0 };
    let about = object([("app", app.as_str().into()), ("tcUrl", tc_url.as_str().into())]);
    writer.write(&mut bytes, head, &Encoder::new().put("connect").put(1.0).put(about).finish());
    let publish = Encoder::new().put("publish").put(5.0).put(Value::Null).put(name.as_str()).finish();
    writer.write(&mut bytes, head, &publish);
    let _ = session.feed(now, &bytes); // refuses what is too long
    while let Some(event) = session.poll_event() {
        let Event::PublishRequested(request) = event else { continue };
        let (app, name) = (request.app, request.name.expose());
        assert!(!name.is_empty());
        for text in [&app, name] {
            assert!(!text.chars().any(char::is_control), "{text:?}");
            assert!(!text.split('/').any(|element| element == ".."), "{text:?}");
        }
    }
}

/// Credentials: application with its query, user and password, zero bytes between them. Nobody is let in by luck, and
/// what encoders are asked fits what they read.
pub fn auth(data: &[u8]) {
    let [app, user, password] = pieces(data);
    let challenger = Challenger::new([7; 32]);
    let claim = Claim::read(&app);
    let verifier = Verifier::new(&user, &password, "0011223344556677");
    for verifier in [Some(&verifier), None] {
        match challenger.answer(claim.as_ref(), verifier, Duration::from_secs(1_000_000)) {
            Outcome::Ask { description } | Outcome::Failed { description } => {
                assert!(description.len() <= DESCRIPTION_MAX, "{} bytes", description.len());
            }
            Outcome::Proven { user } => panic!("{user} is let in"),
        }
    }
}
