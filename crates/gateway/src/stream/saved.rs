//! Where a live playlist stands, as written to the store, so that a restarted gateway continues it.

use std::time::{Duration, SystemTime};

use media::{AudioConfig, Epoch, MediaSequence, VideoConfig, captions::Services};
use serde::{Deserialize, Serialize};
use transcode::ladder::Plan;

/// Numbers are skipped over a restart, as many as segments of this length fit into the time since the state was
/// written: more than the gateway can have listed after it was.
const SHORTEST_SEGMENT: Duration = Duration::from_millis(500);

/// What is written, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) session: Epoch,
    /// The number after the newest one listed.
    pub(super) next: MediaSequence,
    /// The discontinuity number of the newest segment.
    pub(super) discontinuities: u64,
    pub(super) plan: Plan,
    pub(super) codecs: Codecs,
}

/// The codec configurations of the renditions, for the CODECS of a multivariant playlist before anyone publishes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Codecs {
    /// Per rendition.
    pub(super) video: Vec<Option<VideoConfig>>,
    /// The same in all of them.
    pub(super) audio: Option<AudioConfig>,
    /// Per further sound.
    #[serde(default)]
    pub(super) alternates: Vec<Option<AudioConfig>>,
    /// Closed captions that were seen in the pictures.
    #[serde(default)]
    pub(super) captions: Services,
}

impl Saved {
    /// The first number that cannot have been listed before: numbers never fall.
    pub(super) fn resume_at(&self, saved_at: SystemTime, now: SystemTime) -> MediaSequence {
        let since = now.duration_since(saved_at).unwrap_or_default();
        let skipped = since.as_millis() / SHORTEST_SEGMENT.as_millis() + 1;
        MediaSequence(self.next.0 + u64::try_from(skipped).unwrap_or(u64::from(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use media::MediaSpan;
    use transcode::ladder::{AudioPlan, CutMode};

    use super::*;

    #[test]
    fn numbers_never_fall_over_a_restart() {
        let plan = Plan {
            rungs: vec![],
            lead: media::TrackId::default(),
            audio: AudioPlan::Copy,
            sound: transcode::ladder::Sound::default(),
            alternates: vec![],
            cut: CutMode::Grid,
            segment: MediaSpan::from_millis(2000),
            target_duration: 2,
            longest: MediaSpan::from_millis(2400),
            notes: vec![],
            audio_only: false,
        };
        let saved = Saved {
            session: Epoch(7),
            next: MediaSequence(100),
            discontinuities: 3,
            plan,
            codecs: Codecs::default(),
        };
        let saved: Saved = serde_json::from_str(&serde_json::to_string(&saved).unwrap()).unwrap();
        let at = UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(saved.resume_at(at, at), MediaSequence(101));
        assert_eq!(saved.resume_at(at, at + Duration::from_secs(30)), MediaSequence(161));
        assert_eq!(saved.resume_at(at, at - Duration::from_secs(30)), MediaSequence(101), "a clock set back");
    }
}
