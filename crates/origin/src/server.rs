//! Sockets to the router: HTTP/1.1 and HTTP/2, with TLS or without, with bounds on what a slow or silent peer can hold.
//!
//! ```text
//!  listener ─▶ permit (Limits::connections) ─▶ TCP_NODELAY ─▶ Security::secure ─▶ Stalling(socket) ─▶ hyper ─▶ router
//! ```
//!
//! What hyper leaves open by itself, and what closes it here:
//!
//! * a peer that sends its request's head a byte at a time, or nothing at all: [`Limits::head`], also between requests
//!   of one connection, so it is the keep-alive time too (RFC 8216 players come back each target duration);
//! * a peer that asks for a segment and does not read it: the reply pins the segment's bytes after the window forgot
//!   them, so a write that makes no progress for [`Limits::write_stall`] ends the connection;
//! * peers that begin TLS handshakes and do not end them: [`Limits::handshake`], and [`Limits::handshakes`] of them at once;
//! * a peer that opens thousands of connections: [`Limits::connections`], the rest waits in the listen backlog.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, extract::ConnectInfo, http::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// Bounds on connections.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections served at once; more wait to be accepted.
    pub connections: usize,
    /// How long a request's head may take, and how long a connection may idle between requests. At least three target
    /// durations, or players lose their connection between two playlist reloads.
    pub head: Duration,
    /// How long a write may make no progress.
    pub write_stall: Duration,
    /// TLS handshakes under way at once; more wait for their turn.
    pub handshakes: usize,
    /// How long a TLS handshake may take, its turn included.
    pub handshake: Duration,
    /// Streams in one HTTP/2 connection. At least 128: a player of low latency keeps several requests open in each.
    pub http2_streams: u32,
    /// How long open requests may take to finish once `stop` has fired.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            head: Duration::from_secs(60),
            write_stall: Duration::from_secs(30),
            handshakes: 1024,
            handshake: Duration::from_secs(10),
            http2_streams: 256,
            drain: Duration::from_secs(5),
        }
    }
}

/// What lies between a socket and HTTP.
pub trait Security: Clone + Send + Sync + 'static {
    /// What HTTP is spoken over.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Whether nobody on the way can read along.
    const SECURE: bool;

    /// Takes a peer's handshake; `None`: there is nothing more to speak about with it.
    fn secure(&self, socket: TcpStream) -> impl Future<Output = io::Result<Option<Self::Stream>>> + Send;
}

/// HTTP on the socket itself.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Security for Plain {
    type Stream = TcpStream;
    const SECURE: bool = false;

    async fn secure(&self, socket: TcpStream) -> io::Result<Option<TcpStream>> {
        Ok(Some(socket))
    }
}

/// Requests that came over TLS carry it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverTls;

/// How long accepting pauses when the process is out of file descriptors; a loop without it would burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until `stop` fires; then finishes open requests within [`Limits::drain`], closes the rest, and
/// returns. Owns all connection tasks: none outlives it.
///
/// Every request carries `ConnectInfo<SocketAddr>`. Accept errors are logged and passed over.
pub async fn serve<S: Security>(
    listener: TcpListener,
    security: S,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    let handshakes = Arc::new(Semaphore::new(limits.handshakes));
    let connections = TaskTracker::new();
    let cut_off = CancellationToken::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.head).keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams)
        .keep_alive_interval(limits.head)
        .keep_alive_timeout(limits.write_stall)
        .adaptive_window(true);
    let builder = Arc::new(builder);

    loop {
        let permit = tokio::select! {
            () = stop.cancelled() => break,
            permit = Arc::clone(&permits).acquire_owned() => permit.expect("this semaphore is never closed"),
        };
        let (socket, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_the_peers_fault(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept HTTP connections");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%peer, %error, "no TCP_NODELAY");
        }
        let service = router.clone().into_service::<Incoming>();
        let service = service.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            if S::SECURE {
                request.extensions_mut().insert(OverTls);
            }
            request
        });
        let (builder, stop, cut_off) = (Arc::clone(&builder), stop.clone(), cut_off.clone());
        let (security, handshakes) = (security.clone(), Arc::clone(&handshakes));
        let (handshake, write_stall) = (limits.handshake, limits.write_stall);
        connections.spawn(async move {
            let _permit = permit;
            let secured = timeout(handshake, async {
                let _turn = handshakes.acquire().await.expect("this semaphore is never closed");
                security.secure(socket).await
            });
            let secured = tokio::select! {
                secured = secured => secured.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
                () = stop.cancelled() => return,
            };
            let stream = match secured {
                Ok(Some(stream)) => stream,
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%peer, %error, "no TLS with this peer");
                    return;
                }
            };
            let io = TokioIo::new(Stalling::new(stream, write_stall));
            let connection = builder.serve_connection(io, TowerToHyperService::new(service));
            tokio::pin!(connection);
            let mut stopping = false;
            loop {
                tokio::select! {
                    ended = connection.as_mut() => {
                        if let Err(error) = ended {
                            tracing::debug!(%peer, %error, "HTTP connection ended early");
                        }
                        break;
                    }
                    () = stop.cancelled(), if !stopping => {
                        stopping = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    () = cut_off.cancelled() => break,
                }
            }
        });
    }
    drop(listener);
    connections.close();
    if timeout(limits.drain, connections.wait()).await.is_err() {
        tracing::debug!(left = connections.len(), "HTTP requests cut off at shutdown");
        cut_off.cancel();
        connections.wait().await;
    }
}

