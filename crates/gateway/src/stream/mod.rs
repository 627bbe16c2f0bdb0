//! One live stream: whoever publishes it, its encoder, its playlists. Each runs in a task of its own, and ends when
//! its publisher says so, stays away for longer than the hold time, or the process stops.
//!
//! ```text
//!             ┌──────────── publisher lost ───────────┐   hold time over, or a clean stop
//!             ▼                                       │  ┌──────────▶ ended ──▶ (task ends after keep_ended)
//!  probing ──▶ running ──▶ draining (encoder flushed) ┴──┤
//!     ▲           │ configuration changed ▲              └──▶ held (gap segments keep the lists moving)
//!     └───────────┴───────────────────────┘                     │
//!     ▲                    publisher came (back)                │
//!     └─────────────────────────────────────────────────────────┘
//! ```
//!
//! Queues: publisher → task is bounded by [`LANE`]; when full, TCP slows the encoder. Task → ladder is what the packager
//! keeps, bounded in bytes and span; when the ladder cannot keep up, rungs are shed
//! ([`crate::governor`]); what is too late still becomes gaps ([`packager`]).

mod blank;
mod deaths;
mod encoder;
mod intake;
pub(crate) mod lateness;
mod overload;
mod packager;
mod pictures;
mod relay;
mod report;
mod saved;
mod silence;
mod task;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use hls::cmaf::part_target;
use ingest::{FromPublisher, PlayDecision, Transport};
use media::{FrameRate, MediaSpan, StreamName};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use transcode::{
    Fault, Isolation, Sandbox,
    ladder::{Plan, Rung, Wishes},
};

use crate::{
    config::{Captions, OnShutdown},
    desk::{rules::Pattern, webhook::Publication},
    governor::Governor,
    recordings::Recordings,
    store::Store,
};

/// Items between a publisher's connection and its stream: about six seconds of 1080p60 with sound.
pub(crate) const LANE: usize = 1024;
/// Commands wait for a stream that is busy with one; more are refused.
const COMMANDS: usize = 8;

/// What every stream of the process shares.
#[derive(Clone)]
pub(crate) struct Shared {
    /// Settings of streams.
    pub settings: Arc<Settings>,
    /// Where playlists' positions are remembered.
    pub store: Store,
    /// Where viewers find streams.
    pub library: origin::Library,
    /// Who records them.
    pub recordings: Option<Recordings>,
    /// Owns the streams' tasks.
    pub tasks: TaskTracker,
    /// Shares the CPU among the streams' ladders.
    pub(crate) governor: Governor,
    /// The process stops: streams that only linger end at once.
    pub(crate) stop: CancellationToken,
}

/// How streams behave.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// See `publish.hold`.
    pub hold: Duration,
    /// See `publish.keep_ended`.
    pub keep_ended: Duration,
    /// How long ended playlists are still served when the process stops.
    pub(crate) linger: Duration,
    /// See `hls.window`.
    pub window: Duration,
    /// See `pictures.interval`; zero for none.
    pub pictures: Duration,
    /// See `hls.low_latency`.
    pub low_latency: bool,
    /// See `hls.part`.
    pub part: Duration,
    /// See `hls.min_segments`.
    pub min_segments: usize,
    /// What the operator wants of ladders.
    pub wishes: Wishes,
    /// Where encoders run.
    pub isolation: Isolation,
    /// See `publish.show_address`.
    pub show_address: bool,
    /// Most memory of an encoder process, in bytes.
    pub worker_memory: u64,
    /// See `ladder.sandbox`.
    pub sandbox: Sandbox,
    /// Makes encoders misbehave, for tests.
    pub fault: Option<Fault>,
    /// See `ladder.latency_ceiling`.
    pub latency_ceiling: Duration,
    /// See `hls.captions`.
    pub captions: Captions,
    /// The same for some streams, by their names; the first that fits counts.
    pub own_wishes: Vec<(Pattern, Wishes)>,
}

impl Settings {
    /// PART-TARGET of a stream with these rungs: a little more than what was asked for. RTMP's times are whole milliseconds,
    /// and 15 frames at 29.97 a second are half a second and half a millisecond; without that each part would be a frame
    /// shorter, and each segment end with a part of one or two frames.
    pub(crate) fn part_target(&self, plan: &Plan) -> MediaSpan {
        let frame = |rung: &Rung| {
            let rate = rung.frame_rate.map_or(0.0, FrameRate::as_f64);
            if rate > 0.0 { Duration::from_secs_f64(1.0 / rate).into() } else { MediaSpan::ZERO }
        };
        // The longest usual frame of sound: HE-AAC at 24 kHz is rarer than slow pictures.
        let sound = MediaSpan::from_samples(1024, 44_100);
        let frames: Vec<_> = plan.rungs.iter().map(frame).chain([sound]).collect();
        part_target((self.part + self.part / 50).into(), &frames)
    }

