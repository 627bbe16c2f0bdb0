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

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, OnceLock},
    time::Instant,
};

use media::{
    AudioConfig, Epoch, FrameRate, MediaSequence, MediaSpan, MediaTime, StreamName, TICKS_PER_SECOND,
    VideoConfig,
};

use crate::{
    Segment,
    bandwidth::Meter,
    playlist::{ClosedCaptions, Multivariant, Sound, Variant},
    snapshot::{LazyMultivariant, Phase, RenditionView, Snapshot, ViewInner},
};

/// Most missing segments in a row that are filled with gaps; a list that misses more starts anew at the new number.
const MAX_FILL: u64 = 1024;
/// Marks kept for renditions that lag; more than any lag that is not a dead rendition.
const MAX_MARKS: usize = 4096;
/// Declared rates that were measured are rounded up to a multiple of this, so that lists do not change for nothing.
const RATE_STEP_BPS: u64 = 10_000;
/// Most that a sender's word is taken for: metadata may say anything, and what was told never falls again.
const MAX_HINT_BPS: u64 = 200_000_000;

/// What a rendition is, as far as it is known before its first packet.
#[derive(Clone, Debug)]
pub struct RenditionSpec {
    /// Such as `1080p`; also its part of the URL, so it must be unique and plain (`a-z 0-9 - _`).
    pub id: String,
    /// Picture size and rate; `None` for sound alone.
    pub video: Option<VideoSpec>,
    /// Sound is muxed in.
    pub has_audio: bool,
    /// What the multivariant playlist says of its rate.
    pub bandwidth: Bandwidth,
    /// What the multivariant playlist lists it as.
    pub role: Role,
}

/// What a rendition is for players.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// A variant; with what its sound is called where there are alternates to it. All variants have the same sound.
    Variant(Option<Choice>),
    /// A sound of its own, which players may take instead of the one in the variants.
    Alternate(Choice),
}

/// A sound as viewers may choose it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// For people; distinct among a presentation's.
    pub name: String,
    /// Language tag, where known.
    pub language: Option<String>,
    /// 0 where not known.
    pub channels: u8,
}

/// Size and rate of a rendition's picture.
#[derive(Clone, PartialEq, Debug)]
pub struct VideoSpec {
    /// Shown width in pixels.
    pub width: u32,
    /// Shown height in pixels.
    pub height: u32,
    /// Frames a second; taken from the bitstream when `None`.
    pub frame_rate: Option<FrameRate>,
}

/// Where a rendition's BANDWIDTH comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bandwidth {
    /// Encoded here: the encoder's settings bound it. Used as it is, unless a measured peak exceeds it.
    Declared {
        /// BANDWIDTH in bits a second, container overhead included.
        peak_bps: u64,
        /// AVERAGE-BANDWIDTH in bits a second, container overhead included.
        average_bps: u64,
    },
    /// Copied: the sender decides. The larger of hint × 1.10 × 1.25 and measured peak × 1.10; never falls.
    Measured {
        /// What the sender's metadata say of its average, in bits a second, without container overhead.
        hint_average_bps: Option<u64>,
    },
}

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
    refused: u64,
    snapshot: Arc<Snapshot>,
}

/// What all renditions agree on for one sequence number.
#[derive(Clone, Copy, Debug)]
struct Mark {
    discontinuity: bool,
    /// Discontinuity number, its own tag counted.
    number: u64,
    duration: MediaSpan,
    unix_micros: i64,
}

/// Marks by sequence number, without holes.
#[derive(Debug)]
struct Marks {
    by_sequence: BTreeMap<MediaSequence, Mark>,
    /// Discontinuity number before the first mark ever made.
    first_number: u64,
}

#[derive(Debug)]
struct Rendition {
    spec: RenditionSpec,
    video_codecs: Option<String>,
    audio_codecs: Option<String>,
    bitstream_frame_rate: Option<FrameRate>,
    /// In order, without holes; those before `first_listed` have left the list and wait for `release`.
    held: VecDeque<Held>,
    first_listed: usize,
    listed_span: MediaSpan,
    meter: Meter,
    /// Highest BANDWIDTH and AVERAGE-BANDWIDTH told so far.
    told_bps: (u64, u64),
    overlong: u64,
    view: RenditionView,
}

