//! One rendition: its segments in the list and behind it, its figures, and the view that readers get of it.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use media::{FrameRate, MediaSequence, MediaSpan, MediaTime, TICKS_PER_SECOND};

use super::{
    Settings,
    marks::{Mark, Marks},
    spec::{Bandwidth, Family, RenditionSpec, Role, VideoSpec},
};
use crate::{
    Opening, Part, Segment,
    bandwidth::Meter,
    playlist::{Keyframes, Sound, Variant},
    snapshot::{Documents, OpenSegment, RenditionView, ViewInner},
};

/// Declared rates that were measured are rounded up to a multiple of this, so that lists do not change for nothing.
const RATE_STEP_BPS: u64 = 10_000;
/// What a sound is called that nobody named.
const USUAL_SOUND: &str = "Main";
/// Most that a sender's word is taken for: metadata may say anything, and what was told never falls again.
const MAX_HINT_BPS: u64 = 200_000_000;

#[derive(Debug)]
pub(super) struct Rendition {
    pub(super) spec: RenditionSpec,
    pub(super) video_codecs: Option<String>,
    pub(super) audio_codecs: Option<String>,
    /// Channels of the sound, once known.
    pub(super) channels: u8,
    pub(super) bitstream_frame_rate: Option<FrameRate>,
    /// In order, without holes; those before `first_listed` have left the list and wait for `release`.
    held: VecDeque<Held>,
    /// The segments of `held`, shared with the view; remade when they change.
    shown: Arc<Vec<Arc<Segment>>>,
    first_listed: usize,
    listed_span: MediaSpan,
    /// Fragmented MP4: the segment that has begun, and its parts so far.
    open: Option<OpenSegment>,
    meter: Meter,
    /// The same of its keyframes alone, as players read them to skim.
    keyframes: Meter,
    /// Highest BANDWIDTH and AVERAGE-BANDWIDTH told so far.
    pub(super) told_bps: (u64, u64),
    /// Highest BANDWIDTH told of the keyframes.
    told_keyframes_bps: u64,
    overlong: u64,
    pub(super) view: RenditionView,
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

impl Rendition {
    pub(super) fn new(spec: RenditionSpec, settings: &Settings) -> Self {
        let inner = ViewInner {
            id: spec.id.clone(),
            family: spec.family,
            role: spec.role.clone(),
            video: spec.video.clone(),
            codecs: String::new(),
            declared_bps: 0,
            declared_average_bps: 0,
            keyframe_peak_bps: 0,
            measured_peak_bps: 0,
            measured_average_bps: 0,
            overlong_segments: 0,
            target_duration: settings.target_duration,
            ended: false,
            discontinuity_sequence: settings.discontinuity_sequence,
            held: Arc::default(),
            first_listed: 0,
            open: None,
            part_target: (spec.family == Family::Cmaf).then_some(settings.part_target),
            skip_until: settings.skip_until(),
            documents: Documents::default(),
        };
        Self {
            spec,
            video_codecs: None,
            audio_codecs: None,
            channels: 0,
            bitstream_frame_rate: None,
            held: VecDeque::new(),
            shown: Arc::default(),
            first_listed: 0,
            listed_span: MediaSpan::ZERO,
            open: None,
            meter: Meter::new(settings.target_duration),
            keyframes: Meter::new(settings.target_duration),
            told_bps: (0, 0),
            told_keyframes_bps: 0,
            overlong: 0,
            view: RenditionView(Arc::new(inner)),
        }
    }

    pub(super) fn newest(&self) -> Option<MediaSequence> {
        self.held.back().map(|held| held.segment.sequence)
    }

