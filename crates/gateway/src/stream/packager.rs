//! One presentation's packaging, without tasks or clocks: source packets and encoded packets go in, a snapshot comes
//! out. It owns the cut plan, a segmenter per rendition, and the source packets that an encoder may need again.
//!
//! ```text
//!  source packet ─▶ CutPlan ─┬▶ Step::Cut, Step::Packet ─▶ steps (kept until every dependent rendition is past them)
//!                            │                               └▶ encoder, at its own pace; from the start again if it dies
//!                            └▶ copied renditions' segmenters ─┐
//!  encoder's packet ───────────▶ encoded renditions' segmenters ┴▶ Presentation ─▶ Snapshot
//! ```

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::{saved::Codecs, silence::Silence};
use bytes::Bytes;
use hls::{
    Segment,
    cut::{Cut, CutPlan, Mode, WallClock},
    presentation::{Bandwidth, Presentation, RenditionSpec, VideoSpec},
    segmenter::Segmenter,
    snapshot::{Phase, RenditionView, Snapshot},
};
use media::{AudioConfig, MediaSequence, MediaSpan, MediaTime, Packet, TrackId, TrackKind, VideoConfig};
use transcode::{
    Input,
    ladder::{AudioPlan, CutMode, Plan, Treatment},
};

/// Source packets kept for the encoder hold at most this many bytes: 20 s of 25 Mbit/s. Past it the oldest that it was
/// given already are dropped, and should it die, its rungs miss what comes before the next keyframe.
const KEPT_BYTES: usize = 64 << 20;
/// An encoder further behind than this has lost the race; see [`Packager::overrun`].
const MOST_LAG: MediaSpan = MediaSpan::from_millis(12_000);

/// What the encoder is told, in order.
#[derive(Debug, Clone)]
enum Step {
    Cut(Cut),
    Packet(Packet),
}

/// Where one rendition's pictures come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pictures {
    /// Audio only.
    None,
    Source,
    /// Index among the encoded rungs.
    Rung(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sound {
    None,
    Source,
    Encoder,
    /// The publication has none, but the presentation promised it.
    Silence,
}

struct Lane {
    pictures: Pictures,
    segmenter: Segmenter,
}

/// See the module.
pub(super) struct Packager {
    presentation: Presentation,
    lanes: Vec<Lane>,
    sound: Sound,
    silence: Option<Silence>,
    has_video: bool,
    encodes: bool,
    cuts: CutPlan,
    clock: WallClock,
    codecs: Codecs,
    target: MediaSpan,
    steps: VecDeque<Step>,
    kept_bytes: usize,
    /// Steps at the front that the running encoder has been given.
    given: usize,
    /// End of the newest source packet.
    end: MediaTime,
}

/// How the publication that begins relates to the presentation.
pub(super) struct Publication<'a> {
    pub(super) plan: &'a Plan,
    pub(super) video: Option<&'a Arc<VideoConfig>>,
    pub(super) audio: Option<&'a Arc<AudioConfig>>,
    /// Media time and wall time of its first packet.
    pub(super) clock: WallClock,
    /// Its first segment carries a discontinuity.
    pub(super) continues: bool,
}

/// The renditions that a plan makes.
pub(super) fn rendition_specs(plan: &Plan, has_audio: bool) -> Vec<RenditionSpec> {
    if plan.rungs.is_empty() {
        let bandwidth = Bandwidth::Measured { hint_average_bps: None };
        return vec![RenditionSpec { id: "audio".to_owned(), video: None, has_audio, bandwidth }];
    }
    let spec = |rung: &transcode::ladder::Rung| RenditionSpec {
        id: rung.name.clone(),
        video: Some(VideoSpec { width: rung.width, height: rung.height, frame_rate: rung.frame_rate }),
        has_audio,
        bandwidth: match (&rung.treatment, rung.peak_bps, rung.average_bps) {
            (Treatment::Encode(_), Some(peak_bps), Some(average_bps)) => {
                Bandwidth::Declared { peak_bps, average_bps }
            }
            (_, _, hint_average_bps) => Bandwidth::Measured { hint_average_bps },
        },
    };
    plan.rungs.iter().map(spec).collect()
}

