//! One presentation's packaging, without tasks or clocks: source packets and encoded packets go in, a snapshot comes
//! out. It owns the cut plan, a lane for whatever makes renditions, and the source packets that an encoder may need again.
//!
//! ```text
//!  source packet ─▶ CutPlan ─┬▶ Step::Cut, Step::Packet ─▶ steps (kept until every dependent rendition is past them)
//!                            │                               └▶ encoder, at its own pace; from the start again if it dies
//!                            └▶ copied renditions' lanes ───────┐
//!  encoder's packet ───────────▶ encoded renditions' lanes ──────┴▶ Presentation ─▶ Snapshot
//! ```
//!
//! One track leads: its keyframes, or a grid on its times, decide the cuts. Packets of further tracks wait until the
//! leading one has passed them, so that the cut is known to which they belong. A further track that stops is given up:
//! its rendition lists gaps until it returns.

mod begin;
mod captions;
mod encoder;
mod faces;
mod kept;
mod lane;
mod packing;
mod routes;
mod seen;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use hls::{
    Segment,
    cut::{Cut, CutPlan, Mode, WallClock},
    presentation::{self, Presentation},
    snapshot::{Phase, RenditionView, Snapshot},
};
use media::{
    AudioConfig, MediaSequence, MediaSpan, MediaTime, Packet, TrackId, TrackKind, VideoConfig, aac,
    captions::Services,
};
use transcode::{
    ladder::{AudioPlan, Plan},
    source::Source,
};

pub(super) use self::faces::ALONE;
use self::{
    captions::Captions,
    faces::Faces,
    kept::{Kept, Step},
    lane::{ALONE_TRACK, Lane, Sound, Waiting},
    packing::Packing,
    routes::Routes,
    seen::Seen,
};
use super::{blank, saved::Codecs, silence::Silence};

/// An encoder further behind than this has lost the race; see [`Packager::overrun`].
const MOST_LAG: MediaSpan = MediaSpan::from_millis(12_000);
/// Sound that is encoded beside copied pictures is waited for: an encoder takes a moment to start.
const ENCODED_SOUND: MediaSpan = MediaSpan::from_millis(6_000);
/// A track that is behind the leading one by so much has stopped.
const STOPPED: MediaSpan = MediaSpan::from_millis(1_500);

/// From the last picture to where dark ones begin: a frame, and the sound that may outlast it in its segment.
const AFTER_PICTURES: MediaSpan = MediaSpan::from_millis(150);

/// See the module.
pub(super) struct Packager {
    presentation: Presentation,
    /// The variants with pictures (or the only one), the further sounds, and where needed the main sound alone.
    lanes: Vec<Lane>,
    variants: usize,
    sound: Sound,
    silence: Option<Silence>,
    /// Runs while dark pictures stand in for those of the source.
    blank: Option<blank::Clock>,
    has_video: bool,
    /// A lane has the main sound alone.
    has_alone: bool,
    /// The track whose packets decide the cuts.
    lead: (TrackKind, TrackId),
    /// The track that the encoder decodes for its rungs.
    feed: Option<TrackId>,
    /// The sound in the variants.
    main_sound: TrackId,
    cuts: CutPlan,
    clock: WallClock,
    codecs: Codecs,
    captions: Captions,
    target: MediaSpan,
    kept: Kept,
    /// Packets of further tracks that the leading one has not passed yet.
    waiting: Waiting,
    /// The same for what the encoder makes of further sounds.
    made: VecDeque<Packet>,
    /// Who makes what the encoded rungs show, what each encoder's pictures are coded in, and up to where each rung has
    /// come.
    routes: Routes,
    coded: Vec<Arc<VideoConfig>>,
    encoded: Vec<MediaTime>,
    /// Where a new encoder must make keyframes, because viewers have what came before from the one that died.
    splices: BTreeSet<MediaTime>,
    /// The pictures since the publication began.
    pictures: Seen,
    /// Newest decoding time of each track since the publication began.
    newest: BTreeMap<(bool, TrackId), MediaTime>,
    /// End of the newest source packet.
    end: MediaTime,
}

/// How the publication that begins relates to the presentation.
pub(super) struct Publication<'a> {
    pub(super) plan: &'a Plan,
    /// What is published; `None` while nobody does.
    pub(super) source: Option<&'a Source>,
    /// Media time and wall time of its first packet.
    pub(super) clock: WallClock,
    /// Its first segment carries a discontinuity.
    pub(super) continues: bool,
}

