//! TCP ports for RTMP: accepts, and owns the tasks of all connections and tunnelled sessions.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, debug, error, info_span, warn};

use crate::{
    addresses::AddressList,
    door::{Door, Places},
    greet,
    hall::{Hall, turned_away},
    hits,
    owner::Owner,
    shutdown::Shutdown,
    tls::Tls,
    transport::Transports,
    tunnels::Tunnels,
};

/// How listeners treat their peers.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Limits and timeouts of each RTMP session.
    pub session: rtmp::session::Settings,
    /// How many may come in. One more is closed at accept.
    pub places: Places,
    /// Who is closed at accept, before a byte is read.
    pub denied: AddressList,
    /// What is offered; whoever comes otherwise is closed.
    pub transports: Transports,
    /// For RTMPS and RTMPTS; without it they are not offered.
    pub tls: Option<Tls>,
    /// Bits a second of one publisher; above it the socket is read less often. 0: no limit.
    pub max_bitrate_bps: u64,
    /// Bytes a second below which a publisher's message is too slow, after 10 s; then it is closed. 0: no limit.
    pub min_bytes_per_second: u64,
    /// The port of the page for viewers, for those who open this one with a browser.
    pub viewers_port: Option<u16>,
    /// How long a lane may stay full before its publisher is closed.
    pub stall: Duration,
    /// How long connections may take to say goodbye at shutdown.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            session: rtmp::session::Settings::default(),
            places: Places::default(),
            denied: AddressList::default(),
            transports: Transports::default(),
            tls: None,
            max_bitrate_bps: 100_000_000,
            min_bytes_per_second: 1024,
            viewers_port: None,
            stall: Duration::from_secs(10),
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

/// Bound ports, not yet accepting.
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<std::net::TcpListener>,
    addresses: Vec<SocketAddr>,
}

impl Listener {
    /// Binds `addresses`, each of which will take every transport; port 0 lets the system choose, [`Self::addresses`]
    /// tells which.
    ///
    /// # Errors
    /// When a port is taken or not allowed.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self, BindError> {
        let mut listener = Self { sockets: Vec::new(), addresses: Vec::new() };
        for &address in addresses {
            let fail = |source| BindError { address, source };
            let socket = std::net::TcpListener::bind(address).map_err(fail)?;
            socket.set_nonblocking(true).map_err(fail)?;
            listener.addresses.push(socket.local_addr().map_err(fail)?);
            listener.sockets.push(socket);
        }
        Ok(listener)
    }

    /// The addresses that are really listened on, in the order they were asked for.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Accepts until `shutdown` drains, then lets connections say goodbye for `grace` once it stops, and returns when
    /// all have ended. `owner` is asked about clients.
    pub async fn run(self, settings: Settings, owner: Owner, shutdown: Shutdown) {
        let grace = settings.grace;
        let hall = Arc::new(Hall {
            door: Door::new(settings.places.clone()),
            settings,
            tunnels: Tunnels::default(),
            owner,
            shutdown,
            kill: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        for (socket, address) in self.sockets.into_iter().zip(self.addresses) {
            match TcpListener::from_std(socket) {
                Ok(socket) => hall.spawn(accept(socket, hall.clone())),
                Err(error) => error!(%error, %address, "cannot listen for RTMP"),
            }
        }
        let keeper = tokio::spawn(Tunnels::keep_clean(hall.clone()));
        hall.shutdown.draining().await;
        hall.tasks.close();
        tokio::select! {
            () = hall.shutdown.stopped() => {
                if timeout(grace, hall.tasks.wait()).await.is_err() {
                    debug!(left = hall.tasks.len(), "connections did not say goodbye in time");
                }
            }
            () = hall.tasks.wait() => {}
        }
        hall.kill.cancel();
        keeper.abort();
        hall.tasks.wait().await;
    }
}

/// Accepts until the listener drains.
async fn accept(socket: TcpListener, hall: Arc<Hall>) {
    loop {
        let accepted = tokio::select! {
            () = hall.shutdown.draining() => return,
            accepted = socket.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // EMFILE and its like: accepting again at once would spin.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if hall.settings.denied.contains(peer.ip()) {
            debug!(%peer, "closed at once: the address is denied");
            turned_away("denied");
            continue;
        }
        let guest = match hall.door.admit(peer.ip(), std::time::Instant::now()) {
            Ok(guest) => guest,
            Err(why) => {
                turned_away(why.as_str());
                if let Some(untold) = hits::hit(why.as_str()) {
                    warn!(%peer, limit = why.as_str(), untold, "connection limit reached; closing new connections");
                }
                continue;
            }
        };
        prepare(&stream);
        let host = hall.clone();
        let task = async move { greet::receive(stream, peer, &guest, &host).await };
        hall.spawn(task.instrument(info_span!("conn", %peer)));
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
