//! A TCP port for RTMP: accepts, caps, and owns the tasks of its connections.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tracing::{Instrument, debug, error, info_span, warn};

use crate::{addresses::AddressList, conn, hits, owner::Owner, paced::PacedSocket, shutdown::Shutdown};

/// How a listener treats its peers.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Limits and timeouts of each RTMP session.
    pub session: rtmp::session::Settings,
    /// Connections at once, publishing or not. One more is closed at accept.
    pub max_connections: usize,
    /// Connections at once from one address.
    pub max_per_address: usize,
    /// Who is closed at accept, before a byte is read.
    pub denied: AddressList,
    /// How long connections may take to say goodbye at shutdown.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            session: rtmp::session::Settings::default(),
            max_connections: 4096,
            max_per_address: 64,
            denied: AddressList::default(),
            grace: Duration::from_secs(2),
        }
    }
}

/// Why a port could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for RTMP on {address}")]
pub struct BindError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A bound port, not yet accepting.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

/// Connections per address; an entry lives as long as a [`Seat`] for it does.
#[derive(Debug, Default)]
struct Seats(Mutex<HashMap<IpAddr, usize>>);

/// Holds a connection's place in the count, and gives it back when dropped.
struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
}

impl Seats {
    fn take(self: &Arc<Self>, address: IpAddr, limit: usize) -> Option<Seat> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Seat { seats: self.clone(), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

impl Listener {
    /// Binds `address`; port 0 lets the system choose, [`Self::address`] tells which.
    ///
    /// # Errors
    /// When the port is taken or not allowed.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let fail = |source| BindError { address, source };
        let socket = std::net::TcpListener::bind(address).map_err(fail)?;
        socket.set_nonblocking(true).map_err(fail)?;
        let address = socket.local_addr().map_err(fail)?;
        Ok(Self { socket, address })
    }

    /// The address that is really listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until `shutdown` drains, then lets connections say goodbye for `grace` once it stops, and returns when
    /// all have ended. `owner` is asked about clients.
    pub async fn run(self, settings: Settings, owner: Owner, shutdown: Shutdown) {
        let socket = match TcpListener::from_std(self.socket) {
            Ok(socket) => socket,
            Err(error) => {
                error!(%error, address = %self.address, "cannot listen for RTMP");
                return;
            }
        };
        let settings = Arc::new(settings);
        let seats = Arc::new(Seats::default());
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.draining() => break,
                Some(_) = connections.join_next() => {}
                accepted = socket.accept() => match accepted {
                    Err(error) => {
                        // EMFILE and its like: accepting again at once would spin.
                        warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    Ok((stream, peer)) => {
                        metrics::counter!("sluice_rtmp_connections_total").increment(1);
                        if settings.denied.contains(peer.ip()) {
                            metrics::counter!("sluice_rtmp_connections_denied_total").increment(1);
                            debug!(%peer, "closed at once: the address is denied");
                            continue;
                        }
                        let seat = if connections.len() < settings.max_connections {
                            let address = peer.ip().to_canonical();
                            seats.take(address, settings.max_per_address).ok_or("max_per_address")
                        } else {
                            Err("max_connections")
                        };
                        let seat = match seat {
                            Ok(seat) => seat,
                            Err(limit) => {
                                metrics::counter!("sluice_rtmp_connections_refused_total").increment(1);
                                if let Some(untold) = hits::hit(limit) {
                                    warn!(%peer, limit, untold, "connection limit reached; closing new connections");
                                }
                                continue;
                            }
                        };
                        prepare(&stream);
                        let (owner, settings, shutdown) = (owner.clone(), settings.clone(), shutdown.clone());
                        let task = async move {
                            let (socket, pace) = PacedSocket::new(stream);
                            conn::serve(socket, pace, peer, &settings.session, owner, shutdown).await;
                            drop(seat);
                        };
                        connections.spawn(task.instrument(info_span!("conn", %peer)));
                    }
                },
            }
            metrics::gauge!("sluice_rtmp_connections").set(connections.len() as f64);
        }
        drop(socket);
        let emptied = async { while connections.join_next().await.is_some() {} };
        tokio::select! {
            () = shutdown.stopped() => {}
            () = emptied => return,
        }
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(settings.grace, drained).await.is_err() {
            debug!(left = connections.len(), "connections did not say goodbye in time");
        }
        connections.shutdown().await;
    }
}

/// Socket options: no Nagle delay for acknowledgements, and dead peers found by the kernel within about 30 s.
fn prepare(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(5));
    let set = stream.set_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&keepalive));
    #[cfg(target_os = "linux")]
    let set = set.and_then(|()| socket.set_tcp_user_timeout(Some(Duration::from_secs(30))));
    if let Err(error) = set {
        debug!(%error, "socket options not set");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_given_back() {
        let seats = Arc::new(Seats::default());
        let address = IpAddr::from([127, 0, 0, 1]);
        let first = seats.take(address, 2).unwrap();
        let _second = seats.take(address, 2).unwrap();
        assert!(seats.take(address, 2).is_none());
        assert!(seats.take(IpAddr::from([127, 0, 0, 2]), 2).is_some());
        drop(first);
        assert!(seats.take(address, 2).is_some());
    }
}