impl Packager {
    /// A packager whose presentation has listed nothing yet, and begins with the segment `first`. Where it is to be
    /// `fragmented`, all is packaged as fragmented MP4, too.
    ///
    /// `promised` is what the presentation's multivariant playlist already says, where it outlived a process.
    pub(super) fn new(
        settings: presentation::Settings,
        fragmented: bool,
        publication: &Publication<'_>,
        first: MediaSequence,
        promised: Option<Codecs>,
    ) -> Self {
        let plan = publication.plan;
        let variants = plan.rungs.len().max(1);
        let has_video = !plan.rungs.is_empty();
        let silent = match &plan.audio {
            AudioPlan::Silence(settings) => aac::Config::lc(settings.sample_rate, settings.channels),
            _ => None,
        };
        let has_audio = publication.source.is_some_and(|source| source.audio.is_some())
            || silent.is_some()
            || promised.as_ref().is_some_and(|codecs| codecs.audio.is_some());
        let part_target = settings.part_target;
        let faces = Faces::new(plan, has_audio, fragmented.then_some(part_target));
        let has_alone = faces.lanes.len() > variants + plan.alternates.len();
        let lane = |face| Lane::new(Packing::new(face, part_target));
        let mut packager = Self {
            presentation: Presentation::new(settings, faces.renditions),
            lanes: faces.lanes.into_iter().map(lane).collect(),
            variants,
            sound: Sound::None,
            silence: None,
            blank: None,
            has_video,
            has_alone,
            lead: (TrackKind::Video, TrackId::default()),
            feed: None,
            main_sound: TrackId::default(),
            cuts: CutPlan::new(Mode::Grid, plan.segment, plan.longest, first),
            clock: publication.clock,
            codecs: Codecs {
                video: vec![None; variants],
                audio: silent.map(AudioConfig::Aac),
                alternates: vec![None; plan.alternates.len()],
                captions: Services::NONE,
            },
            captions: Captions::new(),
            target: MediaSpan::from_millis(i64::from(plan.target_duration) * 1000),
            kept: Kept::default(),
            waiting: Waiting::default(),
            made: VecDeque::new(),
            routes: Routes::default(),
            coded: Vec::new(),
            encoded: Vec::new(),
            splices: BTreeSet::new(),
            pictures: Seen::default(),
            newest: BTreeMap::new(),
            end: publication.clock.at,
        };
        packager.begin(publication, first);
        if let Some(promised) = promised {
            packager.promise(promised);
        }
        packager.captions.also(packager.codecs.captions);
        packager
    }

    /// Viewers were told by another process what the renditions are coded in.
    fn promise(&mut self, codecs: Codecs) {
        for (index, lane) in self.lanes.iter().enumerate() {
            let alternate = index.checked_sub(self.variants).map(|nth| codecs.alternates.get(nth));
            if let Some(Some(video)) = codecs.video.get(index) {
                lane.packing.declare_video(&mut self.presentation, video);
            }
            let audio = match alternate {
                Some(Some(alternate)) => alternate.as_ref(),
                None | Some(None) => codecs.audio.as_ref(),
            };
            if let Some(audio) = audio {
                lane.packing.declare_audio(&mut self.presentation, audio);
            }
        }
        self.codecs = codecs;
    }

    /// Takes one source packet, already on the stream's clock.
    pub(super) fn source(&mut self, packet: Packet) {
        if let Some(blank) = &mut self.blank {
            if packet.kind == TrackKind::Video {
                return; // the plan does without
            }
            for picture in blank.until(packet.pts) {
                self.take(picture);
            }
        }
        self.take(packet);
    }

    fn take(&mut self, packet: Packet) {
        if packet.kind == TrackKind::Video {
            self.pictures.see(&packet);
        }
        let leads = (packet.kind, packet.track) == self.lead;
        self.end = self.end.max(packet.pts);
        let newest = self.newest.entry(key(packet.kind, packet.track)).or_insert(packet.dts);
        *newest = (*newest).max(packet.dts);
        if leads {
            if self.captions.see(&packet) {
                self.declare_captions();
            }
            for cut in self.cuts.see(&packet, self.clock) {
                self.tell(cut);
            }
        }
        let main_sound = packet.kind == TrackKind::Audio && packet.track == self.main_sound;
        if self.sound == Sound::Silence && main_sound {
            return; // a track that the plan left out
        }
        let until = packet.dts;
        if main_sound && self.has_alone {
            self.newest.insert(key(TrackKind::Audio, ALONE_TRACK), packet.dts);
            if matches!(self.sound, Sound::Source(_)) {
                self.waiting.push(Packet { track: ALONE_TRACK, ..packet.clone() });
            }
        }
        if leads || main_sound {
            self.pass(packet);
        } else if self.is_used(&packet) {
            self.waiting.push(packet);
        }
        let lead = self.lead_time();
        while let Some(packet) = self.waiting.next(lead) {
            self.pass(packet);
        }
        while self.made.front().is_some_and(|packet| packet.pts <= lead) {
            self.pass_made();
        }
        let silence = self.silence.as_mut().map(|silence| silence.until(until));
        for packet in silence.into_iter().flatten() {
            self.pass(packet);
        }
    }

    /// How far the leading track has come.
    fn lead_time(&self) -> MediaTime {
        self.newest_of(self.lead)
    }

    fn newest_of(&self, (kind, track): (TrackKind, TrackId)) -> MediaTime {
        self.newest.get(&key(kind, track)).copied().unwrap_or(self.clock.at)
    }

    /// Whether anything is made of a packet.
    fn is_used(&self, packet: &Packet) -> bool {
        self.feeds(packet) || self.lanes.iter().any(|lane| lane.copies(packet))
    }

