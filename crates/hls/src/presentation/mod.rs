//! All renditions of one stream: which segments are listed, which are still kept, what their lists say.
//!
//! ```text
//!  Segment of one rendition ─▶ push ─▶ marks (number and discontinuity of every segment, the same for all renditions)
//!                                  └─▶ window: listed ─▶ kept as RFC 8216 §6.2.2 asks ─▶ freed
//!  after any change: snapshot() ─▶ Arc<Snapshot>
//! ```
//!
//! A list only ever grows at its end and shrinks at its top. What a rendition fails to deliver becomes an EXT-X-GAP
//! entry as long as the other renditions say, so that numbers stay equal and without holes. Memory is bounded by the
//! window: a segment leaves the list when the rest still spans the window, and leaves memory after its own duration
//! plus that of the longest list it stood in.

mod marks;
mod offer;
mod rendition;
mod spec;

use std::{sync::Arc, time::Instant};

use media::{
    AudioConfig, Epoch, MediaSequence, MediaSpan, MediaTime, StreamName, TICKS_PER_SECOND, VideoConfig,
};

pub use self::spec::{Bandwidth, Choice, Family, RenditionSpec, Role, VideoSpec};
use self::{marks::Marks, rendition::Rendition};
use crate::{
    Opening, Part, Segment,
    playlist::ClosedCaptions,
    snapshot::{LazyMultivariant, Phase, Snapshot},
};

/// What holds for the life of one presentation.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The stream's public name.
    pub name: StreamName,
    /// This publication: part of every URL.
    pub session: Epoch,
    /// EXT-X-TARGETDURATION in seconds, at least 1.
    pub target_duration: u32,
    /// Media time that each list spans at least, once there is as much. Never below three target durations.
    pub window: MediaSpan,
    /// Segments that each list holds at least, once there are as many.
    pub min_segments: usize,
    /// Discontinuity number of the first segment, before its own tag.
    pub discontinuity_sequence: u64,
    /// PART-TARGET of renditions of fragmented MP4.
    pub part_target: MediaSpan,
}

impl Settings {
    /// CAN-SKIP-UNTIL: delta updates pay in windows of more than two minutes (Apple's authoring rules, 14.4).
    fn skip_until(&self) -> Option<MediaSpan> {
        let offered = self.window > MediaSpan::from_millis(120_000);
        offered.then(|| MediaSpan::from_ticks(6 * i64::from(self.target_duration) * TICKS_PER_SECOND))
    }
}

/// The renditions of one stream.
#[derive(Debug)]
pub struct Presentation {
    settings: Settings,
    phase: Phase,
    marks: Marks,
    renditions: Vec<Rendition>,
    captions: Vec<ClosedCaptions>,
    multivariant: Option<Arc<LazyMultivariant>>,
    low_latency: Option<Arc<LazyMultivariant>>,
    refused: u64,
    snapshot: Arc<Snapshot>,
}

impl Presentation {
    /// A presentation with nothing to play yet. At least one rendition; the first is the largest.
    pub fn new(settings: Settings, renditions: Vec<RenditionSpec>) -> Self {
        let settings = Settings { target_duration: settings.target_duration.max(1), ..settings };
        let renditions: Vec<_> = renditions.into_iter().map(|spec| Rendition::new(spec, &settings)).collect();
        let snapshot = Arc::new(Snapshot {
            name: settings.name.clone(),
            session: settings.session,
            phase: Phase::Starting,
            target_duration: settings.target_duration,
            renditions: renditions.iter().map(|rendition| rendition.view.clone()).collect(),
            multivariant: None,
            low_latency: None,
        });
        let marks = Marks::new(settings.discontinuity_sequence);
        let captions = Vec::new();
        let phase = Phase::Starting;
        Self {
            settings,
            phase,
            marks,
            renditions,
            captions,
            multivariant: None,
            low_latency: None,
            refused: 0,
            snapshot,
        }
    }

    /// Tells which closed captions are in the pictures of every variant; none, until told.
    ///
    /// Captions may be told of at any time: nothing in RFC 8216 keeps a multivariant playlist as it was (§6.2.1 binds
    /// media playlists alone), and each one is right in itself. Players read it once, so only those who come later learn
    /// of them. What was told should not be taken back.
    pub fn set_captions(&mut self, captions: Vec<ClosedCaptions>) {
        if self.captions != captions {
            self.captions = captions;
            self.publish(None);
        }
    }

    /// Tells what a rendition's codecs are; a `None` leaves what was known. An index out of range is ignored.
    pub fn set_codecs(&mut self, rendition: usize, video: Option<&VideoConfig>, audio: Option<&AudioConfig>) {
        let Some(known) = self.renditions.get_mut(rendition) else { return };
        if let Some(video) = video {
            known.video_codecs = Some(video.codecs());
            known.bitstream_frame_rate = video.frame_rate();
        }
        if let Some(audio) = audio {
            known.audio_codecs = Some(audio.codecs());
            known.channels = audio.channels();
        }
        self.publish(Some(rendition));
    }

