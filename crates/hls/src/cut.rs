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

/// A grid of `target` from `anchor`; `next_at` is told already.
#[derive(Debug)]
struct Grid {
    anchor: MediaTime,
    next_at: MediaTime,
}

/// How often frames come; says what is a hole. Shared with the segmenters, so that both see the same holes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rhythm {
    last_dts: Option<MediaTime>,
    /// Smoothed step of the decoding times; zero until two frames came.
    usual: MediaSpan,
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
            let cut = self.open_at(anchor, clock);
            let next_at = self.line_after(anchor, anchor);
            self.grid = Some(Grid { anchor, next_at });
            return vec![cut, self.told(next_at, clock)];
        }
        match &self.grid {
            Some(grid) if packet.pts >= grid.next_at => {
                let (anchor, reached) = (grid.anchor, grid.next_at);
                self.next = self.next.next();
                self.open = Some(reached);
                let next_at = self.line_after(anchor, packet.pts);
                self.grid = Some(Grid { anchor, next_at });
                vec![self.told(next_at, clock)]
            }
            _ => Vec::new(),
        }
    }

    /// The first grid line after `t`, half a frame early, so that stamps that jitter by a millisecond do not miss it.
    fn line_after(&self, anchor: MediaTime, t: MediaTime) -> MediaTime {
        let slack = self.rhythm.slack();
        let lines = (t - anchor + slack).ticks().max(0) / self.target.ticks() + 1;
        anchor + self.target.times(lines) - slack
    }

    fn told(&self, at: MediaTime, clock: WallClock) -> Cut {
        Cut { sequence: self.next, at, discontinuity: false, clock }
    }

    fn open_at(&mut self, at: MediaTime, clock: WallClock) -> Cut {
        let cut = Cut { sequence: self.next, at, discontinuity: self.breaking, clock };
        self.next = self.next.next();
        self.open = Some(at);
        self.resumed = None;
        self.breaking = false;
        cut
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

    /// In [`Mode::Keyframes`]: the open segment is past its longest duration at this packet, and no keyframe came to
    /// end it. After a hole, time counts from its end, since the hole will end the segment.
    pub fn overdue(&self, packet: &Packet) -> bool {
        self.mode == Mode::Keyframes
            && packet.kind == TrackKind::Video
            && self.resumed.or(self.open).is_some_and(|since| packet.pts - since > self.longest)
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
        self.usual = if self.usual == MediaSpan::ZERO {
            step
        } else {
            MediaSpan::from_ticks(self.usual.ticks() + (step - self.usual).ticks() / 8)
        };
        hole
    }

    /// Whether a step this long is a hole where steps are usually `usual`.
    pub(crate) fn is_hole(step: MediaSpan, usual: Option<MediaSpan>) -> bool {
        step > GAP && usual.is_none_or(|usual| step > usual.times(GAP_STEPS))
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