fn is_the_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The longest text hyper reads before it knows which HTTP is spoken: the HTTP/2 preface (RFC 9113 §3.4). Its own
/// timeouts start after it.
const PREFACE: usize = 24;

/// A socket that gives up on a peer which does not begin to speak, or does not read what is written to it.
struct Stalling<S> {
    socket: S,
    limit: Duration,
    /// Runs while a write waits for the peer.
    write_alarm: Alarm,
    /// Runs while the peer owes the first [`PREFACE`] bytes.
    read_alarm: Alarm,
    seen: usize,
}

struct Alarm {
    sleep: Pin<Box<Sleep>>,
    armed: bool,
}

impl Alarm {
    fn new() -> Self {
        Self { sleep: Box::pin(sleep(Duration::ZERO)), armed: false }
    }

    /// Ready once `limit` has passed since the first poll after the last [`Self::disarm`].
    fn poll(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        if !self.armed {
            self.sleep.as_mut().reset(Instant::now() + limit);
            self.armed = true;
        }
        self.sleep.as_mut().poll(cx)
    }

    fn disarm(&mut self) {
        self.armed = false;
    }
}

impl<S> Stalling<S> {
    fn new(socket: S, limit: Duration) -> Self {
        Self { socket, limit, write_alarm: Alarm::new(), read_alarm: Alarm::new(), seen: 0 }
    }

