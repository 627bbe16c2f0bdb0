//! The segment under way: frames whose length is known, gathered into parts.
//!
//! All times here are in the track's timescale on the file's clock. Those that lists tell are rounded from these absolute
//! ones, and durations are differences of rounded times, so sums never drift.

use std::{collections::VecDeque, sync::Arc};

use media::{AudioConfig, MediaSpan, MediaTime, VideoConfig};

use super::{
    chunker::{Chunked, Metadata},
    fragment::{Event, Fragment, Sample},
    scale::Scale,
};
use crate::{Init, Keyframe, Opening, Part, Segment, cut::Cut};

/// Parts are this much of the target at least, where nothing ends them (draft-pantos-hls-rfc8216bis §4.4.4.9).
pub(super) const FULL_PERCENT: i64 = 85;

/// What a track's files begin with, and how its packets become samples.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) init: Arc<Init>,
    pub(super) scale: Scale,
    pub(super) coding: Coding,
}

#[derive(Debug)]
pub(super) enum Coding {
    Pictures(Arc<VideoConfig>),
    Sound(Arc<AudioConfig>),
}

/// Where parts go, and what runs on from one segment to the next.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) events: VecDeque<Chunked>,
    pub(super) part_target: MediaSpan,
    /// Writes `prft`.
    pub(super) wall_clock: bool,
    /// For the next chunk.
    pub(super) metadata: VecDeque<Metadata>,
    /// Of the last chunk.
    pub(super) sequence: u32,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) cut: Cut,
    pub(super) track: Arc<Track>,
    start: i64,
    parts: Vec<Part>,
    keyframes: Vec<Keyframe>,
    /// Of the parts that were told.
    bytes: usize,
    /// Frames in the parts that were told, and the highest PTS of these.
    told: usize,
    shown: Option<MediaTime>,
    /// The part under way.
    samples: Vec<Sample>,
    /// PTS of its frames.
    times: Vec<MediaTime>,
    sample_bytes: usize,
    part_start: i64,
    /// Where its last frame ends.
    end: i64,
}

impl Open {
    /// Opens a segment, and says so.
    pub(super) fn new(cut: Cut, track: Arc<Track>, start: i64, out: &mut Writer) -> Self {
        let at = track.scale.time(start);
        out.events.push_back(Chunked::Opened(Opening {
            sequence: cut.sequence,
            start: at,
            discontinuity: cut.discontinuity,
            unix_micros: cut.clock.unix_micros_at(at),
            init: track.init.clone(),
        }));
        Self {
            cut,
            track,
            start,
            parts: Vec::new(),
            keyframes: Vec::new(),
            bytes: 0,
            told: 0,
            shown: None,
            samples: Vec::new(),
            times: Vec::new(),
            sample_bytes: 0,
            part_start: start,
            end: start,
        }
    }

    /// Where its first frame is decoded.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// Where its last frame ends.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// Bytes of all its frames so far, and of the chunks around them.
    pub(super) fn size(&self) -> usize {
        self.bytes + self.sample_bytes
    }

    /// Frames in it.
    pub(super) fn frames(&self) -> usize {
        self.told + self.samples.len()
    }

    /// Highest PTS of its frames.
    pub(super) fn shown(&self) -> Option<MediaTime> {
        self.times.iter().copied().max().max(self.shown)
    }

