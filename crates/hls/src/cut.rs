//! Where segments begin: decided once per stream, on source time, and applied to every rendition and every encoder.
//!
//! ```text
//!  source packet ─▶ see ─▶ Keyframes: cut at source IDRs, so that a copied rendition can be cut there
//!                      └─▶ Grid:      cut every `target` from an anchor; encoders make the IDRs; told one segment ahead
//! ```
//!
//! It leaves to the segmenters what belongs to which side of a cut, and to the caller what to do when keyframes stay
//! away ([`CutPlan::overdue`]). It never reads the wall clock: the caller says what it is.

use media::{MediaSequence, MediaSpan, MediaTime, Packet, TrackKind};

/// A step of more than this between two frames is a hole, unless frames come that rarely anyway.
const GAP: MediaSpan = MediaSpan::from_millis(1000);
/// … or this many usual steps.
const GAP_STEPS: i64 = 3;
/// Half a frame, before two frames have shown how long one is.
const FIRST_SLACK: MediaSpan = MediaSpan::from_millis(5);
/// Most that half a frame counts for, so that slide shows are not cut early.
const MOST_SLACK: MediaSpan = MediaSpan::from_millis(50);
/// Groups of pictures to see before the longest seen is believed.
const GOPS_TO_LEARN: u32 = 3;

/// A boundary: segment `sequence` opens at the first video keyframe (audio only: the first frame) with PTS at or above
/// `at`.
///
/// A cut replaces every cut told before it that has not been reached and has its number or its time or a higher one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The number of the segment that opens.
    pub sequence: MediaSequence,
    /// Source time from which on a keyframe opens it.
    pub at: MediaTime,
    /// It does not continue what came before.
    pub discontinuity: bool,
    /// Wall clock for its EXT-X-PROGRAM-DATE-TIME.
    pub clock: WallClock,
}

/// One instant of media time on the wall clock. Keep one until the next discontinuity: dates then follow media time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WallClock {
    /// The instant on the stream's timeline.
    pub at: MediaTime,
    /// The same instant in microseconds since 1970.
    pub unix_micros: i64,
}

impl WallClock {
    /// Microseconds since 1970 at another instant of the same timeline.
    pub fn unix_micros_at(&self, t: MediaTime) -> i64 {
        self.unix_micros.saturating_add((t - self.at).ticks().saturating_mul(100) / 9)
    }
}

/// Who decides where cuts may fall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// A copied rendition: cuts fall on source keyframes.
    Keyframes,
    /// Everything is encoded, or there is only sound: cuts fall on a grid of the target duration.
    Grid,
}

/// The plan of one stream. Feed it the leading track only: video, or audio where there is no video.
#[derive(Debug)]
pub struct CutPlan {
    mode: Mode,
    target: MediaSpan,
    longest: MediaSpan,
    /// Number of the next segment to open.
    next: MediaSequence,
    /// Where the open segment began.
    open: Option<MediaTime>,
    /// Where the hole ended that the next keyframe will answer with a discontinuity.
    resumed: Option<MediaTime>,
    /// The next cut is a discontinuity.
    breaking: bool,
    rhythm: Rhythm,
    gops: Gops,
    grid: Option<Grid>,
    saw_video: bool,
}

/// A grid of `target` from `anchor`.
#[derive(Clone, Copy, Debug)]
struct Grid {
    anchor: MediaTime,
    /// The line that the next cut was told for, counted from the anchor.
    line: i64,
    /// The time that was told for it.
    next_at: MediaTime,
}

/// How often frames come; says what is a hole. Shared with the segmenters, so that both see the same holes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rhythm {
    last_dts: Option<MediaTime>,
    /// Smoothed step of the decoding times; zero until two frames came.
    usual: MediaSpan,
    after_hole: bool,
}

#[derive(Debug, Default)]
struct Gops {
    last_keyframe: Option<MediaTime>,
    longest: MediaSpan,
    seen: u32,
}

