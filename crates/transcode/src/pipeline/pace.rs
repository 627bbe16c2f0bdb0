//! Frames that come unevenly, made regular enough for encoders and players. Pure: times in, times out.
//!
//! ```text
//!  time of a frame ─▶ see ─▶ how many times the frame before is shown again first, and whether this one is shown
//! ```
//!
//! Every frame that is shown keeps the source's own time: segments then open at the same tick in copied and encoded
//! rungs, and a regular source, whose stamps are rounded to milliseconds, passes untouched. A grid of slots would have
//! to move frames, follow the drift of the source's clock, and repeat or drop one now and then for no reason. So the
//! steps between frames are judged instead, against the nominal one:
//!
//! * A step of about two nominal ones or more is filled with repeats of the last picture, evenly spaced. Screen shares
//!   send a frame only when something changes; players would hold the picture by themselves, but rate control and
//!   lookahead reckon in frames, and segments can only be cut where one is. Steps from half to nearly twice the nominal
//!   one stay: 20 or 25 fps in a stream that says 30 would only get jerky.
//! * A frame is left out when the frames run ahead of the nominal rate by more than one: their number is what the rate
//!   control's cap counts. A source that is faster by up to 3 % is let be.
//! * A hole is left to the cut plan, which answers it with a discontinuity; it is one by the same rule as there.
//!
//! The nominal rate is the rungs'; where the source's is not known it is measured over the first frames.

use media::{FrameRate, TICKS_PER_SECOND};

/// A step of this many nominal ones, in tenths, has a slot in it that can be filled.
const FILLED: i64 = 19;
/// What rounding to milliseconds may shift two frames against each other.
const JITTER: i64 = 3 * 90;
/// Each frame that is shown forgives this part of a step of running ahead: 3 %.
const FORGIVEN: i64 = 32;
/// A step of more than a second and of more than this many usual ones is a hole, as in the cut plan.
const HOLE_STEPS: i64 = 3;
const SECOND: i64 = TICKS_PER_SECOND;
/// Longest step that is filled, however rarely frames come.
const LONGEST: i64 = 30 * SECOND;
/// Steps over which an unknown rate is measured.
const MEASURED: usize = 16;
/// Fastest and slowest nominal step: 240 and 12 frames a second.
const STEPS: std::ops::RangeInclusive<i64> = SECOND / 240..=SECOND / 12;

/// What becomes of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pace {
    /// It is shown, after so many repeats of the frame before.
    Show {
        /// How many; the time between is divided evenly.
        repeats: u32,
    },
    /// It comes too early, and is left out.
    Leave,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pacer {
    /// Ticks from frame to frame; `None` while it is measured.
    step: Option<i64>,
    /// First steps seen, where the rate is not known.
    steps: Vec<i64>,
    /// The last frame that was shown.
    last: Option<i64>,
    /// Ticks by which the frames run ahead of the nominal rate.
    ahead: i64,
    /// Smoothed step of the source.
    usual: i64,
    /// The last frame that came.
    came: Option<i64>,
}

impl Pacer {
    /// For frames of this nominal rate.
    pub(super) fn new(rate: Option<FrameRate>) -> Self {
        let step = rate.map(|rate| clamped((SECOND as f64 / rate.as_f64()).round() as i64));
        Self { step, steps: Vec::new(), last: None, ahead: 0, usual: 0, came: None }
    }

    /// Judges the next frame; times rise. A frame that must be shown, since a segment opens at it, is `due`.
    pub(super) fn see(&mut self, pts: i64, due: bool) -> Pace {
        let hole = self.is_hole(pts);
        let Some(last) = self.last else {
            self.last = Some(pts);
            return Pace::Show { repeats: 0 };
        };
        let passed = pts - last;
        let Some(step) = self.step else {
            self.measure(passed);
            self.last = Some(pts);
            return Pace::Show { repeats: 0 };
        };
        if hole || passed > LONGEST {
            (self.last, self.ahead) = (Some(pts), 0);
            return Pace::Show { repeats: 0 };
        }
        let repeats = if passed * 10 >= step * FILLED { (passed + step / 2) / step - 1 } else { 0 };
        let ahead = (self.ahead + step * (repeats + 1) - passed - step / FORGIVEN).max(0);
        if ahead > step + JITTER && !due {
            return Pace::Leave;
        }
        self.ahead = ahead.min(step + JITTER);
        self.last = Some(pts);
        Pace::Show { repeats: u32::try_from(repeats).unwrap_or(0) }
    }

    /// The times of the repeats between the last frame shown before and the frame at `pts`.
    pub(super) fn between(from: i64, pts: i64, repeats: u32) -> impl Iterator<Item = i64> {
        let parts = i64::from(repeats) + 1;
        (1..parts).map(move |nth| from + (pts - from) * nth / parts)
    }

    /// When the last frame was shown.
    pub(super) fn last(&self) -> Option<i64> {
        self.last
    }

    fn is_hole(&mut self, pts: i64) -> bool {
        let Some(came) = self.came.replace(pts) else { return false };
        let passed = pts - came;
        let hole = self.usual > 0 && passed > SECOND && passed > self.usual * HOLE_STEPS;
        if !hole {
            self.usual = if self.usual == 0 { passed } else { (self.usual * 7 + passed) / 8 };
        }
        hole
    }

    fn measure(&mut self, passed: i64) {
        self.steps.push(passed);
        if self.steps.len() >= MEASURED {
            let mut steps = std::mem::take(&mut self.steps);
            steps.sort_unstable();
            self.step = Some(clamped(steps[MEASURED / 2]));
        }
    }
}

