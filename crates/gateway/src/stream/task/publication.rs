//! What a publisher sends: looked at until the source is known, then packaged.

use hls::{cut::WallClock, snapshot::Phase};
use media::{BreakReason, MediaEvent, MediaSpan, MediaTime, Packet, TrackId, TrackKind};
use tokio::time::Instant;
use tracing::{debug, info, warn};
use transcode::{
    Job, StillsJob, can_decode,
    ladder::{self, Plan},
    source::Source,
};

use super::{Darkening, Live, Run, Stage, Then};
use crate::governor::Ladder;
use crate::stream::{
    encoder::Encoder,
    intake,
    overload::Overload,
    packager::{Packager, Publication},
    pictures::Keyframes,
    report,
};

/// What a publisher is told whose stream would need more CPU than there is.
const NO_CPU: &str = "This server has no CPU left to encode another stream. Send H.264 with a keyframe every 2 seconds, which needs none, or try again later.";
/// A rest of a gap that is shorter than this is not worth an entry in the lists.
const SHORTEST_GAP: MediaSpan = MediaSpan::from_millis(300);
/// A track that stopped is taken up again only after so long, since each time costs viewers a discontinuity.
const RETURN_AFTER: MediaSpan = MediaSpan::from_millis(10_000);

impl Live {
    pub(super) fn on_media(&mut self, event: MediaEvent) {
        self.note(&event);
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

    /// Remembers what a track is coded in: the publisher says it once.
    fn note(&mut self, event: &MediaEvent) {
        let Some(track) = configured(event) else { return };
        match self.announced.iter_mut().find(|known| configured(known) == Some(track)) {
            Some(known) => *known = event.clone(),
            None => self.announced.push(event.clone()),
        }
    }

    /// The source is known: plans, and packages what was kept so far.
    pub(super) fn begin(&mut self, source: Source, mut events: Vec<MediaEvent>) {
        // What came before a change of configuration during the look cannot be packaged with what came after.
        if let Some(stale) = events.iter().rposition(|event| contradicts(&source, event)) {
            events.drain(..=stale);
        }
        let wishes = &self.wishes();
        let plan = match &self.plan {
            None => ladder::plan(&source, wishes),
            Some(running) if ladder::continues(running, &source) => ladder::replan(running, &source, wishes),
            Some(_) => {
                // Pictures after sound alone, or none and nothing to fill in: nothing of the old lists fits.
                self.restart_session();
                ladder::plan(&source, wishes)
            }
        };
        let (kind, track) = if source.video.is_none() {
            (TrackKind::Audio, plan.sound.track)
        } else {
            (TrackKind::Video, plan.lead)
        };
        let Some(first) = intake::first_time(&events, kind, track) else {
            return self.start_probing(self.announced.clone());
        };
        for note in &plan.notes {
            info!(note, "ladder");
        }
        info!(source = source.describe(), ladder = report::ladder_line(&plan), "source known");
        let at = self.stream_time(Instant::now()) - intake::span(&events);
        let at =
            self.packager.as_ref().map_or(at, |packager| at.max(packager.end() + MediaSpan::from_millis(10)));
        let offset = at - first;
        self.relay.announce(&self.announced);
        self.enter(&source, plan, offset, at);
        for event in events {
            self.on_media(event);
        }
    }

    /// Opens the packaging of a publication whose first packet is at `at`.
    pub(super) fn enter(&mut self, source: &Source, plan: Plan, offset: MediaSpan, at: MediaTime) {
        let ladder = Ladder::of(&plan, source);
        let Ok(ticket) = ladder.map(|ladder| self.shared.governor.admit(ladder)).transpose() else {
            return self.refuse(NO_CPU);
        };
        let overload = Overload::new(std::time::Instant::now(), ticket, &plan, at);
        let mut unix_micros = self.unix_micros_at(at);
        if let Some(gaps) = self.gaps.take() {
            // The last gap reaches to where the media begin, so that the lists move on in time. Media that came while
            // gaps were listed already are dated after them.
            let listed = super::unix_micros(gaps.listed_until);
            let rest = MediaSpan::from_ticks((unix_micros - listed) * 9 / 100);
            if rest >= SHORTEST_GAP {
                self.list_gap(gaps, rest.to_duration());
            }
            unix_micros = unix_micros.max(listed);
        }
        let clock = WallClock { at, unix_micros };
        let publication =
            Publication { plan: &plan, source: Some(source), clock, continues: self.packager.is_some() };
        match &mut self.packager {
            Some(packager) => packager.begin(&publication, self.next_sequence),
            None => {
                let settings = self.presentation_settings(&plan);
                let mut packager = Packager::new(
                    settings,
                    self.shared.settings.low_latency,
                    &publication,
                    self.next_sequence,
                    None,
                );
                packager.wish_captions(self.shared.settings.captions.clone());
                self.packager = Some(packager);
            }
        }
        let settings = &self.shared.settings;
        let interval = Some(settings.pictures).filter(|interval| !interval.is_zero());
        let job = Job::of(&plan, source);
        let decoded = job.as_ref().is_some_and(|job| job.video.is_some());
        let keyframes = interval.filter(|_| !decoded).and_then(|interval| {
            let video = source.pictures().find(|video| video.track == plan.lead)?;
            can_decode(&video.config).then(|| Keyframes::new(settings, video, interval))
        });
        let encoder = job.map(|mut job| {
            job.memory_limit = settings.worker_memory;
            job.sandbox = settings.sandbox;
            job.stills = interval.map(|interval| StillsJob { interval: interval.into() });
            job.fault = settings.fault;
            let mut encoder = Encoder::new(settings.isolation.clone(), job);
            encoder.want(&overload.wanted());
            encoder
        });
        if let Some(packager) = &mut self.packager {
            packager.set_phase(Phase::Live);
        }
        let lead = plan.lead;
        self.plan = Some(plan);
        self.source = Some(source.clone());
        self.info_due = true;
        self.stage = Stage::Running(Run {
            offset,
            source: source.clone(),
            lead,
            encoder,
            overload,
            keyframes,
            gop: Vec::new(),
            gop_bytes: 0,
            start: at,
            heard_at: Instant::now(),
        });
    }

    pub(super) fn on_running_media(&mut self, event: MediaEvent) {
        let (Stage::Running(run), Some(packager)) = (&mut self.stage, &mut self.packager) else { return };
        match event {
            MediaEvent::Packet(packet) => {
                let packet = packet.shifted(run.offset);
                if packager.overdue(&packet) {
                    return self.encode_from_here(packet);
                }
                run.heard_at = Instant::now();
                let returned = packet.kind == TrackKind::Video
                    && packet.keyframe
                    && self.stopped.contains(&packet.track)
                    && packet.pts - run.start >= RETURN_AFTER;
                if returned {
                    info!(track = packet.track.0, "a track of the picture has returned");
                    self.stopped.retain(|track| *track != packet.track);
                    let back = packet.shifted(-run.offset);
                    return self.reconfigure(Some(back));
                }
                run.remember(&packet);
                self.relay.packet(&packet);
                if let Some(keyframes) = &mut run.keyframes {
                    keyframes.offer(&packet);
                }
                packager.source(packet);
                if let Some(track) = packager.starved() {
                    warn!(track = track.0, "a track of the picture has stopped; the others go on without");
                    self.stopped.push(track);
                    return self.reconfigure(None);
                }
                if let Some(at) = packager.pictures_ended() {
                    self.publish();
                    return self.darken_from(at);
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
            MediaEvent::VideoConfig(track, _) => {
                if run.source.video.is_none() || contradicts(&run.source, &event) {
                    self.stopped.retain(|stopped| *stopped != track);
                    self.reconfigure(None);
                } else if !run.source.pictures().any(|video| video.track == track) {
                    info!(track = track.0, "a track of the picture comes too late and is left out");
                }
            }
            MediaEvent::AudioConfig(track, _) => {
                if run.source.audio.is_none() || contradicts(&run.source, &event) {
                    self.reconfigure(None);
                } else if !run.source.sounds().any(|audio| audio.track == track) {
                    info!(track = track.0, "a track of sound comes too late and is left out");
                }
            }
        }
    }

    /// The publisher goes on with other codecs settings or other tracks: what was is finished, and the source looked at
    /// again, beginning with the packet that showed it, if one did.
    pub(super) fn reconfigure(&mut self, first: Option<Packet>) {
        let Stage::Running(run) = std::mem::replace(&mut self.stage, Stage::Idle) else { return };
        info!("the source's configuration changed");
        self.counters.reconfigurations += 1;
        let mut events = self.present();
        events.extend(first.map(MediaEvent::Packet));
        self.drain(run, Then::Probe(events));
    }

    /// The pictures have stopped and the sound goes on: dark ones take their place from `at` on, until they return. Where
    /// nothing can take their place, the lists wait for them.
    fn darken_from(&mut self, at: MediaTime) {
        let Stage::Running(run) = &self.stage else { return };
        let left = Source { video: None, more_video: Vec::new(), ..run.source.clone() };
        if !self.plan.as_ref().is_some_and(|plan| left.audio.is_some() && ladder::continues(plan, &left)) {
            return;
        }
        let Stage::Running(run) = std::mem::replace(&mut self.stage, Stage::Idle) else { return };
        warn!("the pictures have stopped; the sound goes on with a dark one");
        self.stopped.extend(run.source.pictures().map(|video| video.track));
        let heard = |packet: &&Packet| packet.kind == TrackKind::Audio && packet.pts >= at;
        let sound = run.gop.iter().filter(heard).cloned().collect();
        self.drain(run, Then::Darken(Darkening { at, sound }));
    }

    /// What the connection announced, and will not announce again, of the tracks that have not stopped.
    fn present(&self) -> Vec<MediaEvent> {
        let stopped = |event: &&MediaEvent| matches!(event, MediaEvent::VideoConfig(track, _) if self.stopped.contains(track));
        self.announced.iter().filter(|event| !stopped(event)).cloned().collect()
    }

    /// The publisher is connected but has sent nothing for [`super::SILENCE_LIMIT`]: what there is is finished, gaps keep the
    /// lists moving, and what comes next begins anew at its keyframe.
    pub(super) fn stalled(&mut self) {
        let Stage::Running(run) = std::mem::replace(&mut self.stage, Stage::Idle) else { return };
        warn!("the publisher has gone silent");
        self.counters.stalls += 1;
        self.drain(run, Then::Probe(self.present()));
    }

    /// Keyframes turned out to be too far apart to copy.
    pub(super) fn encode_from_here(&mut self, packet: Packet) {
        let Stage::Running(mut run) = std::mem::replace(&mut self.stage, Stage::Idle) else { return };
        warn!(
            "keyframes are further apart than a segment may last; the source's own size is encoded from here on"
        );
        run.remember(&packet);
        self.relay.packet(&packet);
        self.drain(run, Then::Encode);
    }
}

/// The track that an event announces the configuration of.
fn configured(event: &MediaEvent) -> Option<(TrackKind, TrackId)> {
    match event {
        MediaEvent::VideoConfig(track, _) => Some((TrackKind::Video, *track)),
        MediaEvent::AudioConfig(track, _) => Some((TrackKind::Audio, *track)),
        MediaEvent::Break(_) | MediaEvent::Packet(_) => None,
    }
}

/// Whether an event announces another configuration than the source has.
fn contradicts(source: &Source, event: &MediaEvent) -> bool {
    match event {
        MediaEvent::VideoConfig(track, config) => {
            source.pictures().any(|video| video.track == *track && video.config != *config)
        }
        MediaEvent::AudioConfig(track, config) => {
            source.sounds().any(|audio| audio.track == *track && audio.config != *config)
        }
        MediaEvent::Break(_) | MediaEvent::Packet(_) => false,
    }
}
