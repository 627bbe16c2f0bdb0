//! Source packets and cuts in order, kept for the encoder: it takes them at its own pace, and a new one needs them again.

use std::collections::{BTreeMap, VecDeque};

use hls::cut::Cut;
use media::{MediaSequence, MediaTime, Packet, TrackKind};
use transcode::source::SAME_TIME;

/// Source packets kept for the encoder hold at most this many bytes: 20 s of 25 Mbit/s. Past it the oldest that it was
/// given already are dropped, and should it die, its rungs miss what comes before the next keyframe.
const KEPT_BYTES: usize = 64 << 20;

/// What the encoder is told, in order.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Cut(Cut),
    Packet(Packet),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Kept {
    steps: VecDeque<Step>,
    bytes: usize,
    /// Steps at the front that the running encoder has been given.
    given: usize,
}

impl Kept {
    pub(super) fn push(&mut self, step: Step) {
        if let Step::Packet(packet) = &step {
            self.bytes += packet.data.len();
        }
        self.steps.push_back(step);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The next step that the encoder was not given and that concerns it.
    pub(super) fn next(&self, concerns: impl Fn(&Step) -> bool) -> Option<&Step> {
        self.steps.iter().skip(self.given).find(|step| concerns(step))
    }

    /// The encoder took what [`Self::next`] gave.
    pub(super) fn told(&mut self, concerns: impl Fn(&Step) -> bool) {
        while let Some(step) = self.steps.get(self.given) {
            self.given += 1;
            if concerns(step) {
                break;
            }
        }
    }

    /// A new encoder begins at the front.
    pub(super) fn start_over(&mut self) {
        self.given = 0;
    }

    pub(super) fn packets(&self) -> impl Iterator<Item = &Packet> {
        self.steps.iter().filter_map(|step| match step {
            Step::Packet(packet) => Some(packet),
            Step::Cut(_) => None,
        })
    }

    /// The first cut of `oldest` or a later segment.
    pub(super) fn cut_from(&self, oldest: MediaSequence) -> Option<Cut> {
        self.steps.iter().find_map(|step| match step {
            Step::Cut(cut) if cut.sequence >= oldest => Some(*cut),
            _ => None,
        })
    }

    /// The newest cut that the source has reached at `end`; in grid mode the newest told may still lie ahead.
    pub(super) fn newest_cut(&self, end: MediaTime) -> Option<Cut> {
        self.steps.iter().rev().find_map(|step| match step {
            Step::Cut(cut) if cut.at <= end => Some(*cut),
            _ => None,
        })
    }

    /// Forgets what is not needed to show what is at `at`: of each track of the pictures (without any: of sound), what
    /// comes before its last keyframe until then.
    pub(super) fn forget_before(&mut self, at: MediaTime, has_video: bool) {
        let mut last = BTreeMap::new();
        for (index, step) in self.steps.iter().enumerate() {
            if let Step::Packet(packet) = step
                && packet.keyframe
                && (packet.kind == TrackKind::Video) == has_video
                && packet.pts <= at + SAME_TIME
            {
                last.insert(packet.track, index);
            }
        }
        let mut found = last.into_values().min().unwrap_or(0);
        // The cuts that were announced with it stand right before it.
        while found > 0 && matches!(self.steps[found - 1], Step::Cut(_)) {
            found -= 1;
        }
        self.drop_front(found);
    }

    /// Forgets the oldest that were given already, where they are too many.
    pub(super) fn keep_small(&mut self) {
        while self.bytes > KEPT_BYTES && self.given > 0 {
            self.drop_front(1);
        }
    }

    fn drop_front(&mut self, count: usize) {
        for step in self.steps.drain(..count) {
            if let Step::Packet(packet) = step {
                self.bytes -= packet.data.len();
            }
        }
        self.given = self.given.saturating_sub(count);
    }
}