    /// Whether the encoder decodes a packet.
    fn feeds(&self, packet: &Packet) -> bool {
        match packet.kind {
            TrackKind::Video => self.feed == Some(packet.track),
            TrackKind::Audio => self.lanes.iter().any(|lane| lane.sound == Sound::Encoder(packet.track)),
        }
    }

    /// Gives a packet to the renditions that take it as it is, and keeps it for the encoder.
    fn pass(&mut self, packet: Packet) {
        let mut kept = self.feeds(&packet);
        for lane in &mut self.lanes {
            if lane.copies(&packet) {
                kept |= lane.depends();
                lane.push(packet.clone());
            }
        }
        if kept {
            self.kept.push(Step::Packet(packet));
        }
    }

    /// Everything that waits for the leading track goes on its way: nothing more comes.
    pub(super) fn flush(&mut self) {
        while let Some(packet) = self.waiting.any() {
            self.pass(packet);
        }
    }

    /// The publication goes on in the middle of a group of pictures: its first segment begins right after what was
    /// packaged so far, and the encoder starts at the keyframe before, with `packets`.
    pub(super) fn preroll(&mut self, packets: Vec<Packet>) {
        let start = self.end + MediaSpan::from_ticks(1);
        for cut in self.cuts.anchor(start, self.clock) {
            self.tell(cut);
        }
        for packet in packets.into_iter().filter(|packet| self.is_used(packet)).collect::<Vec<_>>() {
            self.kept.push(Step::Packet(packet));
        }
    }

    fn tell(&mut self, cut: Cut) {
        for lane in &mut self.lanes {
            lane.cut(cut);
        }
        if self.lanes.iter().any(Lane::depends) {
            self.kept.push(Step::Cut(cut));
        }
    }

    /// Whether a copied source has gone on for longer than a segment may last without a keyframe.
    pub(super) fn overdue(&self, packet: &Packet) -> bool {
        (packet.kind, packet.track) == self.lead && self.cuts.overdue(packet)
    }

    /// A track of the pictures that the others cannot do without, and that has stopped while others go on: the leading
    /// one, or the one that the encoder decodes.
    pub(super) fn starved(&self) -> Option<TrackId> {
        if !self.has_video {
            return None;
        }
        let pictures = || self.newest.iter().filter(|((video, _), _)| *video);
        let newest = pictures().map(|(_, at)| *at).max()?;
        let tracks = [Some(self.lead.1), self.feed].into_iter().flatten();
        let stopped = |track: &TrackId| newest - self.newest_of((TrackKind::Video, *track)) > STOPPED;
        tracks.filter(|_| pictures().count() > 1).find(stopped)
    }

    /// When the pictures ended, where they have stopped while sound goes on; a little later than the last one, so that what
    /// follows begins behind all sound that is heard with it.
    pub(super) fn pictures_ended(&self) -> Option<MediaTime> {
        let sound = self.newest.iter().filter(|((video, _), _)| !video).map(|(_, at)| *at).max()?;
        let ended = self.pictures.ended(sound).filter(|_| self.blank.is_none())?;
        Some(ended + AFTER_PICTURES)
    }

    /// The timeline broke; the next keyframe opens a segment with a discontinuity, dated anew.
    pub(super) fn break_at_next(&mut self, clock: WallClock) {
        self.cuts.break_at_next();
        self.clock = clock;
    }

    /// Renditions whose own track has stopped list gaps up to the segment that is open.
    fn give_up_on_the_stopped(&mut self) {
        let lead = self.lead_time();
        let Some(open) = self.cuts.next_sequence().0.checked_sub(1).map(MediaSequence) else { return };
        for at in 0..self.lanes.len() {
            let stopped = self.lanes[at].follows
                && match self.lanes[at].own_track() {
                    Some(track) => lead - self.newest_of(track) > STOPPED,
                    None => true,
                };
            if stopped {
                self.lanes[at].give_up(open);
            } else if self.lanes[at].off {
                self.lanes[at].packing.give_up(open);
            }
        }
    }

    /// Moves finished segments into the presentation; true when there were any.
    pub(super) fn publish(&mut self, now: Instant) -> bool {
        let mut any = false;
        self.give_up_on_the_stopped();
        for lane in &mut self.lanes {
            any |= lane.packing.publish(now, &mut self.presentation);
        }
        if any {
            self.release();
        }
        any
    }

    /// The publication is over and the encoder drained: closes the open segments. A rendition whose encoder was lost at
    /// the end shows gaps for what the others have, once the presentation goes on.
    pub(super) fn finish(&mut self, now: Instant) {
        self.flush();
        while !self.made.is_empty() {
            self.pass_made();
        }
        for lane in &mut self.lanes {
            lane.packing.finish();
        }
        self.publish(now);
        self.kept.clear();
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
        let gap = Segment::missing(sequence, MediaTime::ZERO, self.target, false, unix_micros);
        for lane in &self.lanes {
            lane.packing.gap(now, &mut self.presentation, &gap);
        }
    }

    /// Media time and wall time of one instant of the publication.
    pub(super) fn clock(&self) -> WallClock {
        self.clock
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

fn key(kind: TrackKind, track: TrackId) -> (bool, TrackId) {
    (kind == TrackKind::Video, track)
}