impl CutPlan {
    /// A plan that has seen nothing; the first segment will be number `first`.
    ///
    /// `target` is the duration to aim at; `longest` the longest that a segment may be under the announced
    /// EXT-X-TARGETDURATION (its rounding included).
    pub fn new(mode: Mode, target: MediaSpan, longest: MediaSpan, first: MediaSequence) -> Self {
        let target = target.max(MediaSpan::from_millis(100));
        Self {
            mode,
            target,
            longest: longest.max(target),
            next: first,
            open: None,
            resumed: None,
            breaking: false,
            rhythm: Rhythm::default(),
            gops: Gops::default(),
            grid: None,
            saw_video: false,
        }
    }

    /// Looks at one source packet of the leading track, in decode order. Returns the cuts that became known, to be
    /// given to all segmenters and encoders before this packet is.
    pub fn see(&mut self, packet: &Packet, clock: WallClock) -> Vec<Cut> {
        self.saw_video |= packet.kind == TrackKind::Video;
        if packet.kind == TrackKind::Audio && (self.saw_video || self.mode == Mode::Keyframes) {
            return Vec::new();
        }
        let hole = self.rhythm.see(packet.dts);
        match self.mode {
            Mode::Keyframes => self.see_keyframes(packet, hole, clock),
            Mode::Grid => self.see_grid(packet, hole, clock),
        }
    }

    fn see_keyframes(&mut self, packet: &Packet, hole: bool, clock: WallClock) -> Vec<Cut> {
        if hole {
            self.gops.last_keyframe = None;
            if self.open.is_some() {
                self.breaking = true;
                self.resumed = Some(packet.dts);
            }
        }
        if !packet.keyframe {
            return Vec::new();
        }
        self.gops.see(packet.pts);
        let due = self.breaking
            || self.open.is_none_or(|open| {
                let elapsed = packet.pts - open;
                let slack = self.rhythm.slack();
                elapsed + slack >= self.target
                    || elapsed + self.gops.longest_to_expect(self.target) + slack > self.longest
            });
        if !due {
            return Vec::new();
        }
        vec![self.open_at(packet.pts, clock)]
    }

    fn see_grid(&mut self, packet: &Packet, hole: bool, clock: WallClock) -> Vec<Cut> {
        let anew = match &self.grid {
            None => packet.keyframe.then_some(packet.pts),
            Some(_) if self.breaking && packet.keyframe => Some(packet.pts),
            // all frames after the hole are shown at or after the first one's decoding time
            Some(_) if hole => Some(packet.dts),
            Some(_) => None,
        };
        if let Some(anchor) = anew {
            self.breaking |= self.grid.is_some();
            return self.anchor(anchor, clock);
        }
        match self.grid {
            Some(grid) if packet.pts >= grid.next_at => {
                self.next = self.next.next();
                self.open = Some(grid.next_at);
                vec![self.tell(grid, packet.pts, clock)]
            }
            _ => Vec::new(),
        }
    }

    /// Tells the cut at the first grid line after `reached`, half a frame early, so that stamps that jitter by a
    /// millisecond do not miss it.
    fn tell(&mut self, grid: Grid, reached: MediaTime, clock: WallClock) -> Cut {
        let slack = self.rhythm.slack();
        let passed = (reached - grid.anchor + slack).ticks().max(0) / self.target.ticks();
        let line = grid.line.max(passed) + 1;
        let next_at = grid.anchor + self.target.times(line) - slack;
        self.grid = Some(Grid { line, next_at, ..grid });
        Cut { sequence: self.next, at: next_at, discontinuity: false, clock }
    }

    fn open_at(&mut self, at: MediaTime, clock: WallClock) -> Cut {
        let cut = Cut { sequence: self.next, at, discontinuity: self.breaking, clock };
        self.next = self.next.next();
        self.open = Some(at);
        self.resumed = None;
        self.breaking = false;
        cut
    }

    /// In [`Mode::Grid`]: opens the next segment at `at`, keyframe or not, and anchors the grid there; for a source that
    /// turns out to need encoding in the middle of a group of pictures. Returns the cut and the one after it.
    pub fn anchor(&mut self, at: MediaTime, clock: WallClock) -> Vec<Cut> {
        let opened = self.open_at(at, clock);
        let told = self.tell(Grid { anchor: at, line: 0, next_at: at }, at, clock);
        vec![opened, told]
    }

