//! Source packets and cuts in order, kept for the encoder: it takes them at its own pace, and a new one needs them again.

use std::collections::{BTreeMap, VecDeque};

use hls::cut::Cut;
use media::{MediaSequence, MediaSpan, MediaTime, Packet, TrackId, TrackKind};
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
    steps: VecDeque<Entry>,
    bytes: usize,
    /// Steps at the front that the running encoder has been given.
    given: usize,
    /// The track of pictures that the encoder decodes.
    feed: Option<TrackId>,
    /// The encoder is not given what follows, up to the next group after the one that begins here.
    leaving_out: Option<MediaTime>,
}

#[derive(Debug)]
struct Entry {
    step: Step,
    /// Belongs to a group that kills encoders.
    left_out: bool,
}

/// How much sound counts as a group where no pictures are decoded.
const SOUND_GROUP: MediaSpan = MediaSpan::from_millis(1000);

impl Kept {
    /// Nothing kept of a publication whose pictures the encoder takes from `feed`.
    pub(super) fn new(feed: Option<TrackId>) -> Self {
        Self { feed, ..Self::default() }
    }

    pub(super) fn push(&mut self, step: Step) {
        if let Step::Packet(packet) = &step {
            self.bytes += packet.data.len();
            if let Some(group) = self.leaving_out
                && self.follows(packet, group)
            {
                self.leaving_out = None;
                // The cuts that were announced for it stand right before it; those before fall into the group.
                let from = packet.pts - SAME_TIME;
                for entry in &mut self.steps {
                    entry.left_out &= !matches!(&entry.step, Step::Cut(cut) if cut.at >= from);
                }
            }
        }
        self.steps.push_back(Entry { step, left_out: self.leaving_out.is_some() });
    }

    /// The group that begins with what is decoded at `group` is not given to encoders again, whatever of it comes yet.
    /// False when nothing of it is kept. To be called while no encoder runs.
    pub(super) fn leave_out(&mut self, group: MediaTime) -> bool {
        let begins = |entry: &Entry| match &entry.step {
            Step::Packet(packet) => {
                let feeds = self.feed.is_none_or(|feed| is_picture(packet, feed) && packet.keyframe);
                feeds && packet.dts == group
            }
            Step::Cut(_) => false,
        };
        let Some(first) = self.steps.iter().position(begins) else { return false };
        // Segments that begin in the group are lost: opened by a later picture, they would begin late in these renditions.
        if let Some(Step::Packet(packet)) = self.steps.get(first).map(|entry| &entry.step) {
            let from = packet.pts - SAME_TIME;
            for entry in self.steps.range_mut(..first) {
                entry.left_out |= matches!(&entry.step, Step::Cut(cut) if cut.at >= from);
            }
        }
        // What was left out before stays so, cuts included: it does not come again.
        let rest = self.steps.split_off(first);
        self.leaving_out = Some(group);
        for Entry { step, left_out } in rest {
            if let Step::Packet(packet) = &step {
                self.bytes -= packet.data.len(); // counted again
            }
            self.push(step);
            if let Some(entry) = self.steps.back_mut() {
                entry.left_out |= left_out;
            }
        }
        true
    }

    /// Whether a packet begins a later group.
    fn follows(&self, packet: &Packet, group: MediaTime) -> bool {
        match self.feed {
            Some(feed) => is_picture(packet, feed) && packet.keyframe && packet.dts > group,
            None => packet.dts - group >= SOUND_GROUP,
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.feed);
    }

    /// The next step that the encoder was not given and that concerns it.
    pub(super) fn next(&self, concerns: impl Fn(&Step) -> bool) -> Option<&Step> {
        let open = self.steps.iter().skip(self.given).filter(|entry| !entry.left_out);
        open.map(|entry| &entry.step).find(|step| concerns(step))
    }

    /// The encoder took what [`Self::next`] gave.
    pub(super) fn told(&mut self, concerns: impl Fn(&Step) -> bool) {
        while let Some(entry) = self.steps.get(self.given) {
            self.given += 1;
            if !entry.left_out && concerns(&entry.step) {
                break;
            }
        }
    }

    /// A new encoder begins at the front.
    pub(super) fn start_over(&mut self) {
        self.given = 0;
    }

    pub(super) fn packets(&self) -> impl Iterator<Item = &Packet> {
        self.steps.iter().filter_map(|entry| match &entry.step {
            Step::Packet(packet) => Some(packet),
            Step::Cut(_) => None,
        })
    }

    /// The first cut of `oldest` or a later segment.
    pub(super) fn cut_from(&self, oldest: MediaSequence) -> Option<Cut> {
        self.steps.iter().find_map(|entry| match &entry.step {
            Step::Cut(cut) if cut.sequence >= oldest => Some(*cut),
            _ => None,
        })
    }

    /// The newest cut that the source has reached at `end`; in grid mode the newest told may still lie ahead.
    pub(super) fn newest_cut(&self, end: MediaTime) -> Option<Cut> {
        self.steps.iter().rev().find_map(|entry| match &entry.step {
            Step::Cut(cut) if cut.at <= end => Some(*cut),
            _ => None,
        })
    }

