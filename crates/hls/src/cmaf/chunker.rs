//! One track's packets, cut into parts and segments of fragmented MP4.
//!
//! ```text
//!  pictures ─▶ held until the next one shows how long each stands ─┐
//!  sound ────▶ counted in samples ─────────────────────────────────┴▶ part under way ─▶ Part ─▶ … ─▶ Segment
//! ```
//!
//! Segments, their numbers, gaps and discontinuities are those that [`crate::segmenter::Segmenter`] makes of the same
//! cuts; but what was told as a part cannot be taken back, so frames of which it is not known whether they belong to a
//! segment are held back until the next one opens: those after a hole, and those after a cut that waits for its
//! keyframe.
//!
//! **Time.** A segment's first frame is decoded, on the file's clock, at its PTS: the reorder delay of that keyframe is
//! taken off all pictures up to the next segment, and the last picture before that one stands until it begins. So no
//! edit list is needed, `tfdt` is the earliest presentation time of a segment and the same in all renditions, and it
//! never jumps: it is the sum of all durations since the last discontinuity or gap. A delay that grows makes the last
//! picture of a segment longer on the decoding clock; one that shrinks by more than a picture pushes the pictures after
//! it, one tick apart, until they are back in time. What is shown when never changes by that.
//! Sound is counted in samples from a segment that does not continue the one before it; stamps are followed again when
//! they are off by more than a frame.
//!
//! **Parts.** A part ends before the frame that would carry it past the target, as soon as that is known, and before a
//! keyframe unless it would be too short then. A part whose last frame stands longer than a part may be is listed with
//! the target's length, and parts that are missing (GAP) up to the next frame; the file says how long it stands.
//!
//! Memory is bounded: a segment has at most [`MAX_SPAN`], [`MAX_BYTES`] and [`MAX_FRAMES`]; at most [`MAX_PENDING`] cuts
//! and [`MAX_METADATA`] events wait.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use media::{AudioConfig, MediaSequence, MediaSpan, MediaTime, Packet, TrackKind, VideoConfig};

use super::{
    VIDEO_TIMESCALE,
    fragment::Event,
    init::{self, Unwritable},
    open::{Coding, Open, Track, Writer},
    pictures::Pictures,
    scale::Scale,
};
pub use crate::segmenter::{MAX_BYTES, MAX_PENDING, MAX_SPAN, Stats};
use crate::{
    Init, Opening, Part, Segment,
    cut::{Cut, Rhythm},
    segmenter::{self, SMALL_HOLE},
};

/// Most frames in one segment.
pub const MAX_FRAMES: usize = 1 << 16;
/// Most events that wait for the next chunk; the oldest is left out.
pub const MAX_METADATA: usize = 64;
/// Most bytes of one event.
pub const MAX_METADATA_BYTES: usize = 64 << 10;
/// Ticks either side of zero beyond which no stream lives: a thousand years, at which sums still fit.
const FARTHEST: u64 = 1 << 51;
/// Parts shorter than this make more overhead than media.
const SHORTEST_PART: MediaSpan = MediaSpan::from_millis(50);

/// What comes out, in order.
///
/// For each segment one `Opened`, its parts with rising indexes, and `Finished`, which holds the same parts. After
/// [`Chunker::rewind`], a segment of which no part was told is opened again. A segment that never came is `Finished`
/// alone, as a gap; it too may have been opened before a rewind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Chunked {
    /// A segment begins.
    Opened(Opening),
    /// A part of it is there.
    Part {
        /// The segment.
        sequence: MediaSequence,
        /// Counted from 0 in each segment.
        index: u32,
        /// The part.
        part: Part,
    },
    /// A segment is whole, or will never come.
    Finished(Segment),
}

/// Timed metadata for the players of this track (`emsg`): written before the next chunk, whenever it takes effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// When it takes effect.
    pub at: MediaTime,
    /// For how long, where that is known.
    pub duration: Option<MediaSpan>,
    /// Equal events have equal ids; players show each once.
    pub id: u32,
    /// What `message` is: [`Event::ID3`], [`Event::SCTE35`] or another URI.
    pub scheme: String,
    /// As the scheme says; mostly empty.
    pub value: String,
    /// The event itself, such as a whole ID3v2 tag.
    pub message: Bytes,
}

impl Metadata {
    /// The event on a track's clock.
    pub(super) fn on(self, scale: Scale) -> Event {
        let duration =
            self.duration.map(|span| u32::try_from(scale.length(span.ticks())).unwrap_or(Event::OPEN));
        Event {
            at: u64::try_from(scale.units(self.at)).unwrap_or(0),
            duration: duration.unwrap_or(Event::OPEN),
            id: self.id,
            scheme: self.scheme,
            value: self.value,
            message: self.message,
        }
    }
}

