//! One track's stamps: which are to be believed, and where each stands after all jumps so far.

use super::{Repairs, WireMillis, sample_clock::SampleClock, unwrap::Stamp};
use crate::{
    ids::TrackId,
    packet::TrackKind,
    time::{MediaSpan, MediaTime},
};

/// A step forward of more than this on one track is a jump, not a pause.
pub(super) const JUMP_FORWARD_MS: i64 = 10_000;
/// A step backward of more than this on one track is a jump, not jitter.
const JUMP_BACKWARD_MS: i64 = 1_000;
/// Two jumps this close in size are the same jump seen on two tracks: they get the same correction, so that their
/// tracks keep their distance.
pub(super) const SAME_JUMP_MS: i64 = 2_000;
/// Stands in for a frame's length before two frames have shown one.
const NOMINAL_FRAME_MS: i64 = 33;

/// A stamp that was believed, and what is added to stamps like it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub(super) stamp: Stamp,
    pub(super) correction: i64,
}

/// The state of one track.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) kind: TrackKind,
    pub(super) track: TrackId,
    /// Runs for sound only.
    pub(super) clock: SampleClock,
    /// Last stamp that was believed.
    last: Option<Stamp>,
    /// Added to unwrapped stamps since the last rebase.
    correction: i64,
    /// Last stamp after correction and repair.
    pub(super) last_ms: i64,
    /// Usual distance of two stamps.
    step_ms: i64,
    /// A far-off stamp, unwrapped, that the next one will confirm or disprove.
    suspect: Option<i64>,
    last_dts: Option<MediaTime>,
    /// The last jump of the publication that this track has made too.
    pub(super) jumps: u64,
}

/// What one stamp turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Plain,
    /// Not believed.
    Restamped,
    /// The track has jumped by so much; `shared` if that is the jump that another track showed.
    Rebased {
        jump: i64,
        shared: bool,
    },
    /// The track begins, on a clock that starts elsewhere than that of the others.
    Aligned,
}

impl Lane {
    pub(super) fn new(kind: TrackKind, track: TrackId, jumps: u64) -> Self {
        Self {
            kind,
            track,
            clock: SampleClock::default(),
            last: None,
            correction: 0,
            last_ms: 0,
            step_ms: 0,
            suspect: None,
            last_dts: None,
            jumps,
        }
    }

    /// What stands behind [`Lane::last_ms`], for a track that begins.
    pub(super) fn reference(&self) -> Option<Reference> {
        Some(Reference { stamp: self.last?, correction: self.correction })
    }

    /// Judges a stamp. `near` is another track's last one; `shared` the size of a jump that another track has made and
    /// this one has not.
    pub(super) fn place(
        &mut self,
        wire: WireMillis,
        near: Option<Reference>,
        shared: Option<i64>,
        repairs: &mut Repairs,
    ) -> (i64, Verdict) {
        let Some(last) = self.last else { return self.begin(wire, near) };
        let (stamp, wrapped) = last.next(wire.0);
        let ms = stamp.ms + self.correction;
        let step = ms - self.last_ms;
        if (-JUMP_BACKWARD_MS..=JUMP_FORWARD_MS).contains(&step) {
            repairs.wrapped += u64::from(wrapped);
            self.suspect = None;
            self.last = Some(stamp);
            if (1..=1_000).contains(&step) {
                self.step_ms = step;
            }
            self.last_ms = ms;
            return (ms, Verdict::Plain);
        }
        let expected = self.last_ms + if self.step_ms > 0 { self.step_ms } else { NOMINAL_FRAME_MS };
        let confirmed = self
            .suspect
            .is_some_and(|suspect| (-JUMP_BACKWARD_MS..=JUMP_BACKWARD_MS).contains(&(stamp.ms - suspect)));
        if !confirmed {
            self.suspect = Some(stamp.ms);
            self.last_ms = expected; // `last` stays: the next stamp is judged against the old line too
            return (expected, Verdict::Restamped);
        }
        let own = expected - ms;
        let shared = shared.filter(|shared| (shared - own).abs() <= SAME_JUMP_MS);
        let jump = shared.unwrap_or(own);
        self.suspect = None;
        self.correction += jump;
        self.last = Some(stamp);
        self.last_ms = stamp.ms + self.correction;
        (self.last_ms, Verdict::Rebased { jump, shared: shared.is_some() })
    }

    /// A track's first stamp is taken at its word, within reason: its clock may start anywhere.
    fn begin(&mut self, wire: WireMillis, near: Option<Reference>) -> (i64, Verdict) {
        let Some(near) = near else {
            self.last = Some(Stamp::first(wire.0));
            self.last_ms = i64::from(wire.0);
            return (self.last_ms, Verdict::Plain);
        };
        let (stamp, _) = near.stamp.next(wire.0);
        let off = near.stamp.ms - stamp.ms;
        let far = off.abs() > JUMP_FORWARD_MS;
        self.correction = near.correction + if far { off } else { 0 };
        self.last = Some(stamp);
        self.last_ms = stamp.ms + self.correction;
        (self.last_ms, if far { Verdict::Aligned } else { Verdict::Plain })
    }

    /// Makes `dts` rise.
    pub(super) fn monotone(&mut self, dts: MediaTime, repairs: &mut Repairs) -> MediaTime {
        let dts = match self.last_dts {
            Some(last) if dts <= last => {
                repairs.nudged += 1;
                last + MediaSpan::from_ticks(1)
            }
            _ => dts,
        };
        self.last_dts = Some(dts);
        dts
    }
}
