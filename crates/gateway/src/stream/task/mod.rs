//! The task of one live stream: the state machine of the module above.

mod encoding;
mod ending;
mod publication;
mod publishers;
mod resuming;
mod showing;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hls::presentation::{self, Presentation};
use ingest::FromPublisher;
use media::{Epoch, MediaEvent, MediaSequence, MediaSpan, MediaTime, Packet, StreamName, TrackId, TrackKind};
use origin::Listing;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tracing::{Instrument, debug, info, info_span, warn};
use transcode::{
    Still,
    ladder::{Plan, Wishes},
    source::{Hints, Label, Source},
};

use super::{
    Command, Publisher, Pulse, Shared,
    encoder::{Encoder, Heard},
    intake::Intake,
    overload::Overload,
    packager::Packager,
    pictures::{Gallery, Keyframes},
    relay::Relay,
    report::Counters,
};
use crate::config::OnShutdown;

/// How often a waiting encoder is offered input again, and housekeeping is done.
const TICK: Duration = Duration::from_millis(100);
/// How long an encoder may take to drain at the end of a publication.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// A publisher that is connected and sends nothing for this long is not waited for: its segment is finished and the lists
/// go on with gaps. Shorter silence, common on mobile links, costs viewers nothing but some of their buffer.
const SILENCE_LIMIT: Duration = Duration::from_secs(1);
/// A running stream's position is written at most this often.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// The API's words and the gauges are renewed at most this often.
const REPORT_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Live {
    shared: Shared,
    name: StreamName,
    session: Epoch,
    /// The stream's clock: this instant and this wall time are [`MediaTime::ZERO`].
    born: (Instant, SystemTime),
    listing: Listing,
    /// Set from the first packager on, where the stream is recorded.
    recording: Option<archive::Feed>,
    packager: Option<Packager>,
    /// The rungs of the presentation, and what made them.
    plan: Option<Plan>,
    source: Option<Source>,
    publisher: Option<Publisher>,
    /// The newest configuration of each track that the publisher announced.
    announced: Vec<MediaEvent>,
    /// Tracks of pictures that stopped, and that the running plan does without.
    stopped: Vec<TrackId>,
    /// Those who play the source over RTMP.
    relay: Relay,
    /// Set while someone publishes; for those who decide about a second publisher.
    publishing: watch::Sender<bool>,
    /// Beats with each media item, for the same.
    pulse: Pulse,
    stage: Stage,
    /// Runs while nobody sends.
    gaps: Option<GapClock>,
    /// Number of the next segment, while no publication runs.
    next_sequence: MediaSequence,
    /// Discontinuity number that a presentation made now starts at.
    discontinuities: u64,
    saved_at: Option<Instant>,
    counters: Counters,
    info_due: bool,
    /// The process stops, and the ended lists are shown for a moment still.
    last_words: bool,
    reported_at: Option<Instant>,
    gallery: Gallery,
}

/// When the next gap is due, and up to where the lists reach on the wall clock.
#[derive(Clone, Copy)]
struct GapClock {
    due: Instant,
    listed_until: SystemTime,
}

enum Stage {
    /// Nobody publishes, and nothing was ever listed.
    Idle,
    Probing(Box<Intake>),
    Running(Run),
    Draining {
        run: Run,
        deadline: Instant,
        finish_told: bool,
        then: Then,
    },
    Held {
        until: Instant,
    },
    Ended {
        until: Instant,
    },
}

/// A publication that is being packaged.
struct Run {
    /// From the publication's own clock to the stream's.
    offset: MediaSpan,
    source: Source,
    /// The track whose keyframes decide the cuts.
    lead: TrackId,
    encoder: Option<Encoder>,
    overload: Overload,
    /// Makes stills where no encoder does.
    keyframes: Option<Keyframes>,
    /// Packets since the newest source keyframe, for an encoder that must start in the middle of a GOP.
    gop: Vec<Packet>,
    gop_bytes: usize,
    /// Where it begins on the stream's clock.
    start: MediaTime,
    /// When its newest packet came.
    heard_at: Instant,
}

/// What follows when a publication has been drained.
enum Then {
    Hold,
    End,
    /// The same publisher goes on with another configuration; these events came first.
    Probe(Vec<MediaEvent>),
    /// The same publisher goes on, but its pictures must be encoded: keyframes are too far apart to copy.
    Encode,
    /// The same publisher goes on with sound alone: its pictures have stopped.
    Darken(Darkening),
    /// Another publisher took over.
    Welcome(Box<Publisher>),
    /// The process stops.
    Stop(OnShutdown),
}

/// A publication whose pictures have stopped.
struct Darkening {
    /// Where dark ones begin.
    at: MediaTime,
    /// The sound from there on that came already.
    sound: Vec<Packet>,
}

/// What woke the task.
enum Wake {
    Command(Option<Command>),
    Publisher(Option<FromPublisher>),
    Encoder(Heard),
    Still(Option<Still>),
    Tick,
}

