//! The one decoder of a stream, and what each frame that leaves it is marked with.

use std::collections::VecDeque;

use media::{FrameRate, Packet, VideoConfig};

use super::Ended;
use crate::{
    Stats,
    av::{CodecError, Deblock, Picture, Received, VideoDecoder},
};

/// Packets in a row that may fail before the stream counts as undecodable: about ten seconds at 30 fps, longer than
/// any GOP that a player would wait for.
const MAX_FAILURES: u32 = 300;
/// Luma samples a second that one core decodes with room to spare: 1080p60.
const ONE_THREAD: u64 = 1920 * 1088 * 60;
/// Most decoder threads; more only adds memory and delay.
const MAX_THREADS: u64 = 4;
/// Cuts that are announced and not reached yet: far more than any cut plan looks ahead.
const MAX_CUTS: usize = 64;

/// Rungs at most this share of the source's size, in eighths, are made without all of the loop filter.
const SMALLER: u64 = 6;

/// A decoder that survives what it is fed.
pub(super) struct Decoder {
    decoder: VideoDecoder,
    threads: usize,
    largest: (u32, u32),
    /// Packets since the last frame came out whole or damaged.
    failures: u32,
    /// No more comes from this decoder.
    drained: bool,
}

impl Decoder {
    /// For rungs of which the largest has this size.
    pub(super) fn open(
        config: &VideoConfig,
        rate: Option<FrameRate>,
        largest: (u32, u32),
    ) -> Result<Self, CodecError> {
        let (width, height) = config.dimensions();
        let threads = threads(width, height, rate);
        let decoder = VideoDecoder::open(config, threads, deblock((width, height), largest))?;
        Ok(Self { decoder, threads, largest, failures: 0, drained: false })
    }

    /// Starts anew with other parameter sets. What the old decoder still holds is to be received before.
    pub(super) fn reopen(&mut self, config: &VideoConfig) -> Result<(), CodecError> {
        self.decoder = VideoDecoder::open(config, self.threads, deblock(config.dimensions(), self.largest))?;
        self.drained = false;
        Ok(())
    }

    /// Puts a packet in; one that the decoder refuses is counted and left out.
    ///
    /// # Errors
    /// When nothing has been decoded for too long.
    pub(super) fn send(&mut self, packet: &Packet, stats: &mut Stats) -> Result<(), Ended> {
        let (pts, dts) = (packet.pts.ticks(), packet.dts.ticks());
        match self.decoder.send(&packet.data, pts, dts, packet.keyframe) {
            Ok(()) => Ok(()),
            Err(error) => self.failed(&error, stats),
        }
    }

    /// The next frame that is ready.
    pub(super) fn receive(&mut self, stats: &mut Stats) -> Result<Option<Picture>, Ended> {
        while !self.drained {
            match self.decoder.receive() {
                Ok(Received::Output(picture)) => {
                    self.failures = 0;
                    stats.frames_decoded += 1;
                    stats.decode_errors += u64::from(picture.is_damaged());
                    return Ok(Some(picture));
                }
                Ok(Received::NeedsInput) => return Ok(None),
                Ok(Received::Drained) => self.drained = true,
                Err(error) => self.failed(&error, stats)?,
            }
        }
        Ok(None)
    }

    /// Says that nothing more comes; the rest is then received.
    pub(super) fn finish(&mut self) {
        if self.decoder.finish().is_err() {
            self.drained = true; // it would not take the end: nothing is to be had from it
        }
    }

    /// After [`Self::finish`], when all has come out: ready for more.
    pub(super) fn restart(&mut self) {
        self.decoder.restart();
        self.drained = false;
    }

    fn failed(&mut self, error: &CodecError, stats: &mut Stats) -> Result<(), Ended> {
        stats.decode_errors += 1;
        self.failures += 1;
        if self.failures >= MAX_FAILURES {
            return Err(Ended::Undecodable { packets: self.failures, last: error.to_string() });
        }
        Ok(())
    }
}

/// One thread is cheapest (frame threads cost some 15 % more); more only where one core would not keep up.
fn threads(width: u32, height: u32, rate: Option<FrameRate>) -> usize {
    let rate = rate.map_or(30.0, FrameRate::as_f64);
    let load = (f64::from(width) * f64::from(height) * rate) as u64;
    load.div_ceil(ONE_THREAD).clamp(1, MAX_THREADS) as usize
}

/// Where every rung is clearly smaller than the source, the edges of blocks in pictures that no other is predicted from
/// vanish in the scaler: the filter there is some 7 % of decoding, and no measure of the rungs' quality shows it.
fn deblock(source: (u32, u32), largest: (u32, u32)) -> Deblock {
    let smaller = |one: u32, than: u32| u64::from(one) * 8 <= u64::from(than) * SMALLER;
    // Turned pictures have their sides changed over.
    let sides = |(width, height): (u32, u32)| (width.min(height), width.max(height));
    let (source, largest) = (sides(source), sides(largest));
    if smaller(largest.0, source.0) && smaller(largest.1, source.1) {
        Deblock::References
    } else {
        Deblock::All
    }
}