#[derive(Debug)]
struct Held {
    segment: Arc<Segment>,
    number: u64,
    /// Span of the longest list that it stood in.
    longest_list: MediaSpan,
    /// When it may go, set when it leaves the list.
    release: Option<Instant>,
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
        });
        let marks = Marks { by_sequence: BTreeMap::new(), first_number: settings.discontinuity_sequence };
        let captions = Vec::new();
        let phase = Phase::Starting;
        Self { settings, phase, marks, renditions, captions, multivariant: None, refused: 0, snapshot }
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
            let Some(last) = rendition.held.back() else { continue };
            if last.segment.sequence >= sequence {
                continue;
            }
            let start = last.segment.end();
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
        self.marks.by_sequence.last_key_value().map_or(self.marks.first_number, |(_, newest)| newest.number)
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
        let values = self.multivariant_values();
        if self.multivariant.as_ref().map(|lazy| &lazy.values) != values.as_ref() {
            self.multivariant = values.map(|values| Arc::new(LazyMultivariant::new(values)));
        }
        self.snapshot = Arc::new(Snapshot {
            name: self.settings.name.clone(),
            session: self.settings.session,
            phase: self.phase,
            target_duration: self.settings.target_duration,
            renditions: self.renditions.iter().map(|rendition| rendition.view.clone()).collect(),
            multivariant: self.multivariant.clone(),
        });
    }
}

impl Presentation {
    /// What the multivariant playlist says; `None` while it would leave something out that will be there in a moment.
    fn multivariant_values(&self) -> Option<Multivariant> {
        let (alternates, variants): (Vec<_>, Vec<_>) =
            self.renditions.iter().partition(|rendition| rendition.is_alternate());
        let told: Vec<&Rendition> = alternates.iter().copied().filter(|one| one.is_playable()).collect();
        // Players read this list once: those who come first shall see all sounds too, unless one stays away.
        let first = variants.iter().all(|rendition| rendition.held.len() - rendition.first_listed < 2);
        if told.len() < alternates.len() && first && self.multivariant.is_none() {
            return None;
        }
        let mut listed: Vec<Variant> = variants.iter().map(|one| one.variant()).collect::<Option<_>>()?;
        if !variants.iter().any(|one| one.is_playable()) {
            return None;
        }
        // A player that takes an alternate loads it beside the variant (RFC 8216 §4.3.4.2).
        let most = |rate: fn(&Rendition) -> u64| told.iter().map(|one| rate(one)).max().unwrap_or(0);
        let (peak, average) = (most(|one| one.told_bps.0), most(|one| one.told_bps.1));
        for variant in &mut listed {
            variant.bandwidth += peak;
            variant.average_bandwidth += average;
            for codecs in told.iter().filter_map(|one| one.audio_codecs.as_deref()) {
                if !variant.codecs.split(',').any(|known| known == codecs) {
                    variant.codecs = format!("{},{codecs}", variant.codecs);
                }
            }
        }
        let main = variants.iter().filter(|_| !told.is_empty()).take(1);
        let sounds = main.chain(&told).filter_map(|one| one.sound()).collect();
        let captions = self.captions.clone();
        Some(Multivariant { session: self.settings.session, variants: listed, sounds, captions })
    }
}

impl Marks {
    /// Settles what `sequence` is, if it is not settled; numbers between are taken for missing segments.
    fn note(&mut self, sequence: MediaSequence, segment: &Segment, target_duration: u32) {
        if self.by_sequence.contains_key(&sequence) {
            return;
        }
        let mark = |number, discontinuity| Mark {
            discontinuity,
            number,
            duration: segment.duration,
            unix_micros: segment.unix_micros,
        };
        let Some((&last, &before)) = self.by_sequence.last_key_value() else {
            let number = self.first_number + u64::from(segment.discontinuity);
            self.by_sequence.insert(sequence, mark(number, segment.discontinuity));
            return;
        };
        if let Some((&earliest, &first)) = self.by_sequence.first_key_value()
            && sequence < earliest
        {
            // A rendition began earlier than the first that told: its number follows from what is settled.
            let number = first.number - u64::from(first.discontinuity);
            for between in (sequence.0..earliest.0).rev().take(MAX_FILL as usize) {
                self.by_sequence.insert(MediaSequence(between), mark(number, false));
            }
            let own = mark(number, segment.discontinuity && number > self.first_number);
            self.by_sequence.insert(sequence, own);
            return;
        }
        if sequence.0 - last.0 > MAX_FILL {
            self.by_sequence.clear();
        } else {
            let missing = sequence.0 - last.0 - 1;
            let from = before.unix_micros + micros(before.duration);
            let room = MediaSpan::from_ticks((segment.unix_micros - from).max(0) / 100 * 9);
            let limit = MediaSpan::from_ticks(i64::from(target_duration) * TICKS_PER_SECOND);
            for nth in 0..missing {
                let each = room.ticks() / missing as i64;
                let duration = if each > 0 { MediaSpan::from_ticks(each).min(limit) } else { limit };
                let unix_micros = from + micros(duration) * nth as i64;
                let mark = Mark { discontinuity: false, number: before.number, duration, unix_micros };
                self.by_sequence.insert(MediaSequence(last.0 + 1 + nth), mark);
            }
        }
        let number = before.number + u64::from(segment.discontinuity);
        self.by_sequence.insert(sequence, mark(number, segment.discontinuity));
        while self.by_sequence.len() > MAX_MARKS {
            self.by_sequence.pop_first();
        }
    }
}

