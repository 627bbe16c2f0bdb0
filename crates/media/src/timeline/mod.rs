//! RTMP's 32-bit milliseconds become [`MediaTime`] here, once (design D1): unwrapped, repaired, counted; never fatal.
//!
//! ```text
//!  WireMillis ─▶ unwrap (per track) ─▶ lane: jump? restamp or rebase ─▶ video: monotone DTS, PTS = DTS + CTS
//!                                                                  └─▶ audio: running sample count, re-anchored
//!  packets of all tracks ─▶ interleave: those that run far ahead wait for the others
//! ```

pub mod interleave;
mod lane;
mod sample_clock;
mod unwrap;

use std::ops::AddAssign;

use self::{
    lane::{JUMP_FORWARD_MS, Lane, Reference, Verdict},
    sample_clock::{Beat, SampleClock},
};
use crate::{
    ids::TrackId,
    packet::{BreakReason, TrackKind},
    time::{MediaSpan, MediaTime},
};

/// A timestamp as RTMP carries it: milliseconds modulo 2^32 (RTMP 1.0 §5.3.1). Only [`Timeline`] makes times of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WireMillis(pub u32);

/// How often each repair was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Repairs {
    /// Clocks that wrapped: RTMP's own, or one of fewer bits behind it.
    pub wrapped: u64,
    /// Lone stamps far off their neighbours, restamped.
    pub restamped: u64,
    /// Jumps and resets after which a track was rebased.
    pub rebased: u64,
    /// Tracks whose clock started far from that of the others, set beside them.
    pub aligned: u64,
    /// Stamps equal to or before the one before them, moved up.
    pub nudged: u64,
    /// Packets that waited because their track ran far ahead of another.
    pub reordered: u64,
    /// Times the audio clock drifted by more than a frame from its samples and was anchored anew.
    pub audio_reanchored: u64,
    /// Sound packets left out because the sound had run ahead of its stamps.
    pub audio_left_out: u64,
}

impl Repairs {
    /// Each repair by name, for counters. Names are `snake_case`.
    pub fn rows(&self) -> [(&'static str, u64); 8] {
        [
            ("timestamps_wrapped", self.wrapped),
            ("timestamps_restamped", self.restamped),
            ("timestamps_rebased", self.rebased),
            ("timestamps_aligned", self.aligned),
            ("timestamps_nudged", self.nudged),
            ("packets_reordered", self.reordered),
            ("audio_reanchored", self.audio_reanchored),
            ("audio_left_out", self.audio_left_out),
        ]
    }
}

impl AddAssign for Repairs {
    fn add_assign(&mut self, more: Self) {
        self.wrapped += more.wrapped;
        self.restamped += more.restamped;
        self.rebased += more.rebased;
        self.aligned += more.aligned;
        self.nudged += more.nudged;
        self.reordered += more.reordered;
        self.audio_reanchored += more.audio_reanchored;
        self.audio_left_out += more.audio_left_out;
    }
}

/// A packet's place in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// When it is shown or heard.
    pub pts: MediaTime,
    /// When it is decoded; strictly above the track's last one.
    pub dts: MediaTime,
    /// Set on the first packet after a jump or reset: the caller announces it before the packet. Only default tracks
    /// announce: a further track is fitted to them in silence.
    pub broke: Option<BreakReason>,
}

/// The clock of one publication. The first stamp, of any track, becomes [`MediaTime::ZERO`].
#[derive(Debug, Default)]
pub struct Timeline {
    /// Unwrapped wire milliseconds that are media time zero.
    origin: Option<i64>,
    lanes: Vec<Lane>,
    /// The last stamp that was believed, of any track.
    latest: Option<Reference>,
    jump: Jump,
    repairs: Repairs,
}

/// The last jump that was believed. Tracks that show the same jump soon after make the same step.
#[derive(Debug, Default)]
struct Jump {
    /// Counts jumps; 0 is none.
    number: u64,
    size: i64,
    /// Where it led, in corrected milliseconds.
    at_ms: i64,
    announced: bool,
}

impl Timeline {
    /// A clock that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Repairs made so far.
    pub fn repairs(&self) -> Repairs {
        self.repairs
    }

