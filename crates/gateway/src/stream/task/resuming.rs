//! A stream that was live when the last process ended.

use std::time::{Duration, SystemTime};

use hls::{cut::WallClock, snapshot::Phase};
use media::{MediaSpan, MediaTime};
use tokio::{sync::watch, time::Instant};
use tracing::warn;

use super::{Live, SAVE_EVERY, Stage, unix_micros};
use crate::{
    store::SavedStream,
    stream::{
        Shared,
        packager::{Packager, Publication},
        saved::Saved,
    },
};

impl Live {
    /// A stream that was live when the last process ended; `None` when its hold time is over or its state unreadable.
    pub(in crate::stream) fn resume(
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
        let publication = Publication {
            plan: &saved.plan,
            source: None,
            clock: WallClock { at: MediaTime::ZERO, unix_micros: unix_micros(now) },
            continues: true,
        };
        let settings = live.presentation_settings(&saved.plan);
        let fragmented = live.shared.settings.low_latency;
        let mut packager =
            Packager::new(settings, fragmented, &publication, first, Some(saved.codecs.clone()));
        packager.set_phase(Phase::Held);
        packager.wish_captions(live.shared.settings.captions.clone());
        // Three gaps at once: fewer than that in a live list stalls players (RFC 8216 §6.2.2).
        for back in (1..=3).rev() {
            let at = unix_micros(now) - target.ticks() * back * 100 / 9;
            packager.first_gap(std::time::Instant::now(), live.next_sequence, at);
            live.next_sequence = live.next_sequence.next();
        }
        live.packager = Some(packager);
        live.plan = Some(saved.plan);
        live.start_gaps();
        live.stage =
            Stage::Held { until: Instant::now() + hold.saturating_sub(since).max(Duration::from_secs(5)) };
        live.show();
        Some(live)
    }
}