impl Rendition {
    fn new(spec: RenditionSpec, settings: &Settings) -> Self {
        let inner = ViewInner {
            id: spec.id.clone(),
            video: spec.video.clone(),
            codecs: String::new(),
            declared_bps: 0,
            declared_average_bps: 0,
            measured_peak_bps: 0,
            measured_average_bps: 0,
            overlong_segments: 0,
            target_duration: settings.target_duration,
            ended: false,
            discontinuity_sequence: settings.discontinuity_sequence,
            held: Vec::new(),
            first_listed: 0,
            playlist: OnceLock::new(),
        };
        Self {
            spec,
            video_codecs: None,
            audio_codecs: None,
            bitstream_frame_rate: None,
            held: VecDeque::new(),
            first_listed: 0,
            listed_span: MediaSpan::ZERO,
            meter: Meter::new(settings.target_duration),
            told_bps: (0, 0),
            overlong: 0,
            view: RenditionView(Arc::new(inner)),
        }
    }

    fn newest(&self) -> Option<MediaSequence> {
        self.held.back().map(|held| held.segment.sequence)
    }

    /// Fills what was left out, lists the segment, and lets the oldest leave the list and memory.
    fn append(&mut self, now: Instant, segment: Segment, marks: &Marks, settings: &Settings) {
        let sequence = segment.sequence;
        if let Some(newest) = self.newest() {
            let missing = newest.next()..sequence;
            if marks.by_sequence.contains_key(&missing.start) || missing.is_empty() {
                for (&at, mark) in marks.by_sequence.range(missing) {
                    let start = self.held.back().map_or(segment.start, |held| held.segment.end());
                    let hole =
                        Segment::missing(at, start, mark.duration, mark.discontinuity, mark.unix_micros);
                    self.list(hole, mark, settings);
                }
            } else {
                self.delist(now, self.held.len());
            }
        }
        // `note` came before, and keeps the newest marks
        let mark = marks.by_sequence.get(&sequence).copied().unwrap_or(Mark {
            discontinuity: segment.discontinuity,
            number: self.held.back().map_or(settings.discontinuity_sequence, |held| held.number)
                + u64::from(segment.discontinuity),
            duration: segment.duration,
            unix_micros: segment.unix_micros,
        });
        self.list(segment, &mark, settings);

        for held in self.held.range_mut(self.first_listed..) {
            held.longest_list = held.longest_list.max(self.listed_span);
        }
        let floor = MediaSpan::from_ticks(3 * i64::from(settings.target_duration) * TICKS_PER_SECOND);
        let window = settings.window.max(floor);
        let mut leaving = 0;
        let mut rest = self.listed_span;
        let listed = self.held.len() - self.first_listed;
        for held in self.held.range(self.first_listed..) {
            rest = rest - held.segment.duration;
            if rest < window || listed - leaving <= settings.min_segments.max(1) {
                break;
            }
            leaving += 1;
        }
        self.delist(now, leaving);
        self.trim(now);
    }

    fn list(&mut self, mut segment: Segment, mark: &Mark, settings: &Settings) {
        segment.discontinuity = mark.discontinuity;
        if segment.gap {
            self.meter.hole();
        } else {
            self.meter.add(segment.size(), segment.duration);
        }
        let rounded = (segment.duration.ticks() + TICKS_PER_SECOND / 2) / TICKS_PER_SECOND;
        self.overlong += u64::from(rounded > i64::from(settings.target_duration));
        self.listed_span += segment.duration;
        let held = Held {
            segment: Arc::new(segment),
            number: mark.number,
            longest_list: MediaSpan::ZERO,
            release: None,
        };
        self.held.push_back(held);
    }

    /// Takes up to `count` segments off the top of the list.
    fn delist(&mut self, now: Instant, count: usize) {
        let end = self.held.len().min(self.first_listed + count);
        for held in self.held.range_mut(self.first_listed..end) {
            self.listed_span = self.listed_span - held.segment.duration;
            held.release = now.checked_add((held.segment.duration + held.longest_list).to_duration());
        }
        self.first_listed = end;
    }

