//! Notifications: delivered by a task of their own, tried again with growing pauses, and bounded in number.
//!
//! | edge | bound | when full |
//! |---|---|---|
//! | streams → queue | `webhook.queue` | the newest notification is dropped, counted and logged |
//! | queue → deliveries | [`IN_FLIGHT`] | it waits in the queue |

use std::time::Duration;

use axum::http::{StatusCode, Uri};
use bytes::Bytes;
use metrics::{counter, gauge};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::client::Client;

/// Deliveries at once, those that wait for their next attempt included.
const IN_FLIGHT: usize = 8;

/// When a delivery is tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The pause after the first attempt; each further one is twice as long.
    pub(super) first: Duration,
    /// No pause is longer.
    pub(super) longest: Duration,
    /// Attempts in all.
    pub(super) attempts: u32,
}

impl Default for Patience {
    /// Some five minutes.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(60), attempts: 10 }
    }
}

/// Something that the operator's program is to know.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) url: Uri,
    pub(super) event: &'static str,
    /// The same at each attempt, so that one that came twice can be known.
    pub(super) id: String,
    pub(super) body: Bytes,
}

/// Where notices go.
#[derive(Debug, Clone)]
pub(super) struct Notifier {
    queue: mpsc::Sender<Notice>,
    closing: CancellationToken,
}

impl Notifier {
    /// Starts the task that delivers; the receiver resolves when it has ended.
    pub(super) fn start(
        client: Client,
        bound: usize,
        patience: Patience,
        runtime: &tokio::runtime::Handle,
    ) -> (Self, oneshot::Receiver<()>) {
        let (queue, inbox) = mpsc::channel(bound.max(1));
        let closing = CancellationToken::new();
        let (ended, end) = oneshot::channel();
        let work = run(client, patience, inbox, closing.clone());
        runtime.spawn(async move {
            work.await;
            let _ = ended.send(()); // nobody may wait for it
        });
        (Self { queue, closing }, end)
    }

    /// Queues a notice. Never waits.
    pub(super) fn tell(&self, notice: Notice) {
        if let Err(refused) = self.queue.try_send(notice) {
            counter!("sluice_webhook_dropped_total").increment(1);
            let (mpsc::error::TrySendError::Full(notice) | mpsc::error::TrySendError::Closed(notice)) =
                refused;
            warn!(
                event = notice.event,
                id = notice.id,
                "too many webhook notifications wait; this one is dropped"
            );
        }
    }

    /// What waits is tried once more at once, and then the task ends.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }
}

async fn run(
    client: Client,
    patience: Patience,
    mut inbox: mpsc::Receiver<Notice>,
    closing: CancellationToken,
) {
    let mut deliveries = JoinSet::new();
    loop {
        gauge!("sluice_webhook_waiting").set((inbox.len() + deliveries.len()) as f64);
        tokio::select! {
            () = closing.cancelled() => break,
            Some(_) = deliveries.join_next() => {}
            notice = inbox.recv(), if deliveries.len() < IN_FLIGHT => match notice {
                Some(notice) => {
                    deliveries.spawn(deliver(client.clone(), patience, notice, closing.clone()));
                }
                None => break,
            },
        }
    }
    inbox.close();
    while let Ok(notice) = inbox.try_recv() {
        while deliveries.len() >= IN_FLIGHT {
            let _ = deliveries.join_next().await;
        }
        deliveries.spawn(deliver(client.clone(), patience, notice, closing.clone()));
    }
    while deliveries.join_next().await.is_some() {}
}

async fn deliver(client: Client, patience: Patience, notice: Notice, closing: CancellationToken) {
    let mut pause = patience.first;
    for attempt in 1..=patience.attempts {
        let last = attempt == patience.attempts || closing.is_cancelled();
        let (why, hopeless) =
            match client.post(&notice.url, notice.event, &notice.id, notice.body.clone()).await {
                Ok(answer) if answer.status.is_success() => {
                    counter!("sluice_webhook_requests_total", "event" => notice.event, "outcome" => "ok")
                        .increment(1);
                    return;
                }
                Ok(answer) => (format!("status {}", answer.status), is_final(answer.status)),
                Err(error) => (super::chain(&error), false),
            };
        counter!("sluice_webhook_requests_total", "event" => notice.event, "outcome" => "failed")
            .increment(1);
        if last || hopeless {
            counter!("sluice_webhook_dropped_total").increment(1);
            warn!(event = notice.event, id = notice.id, attempt, why, "a webhook notification is given up");
            return;
        }
        debug!(event = notice.event, id = notice.id, attempt, why, ?pause, "a webhook notification waits");
        tokio::select! {
            () = closing.cancelled() => {}
            () = tokio::time::sleep(jittered(pause)) => {}
        }
        pause = (pause * 2).min(patience.longest);
    }
}

/// Whether trying again is of no use: the receiver understood and refused.
fn is_final(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// Up to a quarter more, so that a receiver that comes back is not met by everything at once.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + rand::random_range(0.0..0.25))
}