    /// What follows does not continue what came before: the next cut is a discontinuity, and comes at the next
    /// keyframe. A grid is anchored anew there.
    pub fn break_at_next(&mut self) {
        self.breaking = true;
        self.gops = Gops::default();
        self.rhythm = Rhythm::default();
    }

    /// The publication is over: no segment is open, a cut that was told ahead will not come. Whatever follows opens the
    /// next segment at its first keyframe, as a discontinuity.
    pub fn end(&mut self) {
        self.break_at_next();
        self.open = None;
        self.resumed = None;
        self.grid = None;
    }

    /// In [`Mode::Keyframes`]: the open segment would be past its longest duration at the end of this picture, and no
    /// keyframe came to end it. After a hole, time counts from its end, since the hole will end the segment.
    pub fn overdue(&self, packet: &Packet) -> bool {
        let end = packet.pts + self.rhythm.usual().unwrap_or(MediaSpan::ZERO);
        self.mode == Mode::Keyframes
            && packet.kind == TrackKind::Video
            && !packet.keyframe
            && self.resumed.or(self.open).is_some_and(|since| end - since > self.longest)
    }

    /// The number that the next segment to open will have.
    pub fn next_sequence(&self) -> MediaSequence {
        self.next
    }

    /// Moves the numbers forward to `at_least`; they never fall. The next cut is a discontinuity.
    pub fn skip_to(&mut self, at_least: MediaSequence) {
        self.next = self.next.max(at_least);
        self.break_at_next();
    }
}

impl Rhythm {
    /// Takes the next decoding time; says whether there is a hole before it.
    pub(crate) fn see(&mut self, dts: MediaTime) -> bool {
        let Some(last) = self.last_dts.replace(dts) else { return false };
        let step = (dts - last).max(MediaSpan::ZERO);
        let hole = Self::is_hole(step, self.usual());
        // one hole says nothing of the rhythm, a second in a row does
        if self.usual == MediaSpan::ZERO {
            self.usual = step;
        } else if !hole || self.after_hole {
            self.usual = MediaSpan::from_ticks(self.usual.ticks() + (step - self.usual).ticks() / 8);
        }
        self.after_hole = hole;
        hole
    }

    /// Whether a step this long is a hole where steps are usually `usual`.
    pub(crate) fn is_hole(step: MediaSpan, usual: Option<MediaSpan>) -> bool {
        step > GAP && usual.is_some_and(|usual| step > usual.times(GAP_STEPS))
    }

    fn slack(&self) -> MediaSpan {
        match self.usual {
            MediaSpan::ZERO => FIRST_SLACK,
            usual => MediaSpan::from_ticks(usual.ticks() / 2).min(MOST_SLACK),
        }
    }

    /// The usual step between frames, once known.
    pub(crate) fn usual(&self) -> Option<MediaSpan> {
        Some(self.usual).filter(|usual| *usual > MediaSpan::ZERO)
    }
}

impl Gops {
    fn see(&mut self, keyframe: MediaTime) {
        if let Some(last) = self.last_keyframe.replace(keyframe) {
            self.longest = self.longest.max(keyframe - last);
            self.seen = self.seen.saturating_add(1);
        }
    }

