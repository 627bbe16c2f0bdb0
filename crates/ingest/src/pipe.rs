//! A two-way pipe in memory between a session, which reads and writes it like a socket, and the HTTP requests that
//! carry its bytes.
//!
//! ```text
//!  requests ─ feed ─▶ [inbound]  ─ AsyncRead ─▶ session
//!  replies  ◀ take ─ [outbound] ◀ AsyncWrite ─  session
//! ```
//! It differs from an ordinary pipe in one thing: the requests' side can wait until the session has read all there is
//! and waits for more, so that its answer goes with the reply to what it answers.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

/// Bytes not yet read by the session from which on the requests' side waits before it takes the next request.
const INBOUND: usize = 64 * 1024;
/// Bytes not yet fetched by requests from which on the session waits. A player that asks 20 times a second gets
/// 40 Mbit/s through it.
const OUTBOUND: usize = 256 * 1024;

#[derive(Debug, Default)]
struct State {
    inbound: BytesMut,
    outbound: BytesMut,
    /// The session has read everything and waits for more.
    idle: bool,
    /// No more comes from requests.
    ended: bool,
    /// The session is gone.
    gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `met`. Any number of waiters.
    async fn wait(&self, met: impl Fn(&State) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if met(&self.state()) {
                return;
            }
            changed.await;
        }
    }
}

/// The requests' side.
#[derive(Debug, Clone)]
pub(crate) struct Outside(Arc<Shared>);

/// The session's side. Dropping it tells the other.
#[derive(Debug)]
pub(crate) struct Inside(Arc<Shared>);

/// A new pipe.
pub(crate) fn pipe() -> (Outside, Inside) {
    let shared = Arc::new(Shared::default());
    (Outside(shared.clone()), Inside(shared))
}

impl Outside {
    /// Bytes for the session. Never waits: see [`Self::room`].
    pub(crate) fn feed(&self, bytes: &[u8]) {
        let mut state = self.0.state();
        if bytes.is_empty() || state.ended || state.gone {
            return;
        }
        state.inbound.extend_from_slice(bytes);
        state.idle = false;
        if let Some(waker) = state.reader.take() {
            waker.wake();
        }
    }

    /// The peer said goodbye: the session reads what there is and then the end.
    pub(crate) fn end(&self) {
        let mut state = self.0.state();
        state.ended = true;
        if let Some(waker) = state.reader.take() {
            waker.wake();
        }
    }

    /// What the session has said since the last time.
    pub(crate) fn take(&self) -> Bytes {
        let mut state = self.0.state();
        let output = state.outbound.split().freeze();
        if let Some(waker) = state.writer.take() {
            waker.wake();
        }
        drop(state);
        self.0.changed.notify_waiters();
        output
    }

    /// Resolves once the session has read little enough behind to be fed again.
    pub(crate) async fn room(&self) {
        self.0.wait(|state| state.inbound.len() < INBOUND || state.gone).await;
    }

    /// Resolves once the session has nothing left to read and nothing left to say, or is gone.
    pub(crate) async fn settled(&self) {
        self.0.wait(|state| state.idle || state.gone).await;
    }

    /// Resolves once the session is gone and its last words are fetched.
    pub(crate) async fn fetched(&self) {
        self.0.wait(|state| state.gone && state.outbound.is_empty()).await;
    }
}

impl AsyncRead for Inside {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        if state.inbound.is_empty() {
            if state.ended {
                return Poll::Ready(Ok(()));
            }
            state.reader = Some(cx.waker().clone());
            let told = std::mem::replace(&mut state.idle, true);
            drop(state);
            if !told {
                self.0.changed.notify_waiters();
            }
            return Poll::Pending;
        }
        let count = state.inbound.len().min(buf.remaining());
        buf.put_slice(&state.inbound[..count]);
        state.inbound.advance(count);
        if state.inbound.is_empty() && state.inbound.capacity() > INBOUND {
            state.inbound = BytesMut::new(); // one large request does not stay in memory
        }
        drop(state);
        self.0.changed.notify_waiters();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Inside {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.state();
        let count = bytes.len().min(OUTBOUND.saturating_sub(state.outbound.len()));
        if count == 0 && !bytes.is_empty() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.outbound.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.state().gone = true;
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn the_answer_is_there_when_the_session_has_settled() {
        let (outside, mut inside) = pipe();
        let session = tokio::spawn(async move {
            let mut buffer = [0; 4];
            while inside.read_exact(&mut buffer).await.is_ok() {
                tokio::task::yield_now().await;
                inside.write_all(&buffer).await.unwrap();
            }
        });
        for text in ["abcd", "efghijkl"] {
            outside.feed(text.as_bytes());
            outside.settled().await;
            assert_eq!(outside.take(), text);
        }
        outside.feed(b"last");
        outside.end();
        session.await.unwrap();
        outside.settled().await;
        outside.feed(b"late");
        assert_eq!(outside.take(), "last");
        outside.fetched().await;
    }

    #[tokio::test]
    async fn a_session_that_nobody_listens_to_waits() {
        let (outside, mut inside) = pipe();
        let written = tokio::spawn(async move { inside.write_all(&vec![7; OUTBOUND + 5]).await });
        outside.settled_or_full().await;
        assert_eq!(outside.take().len(), OUTBOUND);
        written.await.unwrap().unwrap();
        assert_eq!(outside.take().len(), 5);
    }

    impl Outside {
        async fn settled_or_full(&self) {
            while self.0.state().writer.is_none() {
                tokio::task::yield_now().await;
            }
        }
    }
}
