//! RTMP's 32-bit milliseconds become [`MediaTime`] here, once (design D1): unwrapped, repaired, counted; never fatal.
//!
//! ```text
//!  WireMillis ─▶ unwrap (mod 2^32, per track) ─▶ jump? restamp or rebase ─▶ video: monotone DTS, PTS = DTS + CTS
//!                                                                       └─▶ audio: running sample count, re-anchored
//! ```

use crate::{
    packet::BreakReason,
    time::{MediaSpan, MediaTime},
};

/// A timestamp as RTMP carries it: milliseconds modulo 2^32 (RTMP 1.0 §5.3.1). Only [`Timeline`] makes times of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WireMillis(pub u32);

/// A step forward of more than this on one track is a jump, not a pause.
const JUMP_FORWARD_MS: i64 = 10_000;
/// A step backward of more than this on one track is a jump, not jitter.
const JUMP_BACKWARD_MS: i64 = 1_000;
/// Two jumps this close in size are the same jump seen on two tracks: they get the same correction, so that picture
/// and sound keep their distance.
const SAME_JUMP_MS: i64 = 2_000;
/// Stands in for a frame's length before two frames have shown one.
const NOMINAL_FRAME_MS: i64 = 33;

/// How often each repair was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Repairs {
    /// Lone stamps far off their neighbours, restamped.
    pub restamped: u64,
    /// Jumps and resets after which the timeline was rebased.
    pub rebased: u64,
    /// Stamps equal to or before the one before them, moved up.
    pub nudged: u64,
    /// Times the audio clock drifted by more than a frame from its samples and was anchored anew.
    pub audio_reanchored: u64,
    /// Sound packets left out because the sound had run ahead of its stamps.
    pub audio_left_out: u64,
}

/// A packet's place in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// When it is shown or heard.
    pub pts: MediaTime,
    /// When it is decoded; strictly above the track's last one.
    pub dts: MediaTime,
    /// Set on the first packet after a jump or reset: the caller announces it before the packet.
    pub broke: Option<BreakReason>,
}

/// The clock of one publication. The first stamp, of either track, becomes [`MediaTime::ZERO`].
#[derive(Debug, Default)]
pub struct Timeline {
    /// Unwrapped wire milliseconds that are media time zero.
    origin: Option<i64>,
    video: Track,
    audio: Track,
    audio_clock: SampleClock,
    /// Size of the last jump that was accepted, by the track that showed it first and not yet by the other.
    shared_jump: Option<i64>,
    repairs: Repairs,
}

#[derive(Debug, Default)]
struct Track {
    /// Last stamp as unwrapped wire milliseconds, before `correction`.
    last_wire: Option<i64>,
    /// Added to unwrapped stamps since the last rebase.
    correction: i64,
    /// Last stamp after correction and repair.
    last_ms: i64,
    /// Usual distance of two stamps.
    step_ms: i64,
    /// A far-off stamp that the next one will confirm or disprove.
    suspect: Option<i64>,
    last_dts: Option<MediaTime>,
}

/// What one stamp turned out to be.
enum Stamp {
    Plain(i64),
    Restamped(i64),
    Rebased { ms: i64, jump: i64 },
}

/// The running sample count of the sound, and how it disagrees with the stamps.
#[derive(Debug, Default)]
struct SampleClock {
    /// Where the count began, and samples since then at `rate`.
    anchor: Option<(MediaTime, u64)>,
    rate: u32,
    /// Packets in a row whose stamps were off by about the same, and by how much the last one was.
    off: u32,
    last_drift: MediaSpan,
    /// Packets are left out until the count is back at the stamps.
    ahead: bool,
}

/// What becomes of one sound packet.
enum Beat {
    /// It follows the one before.
    Counted(MediaTime),
    /// The count begins anew at its stamp.
    Anchored(MediaTime),
    LeftOut,
}

/// A drift of up to this is waited for [`PATIENT_PACKETS`]: muxers under load stamp single packets late. A larger one is
/// a hole, believed when the second packet agrees.
const SMALL_DRIFT: MediaSpan = MediaSpan::from_millis(100);
const PATIENT_PACKETS: u32 = 10;

