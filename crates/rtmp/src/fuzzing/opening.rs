//! How connections begin: the handshake in all its kinds, and RTMPT's requests.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::{
    handshake::{PACKET, Server, sign_as_client},
    limits::TUNNEL_HELD_BYTES,
    tunnel::{Arrival, Exchange, Item, Target},
};

/// The server's side of a handshake. Bits of the first byte: 0, C1 is signed before it is sent; 1, in which scheme; 2,
/// RTMPE is offered. The second byte is the size of the reads. Signed or not, whole or cut, the answer is whole before
/// C2, and nothing behind C2 is touched.
pub fn handshake(data: &[u8]) {
    let [how, step, data @ ..] = data else { return };
    let mut bytes = data.to_vec();
    if how & 1 == 1
        && let Some(c1) = bytes.get_mut(1..).and_then(|rest| rest.first_chunk_mut())
    {
        sign_as_client(c1, how & 2 == 2);
    }
    let (mut server, mut out) = (Server::new(how & 4 == 4), BytesMut::new());
    let (mut done, mut left) = (None, vec![]);
    for mut piece in bytes.chunks(usize::from(*step).max(1)) {
        if done.is_none() {
            match server.feed(&mut piece, &mut out) {
                Ok(outcome) => done = outcome,
                Err(_) => return,
            }
        }
        left.extend_from_slice(piece);
    }
    let whole = 1 + 2 * PACKET;
    assert_eq!(out.len(), if bytes.len() > PACKET { whole } else { 0 });
    assert_eq!(done.is_some(), bytes.len() >= whole);
    assert_eq!(left, bytes.get(whole..).unwrap_or_default());
    if let Some(outcome) = done {
        assert_eq!(outcome.kind.is_encrypted(), out[0] != 3);
    }
}

/// RTMPT: a path, and requests of (kind, number, length, body) put in order. What becomes due is in order and never
/// twice; what is kept is bounded.
pub fn tunnel(data: &[u8]) {
    let _ = Target::parse(&String::from_utf8_lossy(data));
    let (mut exchange, mut now, mut due) = (Exchange::default(), Instant::now(), None);
    let mut rest = data;
    while let [kind, seq, len, tail @ ..] = rest {
        let (body, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        now += Duration::from_millis(u64::from(kind >> 2));
        let item = match kind & 3 {
            0 | 1 => Item::Bytes(Bytes::copy_from_slice(body)),
            2 => Item::Nothing,
            _ => Item::End,
        };
        match exchange.arrive(now, u64::from(*seq), item) {
            Ok(Arrival::Due(items)) => {
                assert_eq!(items[0].0, u64::from(*seq));
                for (seq, _) in items {
                    assert_eq!(seq, due.unwrap_or(seq));
                    due = Some(seq + 1);
                    assert_eq!(exchange.reply(seq, body).len(), 1 + body.len());
                }
            }
            Ok(Arrival::Held | Arrival::Repeat(_) | Arrival::Stale(_)) => {}
            Err(_) => return,
        }
        assert!(exchange.kept_bytes() <= TUNNEL_HELD_BYTES + 1 + body.len().max(255));
        if exchange.check(now).is_err() {
            return;
        }
    }
}