impl Packager {
    /// A packager for a presentation that has just been made, whose first segment is `first`.
    ///
    /// `promised` is what the presentation's multivariant playlist already says, where it outlived a process.
    pub(super) fn new(
        presentation: Presentation,
        publication: &Publication<'_>,
        first: MediaSequence,
        promised: Option<Codecs>,
    ) -> Self {
        let plan = publication.plan;
        let mut packager = Self {
            presentation,
            lanes: Vec::new(),
            sound: Sound::None,
            silence: None,
            has_video: !plan.rungs.is_empty(),
            encodes: false,
            cuts: CutPlan::new(Mode::Grid, plan.segment, plan.longest, first),
            clock: publication.clock,
            codecs: Codecs { video: vec![None; plan.rungs.len().max(1)], audio: None },
            target: MediaSpan::from_millis(i64::from(plan.target_duration) * 1000),
            steps: VecDeque::new(),
            kept_bytes: 0,
            given: 0,
            end: publication.clock.at,
        };
        let has_audio =
            publication.audio.is_some() || promised.as_ref().is_some_and(|codecs| codecs.audio.is_some());
        let lanes = plan.rungs.len().max(1);
        packager.lanes = (0..lanes)
            .map(|_| Lane {
                pictures: Pictures::None,
                segmenter: Segmenter::new(packager.has_video, has_audio),
            })
            .collect();
        packager.begin(publication, first);
        packager.codecs = promised.unwrap_or(packager.codecs);
        packager
    }

