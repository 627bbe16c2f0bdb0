//! All sessions of a server, by id.

use std::{collections::HashMap, time::Instant};

use super::{
    Id,
    exchange::{Arrival, Exchange, Fault, Item},
};
use crate::limits::TUNNEL_SILENCE;

/// The sessions; `S` is what the caller keeps for each. How many there may be is the caller's to decide before
/// [`Self::open`]; each costs no more than [`crate::limits::TUNNEL_HELD_BYTES`] and its latest reply.
#[derive(Debug)]
pub struct Table<S>(HashMap<Id, Entry<S>>);

#[derive(Debug)]
struct Entry<S> {
    exchange: Exchange,
    /// When its latest request came.
    heard: Instant,
    owner: S,
}

/// Why a session was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Expiry {
    /// No request came.
    #[error("no request for {} s", TUNNEL_SILENCE.as_secs())]
    Silent,
    /// Its requests cannot be put in order.
    #[error("requests are missing")]
    Disordered(#[source] Fault),
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<S: Clone> Table<S> {
    /// A session begins. `id` is random and secret; one that is already known is not taken, and `false` comes back.
    pub fn open(&mut self, now: Instant, id: Id, owner: S) -> bool {
        if self.0.contains_key(&id) {
            return false;
        }
        self.0.insert(id, Entry { exchange: Exchange::default(), heard: now, owner });
        true
    }

    /// What the caller keeps for a session.
    pub fn get(&self, id: &Id) -> Option<&S> {
        self.0.get(id).map(|entry| &entry.owner)
    }

    /// A request has come; `None` for an unknown session. See [`Exchange::arrive`].
    ///
    /// # Errors
    /// When the session must end. It is gone from the table.
    pub fn arrive(
        &mut self,
        now: Instant,
        id: &Id,
        seq: u64,
        item: Item,
    ) -> Option<Result<(S, Arrival), (S, Fault)>> {
        let entry = self.0.get_mut(id)?;
        entry.heard = now;
        let owner = entry.owner.clone();
        Some(match entry.exchange.arrive(now, seq, item) {
            Ok(arrival) => Ok((owner, arrival)),
            Err(fault) => {
                self.0.remove(id);
                Err((owner, fault))
            }
        })
    }

    /// The body that answers a request; `None` for an unknown session. See [`Exchange::reply`].
    pub fn reply(&mut self, id: &Id, seq: u64, output: &[u8]) -> Option<bytes::Bytes> {
        Some(self.0.get_mut(id)?.exchange.reply(seq, output))
    }

    /// A session is over.
    pub fn remove(&mut self, id: &Id) -> Option<S> {
        self.0.remove(id).map(|entry| entry.owner)
    }

    /// Takes out the sessions that nobody has asked for, or whose missing requests did not come. Worth calling once
    /// a second.
    pub fn expire(&mut self, now: Instant) -> Vec<(Id, S, Expiry)> {
        let mut over = Vec::new();
        self.0.retain(|id, entry| {
            let why = if now.saturating_duration_since(entry.heard) >= TUNNEL_SILENCE {
                Expiry::Silent
            } else if let Err(fault) = entry.exchange.check(now) {
                Expiry::Disordered(fault)
            } else {
                return true;
            };
            over.push((*id, entry.owner.clone(), why));
            false
        });
        over
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::TUNNEL_HELD_TIME;

    #[test]
    fn sessions_end_by_silence_by_disorder_and_by_themselves() {
        let start = Instant::now();
        let mut table = Table::default();
        let [silent, torn, closed] = [1, 2, 3].map(|n| Id([n; 16]));
        for id in [silent, torn, closed] {
            assert!(table.open(start, id, id.0[0]));
        }
        assert!(!table.open(start, silent, 9), "an id is given once");
        assert_eq!(table.remove(&closed), Some(3));
        assert!(table.arrive(start, &closed, 0, Item::Nothing).is_none());
        table.arrive(start, &torn, 5, Item::Nothing).unwrap().unwrap();
        assert!(table.expire(start + TUNNEL_HELD_TIME - Duration::from_millis(1)).is_empty());
        let over = table.expire(start + TUNNEL_HELD_TIME);
        assert!(matches!(over[..], [(id, 2, Expiry::Disordered(_))] if id == torn), "{over:?}");
        let late = start + Duration::from_secs(30);
        table.arrive(late, &silent, 0, Item::Nothing).unwrap().unwrap();
        assert!(table.expire(start + TUNNEL_SILENCE).is_empty(), "a request keeps it");
        assert!(matches!(table.expire(late + TUNNEL_SILENCE)[..], [(_, 1, Expiry::Silent)]));
        assert!(table.is_empty());
    }

    #[test]
    fn a_fault_takes_the_session_out() {
        let now = Instant::now();
        let mut table = Table::default();
        table.open(now, Id([0; 16]), ());
        let seqs = 2..2 + crate::limits::TUNNEL_HELD_REQUESTS as u64 + 1;
        let last =
            seqs.map(|seq| table.arrive(now, &Id([0; 16]), seq, Item::Nothing).unwrap()).last().unwrap();
        assert!(last.is_err());
        assert_eq!(table.len(), 0);
    }
}