/// Cuts one track's packets into parts and segments.
#[derive(Debug)]
pub struct Chunker {
    kind: TrackKind,
    /// What the next segment begins with.
    pub(super) track: Option<Arc<Track>>,
    unwritable: Option<Unwritable>,
    /// Cuts whose segment is not open yet, in order.
    pub(super) pending: VecDeque<Cut>,
    pub(super) open: Option<Open>,
    pub(super) pictures: Pictures,
    /// After a rewind: frames that begin before this were told. Until the first one that was not.
    pub(super) resume: Option<MediaTime>,
    /// Where the last finished segment ends, on the clock of its files.
    clock: Option<(Scale, i64)>,
    pub(super) rhythm: Rhythm,
    pub(super) out: Writer,
    pub(super) stats: Stats,
}

impl Chunker {
    /// A chunker that has seen nothing, for a track of the given kind. `part_target` is what the list announces as
    /// PART-TARGET; at least 50 ms.
    pub fn new(kind: TrackKind, part_target: MediaSpan) -> Self {
        Self {
            kind,
            track: None,
            unwritable: None,
            pending: VecDeque::new(),
            open: None,
            pictures: Pictures::default(),
            resume: None,
            clock: None,
            rhythm: Rhythm::default(),
            out: Writer {
                events: VecDeque::new(),
                part_target: part_target.max(SHORTEST_PART),
                wall_clock: false,
                metadata: VecDeque::new(),
                sequence: 0,
            },
            stats: Stats::default(),
        }
    }

    /// Writes the wall clock into each chunk (`prft`), by which players measure their latency.
    #[must_use]
    pub fn with_wall_clock(mut self) -> Self {
        self.out.wall_clock = true;
        self
    }

    /// A boundary became known. It replaces those not reached yet that have its number or time, or a higher one; a
    /// number that is open already is ignored.
    pub fn cut(&mut self, cut: Cut) {
        segmenter::tell(&mut self.pending, self.open.as_ref().map(|open| open.cut.sequence), cut);
    }

    /// The configuration of the pictures that follow, from the next segment's keyframe on: a segment has one header.
    /// Pictures from a keyframe within a segment on that need another are left out up to the next segment.
    pub fn video_config(&mut self, config: Arc<VideoConfig>) {
        if self.kind == TrackKind::Video {
            let made = init::video(&config);
            self.configure(made, VIDEO_TIMESCALE, Coding::Pictures(config));
        }
    }

    /// The configuration of the sound that follows, from the next segment on. What comes until then and needs another
    /// header than the open segment's is left out.
    pub fn audio_config(&mut self, config: Arc<AudioConfig>) {
        if self.kind == TrackKind::Audio {
            let made = init::audio(&config);
            self.configure(made, config.sample_rate(), Coding::Sound(config));
        }
    }

    fn configure(&mut self, made: Result<Init, Unwritable>, timescale: u32, coding: Coding) {
        match made {
            Ok(init) => {
                self.unwritable = None;
                let same = self.track.as_ref().filter(|track| *track.init == init);
                let init = same.map_or_else(|| Arc::new(init), |track| track.init.clone());
                self.track = Some(Arc::new(Track { init, scale: Scale::new(timescale), coding }));
            }
            Err(error) => {
                self.unwritable = Some(error);
                self.track = None;
            }
        }
    }

    /// Why the configuration told last cannot be written, if so; the frames that it is for are left out.
    pub fn unwritable(&self) -> Option<&Unwritable> {
        self.unwritable.as_ref()
    }

    /// The header of what comes next.
    pub fn init(&self) -> Option<&Arc<Init>> {
        self.track.as_ref().map(|track| &track.init)
    }

    /// Writes an event before the next chunk. One of more than [`MAX_METADATA_BYTES`] is left out.
    pub fn metadata(&mut self, event: Metadata) {
        if event.message.len() + event.scheme.len() + event.value.len() > MAX_METADATA_BYTES {
            return;
        }
        if self.out.metadata.len() == MAX_METADATA {
            self.out.metadata.pop_front();
        }
        self.out.metadata.push_back(event);
    }

    /// The next packet, in decode order. Packets of the other kind are ignored.
    pub fn push(&mut self, packet: Packet) {
        let far = |at: MediaTime| at.ticks().unsigned_abs() > FARTHEST;
        let counter = match packet.kind {
            kind if kind != self.kind => return,
            TrackKind::Video => &mut self.stats.dropped_pictures,
            TrackKind::Audio => &mut self.stats.dropped_sounds,
        };
        if far(packet.pts) || far(packet.dts) {
            *counter += 1;
            return;
        }
        match packet.kind {
            TrackKind::Video => self.push_picture(packet),
            TrackKind::Audio => self.push_sound(packet),
        }
    }

    /// What came out next.
    pub fn poll(&mut self) -> Option<Chunked> {
        self.out.events.pop_front()
    }

    /// The publication is over: closes what is open, the last segment short. Cuts told ahead are forgotten; counters go
    /// on, so that the next publication may continue the list.
    pub fn finish(&mut self) {
        self.close(None);
        self.pending.clear();
        self.out.metadata.clear();
        self.clock = None;
        self.rhythm = Rhythm::default();
        self.pictures = Pictures::default();
    }