    /// Passes a write's outcome on, unless it has waited too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_alarm.disarm();
            return outcome;
        }
        ready!(self.write_alarm.poll(cx, self.limit));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read its reply")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let outcome = Pin::new(&mut self.socket).poll_read(cx, into);
        if self.seen < PREFACE {
            self.seen += into.filled().len() - before;
            if outcome.is_pending() {
                let limit = self.limit;
                ready!(self.read_alarm.poll(cx, limit));
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the peer sends no request",
                )));
            }
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.watch(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Below TLS there is a buffer, so the last of a reply waits here.
        let outcome = Pin::new(&mut self.socket).poll_flush(cx);
        self.watch(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// More than the buffers of two sockets hold.
    const LARGE: usize = 64 << 20;

    struct Running {
        address: SocketAddr,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    async fn start(limits: Limits) -> Running {
        start_with(Plain, limits).await
    }

    /// Handshakes that a peer makes with one byte: `+` for a good one, `?` for one that has got what it came for.
    #[derive(Clone)]
    struct OneByte;

    impl Security for OneByte {
        type Stream = TcpStream;
        const SECURE: bool = true;

        async fn secure(&self, mut socket: TcpStream) -> io::Result<Option<TcpStream>> {
            match socket.read_u8().await? {
                b'+' => Ok(Some(socket)),
                b'?' => Ok(None),
                _ => Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    async fn start_with(security: impl Security, limits: Limits) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let large = bytes::Bytes::from(vec![7; LARGE]);
        let router = Router::new()
            .route(
                "/peer",
                get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }),
            )
            .route(
                "/secure",
                get(|request: axum::extract::Request| async move {
                    request.extensions().get::<OverTls>().is_some().to_string()
                }),
            )
            .route("/large", get(move || async move { large }))
            .route("/never", get(std::future::pending::<String>));
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, security, router, limits, stop.clone()));
        Running { address, stop, task }
    }

    async fn ask(socket: &mut TcpStream, path: &str) {
        socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    }

    /// Reads until the server closes the connection; how it does so is its business.
    async fn drain(socket: &mut TcpStream) -> Vec<u8> {
        let mut all = Vec::new();
        let _ = socket.read_to_end(&mut all).await;
        all
    }

    fn short() -> Limits {
        let (head, write_stall) = (Duration::from_millis(80), Duration::from_millis(80));
        Limits { head, write_stall, handshake: head, drain: Duration::from_millis(80), ..Limits::default() }
    }

    #[tokio::test]
    async fn a_request_is_answered_and_knows_its_peer() {
        let server = start(Limits::default()).await;
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        ask(&mut socket, "/peer").await;
        let mut start = [0; 15];
        socket.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        server.stop.cancel();
        let rest = drain(&mut socket).await;
        assert!(rest.ends_with(b"127.0.0.1"), "an idle connection is closed at once when the server stops");
        server.task.await.unwrap();
    }

    #[tokio::test]
    async fn peers_that_say_nothing_or_half_a_request_are_closed() {
        let server = start(short()).await;
        for said in ["", "G", "PRI * HTTP/2", "GET /peer HTTP/1.1\r\nhost: x\r\nx-slow: "] {
            let mut socket = TcpStream::connect(server.address).await.unwrap();
            socket.write_all(said.as_bytes()).await.unwrap();
            let answer = drain(&mut socket).await;
            assert!(!answer.starts_with(b"HTTP/1.1 200"), "{said:?}");
        }
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_closed() {
        let server = start(Limits { drain: Duration::from_secs(600), ..short() }).await;
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        ask(&mut socket, "/large").await;
        // The connection is all that keeps the server from ending.
        server.stop.cancel();
        timeout(Duration::from_secs(60), server.task)
            .await
            .expect("the stalled connection ends first")
            .unwrap();
        assert!(drain(&mut socket).await.len() < LARGE);
    }

    #[tokio::test]
    async fn a_reader_that_reads_gets_all_of_it() {
        let server = start(short()).await;
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(drain(&mut socket).await.len() > LARGE);
    }

    #[tokio::test]
    async fn stopping_cuts_off_what_does_not_end() {
        let server = start(short()).await;
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        ask(&mut socket, "/never").await;
        // Served on the same runtime in order: once this one is answered, the first has begun.
        let mut other = TcpStream::connect(server.address).await.unwrap();
        ask(&mut other, "/peer").await;
        other.read_u8().await.unwrap();
        server.stop.cancel();
        server.task.await.unwrap();
        assert!(drain(&mut socket).await.is_empty());
    }

    #[tokio::test]
    async fn requests_come_behind_a_good_handshake_alone() {
        let server = start_with(OneByte, short()).await;
        for (said, answered) in [("+", true), ("?", false), ("-", false), ("", false)] {
            let mut socket = TcpStream::connect(server.address).await.unwrap();
            socket.write_all(said.as_bytes()).await.unwrap();
            if !said.is_empty() {
                let _ =
                    socket.write_all(b"GET /secure HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
            }
            let answer = drain(&mut socket).await;
            assert_eq!(answer.ends_with(b"true"), answered, "{said:?}");
        }
        let plain = start(short()).await;
        let mut socket = TcpStream::connect(plain.address).await.unwrap();
        ask(&mut socket, "/secure").await;
        assert!(drain(&mut socket).await.ends_with(b"false"));
    }

    #[tokio::test]
    async fn handshakes_above_the_limit_wait_for_their_turn_and_not_for_ever() {
        let limits = Limits { handshakes: 1, handshake: Duration::from_secs(30), ..Limits::default() };
        let server = start_with(OneByte, limits).await;
        let silent = TcpStream::connect(server.address).await.unwrap();
        let mut next = TcpStream::connect(server.address).await.unwrap();
        next.write_all(b"+GET /secure HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let early = timeout(Duration::from_millis(50), next.read_u8()).await;
        assert!(early.is_err(), "it is not its turn");
        drop(silent);
        assert!(drain(&mut next).await.ends_with(b"true"));

        let limits = Limits { handshakes: 0, ..short() };
        let server = start_with(OneByte, limits).await;
        let mut never = TcpStream::connect(server.address).await.unwrap();
        assert!(drain(&mut never).await.is_empty());
        let mut open = TcpStream::connect(server.address).await.unwrap();
        server.stop.cancel();
        server.task.await.unwrap();
        assert!(drain(&mut open).await.is_empty(), "a server that stops waits for no handshake");
    }

    #[tokio::test]
    async fn connections_above_the_limit_wait_for_a_place() {
        let server = start(Limits { connections: 1, ..Limits::default() }).await;
        let mut first = TcpStream::connect(server.address).await.unwrap();
        ask(&mut first, "/peer").await;
        first.read_u8().await.unwrap();
        let mut second = TcpStream::connect(server.address).await.unwrap();
        ask(&mut second, "/peer").await;
        let waited = timeout(Duration::from_millis(50), second.read_u8()).await;
        assert!(waited.is_err(), "the only place is taken");
        drop(first);
        assert_eq!(second.read_u8().await.unwrap(), b'H');
    }
}
