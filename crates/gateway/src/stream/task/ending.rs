//! How a publication, a session and the stream itself end.

use std::time::Duration;

use hls::snapshot::Phase;
use tokio::{sync::watch, time::Instant};
use tracing::info;
use transcode::{
    ladder,
    source::{Gop, Source},
};

use super::{DRAIN_LIMIT, Darkening, Live, Run, Stage, Then};
use crate::{config::OnShutdown, stream::packager::Packager};

impl Live {
    pub(super) fn drain(&mut self, run: Run, then: Then) {
        if let Some(packager) = &mut self.packager {
            packager.flush();
        }
        let deadline = Instant::now() + DRAIN_LIMIT;
        self.stage = Stage::Draining { run, deadline, finish_told: false, then };
    }

    pub(super) fn drained(&mut self) {
        let Stage::Draining { run, then, .. } = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return;
        };
        run.overload.retire(&self.name);
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
            Then::Probe(events) => {
                self.start_gaps();
                self.start_probing(events);
            }
            Then::Welcome(publisher) => self.welcome(*publisher),
            Then::Stop(how) => self.stop_now(how),
            Then::Encode => self.go_on_encoding(run),
            Then::Darken(darkening) => self.go_on_dark(run, darkening),
        }
    }

    /// After [`Then::Encode`]: the same publication, planned again with its GOPs known to be too long.
    pub(super) fn go_on_encoding(&mut self, run: Run) {
        drop(run.overload); // its place with the governor is asked for anew
        let mut source = run.source;
        for video in source.video.iter_mut().chain(&mut source.more_video) {
            video.gop = Gop::LongerThan(self.wishes().longest_segment);
        }
        let Some(running) = &self.plan else { return };
        let plan = ladder::replan(running, &source, &self.wishes());
        let Some(at) = self.packager.as_ref().map(Packager::end) else { return };
        self.enter(&source, plan, run.offset, at);
        if let Some(packager) = &mut self.packager {
            packager.preroll(run.gop);
        }
    }

    /// After [`Then::Darken`]: the same publication, without its pictures.
    fn go_on_dark(&mut self, run: Run, Darkening { at, sound }: Darkening) {
        drop(run.overload); // nothing is encoded that needs a place with the governor
        let source = Source { video: None, more_video: Vec::new(), ..run.source };
        let Some(running) = &self.plan else { return };
        let plan = ladder::replan(running, &source, &self.wishes());
        self.enter(&source, plan, run.offset, at);
        if let Some(packager) = &mut self.packager {
            sound.into_iter().for_each(|packet| packager.source(packet));
        }
        self.publish();
    }

    pub(super) fn hold(&mut self) {
        if self.shared.settings.hold.is_zero() {
            return self.end();
        }
        let now = Instant::now();
        self.stage = Stage::Held { until: now + self.shared.settings.hold };
        if let Some(packager) = &mut self.packager {
            packager.set_phase(Phase::Held);
        }
        self.start_gaps();
        self.save();
        self.show();
    }

    pub(super) fn end(&mut self) {
        info!("stream ended");
        self.relay.end("The stream has ended.");
        self.publishing.send_replace(false);
        self.gaps = None;
        if let Some(packager) = &mut self.packager {
            packager.set_phase(Phase::Ended);
        }
        self.show();
        self.shared.store.forget_live(&self.name);
        let keep = if self.packager.is_some() { self.shared.settings.keep_ended } else { Duration::ZERO };
        self.stage = Stage::Ended { until: Instant::now() + keep };
    }

    /// The lists end here and new ones begin under a new session: what comes does not fit the old ones.
    pub(super) fn restart_session(&mut self) {
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
        std::mem::swap(&mut fresh.pulse, &mut self.pulse);
        std::mem::swap(&mut fresh.publisher, &mut self.publisher);
        std::mem::swap(&mut fresh.announced, &mut self.announced);
        std::mem::swap(&mut fresh.relay, &mut self.relay);
        std::mem::swap(&mut fresh.counters, &mut self.counters);
        // Until the new session has pictures of its own, its name shows the last ones.
        std::mem::swap(&mut fresh.gallery, &mut self.gallery);
        fresh.gallery.moved_to(fresh.session);
        fresh.listing.set_pictures(fresh.gallery.shown());
        let old = std::mem::replace(self, fresh);
        let keep = self.shared.settings.keep_ended;
        self.shared.tasks.spawn(async move {
            tokio::select! {
                () = old.shared.stop.cancelled() => {}
                () = tokio::time::sleep(keep) => {}
            }
            drop(old);
        });
    }

    pub(super) fn on_stop(&mut self, how: OnShutdown) {
        self.relay.end("The server is shutting down.");
        if let Some(publisher) = self.publisher.take() {
            publisher.see_off("The server is shutting down.");
        }
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Running(run) | Stage::Draining { run, .. } => self.drain(run, Then::Stop(how)),
            Stage::Idle | Stage::Probing(_) | Stage::Held { .. } => self.stop_now(how),
            ended @ Stage::Ended { .. } => self.stage = ended,
        }
    }

    pub(super) fn stop_now(&mut self, how: OnShutdown) {
        let linger = match how {
            OnShutdown::End => {
                self.end();
                self.last_words = self.packager.is_some();
                if self.last_words { self.shared.settings.linger } else { Duration::ZERO }
            }
            OnShutdown::Hold => {
                self.save();
                Duration::ZERO
            }
        };
        self.stage = Stage::Ended { until: Instant::now() + linger };
    }
}