    /// How long the next group of pictures may be: as long as any before; in the beginning, as long as the target.
    fn longest_to_expect(&self, target: MediaSpan) -> MediaSpan {
        if self.seen < GOPS_TO_LEARN { self.longest.max(target) } else { self.longest }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::TrackId;
    use proptest::prelude::*;

    use super::*;

    const CLOCK: WallClock = WallClock { at: MediaTime::ZERO, unix_micros: 1_000_000 };

    fn at(ms: i64) -> MediaTime {
        MediaTime::ZERO + MediaSpan::from_millis(ms)
    }

    fn picture(pts: MediaTime, keyframe: bool) -> Packet {
        let kind = TrackKind::Video;
        Packet { track: TrackId(0), kind, pts, dts: pts, keyframe, data: Bytes::new() }
    }

    fn plan(mode: Mode, target_ms: i64, longest_ms: i64) -> CutPlan {
        let span = MediaSpan::from_millis;
        CutPlan::new(mode, span(target_ms), span(longest_ms), MediaSequence(7))
    }

    /// What happens on the way, in milliseconds.
    enum Step {
        /// Frames 40 ms apart from the first to before the second; IDRs at the given times.
        Frames(i64, i64, &'static [i64]),
        Break,
        End,
        Skip(u64),
    }
    use Step::*;

    /// Plays the steps and compares the cuts as "number@milliseconds", with a `!` for a discontinuity.
    #[track_caller]
    fn check(name: &str, mut plan: CutPlan, steps: &[Step], want: &str) {
        let mut got = vec![];
        for step in steps {
            match step {
                Frames(from, to, keyframes) => {
                    for ms in (*from..*to).step_by(40) {
                        let packet = picture(at(ms), keyframes.contains(&ms));
                        for cut in plan.see(&packet, CLOCK) {
                            let mark = if cut.discontinuity { "!" } else { "" };
                            got.push(format!("{}@{}{mark}", cut.sequence, cut.at.ticks() / 90));
                        }
                    }
                }
                Break => plan.break_at_next(),
                End => plan.end(),
                Skip(to) => plan.skip_to(MediaSequence(*to)),
            }
        }
        assert_eq!(got.join(" "), want, "{name}");
    }

    #[test]
    fn keyframes_decide_where_a_copied_rendition_is_cut() {
        let two = || plan(Mode::Keyframes, 2000, 2499);
        let regular: &[i64] = &[0, 2000, 4000, 6000];
        check("regular", two(), &[Frames(0, 6040, regular)], "7@0 8@2000 9@4000 10@6000");
        check("not before the first keyframe", two(), &[Frames(0, 3000, &[1000])], "7@1000");
        check(
            "short groups are gathered once they are known",
            two(),
            &[Frames(0, 6040, &[0, 1000, 2000, 3000, 4000, 5000, 6000])],
            "7@0 8@1000 9@2000 10@4000 11@6000",
        );
        check(
            "a scene cut: waiting for the next could take too long",
            two(),
            &[Frames(0, 9040, &[0, 2000, 4000, 6000, 7200, 9000])],
            "7@0 8@2000 9@4000 10@6000 11@7200 12@9000",
        );
        check("half a frame early is in time", two(), &[Frames(20, 2100, &[20, 1980])], "7@20 8@1980");
        check(
            "a hole takes effect at the next keyframe",
            two(),
            &[Frames(0, 2520, regular), Frames(5000, 6040, &[6000])],
            "7@0 8@2000 9@6000!",
        );
        check(
            "a break takes effect at the next keyframe",
            two(),
            &[Frames(0, 2520, regular), Break, Frames(2520, 3040, &[2600, 3000])],
            "7@0 8@2000 9@2600!",
        );
        check(
            "numbers jump forward, never back",
            two(),
            &[
                Frames(0, 2520, regular),
                Skip(100),
                Frames(2520, 4040, &[3000]),
                Skip(5),
                Frames(4040, 4100, &[4080]),
            ],
            "7@0 8@2000 100@3000! 101@4080!",
        );
        check("an end", two(), &[Frames(0, 40, &[0]), End, Frames(9000, 9100, &[9040])], "7@0 8@9040!");
        check("a break before anything", two(), &[Break, Frames(0, 40, &[0])], "7@0!");
    }

    #[test]
    fn a_grid_is_told_one_segment_ahead() {
        let two = || plan(Mode::Grid, 2000, 2499);
        check(
            "keyframes do not matter",
            two(),
            &[Frames(80, 4200, &[80, 1000])],
            "7@80 8@2075 9@4060 10@6060",
        );
        check(
            "a hole anchors the grid anew at once",
            two(),
            &[Frames(0, 2520, &[0]), Frames(5000, 7040, &[6000])],
            "7@0 8@1995 9@3980 9@5000! 10@6980 11@8980",
        );
        check(
            "a break waits for a keyframe, and takes the place of the cut told ahead",
            two(),
            &[Frames(0, 1000, &[0]), Break, Frames(1000, 1600, &[1520])],
            "7@0 8@1995 8@1520! 9@3500",
        );
        check(
            "an end withdraws the cut told ahead",
            two(),
            &[Frames(0, 1000, &[0]), End, Skip(20), Frames(60_000, 60_040, &[60_000])],
            "7@0 8@1995 20@60000! 21@61995",
        );
    }

    #[test]
    fn a_keyframe_that_stays_away_is_overdue() {
        let mut plan = plan(Mode::Keyframes, 2000, 2499);
        assert!(!plan.overdue(&picture(at(9000), false)), "nothing is open");
        plan.see(&picture(at(0), true), CLOCK);
        assert!(!plan.overdue(&picture(at(2499), false)));
        assert!(plan.overdue(&picture(at(2500), false)));
        plan.see(&picture(at(40), false), CLOCK);
        assert!(!plan.overdue(&picture(at(2459), false)));
        assert!(plan.overdue(&picture(at(2460), false)), "it would end too late");
        assert!(!plan.overdue(&picture(at(2499), true)), "it ends the segment");
        plan.see(&picture(at(5000), false), CLOCK);
        assert!(!plan.overdue(&picture(at(5040), false)), "the hole will end the segment");
        assert!(plan.overdue(&picture(at(7600), false)));
    }

    #[test]
    fn rare_frames_are_no_holes_and_sound_alone_has_a_grid() {
        let mut slides = plan(Mode::Keyframes, 6000, 6499);
        let mut breaks = 0;
        for frame in 0..20 {
            let cuts = slides.see(&picture(at(frame * 2000), frame % 3 == 0), CLOCK);
            breaks += cuts.iter().filter(|cut| cut.discontinuity).count();
        }
        assert_eq!(breaks, 0);
        let mut sound = plan(Mode::Grid, 2000, 2499);
        let mut cuts = vec![];
        for frame in 0..200 {
            let packet =
                Packet { kind: TrackKind::Audio, ..picture(MediaTime::from_ticks(frame * 1920), true) };
            cuts.extend(sound.see(&packet, CLOCK).into_iter().map(|cut| cut.at.ticks()));
        }
        assert_eq!(cuts, [0, 179_550, 359_040, 539_040]);
    }

    #[test]
    fn the_wall_clock_follows_media_time() {
        let clock = WallClock { at: at(1000), unix_micros: 50_000_000 };
        assert_eq!(clock.unix_micros_at(at(3002)), 52_002_000);
        assert_eq!(clock.unix_micros_at(at(0)), 49_000_000);
    }

    proptest! {
        /// Whatever the source does, numbers count up by one, times rise, and what lies between two cuts that continue
        /// each other is never longer than allowed while its GOPs are no longer than those seen before.
        #[test]
        fn segments_stay_within_the_target(gops in proptest::collection::vec(2u32..50, 4..60), target in 1i64..7) {
            let longest = target * 1000 + 499;
            let mut plan = plan(Mode::Keyframes, target * 1000, longest);
            let cap = longest / 40 - 1;
            let mut cuts: Vec<Cut> = vec![];
            let mut ms = 0;
            // the longest group comes among the first, as an encoder with a fixed keyframe interval shows it
            let most = i64::from(*gops.iter().max().unwrap()).min(cap);
            for gop in [most, most, most].into_iter().chain(gops.iter().map(|gop| i64::from(*gop).min(most))) {
                for frame in 0..gop {
                    cuts.extend(plan.see(&picture(at(ms), frame == 0), CLOCK));
                    ms += 40;
                }
            }
            for (nth, pair) in cuts.windows(2).enumerate() {
                prop_assert_eq!(pair[1].sequence, pair[0].sequence.next());
                prop_assert!(pair[1].at > pair[0].at);
                prop_assert!((pair[1].at - pair[0].at).millis() <= longest, "cut {}: {:?}", nth, pair);
            }
        }
    }
}
