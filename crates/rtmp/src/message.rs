//! RTMP messages: what chunks carry, and what the control messages among them say (RTMP 1.0 §5.4, §6.2).

use bytes::Bytes;

/// Message types (RTMP 1.0 §5.4, §7.1).
pub mod kind {
    /// Set Chunk Size.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Abort Message.
    pub const ABORT: u8 = 2;
    /// Acknowledgement.
    pub const ACK: u8 = 3;
    /// User Control.
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size.
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// Set Peer Bandwidth.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Audio: an FLV audio tag body.
    pub const AUDIO: u8 = 8;
    /// Video: an FLV video tag body.
    pub const VIDEO: u8 = 9;
    /// Data, AMF3 form.
    pub const DATA_AMF3: u8 = 15;
    /// Shared object, AMF3 form.
    pub const SHARED_OBJECT_AMF3: u8 = 16;
    /// Command, AMF3 form.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data, AMF0.
    pub const DATA: u8 = 18;
    /// Shared object, AMF0.
    pub const SHARED_OBJECT: u8 = 19;
    /// Command, AMF0.
    pub const COMMAND: u8 = 20;
    /// Aggregate: several messages in one.
    pub const AGGREGATE: u8 = 22;
}

/// User Control events (RTMP 1.0 §6.2; 7.1.7 in the numbering of the 2012 text).
pub mod event {
    /// Stream Begin.
    pub const STREAM_BEGIN: u16 = 0;
    /// Stream EOF.
    pub const STREAM_EOF: u16 = 1;
    /// Ping Request.
    pub const PING_REQUEST: u16 = 6;
    /// Ping Response.
    pub const PING_RESPONSE: u16 = 7;
}

/// One whole message. How its payload was cut into chunks is forgotten.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Message type, see [`kind`].
    pub kind: u8,
    /// Message stream it belongs to; 0 for the connection itself.
    pub stream: u32,
    /// Milliseconds modulo 2^32.
    pub timestamp: u32,
    /// The payload.
    pub payload: Bytes,
}

impl Message {
    /// The AMF0 values of a command or data message. The AMF3 forms hold AMF0 as well, with AMF3 behind its marker
    /// 0x11, all behind a format byte of 0 that some senders leave out; a name opens with the string marker 2.
    pub fn amf_body(&self) -> Bytes {
        let framed =
            matches!(self.kind, kind::COMMAND_AMF3 | kind::DATA_AMF3) && self.payload.first() == Some(&0);
        self.payload.slice(usize::from(framed)..)
    }
}

/// Messages that steer the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// The peer wants an acknowledgement at least every so many bytes.
    WindowAckSize(u32),
    /// The peer wants us to limit what is in flight to so many bytes.
    PeerBandwidth(u32),
    /// The peer wants its four bytes back.
    PingRequest([u8; 4]),
    /// The peer gave ours back.
    PingResponse,
}

impl Control {
    /// Reads a control message. `None` for those that nothing follows from: acknowledgements, events we do not act on,
    /// short payloads.
    pub fn parse(message: &Message) -> Option<Self> {
        let payload = &message.payload[..];
        let word = |at: usize| Some(u32::from_be_bytes(*payload.get(at..)?.first_chunk()?));
        match message.kind {
            kind::WINDOW_ACK_SIZE => word(0).map(Self::WindowAckSize),
            kind::SET_PEER_BANDWIDTH => word(0).map(Self::PeerBandwidth),
            kind::USER_CONTROL => match u16::from_be_bytes(*payload.first_chunk()?) {
                event::PING_REQUEST => Some(Self::PingRequest(*payload.get(2..)?.first_chunk()?)),
                event::PING_RESPONSE => Some(Self::PingResponse),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The messages inside an aggregate (RTMP 1.0 §7.1.6), on the aggregate's own stream and times. Stops quietly at a cut
/// tail; aggregates inside aggregates are skipped; at most `limit` come out.
pub fn split_aggregate(outer: &Message, limit: usize) -> impl Iterator<Item = Message> {
    const HEADER: usize = 11;
    const BACK_POINTER: usize = 4;
    let (payload, stream, base) = (outer.payload.clone(), outer.stream, outer.timestamp);
    let (mut at, mut first) = (0, None);
    std::iter::from_fn(move || {
        loop {
            let head = payload.get(at..at + HEADER)?;
            let size = usize::from(head[1]) << 16 | usize::from(head[2]) << 8 | usize::from(head[3]);
            let told = u32::from_be_bytes([head[7], head[4], head[5], head[6]]);
            let kind = head[0];
            let body = at + HEADER..at + HEADER + size;
            payload.get(body.clone())?;
            at = body.end + BACK_POINTER;
            let offset = told.wrapping_sub(*first.get_or_insert(told));
            if kind != kind::AGGREGATE {
                return Some(Message {
                    kind,
                    stream,
                    timestamp: base.wrapping_add(offset),
                    payload: payload.slice(body),
                });
            }
        }
    })
    .take(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, payload: &[u8]) -> Message {
        Message { kind, stream: 0, timestamp: 0, payload: Bytes::copy_from_slice(payload) }
    }

    #[test]
    fn control_messages_are_read_leniently() {
        for (name, kind, payload, want) in [
            ("window", 5, &[0, 0x26, 0x25, 0xA0][..], Some(Control::WindowAckSize(2_500_000))),
            ("short window", 5, &[0, 1], None),
            ("bandwidth", 6, &[0, 0, 1, 0, 2], Some(Control::PeerBandwidth(256))),
            ("ping", 4, &[0, 6, 1, 2, 3, 4], Some(Control::PingRequest([1, 2, 3, 4]))),
            ("short ping", 4, &[0, 6, 1], None),
            ("pong", 4, &[0, 7, 1, 2, 3, 4], Some(Control::PingResponse)),
            ("buffer length", 4, &[0, 3, 0, 0, 0, 1, 0, 0, 0, 100], None),
            ("undocumented event", 4, &[0, 32, 0, 0, 0, 1], None),
            ("empty event", 4, &[], None),
            ("ack", 3, &[0, 0, 0, 9], None),
        ] {
            assert_eq!(Control::parse(&message(kind, payload)), want, "{name}");
        }
    }

    fn part(kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
        let (size, time) = ((body.len() as u32).to_be_bytes(), time.to_be_bytes());
        let mut out = vec![kind, size[1], size[2], size[3], time[1], time[2], time[3], time[0], 0, 0, 9];
        out.extend(body);
        out.extend([0; 4]);
        out
    }

    #[test]
    fn an_aggregate_opens_into_messages_on_its_own_times() {
        let bytes =
            [part(8, 0xFFFF_FFF0, b"a"), part(22, 0, b"nested"), part(9, 4, b"vv"), vec![8, 0, 0]].concat();
        let outer = Message { stream: 1, timestamp: 1000, ..message(22, &bytes) };
        let got: Vec<_> = split_aggregate(&outer, 10)
            .map(|m| (m.kind, m.stream, m.timestamp, m.payload.to_vec()))
            .collect();
        assert_eq!(got, [(8, 1, 1000, b"a".to_vec()), (9, 1, 1020, b"vv".to_vec())]);
        assert_eq!(split_aggregate(&outer, 1).count(), 1);
    }
}