/// Where a frame stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Presentation time, above that of the frame before.
    pub(super) pts: i64,
    /// A segment opens here: an IDR picture in every rung.
    pub(super) cut: bool,
}

/// Gives frames their place: which of them open a segment. All rungs follow it, so they agree by construction.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Announced cuts not reached yet, rising.
    cuts: VecDeque<i64>,
    last_pts: Option<i64>,
}

impl Frames {
    /// The first frame at or after `at` is to open a segment. Cuts come in rising order; one that does not is put
    /// where it belongs.
    pub(super) fn cut_at(&mut self, at: i64) {
        let place = self.cuts.partition_point(|cut| *cut < at);
        if self.cuts.get(place) != Some(&at) && self.cuts.len() < MAX_CUTS {
            self.cuts.insert(place, at);
        }
    }

    /// Frames before `at` are not wanted, and cuts before it are past.
    pub(super) fn skip_to(&mut self, at: i64) {
        while self.cuts.front().is_some_and(|cut| *cut < at) {
            self.cuts.pop_front();
        }
        self.last_pts = self.last_pts.max(Some(at - 1));
    }

    /// The time, unless it is none or not above the last frame's.
    pub(super) fn follows(&self, pts: Option<i64>) -> Option<i64> {
        pts.filter(|pts| self.last_pts.is_none_or(|last| *pts > last))
    }

    /// Whether a frame at this time would open a segment.
    pub(super) fn is_due(&self, pts: i64) -> bool {
        self.cuts.front().is_some_and(|at| *at <= pts)
    }

    /// The place of a frame at this time; `None` when it is not above the last frame's.
    pub(super) fn place(&mut self, pts: i64) -> Option<Place> {
        let pts = self.follows(Some(pts))?;
        self.last_pts = Some(pts);
        let mut cut = false;
        while self.cuts.front().is_some_and(|at| *at <= pts) {
            self.cuts.pop_front();
            cut = true;
        }
        Some(Place { pts, cut })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clearly_smaller_rungs_do_without_deblocking() {
        for (source, largest, want) in [
            ((1920, 1080), (1920, 1080), Deblock::All),
            ((1920, 1080), (1600, 900), Deblock::All),
            ((1920, 1080), (1280, 720), Deblock::References),
            ((1920, 1080), (720, 1280), Deblock::References),
            ((1440, 1080), (1280, 720), Deblock::All),
            ((1280, 720), (854, 480), Deblock::References),
            ((640, 360), (640, 360), Deblock::All),
        ] {
            assert_eq!(deblock(source, largest), want, "{source:?} to {largest:?}");
        }
    }

    #[test]
    fn the_first_frame_at_or_after_a_cut_opens_the_segment() {
        for (name, cuts, pts, want) in [
            ("on the frame", vec![3000], vec![0, 3000, 6000], vec![3000]),
            ("between frames", vec![3001], vec![0, 3000, 6000], vec![6000]),
            ("two before one frame", vec![3001, 3002], vec![0, 3000, 6000, 9000], vec![6000]),
            ("out of order", vec![6000, 3000], vec![0, 3000, 6000], vec![3000, 6000]),
            ("the same twice", vec![3000, 3000], vec![0, 3000, 6000], vec![3000]),
            ("already past", vec![-5], vec![0, 3000], vec![0]),
            ("none", vec![], vec![0, 3000], vec![]),
        ] {
            let mut frames = Frames::default();
            cuts.into_iter().for_each(|cut| frames.cut_at(cut));
            let places = pts.into_iter().filter_map(|pts| frames.place(pts));
            let got: Vec<i64> = places.filter(|place| place.cut).map(|place| place.pts).collect();
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn times_only_rise() {
        let mut frames = Frames::default();
        let kept = [5, 5, 4, 9].map(|pts| frames.place(pts).is_some());
        assert_eq!(kept, [true, false, false, true]);
        assert_eq!(
            (frames.follows(None), frames.follows(Some(9)), frames.follows(Some(10))),
            (None, None, Some(10))
        );
    }

    #[test]
    fn cuts_that_never_come_take_no_memory() {
        let mut frames = Frames::default();
        (0..1000).for_each(|at| frames.cut_at(at));
        assert_eq!(frames.cuts.len(), MAX_CUTS);
    }

    #[test]
    fn threads_follow_the_load() {
        for (width, height, rate, want) in [
            (640, 360, 30, 1),
            (1920, 1080, 30, 1),
            (1920, 1080, 60, 1),
            (3840, 2160, 30, 2),
            (3840, 2160, 60, 4),
        ] {
            assert_eq!(threads(width, height, FrameRate::new(rate, 1)), want, "{width}x{height} at {rate}");
        }
    }
}