    /// What the operator wants of a stream's ladder.
    pub(crate) fn wishes_of(&self, name: &StreamName) -> &Wishes {
        let own = self.own_wishes.iter().find(|(pattern, _)| pattern.matches(name.as_str()));
        own.map_or(&self.wishes, |(_, wishes)| wishes)
    }
}

/// A publisher that was let in.
pub(crate) struct Publisher {
    /// Where it connects from.
    pub peer: SocketAddr,
    /// What carries its session.
    pub transport: Transport,
    /// When it was let in.
    pub since: SystemTime,
    /// What it calls itself.
    pub encoder: Option<String>,
    /// What is odd about it, in sentences.
    pub quirks: Vec<String>,
    /// What it sends.
    pub packets: mpsc::Receiver<FromPublisher>,
    /// Set to a sentence to see it off.
    pub farewell: watch::Sender<Option<String>>,
    /// Tells the webhook when this is dropped.
    pub publication: Publication,
    /// What the webhook wants of this publication's ladder, in place of the configuration.
    pub wishes: Option<Box<Wishes>>,
}

impl Publisher {
    /// Tells it to go, and why.
    pub(crate) fn see_off(mut self, sentence: &str) {
        self.publication.ends(false, sentence);
        self.farewell.send_replace(Some(sentence.to_owned()));
    }
}

/// What a stream is told from outside.
pub(crate) enum Command {
    /// Someone publishes; whoever did before is seen off.
    Publish(Publisher),
    /// Someone wants to play it over RTMP.
    Play(oneshot::Sender<PlayDecision>),
    /// The process stops.
    Stop(OnShutdown),
}

/// A stream's task, seen from outside.
#[derive(Clone)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    publishing: watch::Receiver<bool>,
    pulse: Pulse,
}

/// When a stream's publisher last sent media.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// A publisher that is silent for longer has lost its connection, or is about to.
    const ALIVE: Duration = Duration::from_secs(2);

    /// Media came.
    pub(crate) fn beat(&self) {
        self.0.store(process_millis(), Ordering::Relaxed);
    }

    fn is_alive(&self) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        last > 0 && process_millis().saturating_sub(last) < Self::ALIVE.as_millis() as u64
    }
}

/// Milliseconds since the first call, and one.
fn process_millis() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}

impl Handle {
    /// Whether someone publishes it now.
    pub(crate) fn is_published(&self) -> bool {
        *self.publishing.borrow()
    }

    /// Whether who publishes it is sending.
    pub(crate) fn is_sending(&self) -> bool {
        self.is_published() && self.pulse.is_alive()
    }

    /// Whether it takes no publisher any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.commands.is_closed()
    }

    /// Hands a publisher over; gives it back when the stream has ended meanwhile.
    pub(crate) async fn publish(&self, publisher: Publisher) -> Result<(), Publisher> {
        self.commands.send(Command::Publish(publisher)).await.map_err(|refused| match refused.0 {
            Command::Publish(publisher) => publisher,
            Command::Play(_) | Command::Stop(_) => unreachable!("a publisher was sent"),
        })
    }

    /// Hands a player's request over; gives it back when the stream has ended.
    pub(crate) async fn play(
        &self,
        reply: oneshot::Sender<PlayDecision>,
    ) -> Result<(), oneshot::Sender<PlayDecision>> {
        self.commands.send(Command::Play(reply)).await.map_err(|refused| match refused.0 {
            Command::Play(reply) => reply,
            Command::Publish(_) | Command::Stop(_) => unreachable!("a player was sent"),
        })
    }

    /// Tells it that the process stops.
    pub(crate) async fn stop(&self, how: OnShutdown) {
        // A stream that has ended needs no telling.
        let _ = self.commands.send(Command::Stop(how)).await;
    }
}

/// Starts a stream for its first publisher.
pub(crate) fn start(shared: &Shared, name: StreamName, publisher: Publisher) -> Handle {
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (flag, publishing) = watch::channel(true);
    let live = task::Live::new(shared.clone(), name, flag);
    let pulse = live.pulse();
    shared.tasks.spawn(live.run(inbox, Some(publisher)));
    Handle { commands, publishing, pulse }
}

/// Takes up the streams that were live when the last process ended, held for their publishers to return. Forgets
/// those whose hold time is over.
pub(crate) fn resume_all(shared: &Shared) -> Vec<(StreamName, Handle)> {
    let saved = match shared.store.saved_live() {
        Ok(saved) => saved,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "playlists of the last run cannot be read"
            );
            return Vec::new();
        }
    };
    let mut resumed = Vec::new();
    for entry in saved {
        let (flag, publishing) = watch::channel(false);
        match task::Live::resume(shared.clone(), &entry, flag) {
            Some(live) => {
                let (commands, inbox) = mpsc::channel(COMMANDS);
                let pulse = live.pulse();
                shared.tasks.spawn(live.run(inbox, None));
                resumed.push((entry.name, Handle { commands, publishing, pulse }));
            }
            None => shared.store.forget_live(&entry.name),
        }
    }
    resumed
}
