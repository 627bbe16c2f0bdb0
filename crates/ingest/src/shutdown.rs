//! How a listener and its connections are told to stop, in two steps: asked to leave, then sent away.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio_util::sync::CancellationToken;

/// Handle to a listener's end. Clones speak of the same one.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    stop: CancellationToken,
    able: Arc<AtomicUsize>,
}

impl Shutdown {
    /// Accepts nobody any more, and asks the clients that understand it to connect elsewhere (Enhanced RTMP's Reconnect
    /// Request). All are served until they leave, or [`Self::stop`].
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Tells everybody goodbye, and closes.
    pub fn stop(&self) {
        self.drain.cancel();
        self.stop.cancel();
    }

    /// How many clients are connected that leave when asked to: [`Self::drain`] is worth waiting for while there are
    /// any.
    pub fn able_to_leave(&self) -> usize {
        self.able.load(Ordering::Relaxed)
    }

    pub(crate) async fn draining(&self) {
        self.drain.cancelled().await;
    }

    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Counts a client that leaves when asked to, for as long as the guard lives.
    pub(crate) fn count_able(&self) -> Able {
        self.able.fetch_add(1, Ordering::Relaxed);
        Able(self.able.clone())
    }
}

/// See [`Shutdown::count_able`].
#[derive(Debug)]
pub(crate) struct Able(Arc<AtomicUsize>);

impl Drop for Able {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
