//! Tunnelled sessions: requests in, the session's answers out.
//!
//! ```text
//!  http ─ request ─▶ Tunnels::take ─▶ rtmp::tunnel::Table (order) ─▶ pipe ─▶ greet::rtmp (as for a socket)
//!       ◀─ reply ───────────────────────────────────────────────── pipe ◀─
//! ```
//! A session belongs to no connection and to no address. It takes a place at the door when it is opened, before
//! anything is known of it, and leaves the table with its end, whoever ends it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rtmp::tunnel::{Arrival, CLOSED, Id, Item, Table, Target};
use tokio::{
    io::BufReader,
    sync::oneshot,
    time::{interval, timeout},
};
use tracing::{Instrument, debug, info_span, warn};

use crate::{
    door::Guest,
    greet,
    hall::{Hall, turned_away},
    hits,
    paced::Pace,
    pipe::{Outside, pipe},
    transport::Transport,
};

/// Bytes of a request of a session that does not publish; handshake and commands need a tenth of it.
pub(crate) const SMALL_BODY: usize = 16 * 1024;
/// How long a reply waits for what the session has to say to its request.
const ANSWER_LIMIT: Duration = Duration::from_millis(5);
/// How long the last words of a session wait to be fetched. Clients ask every 50 ms, or every half second.
const FETCH_LIMIT: Duration = Duration::from_secs(5);
/// How often silent and disordered sessions are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// Who sends a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) peer: SocketAddr,
    pub(crate) tls: bool,
}

/// What a request gets.
pub(crate) enum Answer {
    Body(Bytes),
    /// Later, when its turn has come; a closed channel means that it never comes.
    Awaited(oneshot::Receiver<Bytes>),
    NotFound,
    /// No place for one more session.
    Full,
}

/// One tunnelled session.
struct Tunnel {
    outside: Outside,
    guest: Guest,
    /// Requests that wait for an earlier one.
    waiting: Mutex<HashMap<u64, oneshot::Sender<Bytes>>>,
}

impl Tunnel {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Bytes>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.outside.end();
        self.waiting().clear();
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Tunnels(Mutex<Table<Arc<Tunnel>>>);

impl Tunnels {
    fn table(&self) -> MutexGuard<'_, Table<Arc<Tunnel>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that a request of this session may have: a whole video message of a publisher, else little.
    pub(crate) fn body_limit(&self, id: &Id, video: u32) -> usize {
        match self.table().get(id) {
            // Chunk headers add a hundredth at the smallest usual chunk size.
            Some(tunnel) if tunnel.guest.is_proven() => video as usize + video as usize / 50 + SMALL_BODY,
            _ => SMALL_BODY,
        }
    }