    /// Places a picture whose tag says `wire` and a composition time of `composition_ms` (signed, FLV SI24), to be shown
    /// `nanos` nanoseconds later (Enhanced RTMP's TimestampOffsetNano).
    pub fn video(&mut self, track: TrackId, wire: WireMillis, composition_ms: i32, nanos: u32) -> Placed {
        let (lane, ms, broke) = self.settle(TrackKind::Video, track, wire);
        let decode = self.time(ms);
        let show = decode + MediaSpan::from_millis(i64::from(composition_ms)) + of_nanos(nanos);
        let dts = self.lanes[lane].monotone(decode.min(show), &mut self.repairs);
        Placed { pts: show.max(dts), dts, broke }
    }

    /// Places a sound packet of `samples` samples at `rate` a second. `None`: it is to be left out, because the sound has
    /// run ahead of its stamps for good, and leaving packets out is the one way back that overlaps nothing.
    pub fn audio(
        &mut self,
        track: TrackId,
        wire: WireMillis,
        nanos: u32,
        samples: u32,
        rate: u32,
    ) -> Option<Placed> {
        let (lane, ms, broke) = self.settle(TrackKind::Audio, track, wire);
        let told = self.time(ms) + of_nanos(nanos);
        let lane = &mut self.lanes[lane];
        let pts = match lane.clock.place(told, samples, rate) {
            Beat::Counted(pts) => pts,
            Beat::Anchored(pts) => {
                self.repairs.audio_reanchored += u64::from(broke.is_none());
                pts
            }
            Beat::LeftOut => {
                self.repairs.audio_left_out += 1;
                return None;
            }
        };
        let pts = lane.monotone(pts, &mut self.repairs);
        Some(Placed { pts, dts: pts, broke })
    }

    /// The sound of a track begins anew, as after a change of its coding: its samples are counted from its next stamp.
    pub fn restart_sound(&mut self, track: TrackId) {
        let lane = self.lanes.iter_mut().find(|lane| lane.kind == TrackKind::Audio && lane.track == track);
        lane.into_iter().for_each(|lane| lane.clock = SampleClock::default());
    }

    /// Judges a stamp: which lane it is on, its corrected milliseconds, and the break to announce.
    fn settle(
        &mut self,
        kind: TrackKind,
        track: TrackId,
        wire: WireMillis,
    ) -> (usize, i64, Option<BreakReason>) {
        let known = self.lanes.iter().position(|lane| (lane.kind, lane.track) == (kind, track));
        let at = known.unwrap_or_else(|| {
            self.lanes.push(Lane::new(kind, track, self.jump.number));
            self.lanes.len() - 1
        });
        let lane = &mut self.lanes[at];
        let fresh = (self.jump.at_ms - lane.last_ms).abs() <= JUMP_FORWARD_MS;
        let shared = (lane.jumps < self.jump.number && fresh).then_some(self.jump.size);
        let (ms, verdict) = lane.place(wire, self.latest, shared, &mut self.repairs);
        let mut broke = None;
        match verdict {
            Verdict::Plain => {}
            Verdict::Restamped => {
                self.repairs.restamped += 1;
                return (at, ms, None);
            }
            Verdict::Aligned => self.repairs.aligned += 1,
            Verdict::Rebased { jump, shared } => {
                self.repairs.rebased += 1;
                if !shared {
                    let number = self.jump.number + 1;
                    self.jump = Jump { number, size: jump, at_ms: ms, announced: false };
                }
                lane.jumps = self.jump.number;
                if track == TrackId::default() && !self.jump.announced {
                    self.jump.announced = true;
                    broke = Some(BreakReason::TimestampJump);
                }
            }
        }
        self.latest = lane.reference();
        (at, ms, broke)
    }

    fn time(&mut self, ms: i64) -> MediaTime {
        let origin = *self.origin.get_or_insert(ms);
        MediaTime::ZERO + MediaSpan::from_millis(ms - origin)
    }
}

/// Nanoseconds, rounded down to a tick.
fn of_nanos(nanos: u32) -> MediaSpan {
    MediaSpan::from_ticks(i64::from(nanos) * 9 / 100_000)
}

#[cfg(test)]
mod tests;
