//! The outbound half of a connection, of either side: commands, replies, status, acknowledgements, pings. Nothing here waits for the peer.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::{
    amf0::{Encoder, Value, object},
    chunk::{Writer, csid, writer::Head},
    limits::{ACK_WINDOW, ACK_WINDOW_MIN, Rate},
    message::{Control, event, kind},
    quirk::{Quirk, Quirks},
    rc4::Rc4,
};

/// What leaves for one peer.
#[derive(Debug)]
pub(crate) struct Link {
    writer: Writer,
    pub(crate) out: BytesMut,
    /// Encrypts what leaves, for RTMPE.
    cipher: Option<Rc4>,
    /// Bytes at the front of `out` that leave in the clear all the same: the handshake.
    clear: usize,
    /// Bytes waiting beyond which acks and pings are left out.
    limit: usize,
    /// Bytes received over the life of the connection, handshake included.
    received: u64,
    /// The same when the last ack left.
    acked: u64,
    /// The peer wants an ack at least every so many bytes.
    window: u32,
    /// Window that we announced.
    announced: u32,
    pongs: Rate,
    pongs_per_second: u32,
}

impl Link {
    pub(crate) fn new(now: Instant, limit: usize, pongs_per_second: u32) -> Self {
        Self {
            writer: Writer::new(),
            out: BytesMut::new(),
            cipher: None,
            clear: 0,
            limit,
            received: 0,
            acked: 0,
            window: ACK_WINDOW,
            announced: ACK_WINDOW,
            pongs: Rate::per(Duration::from_secs(1), now),
            pongs_per_second,
        }
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// So many bytes came.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// Acknowledges what came, once half a window did: from the start, since Wirecast stops without. The count is
    /// modulo 2^32 (RTMP 1.0 §5.4.3); encoders stop at 4 GiB where it is not.
    pub(crate) fn acknowledge(&mut self, quirks: &mut Quirks) {
        if self.received - self.acked >= u64::from(self.window / 2) && self.has_room(quirks) {
            self.acked = self.received;
            self.control(kind::ACK, &(self.received as u32).to_be_bytes());
        }
    }

    /// Acts on a control message of the peer.
    pub(crate) fn on_control(&mut self, now: Instant, control: Control, quirks: &mut Quirks) {
        match control {
            Control::WindowAckSize(0) | Control::PingResponse => {}
            Control::WindowAckSize(window) => self.window = window.max(ACK_WINDOW_MIN),
            Control::PeerBandwidth(window) => {
                if window != self.announced && self.has_room(quirks) {
                    self.announced = window;
                    self.control(kind::WINDOW_ACK_SIZE, &window.to_be_bytes());
                }
            }
            Control::PingRequest(stamp) => {
                if self.pongs.count(now) > self.pongs_per_second {
                    quirks.note(Quirk::PingFlood);
                } else if self.has_room(quirks) {
                    self.user_control(event::PING_RESPONSE, u32::from_be_bytes(stamp));
                }
            }
        }
    }

    /// Writes one message.
    pub(crate) fn write(&mut self, head: Head, payload: &[u8]) {
        self.writer.write(&mut self.out, head, payload);
    }

    /// Announces our chunk size, and keeps to it.
    pub(crate) fn set_chunk_size(&mut self, size: u32) {
        self.writer.set_chunk_size(&mut self.out, size);
    }

    /// Encrypts everything written from here on.
    pub(crate) fn encrypt(&mut self, cipher: Rc4) {
        self.clear = self.out.len();
        self.cipher = Some(cipher);
    }

    /// What goes out on `connect`: our window, the peer's, larger chunks. Not those over RTMPE: FFmpeg answers Set Chunk
    /// Size by sending the message back, encrypts it in place, and reads its new chunk size out of the ciphertext.
    pub(crate) fn open(&mut self, chunk_size: u32) {
        self.control(kind::WINDOW_ACK_SIZE, &ACK_WINDOW.to_be_bytes());
        const DYNAMIC: u8 = 2;
        let mut bandwidth = [0, 0, 0, 0, DYNAMIC];
        bandwidth[..4].copy_from_slice(&ACK_WINDOW.to_be_bytes());
        self.control(kind::SET_PEER_BANDWIDTH, &bandwidth);
        if self.cipher.is_none() {
            self.set_chunk_size(chunk_size);
        }
    }

    pub(crate) fn ping(&mut self, stamp: u32, quirks: &mut Quirks) {
        if self.has_room(quirks) {
            self.user_control(event::PING_REQUEST, stamp);
        }
    }

    pub(crate) fn stream_begin(&mut self, stream: u32) {
        self.user_control(event::STREAM_BEGIN, stream);
    }

    pub(crate) fn stream_eof(&mut self, stream: u32) {
        self.user_control(event::STREAM_EOF, stream);
    }

    /// `_result`. Transaction 0 asks for none.
    pub(crate) fn result(&mut self, transaction: f64, properties: Value, information: Value) {
        self.reply("_result", transaction, properties, information);
    }

    /// `_error`. FFmpeg ignores one without a description, so there always is one.
    pub(crate) fn error(&mut self, transaction: f64, code: &str, description: &str) {
        let information = status_object("error", code, description, []);
        self.reply("_error", transaction, Value::Null, information);
    }

    /// Another command that answers one.
    pub(crate) fn reply(&mut self, name: &str, transaction: f64, properties: Value, information: Value) {
        if transaction != 0.0 {
            let body = Encoder::new().put(name).put(transaction).put(properties).put(information).finish();
            self.command(csid::COMMAND, 0, &body);
        }
    }

    /// `onStatus` on a message stream; 0 is the connection.
    pub(crate) fn status<'a>(
        &mut self,
        stream: u32,
        level: &'a str,
        code: &'a str,
        description: &str,
        more: impl IntoIterator<Item = (&'a str, Value)>,
    ) {
        let information = status_object(level, code, description, more);
        let body = Encoder::new().put("onStatus").put(0.0).put(Value::Null).put(information).finish();
        self.command(csid::STREAM, stream, &body);
    }

    pub(crate) fn take(&mut self) -> Bytes {
        let mut out = self.out.split();
        if let Some(cipher) = &mut self.cipher {
            cipher.apply(&mut out[self.clear..]);
            self.clear = 0;
        }
        out.freeze()
    }

    fn has_room(&self, quirks: &mut Quirks) -> bool {
        let room = self.out.len() < self.limit;
        if !room {
            quirks.note(Quirk::NotReading);
        }
        room
    }

    /// Sends a command's body.
    pub(crate) fn command(&mut self, csid: u32, stream: u32, body: &[u8]) {
        self.write(Head { csid, kind: kind::COMMAND, stream, timestamp: 0 }, body);
    }

    /// Sends a control message.
    pub(crate) fn control(&mut self, kind: u8, payload: &[u8]) {
        self.writer.write(
            &mut self.out,
            Head { csid: csid::CONTROL, kind, stream: 0, timestamp: 0 },
            payload,
        );
    }

    fn user_control(&mut self, event: u16, value: u32) {
        let mut payload = [0; 6];
        payload[..2].copy_from_slice(&event.to_be_bytes());
        payload[2..].copy_from_slice(&value.to_be_bytes());
        self.control(kind::USER_CONTROL, &payload);
    }
}

/// Longest description sent: FFmpeg reads 255 bytes of it.
const DESCRIPTION_MAX: usize = 255;

fn status_object<'a>(
    level: &'a str,
    code: &'a str,
    description: &str,
    more: impl IntoIterator<Item = (&'a str, Value)>,
) -> Value {
    let mut end = description.len().min(DESCRIPTION_MAX);
    while !description.is_char_boundary(end) {
        end -= 1;
    }
    let description = &description[..end];
    let fields = [("level", level.into()), ("code", code.into()), ("description", description.into())];
    object(fields.into_iter().chain(more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chunk::Reader, limits::Limits};

    fn link() -> (Link, Quirks) {
        (Link::new(Instant::now(), 1000, 10), Quirks::default())
    }

    /// Kind and first word of each control message that waits.
    fn sent(link: &mut Link) -> Vec<(u8, u32)> {
        let bytes = link.take();
        let (mut reader, mut input) = (Reader::new(Limits::default(), 0), &bytes[..]);
        std::iter::from_fn(|| reader.next(&mut input).unwrap())
            .map(|m| (m.kind, u32::from_be_bytes(*m.payload.first_chunk().unwrap())))
            .collect()
    }

    #[test]
    fn acks_leave_every_half_window_from_the_start_and_wrap() {
        let (mut link, mut quirks) = link();
        link.count(1_249_999);
        link.acknowledge(&mut quirks);
        assert_eq!(sent(&mut link), []);
        link.count(1);
        link.acknowledge(&mut quirks);
        assert_eq!(sent(&mut link), [(kind::ACK, 1_250_000)]);
        link.count((1usize << 32) - 1_250_000 + 7);
        link.acknowledge(&mut quirks);
        assert_eq!(sent(&mut link), [(kind::ACK, 7)]);
        link.on_control(Instant::now(), Control::WindowAckSize(1), &mut quirks);
        link.count(1023);
        link.acknowledge(&mut quirks);
        assert_eq!(sent(&mut link), [], "a tiny window is not obeyed");
        link.count(1);
        link.acknowledge(&mut quirks);
        assert_eq!(sent(&mut link), [(kind::ACK, 7 + 1024)]);
    }

    #[test]
    fn pings_are_answered_but_no_flood_of_them() {
        let (mut link, mut quirks) = link();
        let now = Instant::now();
        for _ in 0..50 {
            link.on_control(now, Control::PingRequest([1, 2, 3, 4]), &mut quirks);
        }
        assert_eq!(sent(&mut link).len(), 10);
        assert_eq!(quirks.take().len(), 1);
        link.on_control(now + Duration::from_secs(1), Control::PingRequest([1, 2, 3, 4]), &mut quirks);
        assert_eq!(sent(&mut link), [(kind::USER_CONTROL, 0x0007_0102)]);
    }

    #[test]
    fn a_peer_that_does_not_read_gets_no_more_acks() {
        let (mut link, mut quirks) = link();
        for _ in 0..10_000 {
            link.count(2_500_000);
            link.acknowledge(&mut quirks);
        }
        assert!(link.out.len() < 1100, "{}", link.out.len());
        assert_eq!(quirks.take(), ["does not read our replies; acknowledgements are left out"]);
    }

    #[test]
    fn peer_bandwidth_is_answered_when_it_changes() {
        let (mut link, mut quirks) = link();
        for window in [2_500_000, 1_000_000, 1_000_000] {
            link.on_control(Instant::now(), Control::PeerBandwidth(window), &mut quirks);
        }
        assert_eq!(sent(&mut link), [(kind::WINDOW_ACK_SIZE, 1_000_000)]);
    }
}
