//! Whether pictures still come.

use media::{MediaSpan, MediaTime, Packet};

/// Pictures that are behind sound by so much, and by [`GONE_STEPS`] of their longest steps, have stopped.
const PICTURES_GONE: MediaSpan = MediaSpan::from_millis(3_000);
const GONE_STEPS: i64 = 2;
/// A longer step was a hole, and says nothing of how often pictures come.
const LONGEST_STEP: MediaSpan = MediaSpan::from_millis(15_000);

/// What was seen of a publication's pictures, all tracks together.
#[derive(Debug, Default)]
pub(super) struct Seen {
    newest: Option<MediaTime>,
    /// The longest step: slide shows are no pictures that have stopped.
    longest: MediaSpan,
}

impl Seen {
    pub(super) fn see(&mut self, packet: &Packet) {
        if let Some(newest) = self.newest {
            self.longest = self.longest.max((packet.pts - newest).min(LONGEST_STEP));
        }
        self.newest = self.newest.max(Some(packet.pts));
    }

    /// When the last picture was shown, if none comes any more while sound has come as far as `sound`.
    pub(super) fn ended(&self, sound: MediaTime) -> Option<MediaTime> {
        let newest = self.newest?;
        (sound - newest > PICTURES_GONE.max(self.longest.times(GONE_STEPS))).then_some(newest)
    }
}
