//! The stream's side of its encoder: feeds it, hears it.

use media::MediaSpan;
use tokio::time::Instant;
use tracing::{debug, warn};
use transcode::{Input, Output, Still};

use super::{Live, Run, Stage};
use crate::stream::{deaths::Remedy, encoder::Heard};

/// While its encoder rests, a rung's segments are given up when they are so late.
const GIVEN_UP_LATE: MediaSpan = MediaSpan::from_millis(4_000);

impl Live {
    pub(super) async fn feed_encoder(&mut self) {
        let Some(packager) = &mut self.packager else { return };
        let (run, draining) = match &mut self.stage {
            Stage::Running(run) => (run, None),
            Stage::Draining { run, finish_told, .. } => (run, Some(finish_told)),
            _ => return,
        };
        if let Some(keyframes) = &mut run.keyframes
            && keyframes.tend().await
        {
            self.gallery.begin();
        }
        let Some(encoder) = &mut run.encoder else { return };
        if encoder.retry_at().is_some_and(|at| Instant::now() >= at) {
            self.gallery.begin();
            packager.restart_encoder();
            let from = packager.encoded_until().unwrap_or_else(|| packager.end());
            run.overload.restarted(Instant::now().into_std(), from);
            encoder.start().await;
        }
        // Lists of rungs without an encoder go on, with gaps.
        if encoder.resting() && packager.lag() > GIVEN_UP_LATE {
            self.skip_ahead("the encoder rests");
            self.publish();
            return;
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

    /// What the encoder has not made yet is given up.
    pub(super) fn skip_ahead(&mut self, why: &str) {
        let Some(packager) = &mut self.packager else { return };
        let lost = packager.skip_ahead();
        if lost > 0 {
            self.counters.segments_lost += lost;
            warn!(lost, why, "segments of the encoded rungs are skipped");
        }
    }

    /// How late the encoder is, and what the governor says to it. Past the ceiling it skips ahead: shedding was too slow,
    /// or is not what helps.
    pub(super) fn watch_load(&mut self, now: Instant) {
        let (Some(packager), Stage::Running(run)) = (&mut self.packager, &mut self.stage) else { return };
        let Some(encoder) = &mut run.encoder else { return };
        if run.overload.look(now.into_std(), &self.name, packager, encoder) {
            self.info_due = true;
        }
        let too_late = run.overload.late() > self.shared.settings.latency_ceiling.into();
        if !too_late && !packager.overrun() {
            return;
        }
        run.overload.restarted(now.into_std(), packager.end());
        encoder.restart();
        self.skip_ahead("the encoder is too slow for this machine");
        self.publish();
    }

    /// A thumbnail, poster or sheet was made.
    pub(super) fn on_still(&mut self, still: Still) {
        let Some(packager) = &self.packager else { return };
        let clock = packager.clock();
        if self.gallery.take(still, |at| clock.unix_micros + (at - clock.at).ticks() * 100 / 9) {
            self.listing.set_pictures(self.gallery.shown());
        }
    }

    pub(super) fn on_heard(&mut self, heard: Heard) {
        let Some(packager) = &mut self.packager else { return };
        match heard {
            Heard::Output(Output::Ready { video, audio }) => {
                packager.encoder_ready(&video, &audio);
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
            Heard::Output(Output::Rungs { from, by, video }) => {
                packager.encoders_changed(from, &by, &video);
                self.info_due = true;
                self.publish();
            }
            Heard::Output(Output::Drained { rung }) => {
                packager.encoder_drained(rung);
                self.publish();
            }
            Heard::Output(Output::Audio(packet)) => {
                packager.encoded_audio(&packet);
                self.publish();
            }
            Heard::Output(Output::Finished) => self.drained(),
            Heard::Output(Output::Still(still)) => self.on_still(still),
            Heard::Output(other) => debug!(?other, "encoder says"),
            Heard::Died(remedy) => {
                let draining = if let Stage::Draining { finish_told, .. } = &mut self.stage {
                    *finish_told = false;
                    true
                } else {
                    false
                };
                match remedy {
                    Remedy::LeaveOut(group) if packager.leave_out(group) => {
                        self.counters.segments_lost += 1;
                        warn!("a group of pictures that killed the encoder twice is left out");
                    }
                    Remedy::SkipAhead if !draining => self.skip_ahead("the encoder keeps dying"),
                    Remedy::None | Remedy::LeaveOut(_) | Remedy::SkipAhead => {}
                }
            }
        }
    }
}