impl SampleClock {
    /// Decides about a packet whose stamp says `told`.
    fn place(&mut self, told: MediaTime, samples: u32, rate: u32) -> Beat {
        let counted = match self.anchor {
            Some((anchor, count)) if self.rate == rate => anchor + MediaSpan::from_samples(count, rate),
            _ => {
                *self = Self { anchor: Some((told, u64::from(samples))), rate, ..Self::default() };
                return Beat::Counted(told);
            }
        };
        let frame = MediaSpan::from_samples(u64::from(samples), rate);
        // Milliseconds round by up to one each way, so a drift counts from a frame and two milliseconds on.
        let limit = frame + MediaSpan::from_millis(2);
        let drift = told - counted;
        if drift.abs() <= limit {
            self.off = 0;
        } else {
            let agrees = self.off > 0 && (drift - self.last_drift).abs() <= limit;
            self.off = if agrees { self.off + 1 } else { 1 };
            self.last_drift = drift;
        }
        let lasting = self.off >= if drift.abs() <= SMALL_DRIFT { PATIENT_PACKETS } else { 2 };
        if lasting && drift > MediaSpan::ZERO {
            self.anchor = Some((told, u64::from(samples)));
            self.off = 0;
            return Beat::Anchored(told);
        }
        self.ahead = (self.ahead || lasting) && drift.times(-2) > frame;
        if self.ahead {
            self.last_drift = drift + frame; // the next packet is that much less behind
            return Beat::LeftOut;
        }
        if let Some((_, count)) = &mut self.anchor {
            *count += u64::from(samples);
        }
        Beat::Counted(counted)
    }
}

impl Track {
    fn place(&mut self, wire: WireMillis, near: Option<i64>, shared_jump: Option<i64>) -> Stamp {
        let Some(reference) = self.last_wire.or(near) else {
            self.last_wire = Some(i64::from(wire.0));
            self.last_ms = i64::from(wire.0);
            return Stamp::Plain(self.last_ms);
        };
        let unwrapped = reference + i64::from(wire.0.wrapping_sub(reference as u32) as i32);
        if self.last_wire.is_none() {
            // A track that starts later is taken at its word, within reason: its own clock may start anywhere.
            if (unwrapped - reference).abs() > JUMP_FORWARD_MS {
                self.correction += reference - unwrapped;
            }
            self.last_wire = Some(unwrapped);
            self.last_ms = unwrapped + self.correction;
            return Stamp::Plain(self.last_ms);
        }
        let ms = unwrapped + self.correction;
        let step = ms - self.last_ms;
        if (-JUMP_BACKWARD_MS..=JUMP_FORWARD_MS).contains(&step) {
            self.suspect = None;
            self.last_wire = Some(unwrapped);
            if (1..=1_000).contains(&step) {
                self.step_ms = step;
            }
            self.last_ms = ms.max(self.last_ms - JUMP_BACKWARD_MS);
            return Stamp::Plain(ms);
        }
        let expected = self.last_ms + if self.step_ms > 0 { self.step_ms } else { NOMINAL_FRAME_MS };
        let confirmed = self
            .suspect
            .is_some_and(|suspect| (-JUMP_BACKWARD_MS..=JUMP_BACKWARD_MS).contains(&(unwrapped - suspect)));
        if !confirmed {
            self.suspect = Some(unwrapped);
            self.last_ms = expected; // `last_wire` stays: the next stamp is judged against the old line too
            return Stamp::Restamped(expected);
        }
        let own = expected - ms;
        let jump = shared_jump.filter(|shared| (shared - own).abs() <= SAME_JUMP_MS).unwrap_or(own);
        self.suspect = None;
        self.correction += jump;
        self.last_wire = Some(unwrapped);
        self.last_ms = unwrapped + self.correction;
        Stamp::Rebased { ms: self.last_ms, jump }
    }