    /// A publication begins, the first one or a later one; the one before must have been finished.
    pub(super) fn begin(&mut self, publication: &Publication<'_>, first: MediaSequence) {
        let plan = publication.plan;
        let mode = if plan.cut == CutMode::Keyframes { Mode::Keyframes } else { Mode::Grid };
        self.cuts = CutPlan::new(mode, plan.segment, plan.longest, first);
        if publication.continues {
            self.cuts.break_at_next();
        }
        self.clock = publication.clock;
        self.end = self.end.max(publication.clock.at);
        self.steps.clear();
        (self.kept_bytes, self.given) = (0, 0);
        let absent = publication.audio.is_none() || plan.audio == AudioPlan::None;
        let promised = self.codecs.audio.as_ref().filter(|_| absent && self.has_video);
        self.silence = promised.and_then(|config| Silence::new(config, publication.clock.at));
        self.sound = match (&plan.audio, publication.audio) {
            _ if self.silence.is_some() => Sound::Silence,
            (_, None) | (AudioPlan::None, _) => Sound::None,
            (AudioPlan::Copy, Some(_)) => Sound::Source,
            (AudioPlan::Encode(_), Some(_)) => Sound::Encoder,
        };
        let mut rungs = 0;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            lane.pictures = match plan.rungs.get(index).map(|rung| &rung.treatment) {
                None => Pictures::None,
                Some(Treatment::Copy) => Pictures::Source,
                Some(Treatment::Encode(_)) => {
                    rungs += 1;
                    Pictures::Rung(rungs - 1)
                }
            };
            if let (Pictures::Source, Some(config)) = (lane.pictures, publication.video) {
                lane.segmenter.video_config(config.clone());
                self.presentation.set_codecs(index, Some(config), None);
                self.codecs.video[index] = Some((**config).clone());
            }
            if let (Sound::Source, Some(config)) = (self.sound, publication.audio) {
                lane.segmenter.audio_config(config.clone());
                self.presentation.set_codecs(index, None, Some(config));
                self.codecs.audio = Some((**config).clone());
            }
        }
        if let Some(silence) = &self.silence {
            let config = Arc::new(silence.config().clone());
            for lane in &mut self.lanes {
                lane.segmenter.audio_config(config.clone());
            }
        }
        self.encodes = rungs > 0 || self.sound == Sound::Encoder;
    }

    /// The encoder has opened its codecs.
    pub(super) fn encoder_ready(&mut self, video: &[VideoConfig], audio: &[(TrackId, AudioConfig)]) {
        let audio = audio.first().map(|(_, config)| Arc::new(config.clone()));
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if let Pictures::Rung(rung) = lane.pictures
                && let Some(config) = video.get(rung)
            {
                lane.segmenter.video_config(Arc::new(config.clone()));
                self.presentation.set_codecs(index, Some(config), None);
                self.codecs.video[index] = Some(config.clone());
            }
            if let (Sound::Encoder, Some(config)) = (self.sound, &audio) {
                lane.segmenter.audio_config(config.clone());
                self.presentation.set_codecs(index, None, Some(config));
                self.codecs.audio = Some((**config).clone());
            }
        }
    }

    /// Takes one source packet, already on the stream's clock.
    pub(super) fn source(&mut self, packet: Packet) {
        let leads = (packet.kind == TrackKind::Video) == self.has_video;
        self.end = self.end.max(packet.pts);
        if leads {
            for cut in self.cuts.see(&packet, self.clock) {
                self.tell(cut);
            }
        }
        if self.sound == Sound::Silence && packet.kind == TrackKind::Audio {
            return; // a track that the plan left out
        }
        let until = packet.dts;
        self.pass(packet);
        let silence = self.silence.as_mut().map(|silence| silence.until(until));
        for packet in silence.into_iter().flatten() {
            self.pass(packet);
        }
    }

    /// Gives a packet to the renditions that take it as it is, and keeps it for the encoder.
    fn pass(&mut self, packet: Packet) {
        for lane in &mut self.lanes {
            if copied(self.sound, lane, &packet) {
                lane.segmenter.push(packet.clone());
            }
        }
        self.keep(Step::Packet(packet));
    }

    fn keep(&mut self, step: Step) {
        if !self.encodes {
            return;
        }
        if let Step::Packet(packet) = &step {
            self.kept_bytes += packet.data.len();
        }
        self.steps.push_back(step);
    }

    /// The publication goes on in the middle of a group of pictures: its first segment begins right after what was
    /// packaged so far, and the encoder starts at the keyframe before, with `packets`.
    pub(super) fn preroll(&mut self, packets: Vec<Packet>) {
        let start = self.end + MediaSpan::from_ticks(1);
        for cut in self.cuts.anchor(start, self.clock) {
            self.tell(cut);
        }
        for packet in packets {
            self.keep(Step::Packet(packet));
        }
    }

    fn tell(&mut self, cut: Cut) {
        for lane in &mut self.lanes {
            lane.segmenter.cut(cut);
        }
        self.keep(Step::Cut(cut));
    }

    /// Whether a copied source has gone on for longer than a segment may last without a keyframe.
    pub(super) fn overdue(&self, packet: &Packet) -> bool {
        packet.kind == TrackKind::Video && self.cuts.overdue(packet)
    }

    /// The timeline broke; the next keyframe opens a segment with a discontinuity, dated anew.
    pub(super) fn break_at_next(&mut self, clock: WallClock) {
        self.cuts.break_at_next();
        self.clock = clock;
    }

    /// Takes one packet that the encoder made.
    pub(super) fn encoded_video(&mut self, rung: usize, packet: &Packet) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.pictures == Pictures::Rung(rung)) {
            lane.segmenter.push(packet.clone());
        }
    }

    /// Takes one sound packet that the encoder made.
    pub(super) fn encoded_audio(&mut self, packet: &Packet) {
        for lane in &mut self.lanes {
            lane.segmenter.push(packet.clone());
        }
    }

    /// The next thing to tell the encoder, if it has not been told everything. Call [`Self::told`] once it was taken.
    pub(super) fn next_input(&self) -> Option<Input> {
        self.steps.iter().skip(self.given).find(|step| self.concerns_encoder(step)).map(|step| match step {
            Step::Cut(cut) => Input::CutAt(cut.at),
            Step::Packet(packet) => Input::Packet(packet.clone()),
        })
    }

    /// The encoder took what [`Self::next_input`] gave.
    pub(super) fn told(&mut self) {
        while let Some(step) = self.steps.get(self.given) {
            self.given += 1;
            if self.concerns_encoder(step) {
                break;
            }
        }
    }

    fn concerns_encoder(&self, step: &Step) -> bool {
        match step {
            Step::Cut(_) => true,
            Step::Packet(packet) => packet.kind == TrackKind::Video || self.sound == Sound::Encoder,
        }
    }

    /// A new encoder starts where the last one's unfinished segments began.
    pub(super) fn restart_encoder(&mut self) {
        self.given = 0;
        let dependent: Vec<usize> = self.dependent().collect();
        for index in dependent {
            self.lanes[index].segmenter.rewind();
        }
        self.replay();
    }

    /// Gives rewound segmenters the copied parts of what is kept again; the encoder's parts come from the encoder.
    fn replay(&mut self) {
        let (sound, steps) = (self.sound, &self.steps);
        for lane in self.lanes.iter_mut().filter(|lane| depends(sound, lane)) {
            for step in steps {
                let Step::Packet(packet) = step else { continue };
                if copied(sound, lane, packet) {
                    lane.segmenter.push(packet.clone());
                }
            }
        }
    }

    /// Renditions that need the encoder.
    fn dependent(&self) -> impl Iterator<Item = usize> + '_ {
        let needs = |(index, lane)| depends(self.sound, lane).then_some(index);
        self.lanes.iter().enumerate().filter_map(needs)
    }

    /// Whether the encoder is too far behind to catch up.
    pub(super) fn overrun(&self) -> bool {
        self.lag() > MOST_LAG
    }

    /// From the start of the oldest segment that waits for the encoder to the newest source packet: a segment's length
    /// and half a second, when all is well.
    pub(super) fn lag(&self) -> MediaSpan {
        self.oldest_cut().map_or(MediaSpan::ZERO, |cut| (self.end - cut.at).max(MediaSpan::ZERO))
    }

    /// The oldest cut whose segment some dependent rendition has not finished.
    fn oldest_cut(&self) -> Option<Cut> {
        let oldest =
            self.dependent().filter_map(|index| self.lanes[index].segmenter.oldest_unfinished()).min()?;
        self.steps.iter().find_map(|step| match step {
            Step::Cut(cut) if cut.sequence >= oldest => Some(*cut),
            _ => None,
        })
    }

    /// Gives up what the encoder has not made yet, up to the newest point where it can start: those segments become
    /// gaps in the renditions that needed them. Returns how many segments were lost; the encoder must be restarted.
    pub(super) fn skip_ahead(&mut self) -> u64 {
        let newest = self.steps.iter().rev().find_map(|step| match step {
            // In grid mode the newest cut may still lie ahead.
            Step::Cut(cut) if cut.at <= self.end => Some(*cut),
            _ => None,
        });
        let (Some(newest), Some(oldest)) = (newest, self.oldest_cut()) else { return 0 };
        let start = self.keyframe_before(newest.at);
        self.drop_front(start);
        self.given = 0;
        newest.sequence.0.saturating_sub(oldest.sequence.0)
    }

    /// Index of the last step from which an encoder can start and still show the picture at `at`.
    fn keyframe_before(&self, at: MediaTime) -> usize {
        let mut found = 0;
        for (index, step) in self.steps.iter().enumerate() {
            if let Step::Packet(packet) = step
                && packet.keyframe
                && (packet.kind == TrackKind::Video) == self.has_video
                && packet.pts <= at
            {
                found = index;
            }
        }
        // The cuts that were announced with it stand right before it.
        while found > 0 && matches!(self.steps[found - 1], Step::Cut(_)) {
            found -= 1;
        }
        found
    }

    fn drop_front(&mut self, count: usize) {
        for step in self.steps.drain(..count) {
            if let Step::Packet(packet) = step {
                self.kept_bytes -= packet.data.len();
            }
        }
        self.given = self.given.saturating_sub(count);
    }

    /// Forgets kept packets that no dependent rendition needs any more.
    fn release(&mut self) {
        if let Some(oldest) = self.oldest_cut() {
            let keep_from = self.keyframe_before(oldest.at);
            self.drop_front(keep_from);
        }
        while self.kept_bytes > KEPT_BYTES && self.given > 0 {
            self.drop_front(1);
        }
    }

    /// Moves finished segments into the presentation; true when there were any.
    pub(super) fn publish(&mut self, now: Instant) -> bool {
        let mut any = false;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            while let Some(segment) = lane.segmenter.poll() {
                self.presentation.push(now, index, segment);
                any = true;
            }
        }
        if any {
            self.release();
        }
        any
    }

    /// The publication is over and the encoder drained: closes the open segments. A rendition whose encoder was lost at
    /// the end shows gaps for what the others have, once the presentation goes on.
    pub(super) fn finish(&mut self, now: Instant) {
        for lane in &mut self.lanes {
            lane.segmenter.finish();
        }
        self.publish(now);
        self.steps.clear();
        (self.kept_bytes, self.given) = (0, 0);
    }

    /// The newest number of any rendition.
    pub(super) fn newest(&self) -> Option<MediaSequence> {
        self.presentation.snapshot().renditions().iter().filter_map(RenditionView::newest).max()
    }

    /// A gap in every rendition.
    pub(super) fn gap(&mut self, now: Instant, sequence: MediaSequence, unix_micros: i64, length: MediaSpan) {
        self.presentation.gap(now, sequence, length, false, unix_micros);
    }

    /// The same in a presentation that lists nothing yet.
    pub(super) fn first_gap(&mut self, now: Instant, sequence: MediaSequence, unix_micros: i64) {
        for index in 0..self.lanes.len() {
            let gap = Segment {
                sequence,
                start: MediaTime::ZERO,
                duration: self.target,
                discontinuity: false,
                gap: true,
                unix_micros,
                bytes: Bytes::new(),
            };
            self.presentation.push(now, index, gap);
        }
    }

    /// End of the newest source packet, on the stream's clock.
    pub(super) fn end(&self) -> MediaTime {
        self.end
    }

    /// The presentation's phase.
    pub(super) fn set_phase(&mut self, phase: Phase) {
        self.presentation.set_phase(phase);
    }

    /// Forgets segments that nobody may ask for any more.
    pub(super) fn trim(&mut self, now: Instant) {
        self.presentation.trim(now);
    }

    /// What viewers see now.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.presentation.snapshot()
    }

    /// What the renditions are coded in, as far as known.
    pub(super) fn codecs(&self) -> &Codecs {
        &self.codecs
    }

    /// The discontinuity number that the next segment's list would stand at.
    pub(super) fn discontinuities(&self) -> u64 {
        self.presentation.discontinuities()
    }
}

/// Whether a rendition takes a kept packet as it is.
fn copied(sound: Sound, lane: &Lane, packet: &Packet) -> bool {
    match packet.kind {
        TrackKind::Video => lane.pictures == Pictures::Source,
        TrackKind::Audio => matches!(sound, Sound::Source | Sound::Silence),
    }
}

fn depends(sound: Sound, lane: &Lane) -> bool {
    sound == Sound::Encoder || matches!(lane.pictures, Pictures::Rung(_))
}