fn clamped(step: i64) -> i64 {
    step.clamp(*STEPS.start(), *STEPS.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows frames at these milliseconds; gives what is shown, in milliseconds, repeats in negative numbers.
    fn shown(rate: Option<u32>, times: impl IntoIterator<Item = f64>, cuts: &[i64]) -> Vec<i64> {
        let mut pacer = Pacer::new(rate.and_then(|rate| FrameRate::new(rate, 1)));
        let mut shown = Vec::new();
        for ms in times {
            let pts = ms.round() as i64 * 90;
            let before = pacer.last();
            if let Pace::Show { repeats } = pacer.see(pts, cuts.contains(&(ms.round() as i64))) {
                let from = before.unwrap_or(pts);
                shown.extend(Pacer::between(from, pts, repeats).map(|at| -at / 90));
                shown.push(pts / 90);
            }
        }
        shown
    }

    fn regular(fps: f64, seconds: f64) -> impl Iterator<Item = f64> {
        (0..(fps * seconds) as i64).map(move |frame| frame as f64 * 1000.0 / fps)
    }

    #[test]
    fn regular_sources_pass_untouched() {
        for (name, rate, fps) in [
            ("30 in milliseconds", 30, 30.0),
            ("29.97 called 30", 30, 29.97),
            ("30 called 29", 29, 29.8),
            ("60", 60, 60.0),
            ("59.94 called 60", 60, 59.94),
            ("25 called 30", 30, 25.0),
            ("20 called 30", 30, 20.0),
            ("24", 24, 23.976),
            ("12", 12, 12.0),
        ] {
            let want: Vec<i64> = regular(fps, 600.0).map(|ms| ms.round() as i64).collect();
            assert_eq!(shown(Some(rate), regular(fps, 600.0), &[]), want, "{name}");
        }
    }

    #[test]
    fn jitter_of_a_network_passes_untouched() {
        let shaken = |(nth, ms): (usize, f64)| ms + [0.0, 9.0, -8.0, 3.0, 12.0, -11.0, 0.0][nth % 7];
        let times: Vec<f64> = regular(30.0, 60.0).enumerate().map(shaken).collect();
        let want: Vec<i64> = times.iter().map(|ms| ms.round() as i64).collect();
        assert_eq!(shown(Some(30), times, &[]), want);
    }

    #[test]
    fn rare_frames_are_shown_again_in_between() {
        let got = shown(Some(12), [0.0, 1000.0, 2000.0], &[]);
        assert_eq!(got.len(), 25, "{got:?}");
        assert_eq!((got[0], got[12], got[24]), (0, 1000, 2000), "the source's own times");
        assert!(got[1..12].is_sorted_by(|a, b| a > b) && got[1] == -83, "{got:?}");
        // the usual mix of a screen share: bursts and pauses
        let mixed = [0.0, 33.0, 67.0, 100.0, 600.0, 633.0, 667.0, 1500.0];
        let got = shown(Some(30), mixed, &[]);
        let steps: Vec<i64> = got.windows(2).map(|two| two[1].abs() - two[0].abs()).collect();
        assert!(steps.iter().all(|step| (30..=36).contains(step)), "{steps:?}");
        assert!(mixed.iter().all(|ms| got.contains(&(*ms as i64))), "{got:?}");
    }

    #[test]
    fn frames_beyond_the_rate_are_left_out_evenly() {
        for (fps, want) in [(60.0, 30.0), (45.0, 30.0), (120.0, 30.0)] {
            let got = shown(Some(30), regular(fps, 20.0), &[]);
            let rate = got.len() as f64 / 20.0;
            assert!((rate - want).abs() < want * 0.05, "{fps}: {rate}");
            assert!(got.iter().all(|ms| *ms >= 0), "{fps}: no repeats");
            assert!(got.windows(2).all(|two| two[1] - two[0] <= 51), "{fps}: {got:?}");
        }
    }

    #[test]
    fn frames_that_open_segments_are_always_shown() {
        let cuts: Vec<i64> = (0..200).map(|nth| (f64::from(nth) * 1000.0 / 60.0).round() as i64).collect();
        assert_eq!(shown(Some(30), regular(60.0, 3.0), &cuts).len(), 180);
    }

    #[test]
    fn holes_are_left_to_the_cut_plan() {
        let times = regular(30.0, 2.0).chain(regular(30.0, 2.0).map(|ms| ms + 6000.0));
        assert_eq!(shown(Some(30), times, &[]).len(), 120);
        let short = regular(30.0, 2.0).chain(regular(30.0, 2.0).map(|ms| ms + 2800.0));
        assert_eq!(shown(Some(30), short, &[]).len(), 144, "0.8 s are filled");
        assert_eq!(shown(Some(12), [0.0, 100_000.0, 200_000.0], &[]).len(), 3, "too long to fill");
    }

    #[test]
    fn an_unknown_rate_is_measured() {
        let times = regular(25.0, 2.0).chain([2500.0]);
        let got = shown(None, times, &[]);
        assert_eq!(got.len(), 50 + 13 + 1, "{got:?}");
    }

    proptest::proptest! {
        #[test]
        fn times_always_rise(steps in proptest::collection::vec(1i64..500_000, 1..200), rate in 1u32..300) {
            let mut pacer = Pacer::new(FrameRate::new(rate, 1));
            let (mut pts, mut newest) = (0, i64::MIN);
            for step in steps {
                pts += step;
                let before = pacer.last().unwrap_or(pts);
                if let Pace::Show { repeats } = pacer.see(pts, false) {
                    for at in Pacer::between(before, pts, repeats).chain([pts]) {
                        proptest::prop_assert!(at > newest, "{at} after {newest}");
                        newest = at;
                    }
                }
            }
        }
    }
}