    /// Takes a request of a tunnel. `connection` is the place of the HTTP connection, `heard` whether there is room for
    /// the reply: if not, the session's output is left for the next one.
    pub(crate) async fn take(
        &self,
        target: Target,
        body: Bytes,
        caller: &Caller,
        connection: &Guest,
        hall: &Arc<Hall>,
        heard: bool,
    ) -> Answer {
        let (id, seq, item) = match target {
            Target::Open => return self.open(caller, hall),
            Target::Identify | Target::Unknown => return Answer::NotFound,
            Target::Send(id, seq) => (id, seq, Item::Bytes(body)),
            Target::Idle(id, seq) => (id, seq, Item::Nothing),
            Target::Close(id, seq) => (id, seq, Item::End),
        };
        let arrival = self.table().arrive(Instant::now(), &id, seq, item);
        let (tunnel, items) = match arrival {
            None => return Answer::NotFound,
            Some(Err((tunnel, fault))) => {
                warn!(session = ?id, %fault, "a tunnelled session is given up");
                metrics::counter!("sluice_rtmp_tunnels_broken_total").increment(1);
                tunnel.end();
                return Answer::NotFound;
            }
            Some(Ok((tunnel, Arrival::Held))) => {
                metrics::counter!("sluice_rtmp_tunnel_requests_held_total").increment(1);
                let (reply, awaited) = oneshot::channel();
                tunnel.waiting().insert(seq, reply);
                return Answer::Awaited(awaited);
            }
            Some(Ok((_, Arrival::Repeat(reply) | Arrival::Stale(reply)))) => {
                metrics::counter!("sluice_rtmp_tunnel_requests_repeated_total").increment(1);
                return Answer::Body(reply);
            }
            Some(Ok((tunnel, Arrival::Due(items)))) => (tunnel, items),
        };
        let ends = items.iter().any(|(_, item)| *item == Item::End);
        for (_, item) in &items {
            if let Item::Bytes(bytes) = item {
                tunnel.outside.feed(bytes);
            }
        }
        if ends {
            tunnel.guest.part();
            tunnel.outside.end();
        } else if tunnel.guest.is_proven() {
            connection.prove();
        } else {
            // Hello and commands are answered at once by what answers them, which spares a round of polling each.
            let _ = timeout(ANSWER_LIMIT, tunnel.outside.settled()).await;
        }
        let mut output = if heard { tunnel.outside.take() } else { Bytes::new() };
        let mut own = Answer::NotFound;
        for (number, item) in items {
            // Those that had waited are answered with nothing: what the session said belongs to the reply before.
            let said = std::mem::take(&mut output);
            let body = match item {
                Item::End => Bytes::from_static(&[CLOSED]),
                _ => self.table().reply(&id, number, &said).unwrap_or_else(|| said_alone(&said)),
            };
            if number == seq {
                own = Answer::Body(body);
            } else if let Some(waiter) = tunnel.waiting().remove(&number) {
                let _ = waiter.send(body); // its connection may be gone
            }
        }
        if ends {
            self.remove(&id);
        } else {
            // The next request of this connection stays unread as long as the session is behind.
            tunnel.outside.room().await;
        }
        own
    }

    fn open(&self, caller: &Caller, hall: &Arc<Hall>) -> Answer {
        let family = [Transport::of(caller.tls, true), Transport::of(caller.tls, true).obfuscated()];
        if !hall.settings.transports.any(&family) {
            turned_away("transport");
            return Answer::NotFound;
        }
        let guest = match hall.door.admit(caller.peer.ip(), Instant::now()) {
            Ok(guest) => guest,
            Err(why) => {
                turned_away(why.as_str());
                hits::count(why.as_str(), 1);
                return Answer::Full;
            }
        };
        let id = Id(rand::random());
        let (outside, inside) = pipe();
        let tunnel = Arc::new(Tunnel { outside, guest, waiting: Mutex::default() });
        if !self.table().open(Instant::now(), id, tunnel.clone()) {
            return Answer::Full; // 128 random bits met twice
        }
        self.tell();
        let (caller, held) = (*caller, hall.clone());
        let session = async move {
            let io = BufReader::with_capacity(greet::SNIFF_BUFFER, inside);
            let visit = greet::Visit { peer: caller.peer, tls: caller.tls, tunnel: true };
            greet::rtmp(io, Pace::default(), visit, &tunnel.guest, &held).await;
            // A refusal is told by the next request.
            let _ = timeout(FETCH_LIMIT, tunnel.outside.fetched()).await;
            held.tunnels.remove(&id);
        };
        hall.spawn(session.instrument(info_span!("conn", peer = %caller.peer, session = ?id)));
        Answer::Body(Bytes::from(format!("{id}\n")))
    }

    fn remove(&self, id: &Id) {
        let removed = self.table().remove(id);
        if let Some(tunnel) = removed {
            tunnel.end();
            self.tell();
        }
    }

    /// Ends sessions that nobody asks for, for ever.
    pub(crate) async fn keep_clean(hall: Arc<Hall>) {
        let mut every = interval(EXPIRE_EVERY);
        loop {
            every.tick().await;
            let over = hall.tunnels.table().expire(Instant::now());
            for (id, tunnel, why) in over {
                debug!(session = ?id, %why, "a tunnelled session is given up");
                metrics::counter!("sluice_rtmp_tunnels_broken_total").increment(1);
                tunnel.end();
                hall.tunnels.tell();
            }
        }
    }

    fn tell(&self) {
        metrics::gauge!("sluice_rtmp_tunnels").set(self.table().len() as f64);
    }
}

/// A reply of a session that has left the table meanwhile.
fn said_alone(said: &[u8]) -> Bytes {
    [&[CLOSED], said].concat().into()
}
