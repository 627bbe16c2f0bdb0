//! A TCP socket that is read at once while a peer says hello, and at a common pace once it publishes.
//!
//! Encoders write each packet by itself, some eighty a second. Reading each as it comes costs a wake-up, a read and a
//! TCP acknowledgement apiece; most of what an idle gateway spends on a stream is that. A publisher's socket is therefore
//! taken out of the event loop and tried at multiples of [`READ_EVERY`] on one clock for all of them; the kernel's socket
//! buffer holds what comes meanwhile, and one acknowledgement answers for all of it.

use std::{
    io::{self, Read, Write},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

/// How often a publisher's socket is read. It adds half of itself to the delay, on average.
pub(crate) const READ_EVERY: Duration = Duration::from_millis(50);

/// Says when a socket's peer publishes. Clones speak of the same socket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace(Arc<AtomicBool>);

impl Pace {
    /// From here on the peer publishes.
    pub(crate) fn slow_down(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_slow(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// See the module.
pub(crate) struct PacedSocket {
    socket: Socket,
    pace: Pace,
    /// The next moment at which a slow socket is tried.
    tick: Pin<Box<Sleep>>,
    /// That moment has come, and nothing was found to be used up yet.
    due: bool,
}

enum Socket {
    /// Watched by the event loop.
    Awaited(TcpStream),
    /// Left alone between ticks.
    Tried(std::net::TcpStream),
    /// It could not be taken out of the event loop.
    Lost,
}

impl PacedSocket {
    /// Wraps a socket that is read as soon as something comes, until the [`Pace`] says otherwise.
    pub(crate) fn new(socket: TcpStream) -> (Self, Pace) {
        let pace = Pace::default();
        let tick = Box::pin(sleep_until(Instant::now()));
        (Self { socket: Socket::Awaited(socket), pace: pace.clone(), tick, due: false }, pace)
    }

    fn settle(&mut self) -> io::Result<()> {
        if !self.pace.is_slow() || !matches!(self.socket, Socket::Awaited(_)) {
            return Ok(());
        }
        if let Socket::Awaited(socket) = std::mem::replace(&mut self.socket, Socket::Lost) {
            self.socket = Socket::Tried(socket.into_std()?);
            self.rest();
        }
        Ok(())
    }

    /// Nothing is left for now.
    fn rest(&mut self) {
        self.due = false;
        self.tick.as_mut().reset(next_tick(Instant::now()));
    }
}

impl AsyncRead for PacedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.settle()?;
        loop {
            let this = &mut *self;
            let socket = match &mut this.socket {
                Socket::Awaited(socket) => return Pin::new(socket).poll_read(cx, buf),
                Socket::Tried(socket) => socket,
                Socket::Lost => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            };
            if !this.due {
                ready!(this.tick.as_mut().poll(cx));
                this.due = true;
            }
            let room = buf.remaining();
            match socket.read(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    if count < room {
                        this.rest();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => this.rest(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for PacedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.settle()?;
        let this = &mut *self;
        match &mut this.socket {
            Socket::Awaited(socket) => Pin::new(socket).poll_write(cx, bytes),
            Socket::Tried(socket) => match socket.write(bytes) {
                // A publisher that does not read its replies: the reading side's tick wakes the same task.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !this.due && this.tick.as_mut().poll(cx).is_ready() {
                        this.due = true;
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
                written => Poll::Ready(written),
            },
            Socket::Lost => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // a socket keeps nothing back
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Awaited(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Tried(socket) => Poll::Ready(socket.shutdown(std::net::Shutdown::Write)),
            Socket::Lost => Poll::Ready(Ok(())),
        }
    }
}

/// The next multiple of [`READ_EVERY`] since the first call in this process.
fn next_tick(now: Instant) -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(|| now);
    let passed = now.duration_since(start).as_micros() / READ_EVERY.as_micros();
    start + READ_EVERY * u32::try_from(passed + 1).unwrap_or(u32::MAX)
}
