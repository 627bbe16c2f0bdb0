//! What a publisher sends: looked at until the source is known, then packaged.

use hls::{cut::WallClock, presentation::Presentation, snapshot::Phase};
use media::{BreakReason, MediaEvent, MediaSpan, MediaTime, Packet, TrackId};
use tokio::time::Instant;
use tracing::{debug, info, warn};
use transcode::{
    Job,
    ladder::{self, Plan},
    source::Source,
};

use super::{Live, Run, Stage, Then};
use crate::stream::{
    encoder::Encoder,
    intake,
    packager::{Packager, Publication, rendition_specs},
    report,
};

/// A rest of a gap that is shorter than this is not worth an entry in the lists.
const SHORTEST_GAP: MediaSpan = MediaSpan::from_millis(300);

impl Live {
    pub(super) fn on_media(&mut self, event: MediaEvent) {
        let track = match &event {
            MediaEvent::VideoConfig(track, _) | MediaEvent::AudioConfig(track, _) => *track,
            MediaEvent::Packet(packet) => packet.track,
            MediaEvent::Break(_) => TrackId::default(),
        };
        if track != TrackId::default() {
            return; // only the default tracks are packaged
        }
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

    /// The source is known: plans, and packages what was kept so far.
    pub(super) fn begin(&mut self, source: Source, mut events: Vec<MediaEvent>) {
        // What came before a change of configuration during the look cannot be packaged with what came after.
        if let Some(stale) = events.iter().rposition(|event| contradicts(&source, event)) {
            events.drain(..=stale);
        }
        let Some(first) = intake::first_time(&events, source.video.is_some()) else {
            return self.start_probing(configurations(&source));
        };
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
    pub(super) fn enter(&mut self, source: &Source, plan: Plan, offset: MediaSpan, at: MediaTime) {
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
                self.packager = Some(Packager::new(presentation, &publication, self.next_sequence, None));
            }
        }
        let encoder = Job::of(&plan, source).map(|mut job| {
            job.memory_limit = self.shared.settings.worker_memory;
            Encoder::new(self.shared.settings.isolation.clone(), job)
        });
        if let Some(packager) = &mut self.packager {
            packager.set_phase(Phase::Live);
        }
        self.plan = Some(plan);
        self.source = Some(source.clone());
        self.info_due = true;
        self.stage = Stage::Running(Run {
            offset,
            source: source.clone(),
            encoder,
            gop: Vec::new(),
            gop_bytes: 0,
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
            MediaEvent::VideoConfig(track, config) => {
                let event = MediaEvent::VideoConfig(track, config);
                if run.source.video.is_none() || contradicts(&run.source, &event) {
                    self.reconfigure(event);
                }
            }
            MediaEvent::AudioConfig(track, config) => {
                let event = MediaEvent::AudioConfig(track, config);
                if run.source.audio.is_none() || contradicts(&run.source, &event) {
                    self.reconfigure(event);
                }
            }
        }
    }

    /// The publisher goes on with other codecs settings: what was is finished, and the source looked at again.
    pub(super) fn reconfigure(&mut self, event: MediaEvent) {
        let Stage::Running(run) = std::mem::replace(&mut self.stage, Stage::Idle) else { return };
        info!("the source's configuration changed");
        self.counters.reconfigurations += 1;
        // The track that did not change is not announced again by the connection.
        let mut events = configurations(&run.source);
        events.retain(|known| std::mem::discriminant(known) != std::mem::discriminant(&event));
        events.push(event);
        self.drain(run, Then::Probe(events));
    }

    /// The publisher is connected but has sent nothing for [`super::SILENCE_LIMIT`]: what there is is finished, gaps keep the
    /// lists moving, and what comes next begins anew at its keyframe.
    pub(super) fn stalled(&mut self) {
        let Stage::Running(run) = std::mem::replace(&mut self.stage, Stage::Idle) else { return };
        warn!("the publisher has gone silent");
        self.counters.stalls += 1;
        let events = configurations(&run.source);
        self.drain(run, Then::Probe(events));
    }

    /// Keyframes turned out to be too far apart to copy.
    pub(super) fn encode_from_here(&mut self, packet: Packet) {
        let Stage::Running(mut run) = std::mem::replace(&mut self.stage, Stage::Idle) else { return };
        warn!(
            "keyframes are further apart than a segment may last; the source's own size is encoded from here on"
        );
        run.remember(&packet);
        self.drain(run, Then::Encode);
    }
}

/// The events that announce a source's tracks.
fn configurations(source: &Source) -> Vec<MediaEvent> {
    let video =
        source.video.iter().map(|video| MediaEvent::VideoConfig(TrackId::default(), video.config.clone()));
    let audio =
        source.audio.iter().map(|audio| MediaEvent::AudioConfig(TrackId::default(), audio.config.clone()));
    video.chain(audio).collect()
}

/// Whether an event announces another configuration than the source has.
fn contradicts(source: &Source, event: &MediaEvent) -> bool {
    match event {
        MediaEvent::VideoConfig(_, config) => {
            source.video.as_ref().is_some_and(|video| video.config != *config)
        }
        MediaEvent::AudioConfig(_, config) => {
            source.audio.as_ref().is_some_and(|audio| audio.config != *config)
        }
        MediaEvent::Break(_) | MediaEvent::Packet(_) => false,
    }
}