    /// A part of it was told.
    pub(super) fn is_told(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Forgets what was not told. Returns the highest PTS that was.
    pub(super) fn forget(&mut self) -> Option<MediaTime> {
        self.samples.clear();
        self.times.clear();
        self.sample_bytes = 0;
        self.end = self.part_start;
        self.shown
    }

    /// Appends a frame. A part that it would carry past the target is closed before it; but a frame that is too long for
    /// any part goes into the one under way, which is closed behind it and followed by missing ones.
    pub(super) fn add(&mut self, sample: Sample, pts: MediaTime, out: &mut Writer) {
        let end = self.end.saturating_add(sample.duration.into());
        let long = self.track.scale.time(end) - self.track.scale.time(self.end) > out.part_target;
        if !long && self.span(end) > out.part_target {
            self.close_part(out);
        }
        self.sample_bytes += sample.data.len();
        self.samples.push(sample);
        self.times.push(pts);
        self.end = end;
        if self.span(end) > out.part_target {
            self.close_part(out);
        }
    }

    /// Closes the part under way if a frame of `next` units would carry it past the target: it is full, and need not
    /// wait for that frame's end.
    pub(super) fn close_if_full(&mut self, next: i64, out: &mut Writer) {
        if self.is_full(out) && self.span(self.end.saturating_add(next)) > out.part_target {
            self.close_part(out);
        }
    }

    /// A keyframe comes: closes the part under way, unless that would leave it too short.
    pub(super) fn close_before_keyframe(&mut self, out: &mut Writer) {
        if self.is_full(out) || self.samples.first().is_some_and(|sample| sample.key) {
            self.close_part(out);
        }
    }

    /// Nothing comes until `at`: the last frame stands so long.
    pub(super) fn extend(&mut self, at: i64, out: &mut Writer) {
        if at <= self.end {
            return;
        }
        if let (Some(mut last), Some(pts)) = (self.samples.pop(), self.times.pop()) {
            self.sample_bytes -= last.data.len();
            self.end -= i64::from(last.duration);
            last.duration = u32::try_from(at - self.end).unwrap_or(u32::MAX);
            self.add(last, pts, out);
            return;
        }
        let (from, to) = (self.track.scale.time(self.end), self.track.scale.time(at));
        self.part_start = at;
        self.end = at;
        self.hole(from, to, out);
    }

    /// Takes out the frames of the part under way that begin at `from` or later; the segment then ends before them.
    pub(super) fn split_off(&mut self, from: i64) -> Vec<(Sample, MediaTime)> {
        let mut end = self.part_start;
        let mut kept = 0;
        for sample in &self.samples {
            if end >= from {
                break;
            }
            end += i64::from(sample.duration);
            kept += 1;
        }
        let moved: Vec<_> = self.samples.drain(kept..).zip(self.times.drain(kept..)).collect();
        self.sample_bytes -= moved.iter().map(|(sample, _)| sample.data.len()).sum::<usize>();
        self.end = end;
        moved
    }

    /// The segment is over: the last frame's end is [`Open::end`].
    pub(super) fn finish(mut self, out: &mut Writer) {
        self.close_part(out);
        let scale = self.track.scale;
        let start = scale.time(self.start);
        out.events.push_back(Chunked::Finished(Segment {
            sequence: self.cut.sequence,
            start,
            duration: scale.time(self.end) - start,
            discontinuity: self.cut.discontinuity,
            unix_micros: self.cut.clock.unix_micros_at(start),
            init: Some(self.track.init.clone()),
            parts: self.parts,
            keyframes: self.keyframes,
            ..Segment::default()
        }));
    }

    /// How long the part under way would be if it ended there.
    fn span(&self, end: i64) -> MediaSpan {
        self.track.scale.time(end) - self.track.scale.time(self.part_start)
    }

    fn is_full(&self, out: &Writer) -> bool {
        let span = self.span(self.end).ticks();
        !self.samples.is_empty() && span.saturating_mul(100) >= out.part_target.ticks() * FULL_PERCENT
    }

    fn close_part(&mut self, out: &mut Writer) {
        let (Some(first), Some(pts)) = (self.samples.first(), self.times.first()) else { return };
        let scale = self.track.scale;
        let (start, end) = (scale.time(self.part_start), scale.time(self.end));
        let events: Vec<Event> = out.metadata.drain(..).map(|event| event.on(scale)).collect();
        out.sequence = out.sequence.wrapping_add(1);
        let written = Fragment {
            sequence: out.sequence,
            decode_time: u64::try_from(self.part_start).unwrap_or(0),
            samples: &self.samples,
            opens: self.parts.is_empty(),
            unix_micros: out.wall_clock.then(|| self.cut.clock.unix_micros_at(start)),
            events: &events,
            timescale: scale.get(),
        }
        .write();
        let independent = first.key;
        if independent && matches!(self.track.coding, Coding::Pictures(_)) {
            let length = written.first_sample_end - written.moof;
            self.keyframes.push(Keyframe {
                at: *pts,
                // segments are far below 4 GiB: `segmenter::MAX_BYTES`
                offset: u32::try_from(self.bytes + written.moof).unwrap_or(u32::MAX),
                length: u32::try_from(length).unwrap_or(u32::MAX),
            });
        }
        self.told += self.samples.len();
        self.shown = self.shown();
        self.bytes += written.bytes.len();
        self.samples.clear();
        self.times.clear();
        self.sample_bytes = 0;
        self.part_start = self.end;
        let duration = (end - start).min(out.part_target);
        self.tell(Part { start, duration, independent, gap: false, bytes: written.bytes }, out);
        self.hole(start + duration, end, out);
    }

    /// Lists what no part can hold: a frame may stand longer than a part may be.
    fn hole(&mut self, mut from: MediaTime, to: MediaTime, out: &mut Writer) {
        while from < to {
            let duration = (to - from).min(out.part_target);
            self.tell(
                Part { start: from, duration, independent: false, gap: true, bytes: Default::default() },
                out,
            );
            from += duration;
        }
    }

    fn tell(&mut self, part: Part, out: &mut Writer) {
        let index = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        self.parts.push(part.clone());
        out.events.push_back(Chunked::Part { sequence: self.cut.sequence, index, part });
    }
}
