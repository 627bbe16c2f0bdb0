//! The stream's side of its encoder: feeds it, hears it.

use tokio::time::Instant;
use tracing::{debug, warn};
use transcode::{Input, Output};

use super::{Live, Run, Stage};
use crate::stream::encoder::Heard;

impl Live {
    pub(super) async fn feed_encoder(&mut self) {
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
}
