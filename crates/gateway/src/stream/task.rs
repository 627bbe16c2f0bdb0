//! The task of one live stream: the state machine of the module above.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hls::{
    cut::WallClock,
    presentation::{self, Presentation},
    snapshot::Phase,
};
use ingest::FromPublisher;
use media::{
    BreakReason, Epoch, MediaEvent, MediaSequence, MediaSpan, MediaTime, Packet, StreamName, TrackKind,
};
use origin::Listing;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tracing::{Instrument, debug, error, info, info_span, warn};
use transcode::{
    Input, Job, Output,
    ladder::{self, Plan},
    source::{Gop, Hints, Probe, Source},
};

use super::{
    Command, Publisher, Shared,
    encoder::{Encoder, Heard},
    intake::{self, Intake},
    packager::{Packager, Publication, rendition_specs},
    report::{self, Counters},
    saved::Saved,
};
use crate::{config::OnShutdown, store::SavedStream};

/// How often a waiting encoder is offered input again, and housekeeping is done.
const TICK: Duration = Duration::from_millis(100);
/// How long an encoder may take to drain at the end of a publication.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
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
    packager: Option<Packager>,
    /// The rungs of the presentation, and what made them.
    plan: Option<Plan>,
    source: Option<Source>,
    publisher: Option<Publisher>,
    /// Set while someone publishes; for those who decide about a second publisher.
    publishing: watch::Sender<bool>,
    stage: Stage,
    /// The next gap segment is due, while nobody sends.
    next_gap: Option<Instant>,
    /// Number of the next segment, while no publication runs.
    next_sequence: MediaSequence,
    /// Discontinuity number that a presentation made now starts at.
    discontinuities: u64,
    saved_at: Option<Instant>,
    counters: Counters,
    info_due: bool,
    reported_at: Option<Instant>,
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
    encoder: Option<Encoder>,
    /// Packets since the newest source keyframe, for an encoder that must start in the middle of a GOP.
    gop: Vec<Packet>,
    gop_bytes: usize,
}

/// What follows when a publication has been drained.
enum Then {
    Hold,
    End,
    /// The same publisher goes on with another configuration; these events came first.
    Probe(Vec<MediaEvent>),
    /// The same publisher goes on, but its pictures must be encoded: keyframes are too far apart to copy.
    Encode,
    /// Another publisher took over.
    Welcome(Box<Publisher>),
    /// The process stops.
    Stop(OnShutdown),
}

