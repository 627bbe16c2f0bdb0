//! A publisher that asks for AMF3 and speaks it, as Flash and some hardware do.

use super::*;
use crate::{
    amf0::{Encoder, Value, decode_all, object},
    amf3::encode::encode,
    chunk::{Writer, csid, writer::Head},
};

/// A body of the AMF3 message types: format byte, AMF0 name and number, the rest behind AMF3 markers.
fn body(format: &[u8], name: &str, transaction: Option<f64>, arguments: &[Value]) -> Vec<u8> {
    let front = Encoder::new().put(name);
    let front = transaction.into_iter().fold(front, |front, number| front.put(number)).finish();
    let arguments: Vec<u8> = arguments.iter().flat_map(|value| encode(value).to_vec()).collect();
    [format, &front, &arguments].concat()
}

fn publish(asked: Value, format: &[u8]) -> (Vec<Event>, Vec<Vec<Value>>) {
    let now = Instant::now();
    let mut session = Session::new(now, Settings::default());
    let mut bytes = BytesMut::zeroed(1 + 2 * handshake::PACKET);
    bytes[0] = 3;
    let mut writer = Writer::new();
    let mut say = |bytes: &mut BytesMut, kind, stream, body: &[u8]| {
        writer.write(bytes, Head { csid: csid::COMMAND, kind, stream, timestamp: 0 }, body);
    };
    let about =
        object([("app", "live".into()), ("tcUrl", "rtmp://host/live".into()), ("objectEncoding", asked)]);
    let connect = Encoder::new().put("connect").put(1.0).put(about).finish();
    say(&mut bytes, kind::COMMAND, 0, &connect);
    for (kind, stream, body) in [
        (kind::COMMAND_AMF3, 0, body(format, "createStream", Some(4.0), &[Value::Null])),
        (
            kind::COMMAND_AMF3,
            1,
            body(format, "publish", Some(5.0), &[Value::Null, "key".into(), "live".into()]),
        ),
        (
            kind::DATA_AMF3,
            1,
            body(format, "@setDataFrame", None, &["onMetaData".into(), object([("width", 640.0.into())])]),
        ),
    ] {
        say(&mut bytes, kind, stream, &body);
    }
    session.feed(now, &bytes).unwrap();
    let mut events: Vec<Event> = std::iter::from_fn(|| session.poll_event()).collect();
    session.answer(Verdict::Accept);
    events.extend(std::iter::from_fn(|| session.poll_event()));
    let down = session.take_outbound();
    let (mut reader, mut input) = (Reader::new(Limits::default(), 0), &down[1 + 2 * handshake::PACKET..]);
    let replies = std::iter::from_fn(|| reader.next(&mut input).unwrap())
        .filter(|message| message.kind == kind::COMMAND)
        .map(|message| decode_all(&message.payload).0)
        .collect();
    (events, replies)
}

#[test]
fn commands_and_data_in_amf3_work_and_the_encoding_is_echoed() {
    for (name, asked, format, echoed) in [
        ("asked for and used", Value::Number(3.0), &[0][..], 3.0),
        ("used unasked", Value::Number(0.0), &[0], 0.0),
        ("without the format byte", Value::Number(3.0), &[], 3.0),
        ("nothing said", Value::Undefined, &[0], 0.0),
        ("an encoding that does not exist", Value::Number(7.0), &[0], 0.0),
    ] {
        let (events, replies) = publish(asked, format);
        let [Event::PublishRequested(request), Event::Metadata(metadata)] = &events[..] else {
            panic!("{name}: {events:?}")
        };
        assert_eq!((request.name.expose(), metadata.width), ("key", Some(640)), "{name}");
        let encoding = replies[0][3].get("objectEncoding").and_then(Value::number);
        assert_eq!((encoding, replies.len()), (Some(echoed), 3), "{name}: {replies:?}");
    }
}
