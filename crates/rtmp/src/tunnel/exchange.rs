//! The requests of one session, put in order, and what answers them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};

use crate::limits::{TUNNEL_HELD_BYTES, TUNNEL_HELD_REQUESTS, TUNNEL_HELD_TIME};

/// Empty replies in a row after which the client is asked to come half as often.
const EMPTY_PER_STEP: u32 = 10;
/// The hint when data flows, and its bounds. What clients make of it: FFmpeg nothing, librtmp remembers it, Flash took
/// it for the interval of its polling.
const HINT_BUSY: u8 = 0x01;
const HINT_IDLE: u8 = 0x10;

/// What one request brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// `send`: RTMP bytes, cut anywhere.
    Bytes(Bytes),
    /// `idle`.
    Nothing,
    /// `close`: nothing comes after it.
    End,
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Nothing | Self::End => 0,
        }
    }
}

/// What is to be done about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// It was its turn. The items of this request, and of those that had waited for it, in order and with their
    /// numbers; each wants its [`Exchange::reply`].
    Due(Vec<(u64, Item)>),
    /// An earlier one is still missing; this one becomes due with it.
    Held,
    /// The latest request once more: the reply it had got, and nothing is fed twice.
    Repeat(Bytes),
    /// A repetition of an older one, whose reply is no longer kept: an empty reply, and nothing is fed twice.
    Stale(Bytes),
}

/// Why the requests of a session can no longer be put in order: bytes are lost, and RTMP cannot go on without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Too much waits for a missing request.
    #[error("request {missing} is missing, and {requests} requests of {bytes} bytes wait for it")]
    HeldTooMuch {
        /// The number that did not come.
        missing: u64,
        /// Requests that wait, this one counted.
        requests: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// The missing request does not come.
    #[error("request {missing} did not come within {} s of the one after it", TUNNEL_HELD_TIME.as_secs())]
    HeldTooLong {
        /// The number that did not come.
        missing: u64,
    },
}

/// The numbers, the waiting requests and the replies of one session.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The number that is due; `None` before the first request, which is 0 or 1.
    next: Option<u64>,
    held: BTreeMap<u64, Item>,
    held_bytes: usize,
    /// Since when something waits.
    held_since: Option<Instant>,
    /// The reply to the request before `next`.
    latest: Bytes,
    hint: Hint,
}

#[derive(Debug)]
struct Hint {
    value: u8,
    empty: u32,
}

impl Default for Hint {
    fn default() -> Self {
        Self { value: HINT_BUSY, empty: 0 }
    }
}

impl Hint {
    fn after(&mut self, busy: bool) -> u8 {
        if busy {
            *self = Self::default();
        } else {
            self.empty += 1;
            if self.empty >= EMPTY_PER_STEP {
                (self.value, self.empty) = ((self.value * 2).min(HINT_IDLE), 0);
            }
        }
        self.value
    }
}

impl Exchange {
    /// Request `seq` has come, whole.
    ///
    /// # Errors
    /// When too much waits for a missing one: the session must end.
    pub fn arrive(&mut self, now: Instant, seq: u64, item: Item) -> Result<Arrival, Fault> {
        let due = match self.next {
            Some(next) => next,
            // FFmpeg and librtmp count from 0, others from 1.
            None if seq <= 1 => seq,
            None => return self.hold(now, seq, item),
        };
        if seq > due {
            return self.hold(now, seq, item);
        }
        if seq < due {
            return Ok(if seq + 1 == due && !self.latest.is_empty() {
                Arrival::Repeat(self.latest.clone())
            } else {
                Arrival::Stale(Bytes::from_static(&[HINT_BUSY]))
            });
        }
        let mut items = vec![(seq, item)];
        let mut next = seq.saturating_add(1);
        while let Some(item) = self.held.remove(&next) {
            self.held_bytes -= item.len();
            items.push((next, item));
            next = next.saturating_add(1);
        }
        self.next = Some(next);
        self.latest = Bytes::new();
        self.held_since = if self.held.is_empty() { None } else { Some(now) };
        Ok(Arrival::Due(items))
    }

    fn hold(&mut self, now: Instant, seq: u64, item: Item) -> Result<Arrival, Fault> {
        if !self.held.contains_key(&seq) {
            let (requests, bytes) = (self.held.len() + 1, self.held_bytes + item.len());
            if requests > TUNNEL_HELD_REQUESTS || bytes > TUNNEL_HELD_BYTES {
                return Err(Fault::HeldTooMuch { missing: self.next.unwrap_or(0), requests, bytes });
            }
            self.held_bytes = bytes;
            self.held.insert(seq, item);
            self.held_since.get_or_insert(now);
        }
        Ok(Arrival::Held)
    }

    /// The body that answers request `seq`: a hint how often to ask, and what the session has to say.
    pub fn reply(&mut self, seq: u64, output: &[u8]) -> Bytes {
        let mut body = BytesMut::with_capacity(1 + output.len());
        body.put_u8(self.hint.after(!output.is_empty()));
        body.put_slice(output);
        let body = body.freeze();
        if self.next == Some(seq.saturating_add(1)) {
            self.latest = body.clone();
        }
        body
    }

    /// Bytes kept for requests that wait and for a repetition of the latest.
    pub fn kept_bytes(&self) -> usize {
        self.held_bytes + self.latest.len()
    }