impl Live {
    /// A stream that nobody has published yet.
    pub(super) fn new(shared: Shared, name: StreamName, publishing: watch::Sender<bool>) -> Self {
        let wall = SystemTime::now();
        let session = Epoch(unix_micros(wall).unsigned_abs() / 1000);
        let segment = shared.settings.wishes.segment.millis().max(1).unsigned_abs();
        // Numbers lie on a grid of wall time, so that a later presentation of the same name starts above an earlier one.
        let first = MediaSequence(session.0 / segment);
        Self::with(shared, name, session, wall, first, 0, publishing)
    }

    fn with(
        shared: Shared,
        name: StreamName,
        session: Epoch,
        wall: SystemTime,
        first: MediaSequence,
        discontinuities: u64,
        publishing: watch::Sender<bool>,
    ) -> Self {
        let placeholder = presentation::Settings {
            name: name.clone(),
            session,
            target_duration: 1,
            window: shared.settings.window.into(),
            min_segments: shared.settings.min_segments,
            discontinuity_sequence: discontinuities,
            part_target: shared.settings.part.into(),
        };
        let listing =
            shared.library.open(name.clone(), Presentation::new(placeholder, Vec::new()).snapshot());
        let gallery = Gallery::new(session, shared.settings.pictures, shared.settings.window);
        Self {
            shared,
            name,
            session,
            born: (Instant::now(), wall),
            listing,
            recording: None,
            packager: None,
            plan: None,
            source: None,
            publisher: None,
            announced: Vec::new(),
            stopped: Vec::new(),
            relay: Relay::default(),
            publishing,
            pulse: Pulse::default(),
            stage: Stage::Idle,
            gaps: None,
            next_sequence: first,
            discontinuities,
            saved_at: None,
            counters: Counters::default(),
            info_due: true,
            last_words: false,
            reported_at: None,
            gallery,
        }
    }

    /// What is wanted of the ladder of who publishes now.
    fn wishes(&self) -> Wishes {
        let own = self.publisher.as_ref().and_then(|publisher| publisher.wishes.as_deref());
        own.unwrap_or_else(|| self.shared.settings.wishes_of(&self.name)).clone()
    }

    /// Tells when media came last.
    pub(super) fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    fn presentation_settings(&self, plan: &Plan) -> presentation::Settings {
        presentation::Settings {
            name: self.name.clone(),
            session: self.session,
            target_duration: plan.target_duration,
            window: self.shared.settings.window.into(),
            min_segments: self.shared.settings.min_segments,
            discontinuity_sequence: self.discontinuities,
            part_target: self.shared.settings.part_target(plan),
        }
    }