    fn trim(&mut self, now: Instant) -> bool {
        let before = self.held.len();
        while self.first_listed > 0
            && self.held.front().is_some_and(|held| held.release.is_none_or(|release| release <= now))
        {
            self.held.pop_front();
            self.first_listed -= 1;
        }
        self.held.len() < before
    }

    fn is_alternate(&self) -> bool {
        matches!(self.spec.role, Role::Alternate(_))
    }

    /// It has a segment, and its coding is known.
    fn is_playable(&self) -> bool {
        self.held.len() > self.first_listed && self.codecs().is_some()
    }

    /// As one of the sounds to choose from.
    fn sound(&self) -> Option<Sound> {
        let (id, choice) = match &self.spec.role {
            Role::Variant(choice) => (None, choice.clone()?),
            Role::Alternate(choice) => (Some(self.spec.id.clone()), choice.clone()),
        };
        Some(Sound { id, name: choice.name, language: choice.language, channels: choice.channels })
    }

    /// CODECS, once all of them are known.
    fn codecs(&self) -> Option<String> {
        let video = match (&self.spec.video, &self.video_codecs) {
            (Some(_), None) => return None,
            (Some(_), known) => known.as_deref(),
            (None, _) => None,
        };
        let audio = match (self.spec.has_audio, &self.audio_codecs) {
            (true, None) => return None,
            (true, known) => known.as_deref(),
            (false, _) => None,
        };
        Some([video, audio].into_iter().flatten().collect::<Vec<_>>().join(","))
    }

    fn video(&self) -> Option<VideoSpec> {
        let spec = self.spec.video.clone()?;
        Some(VideoSpec { frame_rate: spec.frame_rate.or(self.bitstream_frame_rate), ..spec })
    }

    fn variant(&self) -> Option<Variant> {
        let (bandwidth, average_bandwidth) = self.told_bps;
        let video = self.video();
        Some(Variant {
            id: self.spec.id.clone(),
            bandwidth: Some(bandwidth).filter(|rate| *rate > 0)?,
            average_bandwidth,
            codecs: self.codecs()?,
            resolution: video.as_ref().map(|video| (video.width, video.height)),
            frame_rate: video.and_then(|video| video.frame_rate),
            playable: self
                .held
                .iter()
                .skip(self.first_listed)
                .next_back()
                .is_some_and(|held| !held.segment.gap),
        })
    }

    /// BANDWIDTH and AVERAGE-BANDWIDTH to tell from now on.
    fn rates(&self) -> (u64, u64) {
        let step = |rate: u64| rate.div_ceil(RATE_STEP_BPS) * RATE_STEP_BPS;
        let (peak, average) = match self.spec.bandwidth {
            Bandwidth::Declared { peak_bps, average_bps } => {
                let measured = self.meter.peak_bps();
                (if measured > peak_bps { step(measured) } else { peak_bps }, average_bps)
            }
            Bandwidth::Measured { hint_average_bps } => {
                let hint = hint_average_bps.unwrap_or(0).min(MAX_HINT_BPS);
                let percent = |rate: u64, percent: u64| rate.saturating_mul(percent).div_ceil(100);
                let peak = percent(percent(hint, 110), 125).max(percent(self.meter.peak_bps(), 110));
                (step(peak), step(percent(hint, 110).max(self.meter.average_bps())))
            }
        };
        let peak = peak.max(self.told_bps.0);
        (peak, average.max(self.told_bps.1).min(peak))
    }

    fn renew_view(&mut self, target_duration: u32, ended: bool) {
        self.told_bps = self.rates();
        let first = self.held.get(self.first_listed);
        let inner = ViewInner {
            id: self.spec.id.clone(),
            video: self.video(),
            codecs: self.codecs().unwrap_or_default(),
            declared_bps: self.told_bps.0,
            declared_average_bps: self.told_bps.1,
            measured_peak_bps: self.meter.peak_bps(),
            measured_average_bps: self.meter.average_bps(),
            overlong_segments: self.overlong,
            target_duration,
            ended,
            discontinuity_sequence: first
                .map_or(0, |held| held.number - u64::from(held.segment.discontinuity)),
            held: self.held.iter().map(|held| held.segment.clone()).collect(),
            first_listed: self.first_listed,
            playlist: OnceLock::new(),
        };
        self.view = RenditionView(Arc::new(inner));
    }
}

/// A span in microseconds.
fn micros(span: MediaSpan) -> i64 {
    span.ticks().saturating_mul(100) / 9
}
