//! What all connections of a listener share.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{door::Door, listener::Settings, owner::Owner, shutdown::Shutdown, tunnels::Tunnels};

/// See the module.
pub(crate) struct Hall {
    pub(crate) settings: Settings,
    pub(crate) door: std::sync::Arc<Door>,
    pub(crate) tunnels: Tunnels,
    pub(crate) owner: Owner,
    pub(crate) shutdown: Shutdown,
    /// Whoever is still here goes at once.
    pub(crate) kill: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Hall {
    /// Runs `task` until it ends or [`Self::kill`] cuts it off; the listener waits for it.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let kill = self.kill.clone();
        // In a box, or what wraps it would hold it once more for each wrapping.
        let task = Box::pin(task);
        self.tasks.spawn(async move {
            kill.run_until_cancelled_owned(task).await;
        });
    }
}

/// Counts somebody who is turned away, by reason.
pub(crate) fn turned_away(reason: &'static str) {
    metrics::counter!("sluice_rtmp_connections_refused_total", "reason" => reason).increment(1);
}
