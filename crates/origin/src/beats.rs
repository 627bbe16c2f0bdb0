//! Wakes those who wait for one rendition when that one has gone on, and nobody else: a low-latency ladder moves a dozen
//! times a second, and each of its viewers waits for a part of two renditions.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use hls::snapshot::Snapshot;
use tokio::sync::watch;

/// Of one session: a channel for each rendition that somebody waited for.
#[derive(Default)]
pub(crate) struct Beats {
    /// `None` once nothing will move any more.
    hearts: Mutex<Option<BTreeMap<String, watch::Sender<()>>>>,
}

impl Beats {
    pub(crate) fn new() -> Self {
        Self { hearts: Mutex::new(Some(BTreeMap::new())) }
    }

    /// Marks changes of a rendition from here on; take it before looking at a snapshot. `rendition` must be one that the
    /// snapshot has, or memory would grow with what is asked for. `None` once the session is not listed any more.
    pub(crate) fn listen(&self, rendition: &str) -> Option<watch::Receiver<()>> {
        let mut hearts = self.hearts();
        let hearts = hearts.as_mut()?;
        if let Some(heart) = hearts.get(rendition) {
            return Some(heart.subscribe());
        }
        let heart = watch::Sender::new(());
        let reader = heart.subscribe();
        hearts.insert(rendition.to_owned(), heart);
        Some(reader)
    }

    /// A snapshot took another's place: wakes those who wait for what differs.
    pub(crate) fn moved(&self, before: &Snapshot, now: &Snapshot) {
        let hearts = self.hearts();
        let Some(hearts) = hearts.as_ref() else { return };
        for (rendition, heart) in hearts {
            let still = match (before.rendition(rendition), now.rendition(rendition)) {
                (Some(before), Some(now)) => before.is(now),
                (None, None) => true,
                _ => false,
            };
            if !still || before.phase() != now.phase() {
                heart.send_replace(());
            }
        }
    }

    /// The session is taken off the list: nobody waits for it any longer.
    pub(crate) fn stop(&self) {
        *self.hearts() = None;
    }

    /// Whole between any two statements, so that a panic elsewhere leaves nothing half done.
    fn hearts(&self) -> MutexGuard<'_, Option<BTreeMap<String, watch::Sender<()>>>> {
        self.hearts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