    /// Tells when a missing request has been waited for in vain.
    ///
    /// # Errors
    /// When it has: the session must end.
    pub fn check(&self, now: Instant) -> Result<(), Fault> {
        match self.held_since {
            Some(since) if now.saturating_duration_since(since) >= TUNNEL_HELD_TIME => {
                Err(Fault::HeldTooLong { missing: self.next.unwrap_or(0) })
            }
            _ => Ok(()),
        }
    }

    /// When [`Self::check`] is worth calling, if it is.
    pub fn deadline(&self) -> Option<Instant> {
        self.held_since.map(|since| since + TUNNEL_HELD_TIME + Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &'static str) -> Item {
        Item::Bytes(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn the_first_number_is_zero_or_one() {
        let now = Instant::now();
        for first in [0, 1] {
            let mut exchange = Exchange::default();
            assert_eq!(exchange.arrive(now, first, bytes("a")), Ok(Arrival::Due(vec![(first, bytes("a"))])));
            assert_eq!(
                exchange.arrive(now, first + 1, Item::Nothing),
                Ok(Arrival::Due(vec![(first + 1, Item::Nothing)]))
            );
        }
        assert_eq!(Exchange::default().arrive(now, 2, bytes("a")), Ok(Arrival::Held));
    }

    #[test]
    fn requests_wait_for_the_missing_one_and_then_come_in_order() {
        let now = Instant::now();
        let mut exchange = Exchange::default();
        exchange.arrive(now, 0, bytes("a")).unwrap();
        assert_eq!(exchange.arrive(now, 3, Item::End), Ok(Arrival::Held));
        assert_eq!(exchange.arrive(now, 2, bytes("c")), Ok(Arrival::Held));
        assert_eq!(exchange.arrive(now, 2, bytes("x")), Ok(Arrival::Held), "a repetition changes nothing");
        let due = vec![(1, bytes("b")), (2, bytes("c")), (3, Item::End)];
        assert_eq!(exchange.arrive(now, 1, bytes("b")), Ok(Arrival::Due(due)));
        assert_eq!((exchange.kept_bytes(), exchange.deadline()), (0, None));
    }

    #[test]
    fn a_repetition_gets_the_same_reply_and_feeds_nothing() {
        let now = Instant::now();
        let mut exchange = Exchange::default();
        exchange.arrive(now, 0, bytes("a")).unwrap();
        let reply = exchange.reply(0, b"answer");
        assert_eq!(exchange.arrive(now, 0, bytes("a")), Ok(Arrival::Repeat(reply)));
        exchange.arrive(now, 1, bytes("b")).unwrap();
        assert!(matches!(exchange.arrive(now, 0, bytes("a")), Ok(Arrival::Stale(_))));
        assert!(
            matches!(exchange.arrive(now, 1, bytes("b")), Ok(Arrival::Stale(_))),
            "its reply is not made yet"
        );
    }

    #[test]
    fn what_waits_is_bounded_in_count_bytes_and_time() {
        let now = Instant::now();
        let mut many = Exchange::default();
        for seq in 2..2 + TUNNEL_HELD_REQUESTS as u64 {
            assert_eq!(many.arrive(now, seq, Item::Nothing), Ok(Arrival::Held));
        }
        assert!(matches!(many.arrive(now, 900, Item::Nothing), Err(Fault::HeldTooMuch { .. })));
        let mut large = Exchange::default();
        let item = Item::Bytes(vec![0; TUNNEL_HELD_BYTES].into());
        assert_eq!(large.arrive(now, 2, item.clone()), Ok(Arrival::Held));
        assert!(matches!(large.arrive(now, 3, item), Err(Fault::HeldTooMuch { .. })));
        assert_eq!(large.check(now + TUNNEL_HELD_TIME - Duration::from_millis(1)), Ok(()));
        assert_eq!(large.check(now + TUNNEL_HELD_TIME), Err(Fault::HeldTooLong { missing: 0 }));
    }

    #[test]
    fn the_hint_grows_while_nothing_happens() {
        let mut exchange = Exchange::default();
        let hints: Vec<u8> = (0..60).map(|seq| exchange.reply(seq, b"")[0]).collect();
        assert_eq!((hints[0], hints[9], hints[19], hints[29], hints[39], hints[59]), (1, 2, 4, 8, 16, 16));
        assert_eq!(exchange.reply(60, b"x")[..], [1, b'x']);
        assert_eq!(exchange.reply(61, b"")[0], 1);
    }

    proptest! {
        /// However requests are shuffled within what may wait, and repeated, the session gets the same bytes.
        #[test]
        fn order_is_restored(swaps in prop::collection::vec(0usize..6, 0..40), first in 0u64..2) {
            let mut order: Vec<u64> = (first..first + 40).collect();
            for (at, by) in swaps.iter().enumerate() {
                let other = (at + by).min(39);
                order.swap(at, other);
            }
            // The first request comes first: a client has nothing to say before its answer.
            order.retain(|seq| *seq != first);
            order.insert(0, first);
            let now = Instant::now();
            let mut exchange = Exchange::default();
            let mut fed = Vec::new();
            for seq in order {
                for _ in 0..2 {
                    let item = Item::Bytes(Bytes::from(seq.to_be_bytes().to_vec()));
                    match exchange.arrive(now, seq, item) {
                        Ok(Arrival::Due(items)) => fed.extend(items.into_iter().map(|(seq, _)| seq)),
                        Ok(_) => {}
                        Err(_) => return Ok(()), // shuffled too far
                    }
                }
            }
            prop_assert_eq!(fed, (first..first + 40).collect::<Vec<_>>());
        }
    }
}