    /// The encoder behind this track died, and will send again from the open segment's first keyframe: forgets what was
    /// not told. Cuts are kept.
    ///
    /// Parts that were told stay. If the open segment has such, this returns the instant right after the last picture
    /// in them: frames before it are passed over, up to the keyframe there, which the caller sees to, and which a new
    /// part begins with. (Sound needs no keyframe: it goes on with the first frame that was not told.)
    pub fn rewind(&mut self) -> Option<MediaTime> {
        self.rhythm = Rhythm::default();
        self.pictures = Pictures::default();
        self.resume = None;
        let mut open = self.open.take()?;
        if !open.is_told() {
            self.pending.push_front(open.cut);
            return None;
        }
        let shown = open.forget();
        self.resume = match self.kind {
            TrackKind::Video => shown.map(|pts| pts + MediaSpan::from_ticks(1)),
            TrackKind::Audio => Some(open.track.scale.time(open.end())),
        };
        self.open = Some(open);
        self.resume
    }

    /// The media of the segments before `sequence` have stopped coming: closes what is open of them, and makes gaps of
    /// those that were told and have not begun. What comes later goes into the segments from there on.
    pub fn give_up(&mut self, sequence: MediaSequence) {
        if self.open.as_ref().is_some_and(|open| open.cut.sequence < sequence) {
            self.close(None);
        }
        while let Some(cut) = self.pending.pop_front() {
            let next = self.pending.front().map(|next| next.at);
            let (true, Some(next)) = (cut.sequence < sequence, next) else {
                self.pending.push_front(cut);
                break;
            };
            self.miss(&cut, next);
        }
    }

    /// The lowest number that is told or open but not finished.
    pub fn oldest_unfinished(&self) -> Option<MediaSequence> {
        let open = self.open.as_ref().map(|open| open.cut.sequence);
        open.or_else(|| self.pending.front().map(|cut| cut.sequence))
    }

    /// What was repaired or lost so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// How many cuts a frame answers that reaches up to `at`.
    pub(super) fn due(&self, at: MediaTime) -> usize {
        self.pending.iter().take_while(|cut| cut.at <= at).count()
    }

    /// Takes the last of `due` cuts, whose segment begins at `start`; those before it are missing.
    pub(super) fn take_due(&mut self, due: usize, start: MediaTime) -> Option<Cut> {
        for behind in (1..due).rev() {
            let missed = self.pending.pop_front()?;
            let next = self.pending.front()?.at;
            self.miss(&missed, if behind == 1 { start } else { next });
        }
        self.pending.pop_front()
    }

    /// A segment that never came, up to where the next one begins; nothing that was told lies in it.
    fn miss(&mut self, cut: &Cut, end: MediaTime) {
        self.stats.gaps += 1;
        let start = self.clock.map_or(cut.at, |(scale, end)| scale.time(end).max(cut.at));
        let duration = (end - start).max(MediaSpan::from_ticks(1));
        let scale = Scale::new(VIDEO_TIMESCALE);
        self.clock = Some((scale, scale.units(start + duration)));
        self.out.events.push_back(Chunked::Finished(Segment::missing(
            cut.sequence,
            start,
            duration,
            cut.discontinuity,
            cut.clock.unix_micros_at(start),
        )));
    }

    /// Closes the open segment: at `next`, or where its own frames end.
    pub(super) fn close(&mut self, next: Option<Boundary>) {
        if self.kind == TrackKind::Video {
            self.settle_pictures(next);
        }
        let Some(mut open) = self.open.take() else { return };
        let scale = open.track.scale;
        let own = match self.kind {
            TrackKind::Video => scale.units(self.pictures.own_end(&open, self.rhythm.usual())),
            TrackKind::Audio => open.end(),
        };
        let next = next.filter(|next| next.is_reached_from(scale.time(own)));
        let end = next.map_or(own, |next| scale_to(next.scale, next.units, scale));
        self.pictures.add_last(&mut open, end, &mut self.out);
        open.extend(end, &mut self.out);
        self.clock = Some((scale, open.end()));
        self.resume = None;
        open.finish(&mut self.out);
    }

    /// Where the last segment ended, on the clock of `scale`.
    pub(super) fn clock(&self, scale: Scale) -> Option<i64> {
        self.clock.map(|(own, end)| scale_to(own, end, scale))
    }
}

/// The same instant on another track's clock.
fn scale_to(from: Scale, units: i64, to: Scale) -> i64 {
    if from == to { units } else { to.units(from.time(units)) }
}

/// Where the segment after the open one begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boundary {
    /// Clock of `units`.
    pub(super) scale: Scale,
    pub(super) units: i64,
    pub(super) discontinuity: bool,
    /// No frame answered it.
    pub(super) missing: bool,
}

impl Boundary {
    pub(super) fn at(&self) -> MediaTime {
        self.scale.time(self.units)
    }

    /// Whether the last frame, which ends at `own`, stands until here: not over a hole before a discontinuity.
    fn is_reached_from(&self, own: MediaTime) -> bool {
        let most = if self.discontinuity { SMALL_HOLE } else { MAX_SPAN };
        self.at() - own <= most
    }
}
