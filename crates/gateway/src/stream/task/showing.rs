//! What viewers, the store and the operator see of the stream.

use tokio::time::Instant;
use tracing::{debug, error};

use super::{Live, REPORT_EVERY, Run, Stage};
use crate::stream::{encoder::Encoder, report, saved::Saved};

impl Live {
    /// Publishes finished segments; true when there were any.
    pub(super) fn publish(&mut self) -> bool {
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

    pub(super) fn show(&mut self) {
        if let Some(packager) = &self.packager {
            let snapshot = packager.snapshot();
            if self.recording.is_none() {
                let recordings = self.shared.recordings.as_ref();
                self.recording = recordings.and_then(|recordings| recordings.feed(&self.name));
            }
            if let Some(recording) = &self.recording {
                recording.update(snapshot.clone());
            }
            self.listing.update(snapshot);
        }
        self.info_due = true;
    }

    pub(super) fn save(&mut self) {
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
        match serde_json::to_string(&saved) {
            Ok(state) => {
                if !self.shared.store.save_live(&self.name, state) {
                    debug!("the disk is slow; the playlist's position is written next time");
                }
            }
            Err(error) => error!(%error, "the playlist's position cannot be written"),
        }
    }

    pub(super) fn report(&mut self) {
        let encoder = match &self.stage {
            Stage::Running(Run { encoder, .. }) => encoder.as_ref(),
            _ => None,
        };
        let restarts = encoder.map_or(0, Encoder::restarts);
        let due = self.reported_at.is_none_or(|at| at.elapsed() >= REPORT_EVERY);
        if due && std::mem::take(&mut self.info_due) {
            self.reported_at = Some(Instant::now());
            if let Some(packager) = &self.packager {
                self.counters.export(&self.name, packager.lag(), &packager.snapshot(), restarts);
            }
            let show_address = self.shared.settings.show_address;
            let publisher = self.publisher.as_ref().map(|publisher| (publisher, show_address));
            let overload = match &self.stage {
                Stage::Running(run) => Some(&run.overload),
                _ => None,
            };
            let packager = self.packager.as_ref();
            let info = report::info(
                self.born.1,
                publisher,
                self.source.as_ref(),
                self.plan.as_ref(),
                &self.counters,
                encoder,
                |nth| overload?.encoding(nth, packager?.shown(nth)),
            );
            self.listing.set_info(info);
        }
    }
}
