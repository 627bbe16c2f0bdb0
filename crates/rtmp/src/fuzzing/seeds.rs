//! Where the fuzzers start: what real encoders sent, taken apart as each target wants it.

use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    amf0::{Value, decode_all},
    amf3::encode::encode,
    chunk::{Reader, Writer, writer::Head},
    handshake::PACKET,
    limits::Limits,
    message::{Message, kind},
};

/// Most bytes of a capture in one seed: small inputs are what a fuzzer is quick with.
const PIECE: usize = 8 * 1024;
/// Messages of a capture that become seeds of their own.
const MESSAGES: usize = 12;

/// Seeds with the name of their target.
///
/// # Panics
/// When the captures in `testdata` cannot be read.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = written();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut captures: Vec<_> = std::fs::read_dir(folder)
        .expect("the captures are there")
        .map(|entry| entry.expect("read").path())
        .collect();
    captures.sort();
    for path in captures.iter().filter(|path| path.extension().is_some_and(|end| end == "rtmp")) {
        of_capture(&std::fs::read(path).expect("the capture can be read"), &mut seeds);
    }
    seeds
}

fn of_capture(capture: &[u8], seeds: &mut Vec<(&'static str, Vec<u8>)>) {
    let (hello, chunks) = capture.split_at((1 + 2 * PACKET).min(capture.len()));
    let start = &chunks[..chunks.len().min(PIECE)];
    for how in 0..8 {
        seeds.push(("handshake", [&[how, 200], hello, b"behind"].concat()));
        let version = if how & 1 == 1 { 6 } else { 3 };
        seeds.push(("handshake", [&[how | 5, 255, version], &hello[1..]].concat()));
    }
    seeds.push(("chunk", [&[255], start].concat()));
    seeds.push(("session", [&[0, 255], start].concat()));
    seeds.push(("session", [&[5, 255], start].concat()));
    let requests = start.chunks(200).zip(0u8..=255);
    let tunnelled = requests.flat_map(|(bytes, seq)| [&[0, seq, bytes.len() as u8], bytes].concat());
    seeds.push(("tunnel", tunnelled.collect()));

    let (mut reader, mut input) = (Reader::new(Limits::default(), 0), chunks);
    let messages: Vec<Message> = std::iter::from_fn(|| reader.next(&mut input).ok().flatten()).collect();
    let words = |kind| matches!(kind, kind::COMMAND | kind::COMMAND_AMF3 | kind::DATA | kind::DATA_AMF3);
    let (told, media): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| words(message.kind));
    for message in &told {
        let body = message.amf_body();
        let (values, _) = decode_all(&body);
        seeds.extend(values.iter().map(|value| ("amf3", encode(value)[1..].to_vec())));
        if let Some(text) = address(&values) {
            seeds.push(("resolve", text));
        }
        seeds.push(("amf0", body.to_vec()));
    }
    let media: Vec<_> =
        media.iter().filter(|message| matches!(message.kind, kind::AUDIO | kind::VIDEO)).collect();
    seeds.push(("publishing", published(&media)));
    seeds.push(("flv", tags(&media)));
    seeds.push(("aggregate", aggregated(&media)));
    seeds.push(("configs", frames(&media, kind::VIDEO, &[b"hvc1", b"av01", b"vp09"])));
    seeds.push(("configs", frames(&media, kind::AUDIO, &[b"Opus", b"fLaC", b"ac-3", b"ec-3"])));
    for message in media.iter().take(MESSAGES) {
        // Where a configuration or an access unit begins, in the forms that tags have.
        for skipped in [1, 2, 5, 8] {
            let body = message.payload.get(skipped..).unwrap_or_default();
            seeds.push(("configs", body[..body.len().min(512)].to_vec()));
        }
    }
}

/// `app`, `tcUrl` and a name, for the target `resolve`.
fn address(values: &[Value]) -> Option<Vec<u8>> {
    let about = values.get(2)?;
    let text = |key| about.get(key).and_then(Value::text);
    Some([text("app")?.as_bytes(), b"\0", text("tcUrl")?.as_bytes(), b"\0key?token=1"].concat())
}

