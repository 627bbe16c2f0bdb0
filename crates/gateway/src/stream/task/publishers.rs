//! Publishers come, take over, and go.

use ingest::{FromPublisher, PlayDecision};
use media::MediaEvent;
use tokio::sync::oneshot;
use tracing::{info, warn};
use transcode::source::Probe;

use super::{Live, Stage, Then, hints};
use crate::stream::{Publisher, intake::Intake, relay::refused, report};

/// What an encoder is told that loses its stream to another.
const TAKEN_OVER: &str = "Another encoder with this stream's key took over.";

impl Live {
    pub(super) fn welcome(&mut self, publisher: Publisher) {
        info!(peer = %publisher.peer, encoder = publisher.encoder.as_deref().unwrap_or("unknown"), "publishing");
        self.publisher = Some(publisher);
        self.counters.next_connection();
        self.info_due = true;
        self.publishing.send_replace(true);
        self.announced.clear();
        self.stopped.clear();
        self.start_probing(Vec::new());
    }

    pub(super) fn start_probing(&mut self, events: Vec<MediaEvent>) {
        self.stage = Stage::Probing(Box::new(Intake::new(Probe::new(&self.wishes()))));
        for event in events {
            self.on_media(event);
        }
    }

    pub(super) fn on_publisher(&mut self, publisher: Publisher) {
        if let Some(old) = self.publisher.take() {
            info!(old = %old.peer, new = %publisher.peer, "another encoder takes over");
            old.see_off(TAKEN_OVER);
        }
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Running(run) => self.drain(run, Then::Welcome(Box::new(publisher))),
            Stage::Draining { run, deadline, finish_told, then } => {
                if let Then::Welcome(waiting) = then {
                    waiting.see_off(TAKEN_OVER);
                }
                self.stage =
                    Stage::Draining { run, deadline, finish_told, then: Then::Welcome(Box::new(publisher)) };
            }
            Stage::Idle | Stage::Probing(_) | Stage::Held { .. } => self.welcome(publisher),
            ended @ Stage::Ended { .. } => {
                self.stage = ended;
                publisher.see_off("The stream has just ended; connect again.");
            }
        }
    }

    /// A player begins with what is kept since the newest keyframe, or waits for what comes.
    pub(super) fn on_player(&mut self, reply: oneshot::Sender<PlayDecision>) {
        let gop = match &self.stage {
            Stage::Ended { .. } => {
                let _ = reply.send(refused("The stream has ended.")); // the player may have gone
                return;
            }
            Stage::Running(run) | Stage::Draining { run, .. } => &run.gop[..],
            _ => &[],
        };
        self.relay.welcome(reply, self.source.as_ref(), &self.announced, gop);
    }

    pub(super) fn on_item(&mut self, item: Option<FromPublisher>) {
        match item {
            Some(FromPublisher::Media(event)) => {
                self.pulse.beat();
                self.on_media(event);
            }
            Some(FromPublisher::Metadata(metadata)) => {
                if let Stage::Probing(intake) = &mut self.stage {
                    intake.probe().metadata(hints(&metadata));
                }
            }
            Some(FromPublisher::Stats(stats)) => {
                self.counters.connection(&stats);
                self.info_due = true;
            }
            Some(FromPublisher::Note(quirk)) => {
                if let Some(publisher) = &mut self.publisher {
                    report::note_quirk(&mut publisher.quirks, &quirk);
                    self.info_due = true;
                }
            }
            Some(FromPublisher::Ended { clean, why }) => self.publisher_gone(clean, &why),
            None => self.publisher_gone(false, "the connection was lost"),
        }
    }

    pub(super) fn publisher_gone(&mut self, clean: bool, why: &str) {
        if let Some(mut publisher) = self.publisher.take() {
            publisher.publication.ends(clean, why);
        }
        self.info_due = true;
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

    pub(super) fn refuse(&mut self, sentence: &str) {
        warn!(sentence, "publisher refused");
        if let Some(publisher) = self.publisher.take() {
            publisher.see_off(sentence);
        }
        self.publishing.send_replace(false);
        self.stage = Stage::Idle;
        if self.packager.is_some() { self.hold() } else { self.end() }
    }
}
