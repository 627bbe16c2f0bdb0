//! The encoder of one stream, supervised: started, fed at its own pace, restarted when it dies, given up on when it
//! keeps dying.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info, warn};
use transcode::{Input, Isolation, Job, Output, Transcoder};

/// Deaths in a row, without a segment finished in between, after which what it chokes on is skipped.
const DEATHS_BEFORE_SKIP: u32 = 2;
/// … and after which it is left alone for [`REST`].
const DEATHS_BEFORE_REST: u32 = 6;
/// Pause before a stream whose encoder keeps dying tries again; until then it goes on as copy alone.
const REST: Duration = Duration::from_secs(30);

/// What the stream must do about its encoder.
#[derive(Debug)]
pub(super) enum Heard {
    /// It made something.
    Output(Output),
    /// It died, was let go, and is to be started again with [`Encoder::restart`] after [`Encoder::wait`].
    Died {
        /// What it was given keeps killing it: skip ahead first.
        skip: bool,
    },
}

/// The encoder of one publication.
pub(super) struct Encoder {
    isolation: Isolation,
    job: Job,
    running: Option<Transcoder>,
    retry_at: Option<Instant>,
    deaths: u32,
    /// Starts so far beyond the first, for the counters.
    restarts: u64,
}

impl Encoder {
    /// An encoder for `job`, not yet started.
    pub(super) fn new(isolation: Isolation, job: Job) -> Self {
        Self { isolation, job, running: None, retry_at: Some(Instant::now()), deaths: 0, restarts: 0 }
    }

    /// Restarts so far.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Whether it can be told something now.
    pub(super) fn running(&self) -> bool {
        self.running.is_some()
    }

    /// When it wants [`Self::start`], if it is not running.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Starts it. A failure counts as a death.
    pub(super) async fn start(&mut self) {
        self.retry_at = None;
        match Transcoder::start(self.isolation.clone(), self.job.clone()).await {
            Ok(transcoder) => self.running = Some(transcoder),
            Err(cause) => {
                error!(error = &cause as &dyn std::error::Error, "encoder cannot be started");
                self.died();
            }
        }
    }

    /// Offers it the next input; true when it took it. False means that it is busy, or not running.
    pub(super) fn offer(&mut self, input: Input) -> bool {
        let Some(transcoder) = &mut self.running else { return false };
        transcoder.try_send(input).is_ok()
    }

    /// Waits for something it says. Never resolves while it is not running. Cancel-safe.
    pub(super) async fn hear(&mut self) -> Heard {
        let Some(transcoder) = &mut self.running else { return std::future::pending().await };
        match transcoder.recv().await {
            Some(Output::Failed(cause)) => {
                warn!(cause, "encoder failed");
                self.died()
            }
            None => {
                warn!("encoder died");
                self.died()
            }
            Some(output) => Heard::Output(output),
        }
    }

    /// It got somewhere: what killed it before is behind it.
    pub(super) fn progressed(&mut self) {
        self.deaths = 0;
    }

    /// Lets it go and starts over at once, because it was too slow.
    pub(super) fn restart(&mut self) {
        self.running = None;
        self.restarts += 1;
        self.retry_at = Some(Instant::now());
    }

    fn died(&mut self) -> Heard {
        self.running = None;
        self.deaths += 1;
        self.restarts += 1;
        metrics::counter!("sluice_encoder_deaths_total").increment(1);
        let pause = match self.deaths {
            1 => Duration::ZERO,
            deaths if deaths < DEATHS_BEFORE_REST => Duration::from_millis(250 << deaths.min(4)),
            _ => {
                error!(rest = ?REST, "encoder keeps dying; the stream goes on with what needs no encoder");
                REST
            }
        };
        if self.deaths < DEATHS_BEFORE_REST {
            info!(?pause, "encoder is restarted");
        }
        self.retry_at = Some(Instant::now() + pause);
        Heard::Died { skip: self.deaths >= DEATHS_BEFORE_SKIP }
    }
}