    /// Runs the stream to its end.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>, first: Option<Publisher>) {
        let span = info_span!("stream", name = %self.name);
        async move {
            if let Some(publisher) = first {
                self.welcome(publisher);
            } else {
                info!("held for its publisher to return after a restart");
            }
            loop {
                self.feed_encoder().await;
                self.report();
                let wake = self.wait(&mut commands).await;
                match wake {
                    Wake::Command(Some(Command::Publish(publisher))) => self.on_publisher(publisher),
                    Wake::Command(Some(Command::Play(reply))) => self.on_player(reply),
                    Wake::Command(Some(Command::Stop(how))) => self.on_stop(how),
                    Wake::Command(None) => {}
                    Wake::Publisher(item) => {
                        self.on_item(item);
                        // What else is there already costs no further waking.
                        while let Some(item) = self.waiting_item() {
                            self.on_item(Some(item));
                        }
                    }
                    Wake::Encoder(heard) => self.on_heard(heard),
                    Wake::Still(still) => still.into_iter().for_each(|still| self.on_still(still)),
                    Wake::Tick => {}
                }
                self.on_time();
                if let Stage::Ended { until } = self.stage {
                    // No new publisher may board an ended stream: the name gets a new one.
                    commands.close();
                    if Instant::now() >= until || (self.shared.stop.is_cancelled() && !self.last_words) {
                        break;
                    }
                }
            }
            if let Some(packager) = &self.packager {
                Counters::retire(&self.name, &packager.snapshot());
            }
            debug!("forgotten");
        }
        .instrument(span)
        .await;
    }

    async fn wait(&mut self, commands: &mut mpsc::Receiver<Command>) -> Wake {
        let tick = Instant::now() + self.patience();
        let listening = matches!(self.stage, Stage::Probing(_) | Stage::Running(_));
        let ended = matches!(self.stage, Stage::Ended { .. });
        let packets = self.publisher.as_mut().filter(|_| listening).map(|publisher| &mut publisher.packets);
        let (encoder, keyframes) = match &mut self.stage {
            Stage::Running(run) | Stage::Draining { run, .. } => {
                (run.encoder.as_mut(), run.keyframes.as_mut())
            }
            _ => (None, None),
        };
        tokio::select! {
            command = commands.recv(), if !commands.is_closed() => Wake::Command(command),
            item = async {
                match packets {
                    Some(packets) => packets.recv().await,
                    None => std::future::pending().await,
                }
            } => Wake::Publisher(item),
            heard = async {
                match encoder {
                    Some(encoder) => encoder.hear().await,
                    None => std::future::pending().await,
                }
            } => Wake::Encoder(heard),
            still = async {
                match keyframes {
                    Some(keyframes) => keyframes.hear().await,
                    None => std::future::pending().await,
                }
            } => Wake::Still(still),
            () = self.shared.stop.cancelled(), if ended => Wake::Tick,
            () = sleep_until(tick) => Wake::Tick,
        }
    }

    /// An item of the publisher that is there already, if the stream listens to it now.
    fn waiting_item(&mut self) -> Option<FromPublisher> {
        let listening = matches!(self.stage, Stage::Probing(_) | Stage::Running(_));
        self.publisher.as_mut().filter(|_| listening)?.packets.try_recv().ok()
    }

    /// How long nothing needs to be looked at without being woken.
    fn patience(&self) -> Duration {
        match &self.stage {
            Stage::Running(Run { encoder: None, .. }) => Duration::from_millis(250),
            Stage::Running(_) | Stage::Draining { .. } => TICK,
            Stage::Probing(_) | Stage::Held { .. } => TICK * 2,
            Stage::Idle | Stage::Ended { .. } => Duration::from_secs(1),
        }
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        self.watch_load(now);
        if let Some(gaps) = self.gaps
            && now >= gaps.due
            && let Some(plan) = &self.plan
        {
            let target = Duration::from_secs(u64::from(plan.target_duration));
            self.list_gap(gaps, target);
            self.gaps = Some(GapClock { due: gaps.due + target, listed_until: gaps.listed_until + target });
        }
        match &self.stage {
            Stage::Running(run) if now >= run.heard_at + SILENCE_LIMIT => self.stalled(),
            Stage::Held { until } if now >= *until => {
                info!("the publisher did not return in time");
                self.end();
            }
            Stage::Draining { deadline, .. } if now >= *deadline => {
                warn!("the encoder did not drain in time");
                self.drained();
            }
            Stage::Draining { run: Run { encoder: None, .. }, .. } => self.drained(),
            _ => {}
        }
        if self.saved_at.is_some_and(|at| now >= at + SAVE_EVERY)
            && matches!(self.stage, Stage::Running(_) | Stage::Held { .. })
        {
            self.save();
            if let Some(packager) = &mut self.packager {
                packager.trim(now.into_std());
            }
        }
    }

    /// Gaps keep the lists moving from here on, one each target duration.
    fn start_gaps(&mut self) {
        if let Some(plan) = &self.plan {
            let due = Instant::now() + Duration::from_secs(u64::from(plan.target_duration));
            self.gaps = Some(GapClock { due, listed_until: SystemTime::now() });
        }
    }

    fn list_gap(&mut self, gaps: GapClock, length: Duration) {
        let Some(packager) = &mut self.packager else { return };
        let now = std::time::Instant::now();
        packager.gap(now, self.next_sequence, unix_micros(gaps.listed_until), length.into());
        self.next_sequence = self.next_sequence.next();
        self.counters.gaps += 1;
        self.show();
    }

    fn stream_time(&self, now: Instant) -> MediaTime {
        MediaTime::ZERO + MediaSpan::from(now.duration_since(self.born.0))
    }

    fn unix_micros_at(&self, at: MediaTime) -> i64 {
        unix_micros(self.born.1) + at.ticks() * 100 / 9
    }
}

impl Run {
    fn remember(&mut self, packet: &Packet) {
        /// One GOP of 60 Mbit/s for ten seconds.
        const MOST_BYTES: usize = 80 << 20;
        if self.source.video.is_none() {
            return; // sound alone has no groups of pictures to start in the middle of
        }
        let opens = packet.kind == TrackKind::Video && packet.track == self.lead && packet.keyframe;
        if opens || self.gop_bytes > MOST_BYTES {
            self.gop.clear();
            self.gop_bytes = 0;
        }
        self.gop_bytes += packet.data.len();
        self.gop.push(packet.clone());
    }
}

fn hints(metadata: &ingest::Metadata) -> Hints {
    Hints {
        has_video: None,
        has_audio: None,
        frame_rate: metadata.frame_rate,
        video_bps: metadata.video_bps,
        audio_bps: metadata.audio_bps,
        encoder: metadata.encoder.clone(),
        more_video: metadata
            .video_tracks
            .iter()
            .map(|info| TrackId(info.track))
            .filter(|id| id.0 > 0)
            .collect(),
        audio_labels: metadata
            .audio_tracks
            .iter()
            .map(|info| {
                (TrackId(info.track), Label { name: info.label.clone(), language: info.language.clone() })
            })
            .collect(),
    }
}

fn unix_micros(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