    /// Makes `dts` rise.
    fn monotone(&mut self, dts: MediaTime, repairs: &mut Repairs) -> MediaTime {
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

impl Timeline {
    /// A clock that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Repairs made so far.
    pub fn repairs(&self) -> Repairs {
        self.repairs
    }

    /// Places a picture whose tag says `wire` and a composition time of `composition_ms` (signed, FLV SI24).
    pub fn video(&mut self, wire: WireMillis, composition_ms: i32) -> Placed {
        let stamp = self.video.place(wire, self.audio.last_wire, self.shared_jump);
        let (ms, broke) = self.settle(stamp);
        let decode = self.time(ms);
        let show = decode + MediaSpan::from_millis(i64::from(composition_ms));
        let dts = self.video.monotone(decode.min(show), &mut self.repairs);
        Placed { pts: show.max(dts), dts, broke }
    }

    /// Places a sound packet of `samples` samples at `rate` a second. `None`: it is to be left out, because the sound has
    /// run ahead of its stamps for good, and leaving packets out is the one way back that overlaps nothing.
    pub fn audio(&mut self, wire: WireMillis, samples: u32, rate: u32) -> Option<Placed> {
        let stamp = self.audio.place(wire, self.video.last_wire, self.shared_jump);
        let (ms, broke) = self.settle(stamp);
        let told = self.time(ms);
        let pts = match self.audio_clock.place(told, samples, rate) {
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
        let pts = self.audio.monotone(pts, &mut self.repairs);
        Some(Placed { pts, dts: pts, broke })
    }

    fn settle(&mut self, stamp: Stamp) -> (i64, Option<BreakReason>) {
        match stamp {
            Stamp::Plain(ms) => (ms, None),
            Stamp::Restamped(ms) => {
                self.repairs.restamped += 1;
                (ms, None)
            }
            Stamp::Rebased { ms, jump } => {
                self.repairs.rebased += 1;
                // The second track to show a jump only follows: one break was announced already.
                let follows = self.shared_jump.is_some_and(|shared| (shared - jump).abs() <= SAME_JUMP_MS);
                self.shared_jump = if follows { None } else { Some(jump) };
                (ms, (!follows).then_some(BreakReason::TimestampJump))
            }
        }
    }

    fn time(&mut self, ms: i64) -> MediaTime {
        let origin = *self.origin.get_or_insert(ms);
        MediaTime::ZERO + MediaSpan::from_millis(ms - origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 90;

    /// Feeds 25 fps stamps and returns the DTS in milliseconds, with the number of breaks.
    fn video(stamps: &[u32]) -> (Vec<i64>, usize, Repairs) {
        let mut timeline = Timeline::new();
        let mut breaks = 0;
        let out = stamps.iter().map(|stamp| {
            let placed = timeline.video(WireMillis(*stamp), 0);
            breaks += usize::from(placed.broke.is_some());
            placed.dts.ticks() / MS
        });
        let out = out.collect();
        (out, breaks, timeline.repairs())
    }

    #[test]
    fn video_stamps_are_unwrapped_and_repaired() {
        for (name, stamps, want, breaks) in [
            ("plain", vec![0, 40, 80], vec![0, 40, 80], 0),
            ("starts anywhere", vec![20_000_000, 20_000_040], vec![0, 40], 0),
            ("wraps at 2^32", vec![u32::MAX - 39, 0, 40], vec![0, 40, 80], 0),
            ("passes 2^31", vec![0x7FFF_FFF0, 0x8000_0018], vec![0, 40], 0),
            ("equal stamps", vec![0, 0, 40], vec![0, 0, 40], 0),
            ("one glitch forward", vec![0, 40, 86_400_000, 120, 160], vec![0, 40, 80, 120, 160], 0),
            ("a day forward", vec![0, 40, 86_400_000, 86_400_040, 86_400_080], vec![0, 40, 80, 120, 160], 1),
            ("reset to zero", vec![500_000, 500_040, 0, 40, 80], vec![0, 40, 80, 120, 160], 1),
            ("a pause is kept", vec![0, 40, 5_040], vec![0, 40, 5_040], 0),
        ] {
            let (got, broke, _) = video(&stamps);
            assert_eq!((got, broke), (want, breaks), "{name}");
        }
    }

    #[test]
    fn a_jump_on_both_tracks_keeps_their_distance() {
        let mut timeline = Timeline::new();
        let mut breaks = 0;
        let mut offsets = vec![];
        for frame in 0..200u32 {
            let jump = if frame < 100 { 0 } else { 86_400_000 };
            let sound = timeline.audio(WireMillis(frame * 20 + jump), 960, 48_000).unwrap();
            let picture = timeline.video(WireMillis(frame * 20 + jump), 0);
            breaks += usize::from(sound.broke.is_some()) + usize::from(picture.broke.is_some());
            offsets.push((sound.pts - picture.pts).millis());
        }
        assert_eq!(breaks, 1);
        assert!(offsets.iter().all(|offset| offset.abs() <= 1), "{offsets:?}");
    }

    #[test]
    fn one_track_reset_does_not_move_the_other() {
        let mut timeline = Timeline::new();
        let mut last = (0, 0);
        for frame in 0..300u32 {
            let sound = timeline
                .audio(
                    WireMillis(if frame < 150 { 900_000 + frame * 20 } else { (frame - 150) * 20 }),
                    960,
                    48_000,
                )
                .unwrap();
            let picture = timeline.video(WireMillis(900_000 + frame * 20), 0);
            last = (sound.pts.ticks() / MS, picture.pts.ticks() / MS);
        }
        assert!((last.0 - last.1).abs() <= 25, "{last:?}");
    }

    #[test]
    fn audio_runs_on_its_samples() {
        let mut timeline = Timeline::new();
        let mut last = None;
        for frame in 0..10_000u64 {
            let exact = frame * 1024 * 1000 / 44_100;
            let jitter = [0, 1, 0, 3][frame as usize % 4];
            let placed = timeline.audio(WireMillis((exact + jitter) as u32), 1024, 44_100).unwrap();
            assert_eq!(placed.pts, MediaTime::ZERO + MediaSpan::from_samples(frame * 1024, 44_100));
            last = Some(placed);
        }
        assert!(last.is_some());
        assert_eq!(timeline.repairs(), Repairs::default());
    }

    #[test]
    fn audio_is_anchored_anew_after_a_hole() {
        let mut timeline = Timeline::new();
        // The first packet after the hole may be a stray stamp; the second proves the hole.
        for (wire, want) in
            [(0, 0), (21, 1920), (43, 3840), (500, 5760), (521, 521 * MS), (543, 521 * MS + 1920)]
        {
            assert_eq!(timeline.audio(WireMillis(wire), 1024, 48_000).unwrap().pts.ticks(), want);
        }
        assert_eq!(timeline.repairs().audio_reanchored, 1);
    }

    #[test]
    fn single_late_stamps_tear_no_hole_into_the_sound() {
        let mut timeline = Timeline::new();
        for frame in 0..500u64 {
            let late = if frame % 50 == 7 { 30 } else { 0 };
            let placed = timeline.audio(WireMillis((frame * 1024 / 48 + late) as u32), 1024, 48_000).unwrap();
            assert_eq!(placed.pts.ticks(), frame as i64 * 1920);
        }
        assert_eq!(timeline.repairs(), Repairs::default());
    }

    #[test]
    fn a_lasting_drift_is_followed() {
        let mut timeline = Timeline::new();
        for frame in 0..100u64 {
            let off = if frame < 50 { 0 } else { 60 };
            let placed = timeline.audio(WireMillis((frame * 1024 / 48 + off) as u32), 1024, 48_000).unwrap();
            if frame > 60 {
                assert!((placed.pts.ticks() - (frame as i64 * 1920 + 60 * MS)).abs() <= 90, "{frame}");
            }
        }
        assert_eq!(timeline.repairs().audio_reanchored, 1);
    }

    #[test]
    fn sound_that_runs_ahead_is_brought_back_without_overlap() {
        let mut timeline = Timeline::new();
        let mut last: Option<MediaTime> = None;
        for frame in 0..200u64 {
            // After a loop of its source the sound is stamped 42 ms earlier than its samples say.
            let back = if frame < 50 { 0 } else { 42 };
            let wire = (frame * 1024 / 48 - back) as u32;
            let Some(placed) = timeline.audio(WireMillis(wire), 1024, 48_000) else { continue };
            if let Some(last) = last {
                assert_eq!((placed.pts - last).ticks(), 1920, "{frame}");
            }
            if frame > 70 {
                assert!((placed.pts.ticks() - i64::from(wire) * MS).abs() <= 1920, "{frame}");
            }
            last = Some(placed.pts);
        }
        assert_eq!(timeline.repairs().audio_left_out, 2);
    }

    #[test]
    fn composition_times_may_be_negative() {
        let mut timeline = Timeline::new();
        timeline.video(WireMillis(0), 0);
        let placed = timeline.video(WireMillis(40), -20);
        assert!(placed.pts >= placed.dts);
    }

    proptest::proptest! {
        #[test]
        fn output_times_rise(stamps in proptest::collection::vec((proptest::prelude::any::<u32>(), -100i32..1000, proptest::prelude::any::<bool>()), 1..100)) {
            let mut timeline = Timeline::new();
            let mut last = [None; 2];
            for (stamp, composition, sound) in stamps {
                let placed = if sound { timeline.audio(WireMillis(stamp), 1024, 44_100) } else { Some(timeline.video(WireMillis(stamp), composition)) };
                let Some(placed) = placed else { continue };
                proptest::prop_assert!(placed.pts >= placed.dts);
                if let Some(last) = last[usize::from(sound)] { proptest::prop_assert!(placed.dts > last); }
                last[usize::from(sound)] = Some(placed.dts);
            }
        }
    }
}