/// What woke the task.
enum Wake {
    Command(Option<Command>),
    Publisher(Option<FromPublisher>),
    Encoder(Heard),
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
        };
        let listing =
            shared.library.open(name.clone(), Presentation::new(placeholder, Vec::new()).snapshot());
        Self {
            shared,
            name,
            session,
            born: (Instant::now(), wall),
            listing,
            packager: None,
            plan: None,
            source: None,
            publisher: None,
            publishing,
            stage: Stage::Idle,
            next_gap: None,
            next_sequence: first,
            discontinuities,
            saved_at: None,
            counters: Counters::default(),
            info_due: true,
            reported_at: None,
        }
    }

    /// A stream that was live when the last process ended; `None` when its hold time is over or its state unreadable.
    pub(super) fn resume(
        shared: Shared,
        entry: &SavedStream,
        publishing: watch::Sender<bool>,
    ) -> Option<Self> {
        let now = SystemTime::now();
        let since = now.duration_since(entry.saved_at).unwrap_or_default();
        let hold = shared.settings.hold;
        if since > hold + SAVE_EVERY {
            return None;
        }
        let saved: Saved = match serde_json::from_str(&entry.state) {
            Ok(saved) => saved,
            Err(error) => {
                warn!(stream = %entry.name, %error, "playlist of the last run cannot be continued");
                return None;
            }
        };
        let first = saved.resume_at(entry.saved_at, now);
        let mut live = Self::with(
            shared,
            entry.name.clone(),
            saved.session,
            now,
            first,
            saved.discontinuities,
            publishing,
        );
        let target = MediaSpan::from_millis(i64::from(saved.plan.target_duration) * 1000);
        let mut presentation = Presentation::new(
            live.presentation_settings(&saved.plan),
            rendition_specs(&saved.plan, saved.codecs.audio.is_some()),
        );
        for (index, video) in saved.codecs.video.iter().enumerate() {
            presentation.set_codecs(index, video.as_ref(), saved.codecs.audio.as_ref());
        }
        presentation.set_phase(Phase::Held);
        let publication = Publication {
            plan: &saved.plan,
            video: None,
            audio: None,
            clock: WallClock { at: MediaTime::ZERO, unix_micros: unix_micros(now) },
            continues: true,
        };
        let mut packager = Packager::new(presentation, &publication, first);
        // Three gaps at once: fewer than that in a live list stalls players (RFC 8216 §6.2.2).
        for back in (1..=3).rev() {
            let at = unix_micros(now) - target.ticks() * back * 100 / 9;
            packager.first_gap(std::time::Instant::now(), live.next_sequence, at);
            live.next_sequence = live.next_sequence.next();
        }
        live.packager = Some(packager);
        live.plan = Some(saved.plan);
        live.stage =
            Stage::Held { until: Instant::now() + hold.saturating_sub(since).max(Duration::from_secs(5)) };
        live.next_gap = Some(Instant::now() + target.to_duration());
        live.show();
        Some(live)
    }

    fn presentation_settings(&self, plan: &Plan) -> presentation::Settings {
        presentation::Settings {
            name: self.name.clone(),
            session: self.session,
            target_duration: plan.target_duration,
            window: self.shared.settings.window.into(),
            min_segments: self.shared.settings.min_segments,
            discontinuity_sequence: self.discontinuities,
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
                    Wake::Command(Some(Command::Stop(how))) => self.on_stop(how),
                    Wake::Command(None) => {}
                    Wake::Publisher(item) => self.on_item(item),
                    Wake::Encoder(heard) => self.on_heard(heard),
                    Wake::Tick => {}
                }
                self.on_time();
                if let Stage::Ended { until } = self.stage {
                    // No new publisher may board an ended stream: the name gets a new one.
                    commands.close();
                    if Instant::now() >= until {
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
        let packets = self.publisher.as_mut().filter(|_| listening).map(|publisher| &mut publisher.packets);
        let encoder = match &mut self.stage {
            Stage::Running(run) | Stage::Draining { run, .. } => run.encoder.as_mut(),
            _ => None,
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
            () = sleep_until(tick) => Wake::Tick,
        }
    }

    /// How long nothing needs to be looked at without being woken.
    fn patience(&self) -> Duration {
        match &self.stage {
            Stage::Running(Run { encoder: None, .. }) => Duration::from_secs(1),
            Stage::Running(_) | Stage::Draining { .. } => TICK,
            Stage::Probing(_) | Stage::Held { .. } => TICK * 2,
            Stage::Idle | Stage::Ended { .. } => Duration::from_secs(1),
        }
    }

    // ── publishers ──────────────────────────────────────────────────────────────────────────────────────────────────

    fn welcome(&mut self, publisher: Publisher) {
        info!(peer = %publisher.peer, encoder = publisher.encoder.as_deref().unwrap_or("unknown"), "publishing");
        self.publisher = Some(publisher);
        self.publishing.send_replace(true);
        self.start_probing(Vec::new());
    }

    fn start_probing(&mut self, events: Vec<MediaEvent>) {
        self.stage = Stage::Probing(Box::new(Intake::new(Probe::new(&self.shared.settings.wishes))));
        for event in events {
            self.on_media(event);
        }
    }

    fn on_publisher(&mut self, publisher: Publisher) {
        if let Some(old) = self.publisher.take() {
            info!(old = %old.peer, new = %publisher.peer, "another encoder takes over");
            old.farewell.send_replace(Some("Another encoder with this stream's key took over.".to_owned()));
        }
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Running(run) => self.drain(run, Then::Welcome(Box::new(publisher))),
            Stage::Draining { run, deadline, finish_told, then } => {
                if let Then::Welcome(waiting) = then {
                    waiting
                        .farewell
                        .send_replace(Some("Another encoder with this stream's key took over.".to_owned()));
                }
                self.stage =
                    Stage::Draining { run, deadline, finish_told, then: Then::Welcome(Box::new(publisher)) };
            }
            Stage::Idle | Stage::Probing(_) | Stage::Held { .. } => self.welcome(publisher),
            ended @ Stage::Ended { .. } => {
                self.stage = ended;
                publisher.farewell.send_replace(Some("The stream has just ended; connect again.".to_owned()));
            }
        }
    }

    fn on_stop(&mut self, how: OnShutdown) {
        if let Some(publisher) = self.publisher.take() {
            publisher.farewell.send_replace(Some("The server is shutting down.".to_owned()));
        }
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Running(run) | Stage::Draining { run, .. } => self.drain(run, Then::Stop(how)),
            Stage::Idle | Stage::Probing(_) | Stage::Held { .. } => self.stop_now(how),
            ended @ Stage::Ended { .. } => self.stage = ended,
        }
    }

    fn stop_now(&mut self, how: OnShutdown) {
        if how == OnShutdown::End {
            self.end();
        } else {
            self.save();
            self.stage = Stage::Ended { until: Instant::now() };
        }
        if let Stage::Ended { until } = &mut self.stage {
            *until = Instant::now();
        }
    }

    fn on_item(&mut self, item: Option<FromPublisher>) {
        match item {
            Some(FromPublisher::Media(event)) => self.on_media(event),
            Some(FromPublisher::Metadata(metadata)) => {
                if let Stage::Probing(intake) = &mut self.stage {
                    intake.probe().metadata(hints(&metadata));
                }
            }
            Some(FromPublisher::Stats(stats)) => {
                self.counters.connection(&stats);
                self.info_due = true;
            }
            Some(FromPublisher::Ended { clean, why }) => self.publisher_gone(clean, &why),
            None => self.publisher_gone(false, "the connection was lost"),
        }
    }

    fn publisher_gone(&mut self, clean: bool, why: &str) {
        self.publisher = None;
        self.publishing.send_replace(false);
        if clean {
            info!("the publisher stopped the stream");
        } else {
            warn!(why, hold = ?self.shared.settings.hold, "publisher lost");
        }
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Running(run) => self.drain(run, if clean { Then::End } else { Then::Hold }),
            Stage::Probing(_) if self.packager.is_some() && !clean => self.hold(),
            Stage::Probing(_) | Stage::Idle => self.end(),
            stage @ (Stage::Draining { .. } | Stage::Held { .. } | Stage::Ended { .. }) => self.stage = stage,
        }
    }

    // ── media ───────────────────────────────────────────────────────────────────────────────────────────────────────

    fn on_media(&mut self, event: MediaEvent) {
        match &mut self.stage {
            Stage::Probing(intake) => match intake.take(event) {
                None => {}
                Some(Ok(source)) => {
                    let Stage::Probing(intake) = std::mem::replace(&mut self.stage, Stage::Idle) else {
                        return;
                    };
                    self.begin(source, intake.into_events());
                }
                Some(Err(sentence)) => self.refuse(&sentence),
            },
            Stage::Running(_) => self.on_running_media(event),
            Stage::Draining { then: Then::Probe(events), .. } => events.push(event),
            _ => {}
        }
    }

    fn refuse(&mut self, sentence: &str) {
        warn!(sentence, "publisher refused");
        if let Some(publisher) = self.publisher.take() {
            publisher.farewell.send_replace(Some(sentence.to_owned()));
        }
        self.publishing.send_replace(false);
        self.stage = Stage::Idle;
        if self.packager.is_some() { self.hold() } else { self.end() }
    }

    /// The source is known: plans, and packages what was kept so far.
    fn begin(&mut self, source: Source, events: Vec<MediaEvent>) {
        let wishes = &self.shared.settings.clone().wishes;
        let plan = match &self.plan {
            None => ladder::plan(&source, wishes),
            Some(running) if running.rungs.is_empty() == source.video.is_none() => {
                ladder::replan(running, &source, wishes)
            }
            Some(_) => {
                // Sound only after pictures, or the other way: nothing of the old lists fits.
                self.restart_session();
                ladder::plan(&source, wishes)
            }
        };
        for note in &plan.notes {
            info!(note, "ladder");
        }
        info!(source = source.describe(), ladder = report::ladder_line(&plan), "source known");
        let Some(first) = intake::first_time(&events, source.video.is_some()) else { return };
        let at = self.stream_time(Instant::now()) - intake::span(&events);
        let at =
            self.packager.as_ref().map_or(at, |packager| at.max(packager.end() + MediaSpan::from_millis(10)));
        let offset = at - first;
        self.enter(&source, plan, offset, at);
        for event in events {
            self.on_media(event);
        }
    }

    /// Opens the packaging of a publication whose first packet is at `at`.
    fn enter(&mut self, source: &Source, plan: Plan, offset: MediaSpan, at: MediaTime) {
        let clock = WallClock { at, unix_micros: self.unix_micros_at(at) };
        let publication = Publication {
            plan: &plan,
            video: source.video.as_ref().map(|video| &video.config),
            audio: source.audio.as_ref().map(|audio| &audio.config),
            clock,
            continues: self.packager.is_some(),
        };
        match &mut self.packager {
            Some(packager) => packager.begin(&publication, self.next_sequence),
            None => {
                let specs = rendition_specs(&plan, source.audio.is_some());
                let presentation = Presentation::new(self.presentation_settings(&plan), specs);
                self.packager = Some(Packager::new(presentation, &publication, self.next_sequence));
            }
        }
        let encoder = Job::of(&plan, source).map(|mut job| {
            job.memory_limit = self.shared.settings.worker_memory;
            Encoder::new(self.shared.settings.isolation.clone(), job)
        });
        if let Some(packager) = &mut self.packager {
            packager.set_phase(Phase::Live);
        }
        self.next_gap = None;
        self.plan = Some(plan);
        self.source = Some(source.clone());
        self.info_due = true;
        self.stage =
            Stage::Running(Run { offset, source: source.clone(), encoder, gop: Vec::new(), gop_bytes: 0 });
    }

    fn on_running_media(&mut self, event: MediaEvent) {
        let (Stage::Running(run), Some(packager)) = (&mut self.stage, &mut self.packager) else { return };
        match event {
            MediaEvent::Packet(packet) => {
                let packet = packet.shifted(run.offset);
                if packager.overdue(&packet) {
                    return self.encode_from_here(packet);
                }
                run.remember(&packet);
                packager.source(packet);
                if packager.overrun() {
                    let lost = packager.skip_ahead();
                    self.counters.segments_lost += lost;
                    warn!(
                        lost,
                        "the encoder is too slow for this machine; segments of the encoded rungs are skipped"
                    );
                    if let Some(encoder) = &mut run.encoder {
                        encoder.restart();
                    }
                }
                self.publish();
            }
            MediaEvent::Break(reason) => {
                debug!(?reason, "timeline broke");
                self.counters.breaks += 1;
                if !matches!(reason, BreakReason::VideoConfigChanged | BreakReason::AudioConfigChanged) {
                    let at = packager.end();
                    let clock = WallClock { at, unix_micros: self.unix_micros_at(at) };
                    if let Some(packager) = &mut self.packager {
                        packager.break_at_next(clock);
                    }
                }
            }
            MediaEvent::VideoConfig(config) => {
                let same = run.source.video.as_ref().is_some_and(|video| video.config == config);
                if !same {
                    self.reconfigure(MediaEvent::VideoConfig(config));
                }
            }
            MediaEvent::AudioConfig(config) => {
                let same = run.source.audio.as_ref().is_some_and(|audio| audio.config == config);
                if !same {
                    self.reconfigure(MediaEvent::AudioConfig(config));
                }
            }
        }
    }

    /// The publisher goes on with other codecs settings: what was is finished, and the source looked at again.
    fn reconfigure(&mut self, event: MediaEvent) {
        let Stage::Running(run) = std::mem::replace(&mut self.stage, Stage::Idle) else { return };
        info!("the source's configuration changed");
        self.counters.reconfigurations += 1;
        let mut events = Vec::new();
        // The track that did not change is not announced again by the connection.
        if let (Some(video), MediaEvent::AudioConfig(_)) = (&run.source.video, &event) {
            events.push(MediaEvent::VideoConfig(video.config.clone()));
        }
        if let (Some(audio), MediaEvent::VideoConfig(_)) = (&run.source.audio, &event) {
            events.push(MediaEvent::AudioConfig(audio.config.clone()));
        }
        events.push(event);
        self.drain(run, Then::Probe(events));
    }

    /// Keyframes turned out to be too far apart to copy.
    fn encode_from_here(&mut self, packet: Packet) {
        let Stage::Running(mut run) = std::mem::replace(&mut self.stage, Stage::Idle) else { return };
        warn!(
            "keyframes are further apart than a segment may last; the source's own size is encoded from here on"
        );
        run.remember(&packet);
        self.drain(run, Then::Encode);
    }

    // ── the end of a publication ────────────────────────────────────────────────────────────────────────────────────

    fn drain(&mut self, run: Run, then: Then) {
        let deadline = Instant::now() + DRAIN_LIMIT;
        self.stage = Stage::Draining { run, deadline, finish_told: false, then };
    }

    fn drained(&mut self) {
        let Stage::Draining { run, then, .. } = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return;
        };
        if let Some(encoder) = &run.encoder {
            self.counters.encoder_restarts += encoder.restarts();
        }
        if let Some(packager) = &mut self.packager {
            packager.finish(std::time::Instant::now());
            if let Some(newest) = packager.newest() {
                self.next_sequence = self.next_sequence.max(newest.next());
            }
            self.discontinuities = packager.discontinuities();
        }
        self.show();
        match then {
            Then::Hold => self.hold(),
            Then::End => self.end(),
            Then::Probe(events) => self.start_probing(events),
            Then::Welcome(publisher) => self.welcome(*publisher),
            Then::Stop(how) => self.stop_now(how),
            Then::Encode => self.go_on_encoding(run),
        }
    }

    /// After [`Then::Encode`]: the same publication, planned again with its GOP known to be too long.
    fn go_on_encoding(&mut self, run: Run) {
        let mut source = run.source;
        if let Some(video) = &mut source.video {
            video.gop = Gop::LongerThan(self.shared.settings.wishes.longest_segment);
        }
        let Some(running) = &self.plan else { return };
        let plan = ladder::replan(running, &source, &self.shared.settings.wishes);
        let Some(at) = self.packager.as_ref().map(Packager::end) else { return };
        self.enter(&source, plan, run.offset, at);
        if let Some(packager) = &mut self.packager {
            packager.preroll(run.gop);
        }
    }

    fn hold(&mut self) {
        if self.shared.settings.hold.is_zero() {
            return self.end();
        }
        let now = Instant::now();
        self.stage = Stage::Held { until: now + self.shared.settings.hold };
        if let (Some(packager), Some(plan)) = (&mut self.packager, &self.plan) {
            packager.set_phase(Phase::Held);
            self.next_gap = Some(now + Duration::from_secs(u64::from(plan.target_duration)));
        }
        self.save();
        self.show();
    }

    fn end(&mut self) {
        info!("stream ended");
        self.publishing.send_replace(false);
        self.next_gap = None;
        if let Some(packager) = &mut self.packager {
            packager.set_phase(Phase::Ended);
        }
        self.show();
        if let Err(error) = self.shared.store.forget_live(&self.name) {
            error!(error = &error as &dyn std::error::Error, "ended stream not forgotten");
        }
        let keep = if self.packager.is_some() { self.shared.settings.keep_ended } else { Duration::ZERO };
        self.stage = Stage::Ended { until: Instant::now() + keep };
    }

    /// The lists end here and new ones begin under a new session: what comes does not fit the old ones.
    fn restart_session(&mut self) {
        info!("the source cannot continue the old playlists; a new session begins");
        if let Some(packager) = &mut self.packager {
            packager.set_phase(Phase::Ended);
        }
        self.show();
        let (shared, name) = (self.shared.clone(), self.name.clone());
        let (flag, _) = watch::channel(true);
        let mut fresh = Self::new(shared, name, flag);
        fresh.next_sequence = fresh.next_sequence.max(self.next_sequence);
        std::mem::swap(&mut fresh.publishing, &mut self.publishing);
        std::mem::swap(&mut fresh.publisher, &mut self.publisher);
        std::mem::swap(&mut fresh.counters, &mut self.counters);
        let old = std::mem::replace(self, fresh);
        let keep = self.shared.settings.keep_ended;
        self.shared.tasks.spawn(async move {
            tokio::time::sleep(keep).await;
            drop(old);
        });
    }

    // ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────

    fn on_time(&mut self) {
        let now = Instant::now();
        if let Some(due) = self.next_gap
            && now >= due
            && let (Some(packager), Some(plan)) = (&mut self.packager, &self.plan)
        {
            let target = Duration::from_secs(u64::from(plan.target_duration));
            packager.gap(
                now.into_std(),
                self.next_sequence,
                unix_micros(SystemTime::now()) - target.as_micros() as i64,
            );
            self.next_sequence = self.next_sequence.next();
            self.next_gap = Some(due + target);
            self.counters.gaps += 1;
            self.show();
        }
        match &self.stage {
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

    fn stream_time(&self, now: Instant) -> MediaTime {
        MediaTime::ZERO + MediaSpan::from(now.duration_since(self.born.0))
    }

    fn unix_micros_at(&self, at: MediaTime) -> i64 {
        unix_micros(self.born.1) + at.ticks() * 100 / 9
    }

    // ── the encoder ─────────────────────────────────────────────────────────────────────────────────────────────────

    async fn feed_encoder(&mut self) {
        let Some(packager) = &mut self.packager else { return };
        let (run, draining) = match &mut self.stage {
            Stage::Running(run) => (run, None),
            Stage::Draining { run, finish_told, .. } => (run, Some(finish_told)),
            _ => return,
        };
        let Some(encoder) = &mut run.encoder else { return };
        if encoder.retry_at().is_some_and(|at| Instant::now() >= at) {
            packager.restart_encoder();
            encoder.start().await;
        }
        while let Some(input) = packager.next_input() {
            if !encoder.offer(input) {
                return;
            }
            packager.told();
        }
        if let Some(told) = draining
            && !*told
            && encoder.running()
        {
            *told = encoder.offer(Input::Finish);
        }
    }

    fn on_heard(&mut self, heard: Heard) {
        let Some(packager) = &mut self.packager else { return };
        match heard {
            Heard::Output(Output::Ready { video, audio }) => {
                packager.encoder_ready(&video, audio.as_ref());
                self.info_due = true;
            }
            Heard::Output(Output::Video { rung, packet }) => {
                packager.encoded_video(rung, &packet);
                if self.publish()
                    && let Stage::Running(Run { encoder: Some(encoder), .. }) = &mut self.stage
                {
                    encoder.progressed();
                }
            }
            Heard::Output(Output::Audio(packet)) => {
                packager.encoded_audio(&packet);
                self.publish();
            }
            Heard::Output(Output::Finished) => self.drained(),
            Heard::Output(other) => debug!(?other, "encoder says"),
            Heard::Died { skip } => {
                if let Stage::Draining { finish_told, .. } = &mut self.stage {
                    *finish_told = false;
                } else if skip {
                    let lost = packager.skip_ahead();
                    self.counters.segments_lost += lost;
                    warn!(lost, "what the encoder chokes on is skipped");
                }
            }
        }
    }

    // ── showing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Publishes finished segments; true when there were any.
    fn publish(&mut self) -> bool {
        let Some(packager) = &mut self.packager else { return false };
        let any = packager.publish(std::time::Instant::now());
        if any {
            if self.saved_at.is_none() {
                self.save();
            }
            self.show();
        }
        any
    }

    fn show(&mut self) {
        if let Some(packager) = &self.packager {
            self.listing.update(packager.snapshot());
        }
        self.info_due = true;
    }

    fn save(&mut self) {
        self.saved_at = Some(Instant::now());
        let (Some(packager), Some(plan)) = (&self.packager, &self.plan) else { return };
        let next =
            packager.newest().map_or(self.next_sequence, |newest| newest.next().max(self.next_sequence));
        let saved = Saved {
            session: self.session,
            next,
            discontinuities: packager.discontinuities(),
            plan: plan.clone(),
            codecs: packager.codecs().clone(),
        };
        let written = serde_json::to_string(&saved).map_err(|error| error.to_string()).and_then(|state| {
            self.shared.store.save_live(&self.name, &state).map_err(|error| error.to_string())
        });
        if let Err(error) = written {
            error!(error, "the playlist's position is not saved; a restart would begin a new one");
        }
    }

    fn report(&mut self) {
        let restarts = match &self.stage {
            Stage::Running(Run { encoder: Some(encoder), .. }) => encoder.restarts(),
            _ => 0,
        };
        let due = self.reported_at.is_none_or(|at| at.elapsed() >= REPORT_EVERY);
        if due && std::mem::take(&mut self.info_due) {
            self.reported_at = Some(Instant::now());
            if let Some(packager) = &self.packager {
                self.counters.export(&self.name, packager.lag(), &packager.snapshot(), restarts);
            }
            let encoder = self.publisher.as_ref().and_then(|publisher| publisher.encoder.clone());
            let info = report::info(
                self.born.1,
                encoder,
                self.source.as_ref(),
                self.plan.as_ref(),
                &self.counters,
                restarts,
            );
            self.listing.set_info(info);
        }
    }
}

impl Run {
    fn remember(&mut self, packet: &Packet) {
        /// One GOP of 60 Mbit/s for ten seconds.
        const MOST_BYTES: usize = 80 << 20;
        if packet.kind == TrackKind::Video && packet.keyframe || self.gop_bytes > MOST_BYTES {
            self.gop.clear();
            self.gop_bytes = 0;
        }
        self.gop_bytes += packet.data.len();
        self.gop.push(Packet { data: Bytes::clone(&packet.data), ..packet.clone() });
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
    }
}

fn unix_micros(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