    /// Fills what was left out, lists the segment, and lets the oldest leave the list and memory.
    pub(super) fn append(&mut self, now: Instant, segment: Segment, marks: &Marks, settings: &Settings) {
        let sequence = segment.sequence;
        self.open = None;
        self.fill(now, sequence, segment.start, marks, settings);
        // `note` came before, and keeps the newest marks
        let mark = marks.get(sequence).unwrap_or(Mark {
            discontinuity: segment.discontinuity,
            number: self.held.back().map_or(settings.discontinuity_sequence, |held| held.number)
                + u64::from(segment.discontinuity),
            duration: segment.duration,
            unix_micros: segment.unix_micros,
            open: false,
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

    /// A segment has begun; what was left out before it is filled.
    pub(super) fn open(&mut self, now: Instant, opening: Opening, marks: &Marks, settings: &Settings) {
        self.fill(now, opening.sequence, opening.start, marks, settings);
        let discontinuity =
            marks.get(opening.sequence).map_or(opening.discontinuity, |mark| mark.discontinuity);
        self.open = Some(OpenSegment { opening: Opening { discontinuity, ..opening }, parts: Vec::new() });
    }

    /// The next part of the open segment; false when it is not that segment's next one.
    pub(super) fn part(&mut self, sequence: MediaSequence, index: u32, part: Part) -> bool {
        let Some(open) = &mut self.open else { return false };
        let next = open.opening.sequence == sequence && open.parts.len() == index as usize;
        if next {
            open.parts.push(part);
        }
        next
    }

    /// Numbers between the newest and `sequence` become gaps; too many of them, and the list starts anew.
    fn fill(
        &mut self,
        now: Instant,
        sequence: MediaSequence,
        start: MediaTime,
        marks: &Marks,
        settings: &Settings,
    ) {
        let Some(newest) = self.newest() else { return };
        let missing = newest.next()..sequence;
        if !missing.is_empty() && marks.get(missing.start).is_none() {
            self.delist(now, self.held.len());
            return;
        }
        for (at, mark) in marks.range(missing) {
            let start = self.held.back().map_or(start, |held| held.segment.end());
            let hole = Segment::missing(at, start, mark.duration, mark.discontinuity, mark.unix_micros);
            self.list(hole, &mark, settings);
        }
    }

    fn list(&mut self, mut segment: Segment, mark: &Mark, settings: &Settings) {
        segment.discontinuity = mark.discontinuity;
        if segment.gap {
            self.meter.hole();
            self.keyframes.hole();
        } else {
            self.meter.add(segment.size(), segment.duration);
            let keyframes = segment.keyframes.iter().map(|one| u64::from(one.length)).sum();
            self.keyframes.add(keyframes, segment.duration);
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

    pub(super) fn trim(&mut self, now: Instant) -> bool {
        let before = self.held.len();
        while self.first_listed > 0
            && self.held.front().is_some_and(|held| held.release.is_none_or(|release| release <= now))
        {
            self.held.pop_front();
            self.first_listed -= 1;
        }
        self.held.len() < before
    }

    /// It belongs to `family`.
    pub(super) fn is_of(&self, family: Family) -> bool {
        self.spec.family == family
    }

    /// It has sound alone.
    pub(super) fn is_sound(&self) -> bool {
        self.spec.video.is_none()
    }

    /// How many segments stand in its list.
    pub(super) fn listed(&self) -> usize {
        self.held.len() - self.first_listed
    }

    /// Where its newest segment ends; `None` before the first.
    pub(super) fn end(&self) -> Option<MediaTime> {
        self.held.back().map(|held| held.segment.end())
    }

    pub(super) fn is_alternate(&self) -> bool {
        matches!(self.spec.role, Role::Alternate(_))
    }

    /// It has a segment, and its coding is known.
    pub(super) fn is_playable(&self) -> bool {
        self.held.len() > self.first_listed && self.codecs().is_some()
    }

    /// As one of the sounds to choose from.
    pub(super) fn sound(&self) -> Option<Sound> {
        let (id, choice) = match &self.spec.role {
            Role::Variant(choice) => (None, choice.clone()?),
            Role::Alternate(choice) => (Some(self.spec.id.clone()), choice.clone()),
        };
        let name = if choice.name.is_empty() { USUAL_SOUND.to_owned() } else { choice.name };
        let channels = if choice.channels == 0 { self.channels } else { choice.channels };
        Some(Sound { id, name, language: choice.language, channels })
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

    pub(super) fn variant(&self) -> Option<Variant> {
        let (bandwidth, average_bandwidth) = self.told_bps;
        let video = self.video();
        Some(Variant {
            id: self.spec.id.clone(),
            bandwidth: Some(bandwidth).filter(|rate| *rate > 0)?,
            average_bandwidth,
            codecs: self.codecs()?,
            resolution: video.as_ref().map(|video| (video.width, video.height)),
            frame_rate: video.as_ref().and_then(|video| video.frame_rate),
            keyframes: video.as_ref().and(self.video_codecs.clone()).map(|codecs| Keyframes {
                // Before anything was weighed: keyframes are no more than all of it.
                bandwidth: Some(self.told_keyframes_bps).filter(|rate| *rate > 0).unwrap_or(bandwidth),
                codecs,
            }),
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

    /// Remakes the view after segments came or went.
    pub(super) fn renew_view(&mut self, target_duration: u32, ended: bool) {
        self.told_bps = self.rates();
        let keyframes = self.keyframes.peak_bps().saturating_mul(110).div_ceil(100);
        self.told_keyframes_bps =
            self.told_keyframes_bps.max(keyframes.div_ceil(RATE_STEP_BPS) * RATE_STEP_BPS);
        self.shown = Arc::new(self.held.iter().map(|held| held.segment.clone()).collect());
        self.renew_open(target_duration, ended);
    }

    /// Remakes the view after a part came; segments are as they were.
    pub(super) fn renew_open(&mut self, target_duration: u32, ended: bool) {
        let first = self.held.get(self.first_listed);
        let inner = ViewInner {
            id: self.spec.id.clone(),
            family: self.spec.family,
            role: self.spec.role.clone(),
            video: self.video(),
            codecs: self.codecs().unwrap_or_default(),
            declared_bps: self.told_bps.0,
            declared_average_bps: self.told_bps.1,
            keyframe_peak_bps: self.keyframes.peak_bps(),
            measured_peak_bps: self.meter.peak_bps(),
            measured_average_bps: self.meter.average_bps(),
            overlong_segments: self.overlong,
            target_duration,
            ended,
            discontinuity_sequence: first
                .map_or(0, |held| held.number - u64::from(held.segment.discontinuity)),
            held: self.shown.clone(),
            first_listed: self.first_listed,
            open: self.open.clone(),
            part_target: self.view.0.part_target,
            skip_until: self.view.0.skip_until,
            documents: Documents::default(),
        };
        self.view = RenditionView(Arc::new(inner));
    }
}