fn published(media: &[&Message]) -> Vec<u8> {
    let (mut writer, mut out) = (Writer::new(), BytesMut::from(&[255][..]));
    writer.set_chunk_size(&mut out, 4096);
    for message in media {
        if out.len() > PIECE {
            break;
        }
        let Message { kind, stream, timestamp, ref payload } = **message;
        writer.write(&mut out, Head { csid: 4, kind, stream, timestamp }, payload);
    }
    out.to_vec()
}

fn tags(media: &[&Message]) -> Vec<u8> {
    let cut = |payload: &Bytes| payload.slice(..payload.len().min(255));
    let tag = |message: &&Message| {
        let (body, video) = (cut(&message.payload), u8::from(message.kind == kind::VIDEO));
        [&[body.len() as u8, 0x20 | video], &body[..]].concat()
    };
    media.iter().take(2 * MESSAGES).flat_map(tag).collect()
}

/// Records and frames of the first coding of `codings` met in Enhanced RTMP's packets, as the target `configs` takes them:
/// the coding's place in its list, then pieces with a length and what they are.
fn frames(media: &[&Message], kind: u8, codings: &[&[u8; 4]]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in media.iter().filter(|message| message.kind == kind) {
        let [how, fourcc @ ..] = &message.payload[..message.payload.len().min(5)] else { continue };
        let Some(coding) = codings.iter().position(|coding| &coding[..] == fourcc) else { continue };
        if out.is_empty() {
            out.push(coding as u8);
        }
        let record = how & 0x0F == 0;
        // Composition times stand before the frames of HEVC.
        let skipped = if fourcc == b"hvc1" && how & 0x0F == 1 { 8 } else { 5 };
        let body = message.payload.get(skipped..).unwrap_or_default();
        let body = &body[..body.len().min(255)];
        out.extend([body.len() as u8, if record { 1 } else { 2 }]);
        out.extend(body);
        if out.len() > PIECE {
            break;
        }
    }
    out
}

fn aggregated(media: &[&Message]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for message in media.iter().take(MESSAGES) {
        let body = &message.payload[..message.payload.len().min(500)];
        out.put_u8(message.kind);
        out.put_uint(body.len() as u64, 3);
        out.put_uint(u64::from(message.timestamp & 0xFF_FFFF), 3);
        out.put_u8((message.timestamp >> 24) as u8);
        out.put_uint(0, 3);
        out.put_slice(body);
        out.put_u32(body.len() as u32 + 11);
    }
    out.to_vec()
}

/// What no capture shows.
fn written() -> Vec<(&'static str, Vec<u8>)> {
    let text = |target, text: &str| (target, text.as_bytes().to_vec());
    vec![
        text("resolve", "live?k=v/name\0rtmp://user:pass@host:1935/live/_definst_?a=b\0mp4:one/two.flv?c=d"),
        text("resolve", "live?authmod=adobe&user=u\0rtmp://[::1]/live\0"),
        text("resolve", "\"/a//b/\"\0rtmp://host\0 key%20\r\n"),
        text("auth", "live?authmod=adobe&user=u\0u\0p"),
        text("auth", "live?authmod=adobe&user=u&challenge=00112233&response=rYZ1mPqJp2VhU3zX0w6iYg==&opaque=o\0u\0p"),
        text(
            "auth",
            "live/_definst_?authmod=llnw&user=u&nonce=n&cnonce=c&nc=00000001&response=0123456789abcdef\0u\0p",
        ),
        text("tunnel", "/send/000102030405060708090a0b0c0d0e0f/17?x"),
        ("tunnel", [[0, 1, 2, 9, 9], [0, 3, 2, 8, 8], [0, 2, 2, 7, 7], [2, 3, 0, 3, 4]].concat()),
        ("amf3", b"\x09\x05\x01\x0a\x13\x03T\x03a\x04\x01\x0a\x01\x04\x02".to_vec()),
        ("amf3", b"\x11\x07\x00\x06\x03a\x04\x01\x04\x07\x04\x02\x01\x04\x03".to_vec()),
        ("amf3", b"\x09\x09\x01\x0d\x05\x01\0\0\0\x01\0\0\0\x02\x0f\x03\0\0\0\0\0\0\0\0\0\x10\x03\0\x01\x01\x09\x02".to_vec()),
        ("amf3", b"\x0a\x07\x43flex.messaging.io.ArrayCollection\x09\x03\x01\x08\x01\0\0\0\0\0\0\0\0".to_vec()),
    ]
}