    /// Forgets what is not needed to show what is at `at`: of each track of the pictures (without any: of sound), what
    /// comes before its last keyframe until then.
    pub(super) fn forget_before(&mut self, at: MediaTime, has_video: bool) {
        let mut last = BTreeMap::new();
        for (index, entry) in self.steps.iter().enumerate() {
            if let Step::Packet(packet) = &entry.step
                && packet.keyframe
                && (packet.kind == TrackKind::Video) == has_video
                && packet.pts <= at + SAME_TIME
            {
                last.insert(packet.track, index);
            }
        }
        let mut found = last.into_values().min().unwrap_or(0);
        // The cuts that were announced with it stand right before it.
        while found > 0 && matches!(self.steps[found - 1].step, Step::Cut(_)) {
            found -= 1;
        }
        // Sound that is heard with it may have come before it; pictures between the two cannot be decoded.
        let early = self.steps.range(..found).position(|entry| match &entry.step {
            Step::Packet(packet) => has_video && packet.kind == TrackKind::Audio && packet.pts >= at,
            Step::Cut(_) => false,
        });
        if let Some(early) = early {
            for entry in self.steps.range_mut(early..found) {
                entry.left_out |=
                    matches!(&entry.step, Step::Packet(packet) if packet.kind == TrackKind::Video);
            }
            found = early;
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
        for entry in self.steps.drain(..count) {
            if let Step::Packet(packet) = entry.step {
                self.bytes -= packet.data.len();
            }
        }
        self.given = self.given.saturating_sub(count);
    }
}

fn is_picture(packet: &Packet, track: TrackId) -> bool {
    packet.kind == TrackKind::Video && packet.track == track
}

#[cfg(test)]
mod tests {
    use hls::cut::WallClock;

    use super::*;

    const FEED: TrackId = TrackId(0);

    fn packet(kind: TrackKind, millis: i64, keyframe: bool) -> Step {
        let at = MediaTime::ZERO + MediaSpan::from_millis(millis);
        let data = vec![0; 10].into();
        Step::Packet(Packet { track: FEED, kind, pts: at, dts: at, keyframe, data })
    }

    fn cut(millis: i64, number: u64) -> Step {
        let at = MediaTime::ZERO + MediaSpan::from_millis(millis);
        let clock = WallClock { at, unix_micros: 0 };
        Step::Cut(Cut { at, sequence: MediaSequence(number), discontinuity: false, clock })
    }

    /// Four pictures a second with a keyframe every second, a sound before each, cuts at whole seconds.
    fn kept(seconds: i64) -> Kept {
        let mut kept = Kept::new(Some(FEED));
        (0..seconds * 4).for_each(|nth| quarter(&mut kept, nth));
        kept
    }

    fn quarter(kept: &mut Kept, nth: i64) {
        kept.push(packet(TrackKind::Audio, nth * 250, true));
        if nth % 4 == 0 {
            kept.push(cut(nth * 250, nth as u64 / 4));
        }
        kept.push(packet(TrackKind::Video, nth * 250, nth % 4 == 0));
    }

    /// What an encoder that starts now is given, in order: `k` keyframe, `p` picture, `s` sound, `|` cut; and since when.
    fn given(kept: &mut Kept) -> String {
        kept.start_over();
        let mut text = String::new();
        while let Some(step) = kept.next(|_| true) {
            text.push(match step {
                Step::Cut(_) => '|',
                Step::Packet(packet) if packet.kind == TrackKind::Audio => 's',
                Step::Packet(packet) if packet.keyframe => 'k',
                Step::Packet(_) => 'p',
            });
            kept.told(|_| true);
        }
        text
    }

    fn at(millis: i64) -> MediaTime {
        MediaTime::ZERO + MediaSpan::from_millis(millis)
    }

    #[test]
    fn a_group_that_is_left_out_costs_itself_and_its_cut() {
        let mut kept = kept(3);
        assert_eq!(given(&mut kept), "s|kspspsps|kspspsps|kspspsp");
        assert!(kept.leave_out(at(1000)));
        // The sound that came before the keyframe is not of its group; nor is the one before the next keyframe heard then.
        assert_eq!(given(&mut kept), "s|kspspsps|kspspsp");
        assert_eq!(kept.packets().count(), 24, "what is copied has everything");
        assert!(!kept.leave_out(at(1250)), "no group begins there");
        assert!(!kept.leave_out(at(9000)), "nor there");
    }

    #[test]
    fn what_comes_of_a_group_after_its_conviction_is_left_out_too() {
        let mut kept = kept(1);
        quarter(&mut kept, 4);
        assert!(kept.leave_out(at(1000)));
        assert_eq!(given(&mut kept), "s|kspspsps");
        (5..9).for_each(|nth| quarter(&mut kept, nth));
        assert_eq!(given(&mut kept), "s|kspspsps|k", "up to the next keyframe, whose cut counts");
        assert!(kept.leave_out(at(2000)));
        (9..13).for_each(|nth| quarter(&mut kept, nth));
        assert_eq!(given(&mut kept), "s|kspspsps|k", "and again");
    }

    #[test]
    fn sound_that_came_before_the_picture_it_is_heard_with_is_kept_for_the_next_encoder() {
        let mut kept = kept(3);
        kept.forget_before(at(1000), true);
        assert_eq!(given(&mut kept), "s|kspspsps|kspspsp");
        assert_eq!(kept.bytes, kept.packets().count() * 10);
    }
}