    /// Lists a finished segment of one rendition. The first push of all makes the stream live.
    ///
    /// A number that was listed already, a push after the end, and an index out of range are refused and counted.
    /// Numbers that were left out become gaps. Whether the segment is a discontinuity is settled by the rendition that
    /// brings the number first; the others follow it.
    pub fn push(&mut self, now: Instant, rendition: usize, segment: Segment) {
        let known = self.renditions.get(rendition);
        let stale = known.is_none_or(|known| known.newest().is_some_and(|newest| segment.sequence <= newest));
        if stale || self.phase == Phase::Ended {
            self.refused += 1;
            return;
        }
        self.marks.note(segment.sequence, &segment, self.settings.target_duration);
        if self.phase == Phase::Starting {
            self.phase = Phase::Live;
        }
        self.renditions[rendition].append(now, segment, &self.marks, &self.settings);
        self.publish(Some(rendition));
    }

    /// A segment of fragmented MP4 has begun: what its list says before the first part. Refused and counted as in
    /// [`Self::push`].
    pub fn open(&mut self, now: Instant, rendition: usize, opening: Opening) {
        let known = self.renditions.get(rendition);
        let stale = known.is_none_or(|known| known.newest().is_some_and(|newest| opening.sequence <= newest));
        if stale || self.phase == Phase::Ended {
            self.refused += 1;
            return;
        }
        self.marks.note_open(&opening, self.settings.target_duration);
        self.renditions[rendition].open(now, opening, &self.marks, &self.settings);
        // Gaps may have been filled before it.
        self.publish(Some(rendition));
    }

    /// Lists the next part of the open segment. Any other is refused and counted.
    pub fn part(&mut self, rendition: usize, sequence: MediaSequence, index: u32, part: Part) {
        let ended = self.phase == Phase::Ended;
        let known = self.renditions.get_mut(rendition).filter(|_| !ended);
        if let Some(known) = known
            && known.part(sequence, index, part)
        {
            known.renew_open(self.settings.target_duration, ended);
            self.publish(None);
        } else {
            self.refused += 1;
        }
    }

    /// Lists a hole in every rendition that has begun: the media of `sequence` are missing for `duration`. The caller
    /// sees to it that each rendition has pushed all its segments before.
    pub fn gap(
        &mut self,
        now: Instant,
        sequence: MediaSequence,
        duration: MediaSpan,
        discontinuity: bool,
        unix_micros: i64,
    ) {
        if self.phase == Phase::Ended {
            self.refused += 1;
            return;
        }
        let hole = Segment::missing(sequence, MediaTime::ZERO, duration, discontinuity, unix_micros);
        self.marks.note(sequence, &hole, self.settings.target_duration);
        for rendition in &mut self.renditions {
            let Some(start) = rendition.end() else { continue };
            if rendition.newest().is_none_or(|newest| newest >= sequence) {
                continue;
            }
            rendition.append(now, Segment { start, ..hole.clone() }, &self.marks, &self.settings);
        }
        self.publish_all();
    }

    /// Moves the stream on in its life. [`Phase::Ended`] closes every list and is final.
    pub fn set_phase(&mut self, phase: Phase) {
        if self.phase == phase || self.phase == Phase::Ended {
            return;
        }
        self.phase = phase;
        if phase == Phase::Ended {
            self.publish_all();
        } else {
            self.publish(None);
        }
    }

    /// Frees segments that left their list long enough ago. Call it now and then, also after the end.
    pub fn trim(&mut self, now: Instant) {
        let mut changed = false;
        for rendition in &mut self.renditions {
            changed |= rendition.trim(now);
        }
        if changed {
            self.publish_all();
        }
    }

    /// The present view. Asking twice without a change between gives the same one.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.clone()
    }

    /// The discontinuity number of the newest segment of any rendition, its own tag counted.
    pub fn discontinuities(&self) -> u64 {
        self.marks.newest_number()
    }

    /// Segments that were not taken: numbers listed before, or pushed after the end.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn publish_all(&mut self) {
        let ended = self.phase == Phase::Ended;
        for rendition in &mut self.renditions {
            rendition.renew_view(self.settings.target_duration, ended);
        }
        self.publish(None);
    }

    /// Renews one rendition's view, then the snapshot.
    fn publish(&mut self, changed: Option<usize>) {
        let ended = self.phase == Phase::Ended;
        if let Some(rendition) = changed.and_then(|at| self.renditions.get_mut(at)) {
            rendition.renew_view(self.settings.target_duration, ended);
        }
        self.offer(Family::Ts);
        self.offer(Family::Cmaf);
        self.snapshot = Arc::new(Snapshot {
            name: self.settings.name.clone(),
            session: self.settings.session,
            phase: self.phase,
            target_duration: self.settings.target_duration,
            renditions: self.renditions.iter().map(|rendition| rendition.view.clone()).collect(),
            multivariant: self.multivariant.clone(),
            low_latency: self.low_latency.clone(),
        });
    }

    /// Renews a multivariant playlist, if something in it has changed.
    fn offer(&mut self, family: Family) {
        let told = match family {
            Family::Ts => &mut self.multivariant,
            Family::Cmaf => &mut self.low_latency,
        };
        let session = self.settings.session;
        let values = offer::multivariant(family, &self.renditions, session, &self.captions, told.is_some());
        if told.as_ref().map(|lazy| &lazy.values) != values.as_ref() {
            *told = values.map(|values| Arc::new(LazyMultivariant::new(values)));
        }
    }
}
