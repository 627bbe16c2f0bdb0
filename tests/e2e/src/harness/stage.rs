//! What nearly every test needs: a home, a gateway, one key, a watch.

use super::{Gateway, Home, Key, s, wait_for};
use crate::hlscheck::{Options, Outcome, Progress, Watch};
use crate::proc;
use std::time::Duration;

/// Settings that make a test short and a small machine enough: a window that slides, the cheapest preset.
pub const QUICK: [(&str, &str); 2] = [("hls.window", "16s"), ("ladder.preset", "ultrafast")];

/// A home with a running gateway and the key of the stream `studio`.
pub struct Stage {
    /// `sluice serve`.
    pub gateway: Gateway,
    /// Of the stream `studio`.
    pub key: Key,
    /// Data, logs, stored segments. Last, so that the others have their logs while they are dropped.
    pub home: Home,
}

impl Stage {
    /// `QUICK` settings and these.
    ///
    /// # Panics
    /// When the gateway does not come up.
    #[track_caller]
    pub fn new(settings: &[(&str, &str)]) -> Self {
        let home = Home::new();
        let key = home.key("studio");
        let all: Vec<_> = QUICK.iter().chain(settings).copied().collect();
        let gateway = home.gateway(&all);
        Stage { home, gateway, key }
    }

    /// Where an encoder publishes `studio`.
    pub fn url(&self) -> String {
        self.gateway.publish_url(&self.key)
    }

    /// Watches `studio`.
    pub fn watch(&self) -> Watch {
        Watch::start(self.options("studio"))
    }

    /// Options to watch a stream of this gateway.
    pub fn options(&self, name: &str) -> Options {
        let mut options = Options::new(self.gateway.live_url(name), self.home.path(&format!("watch-{name}")));
        options.memory = Some(proc::meter(self.gateway.pid()));
        options
    }
}

/// Waits until what a watch has seen passes the test.
///
/// # Panics
/// When it does not in time, or the watch ends before.
#[track_caller]
pub fn until(watch: &Watch, what: &str, limit: Duration, test: impl Fn(&Progress) -> bool) -> Progress {
    wait_for(what, limit, || {
        let progress = watch.progress();
        if test(&progress) {
            return Some(progress);
        }
        assert!(!progress.over, "the watch was over before: {what}\n{progress:#?}");
        None
    })
}

/// Waits until every list has ended, then judges.
///
/// # Panics
/// When they do not end in time, or the watch itself failed.
#[track_caller]
pub fn to_the_end(watch: Watch, limit: Duration) -> Outcome {
    until(&watch, "ENDLIST in every list", limit, |p| p.over || p.all(|r| r.ended));
    judged(watch)
}

/// Stops watching and judges; the report is printed, to be seen when the test fails or with --nocapture.
///
/// # Panics
/// When the watch itself failed.
#[track_caller]
pub fn judged(watch: Watch) -> Outcome {
    let outcome = watch.finish().expect("the watch went through");
    eprintln!("{outcome}");
    outcome
}

/// Every rendition has this many segments with media.
///
/// # Panics
/// When they do not come in time.
#[track_caller]
pub fn segments(watch: &Watch, count: u64, limit: Duration) -> Progress {
    until(watch, &format!("{count} segments in every rendition"), limit, |p| p.all(|r| r.segments >= count))
}

/// The usual patience: a cold start on a busy machine.
pub const PATIENCE: Duration = s(40);
