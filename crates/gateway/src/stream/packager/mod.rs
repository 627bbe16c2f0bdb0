//! One presentation's packaging, without tasks or clocks: source packets and encoded packets go in, a snapshot comes
//! out. It owns the cut plan, a segmenter per rendition, and the source packets that an encoder may need again.
//!
//! ```text
//!  source packet ─▶ CutPlan ─┬▶ Step::Cut, Step::Packet ─▶ steps (kept until every dependent rendition is past them)
//!                            │                               └▶ encoder, at its own pace; from the start again if it dies
//!                            └▶ copied renditions' segmenters ─┐
//!  encoder's packet ───────────▶ encoded renditions' segmenters ┴▶ Presentation ─▶ Snapshot
//! ```
//!
//! One track leads: its keyframes, or a grid on its times, decide the cuts. Packets of further tracks wait until the
//! leading one has passed them, so that the cut is known to which they belong. A further track that stops is given up:
//! its rendition lists gaps until it returns.

mod captions;
mod kept;
mod lane;
mod routes;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use hls::{
    Segment,
    cut::{Cut, CutPlan, Mode, WallClock},
    presentation::Presentation,
    snapshot::{Phase, RenditionView, Snapshot},
};
use media::{
    AudioConfig, MediaSequence, MediaSpan, MediaTime, Packet, TrackId, TrackKind, VideoConfig, aac,
    captions::Services,
};
use transcode::{
    Input,
    ladder::{AudioPlan, CutMode, Plan, Treatment},
    source::{SAME_TIME, Source},
};

pub(super) use self::lane::{ALONE, rendition_specs};
use self::{
    captions::Captions,
    kept::{Kept, Step},
    lane::{ALONE_TRACK, Lane, Pictures, Sound, Waiting, shared},
    routes::{Due, Routes},
};
use super::{blank, saved::Codecs, silence::Silence};
use crate::config;

/// An encoder further behind than this has lost the race; see [`Packager::overrun`].
const MOST_LAG: MediaSpan = MediaSpan::from_millis(12_000);
/// Sound that is encoded beside copied pictures is waited for: an encoder takes a moment to start.
const ENCODED_SOUND: MediaSpan = MediaSpan::from_millis(6_000);
/// A track that is behind the leading one by so much has stopped.
const STOPPED: MediaSpan = MediaSpan::from_millis(1_500);

/// Pictures that are behind sound by so much, and by [`GONE_STEPS`] of their longest steps, have stopped.
const PICTURES_GONE: MediaSpan = MediaSpan::from_millis(3_000);
const GONE_STEPS: i64 = 2;
/// A longer step was a hole, and says nothing of how often pictures come.
const LONGEST_STEP: MediaSpan = MediaSpan::from_millis(15_000);
/// From the last picture to where dark ones begin: a frame, and the sound that may outlast it in its segment.
const AFTER_PICTURES: MediaSpan = MediaSpan::from_millis(150);

/// See the module.
pub(super) struct Packager {
    presentation: Presentation,
    /// The variants with pictures (or the only one), the further sounds, and where wished the sound alone.
    lanes: Vec<Lane>,
    variants: usize,
    sound: Sound,
    silence: Option<Silence>,
    /// Runs while dark pictures stand in for those of the source.
    blank: Option<blank::Clock>,
    has_video: bool,
    /// A variant has the sound alone.
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
        let variants = plan.rungs.len().max(1);
        let has_video = !plan.rungs.is_empty();
        let silent = match &plan.audio {
            AudioPlan::Silence(settings) => aac::Config::lc(settings.sample_rate, settings.channels),
            _ => None,
        };
        let has_audio = publication.source.is_some_and(|source| source.audio.is_some())
            || silent.is_some()
            || promised.as_ref().is_some_and(|codecs| codecs.audio.is_some());
        let lane = |at| if at < variants { Lane::new(has_video, has_audio) } else { Lane::new(false, true) };
        let mut packager = Self {
            presentation,
            lanes: (0..variants + plan.alternates.len() + usize::from(plan.audio_only)).map(lane).collect(),
            variants,
            sound: Sound::None,
            silence: None,
            blank: None,
            has_video,
            has_alone: plan.audio_only,
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
            pictures: Seen::default(),
            newest: BTreeMap::new(),
            end: publication.clock.at,
        };
        packager.begin(publication, first);
        packager.codecs = promised.unwrap_or(packager.codecs);
        packager.captions.also(packager.codecs.captions);
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
        self.waiting.clear();
        self.made.clear();
        self.newest.clear();
        let lead =
            publication.source.into_iter().flat_map(Source::pictures).find(|one| one.track == plan.lead);
        self.captions.begin(lead);
        self.declare_captions();
        let audio = publication.source.and_then(|source| source.audio.as_ref());
        self.main_sound = plan.sound.track;
        self.blank = plan.is_blank().then(|| blank::Clock::new(publication.clock.at));
        self.lead = match &self.blank {
            Some(_) => (TrackKind::Video, blank::TRACK),
            None if self.has_video => (TrackKind::Video, plan.lead),
            None => (TrackKind::Audio, self.main_sound),
        };
        self.pictures = Seen::default();
        self.feed = plan.rungs.iter().find(|rung| rung.is_encoded()).map(|rung| rung.track);
        self.kept = Kept::new(self.feed);
        let absent = audio.is_none() || matches!(plan.audio, AudioPlan::None | AudioPlan::Silence(_));
        let promised = self.codecs.audio.as_ref().filter(|_| absent && self.has_video);
        self.silence = promised.and_then(|config| Silence::new(config, publication.clock.at));
        self.sound = match (&plan.audio, audio) {
            _ if self.silence.is_some() => Sound::Silence,
            (_, None) | (AudioPlan::None | AudioPlan::Silence(_), _) => Sound::None,
            (AudioPlan::Copy, Some(audio)) => Sound::Source(audio.track),
            (AudioPlan::Encode(_), Some(audio)) => Sound::Encoder(audio.track),
        };
        let mut rungs = 0;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            (lane.follows, lane.lost, lane.off) = (false, false, false);
            if let Some(nth) = index.checked_sub(self.variants) {
                let Some(alternate) = plan.alternates.get(nth) else {
                    lane.sound = self.sound.alone();
                    lane.follows = self.sound != Sound::Silence; // which never runs ahead
                    continue;
                };
                lane.follows = true;
                lane.sound = match &alternate.audio {
                    AudioPlan::None | AudioPlan::Silence(_) => Sound::None,
                    AudioPlan::Copy => Sound::Source(alternate.sound.track),
                    AudioPlan::Encode(_) => Sound::Encoder(alternate.sound.track),
                };
                continue;
            }
            lane.sound = self.sound;
            let encoded = matches!(self.sound, Sound::Encoder(_));
            lane.segmenter.wait_for_sound(encoded.then_some(ENCODED_SOUND));
            lane.pictures = match plan.rungs.get(index).map(|rung| (&rung.treatment, rung.track)) {
                None => Pictures::None,
                Some((Treatment::Copy, track)) => {
                    lane.follows = track != plan.lead;
                    Pictures::Source(track)
                }
                Some((Treatment::Encode(_), _)) => {
                    rungs += 1;
                    Pictures::Rung(rungs - 1)
                }
                Some((Treatment::Blank(_), _)) => Pictures::Blank,
            };
        }
        self.routes = Routes::new(rungs);
        self.coded.clear();
        self.encoded = vec![publication.clock.at; rungs];
        if let Some(source) = publication.source {
            self.darken(plan);
            for video in source.pictures() {
                for index in 0..self.lanes.len() {
                    if self.lanes[index].pictures == Pictures::Source(video.track) {
                        self.coded_picture(index, &video.config);
                    }
                }
            }
            for audio in source.sounds() {
                self.coded_sound(Sound::Source(audio.track), &audio.config);
            }
        }
        if let Some(silence) = &self.silence {
            let config = shared(silence.config());
            self.coded_sound(Sound::Silence, &config);
        }
    }

    /// Which closed captions viewers are to be offered; none until this is said.
    pub(super) fn wish_captions(&mut self, wish: config::Captions) {
        self.captions.wish(wish);
        self.declare_captions();
    }

    fn declare_captions(&mut self) {
        self.codecs.captions = self.captions.seen();
        self.presentation.set_captions(self.captions.declared());
    }

    /// What a rendition's pictures are coded in.
    fn coded_picture(&mut self, index: usize, config: &Arc<VideoConfig>) {
        self.lanes[index].segmenter.video_config(config.clone());
        self.presentation.set_codecs(index, Some(config), None);
        self.codecs.video[index] = Some((**config).clone());
    }

    /// Rungs without pictures get dark ones. What was declared of a rung stays: the dark picture needs no more of a player.
    fn darken(&mut self, plan: &Plan) {
        for (index, rung) in plan.rungs.iter().enumerate() {
            let Some(blank) = rung.blank().and_then(|settings| blank::made(rung, settings)) else { continue };
            if self.codecs.video[index].is_none() {
                self.coded_picture(index, &shared(blank.config()));
            }
            self.lanes[index].darken(blank);
        }
    }

    /// What the renditions with this sound are coded in.
    fn coded_sound(&mut self, sound: Sound, config: &Arc<AudioConfig>) {
        let alone = if self.sound == sound { sound.alone() } else { sound };
        let has = |lane: &Lane| lane.sound == sound || lane.sound == alone;
        for (index, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| has(lane)) {
            lane.segmenter.audio_config(config.clone());
            self.presentation.set_codecs(index, None, Some(config));
            match index.checked_sub(self.variants) {
                None => self.codecs.audio = Some((**config).clone()),
                Some(nth) => {
                    if let Some(known) = self.codecs.alternates.get_mut(nth) {
                        *known = Some((**config).clone());
                    }
                }
            }
        }
    }

    /// The encoder has opened its codecs.
    pub(super) fn encoder_ready(&mut self, video: &[VideoConfig], audio: &[(TrackId, AudioConfig)]) {
        for index in 0..self.variants {
            if let Pictures::Rung(rung) = self.lanes[index].pictures
                && let Some(config) = video.get(rung)
            {
                self.coded_picture(index, &shared(config));
            }
        }
        self.coded = video.iter().map(shared).collect();
        for (track, config) in audio {
            self.coded_sound(Sound::Encoder(*track), &shared(config));
        }
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

    /// Takes one packet that the encoder made.
    pub(super) fn encoded_video(&mut self, rung: usize, packet: &Packet) {
        self.routes.picture(rung, packet);
        self.follow_routes();
    }

    /// Encoders were closed or opened: from the cut at `from` on the rungs show what `by` says.
    pub(super) fn encoders_changed(&mut self, from: MediaTime, by: &[Option<usize>], video: &[VideoConfig]) {
        self.coded = video.iter().map(shared).collect();
        self.routes.change(from, by);
        self.follow_routes();
    }

    /// A closed encoder's last picture has come.
    pub(super) fn encoder_drained(&mut self, rung: usize) {
        self.routes.drained(rung);
        self.follow_routes();
    }

    /// The encoded rung whose pictures another one shows, or will once what is under way has come; `None` for nothing.
    pub(super) fn shown(&self, rung: usize) -> Option<usize> {
        self.routes.shown(rung)
    }

    /// Up to where the encoded rung that is furthest behind has come; `None` where none runs.
    pub(super) fn encoded_until(&self) -> Option<MediaTime> {
        let lanes = self.lanes.iter().filter(|lane| !lane.off);
        let rungs = lanes.filter_map(|lane| match lane.pictures {
            Pictures::Rung(rung) => self.encoded.get(rung).copied(),
            Pictures::None | Pictures::Source(_) | Pictures::Blank => None,
        });
        rungs.min()
    }

    fn follow_routes(&mut self) {
        while let Some((rung, due)) = self.routes.poll() {
            if let (Due::Picture(packet), Some(until)) = (&due, self.encoded.get_mut(rung)) {
                *until = (*until).max(packet.pts);
            }
            for lane in self.lanes.iter_mut().filter(|lane| lane.pictures == Pictures::Rung(rung)) {
                match &due {
                    Due::Picture(packet) => lane.push(packet.clone()),
                    Due::By(None) => lane.off = true,
                    // What the presentation declares stays: the substitute needs no more of a player.
                    Due::By(Some(by)) => {
                        if let Some(config) = self.coded.get(*by) {
                            lane.segmenter.video_config(config.clone());
                        }
                        if std::mem::take(&mut lane.off) {
                            self.encoded[rung] = self.end;
                        }
                    }
                }
            }
        }
    }

    /// Takes one sound packet that the encoder made.
    pub(super) fn encoded_audio(&mut self, packet: &Packet) {
        if self.sound == Sound::Encoder(packet.track) {
            for lane in &mut self.lanes[..self.variants] {
                lane.push(packet.clone());
            }
            if !self.has_alone {
                return;
            }
            self.made.push_back(Packet { track: ALONE_TRACK, ..packet.clone() });
        } else {
            self.made.push_back(packet.clone());
        }
        if packet.pts <= self.lead_time() || self.made.len() > 4096 {
            self.pass_made();
        }
    }

    /// The oldest packet of a further sound goes to its rendition.
    fn pass_made(&mut self) {
        let Some(packet) = self.made.pop_front() else { return };
        let sound = Sound::Encoder(packet.track);
        for lane in self.lanes[self.variants..].iter_mut().filter(|lane| lane.sound == sound) {
            lane.push(packet.clone());
        }
    }

    /// The next thing to tell the encoder, if it has not been told everything. Call [`Self::told`] once it was taken.
    pub(super) fn next_input(&self) -> Option<Input> {
        // A further track's picture may stand a moment before the leading track's.
        let early =
            if self.feed.is_some_and(|feed| feed != self.lead.1) { SAME_TIME } else { MediaSpan::ZERO };
        self.kept.next(|step| self.concerns_encoder(step)).map(|step| match step {
            Step::Cut(cut) => Input::CutAt(cut.at - early),
            Step::Packet(packet) => Input::Packet(packet.clone()),
        })
    }

    /// The encoder took what [`Self::next_input`] gave.
    pub(super) fn told(&mut self) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.told(|step| self.concerns_encoder(step));
        self.kept = kept;
    }

    fn concerns_encoder(&self, step: &Step) -> bool {
        match step {
            Step::Cut(_) => true,
            Step::Packet(packet) => self.feeds(packet),
        }
    }

    /// A new encoder starts where the last one's unfinished segments began.
    pub(super) fn restart_encoder(&mut self) {
        self.kept.start_over();
        self.made.clear();
        let from = self.oldest_cut().map_or(self.end, |cut| cut.at);
        self.routes = Routes::new(self.encoded.len());
        self.encoded.fill(from);
        for lane in self.lanes.iter_mut().filter(|lane| lane.depends()) {
            lane.off = false;
            lane.segmenter.rewind();
            // The copied parts come again here, the encoder's parts from the encoder.
            for packet in self.kept.packets() {
                if lane.copies(packet) {
                    lane.push(packet.clone());
                }
            }
        }
    }

    /// The encoder is not given the group of pictures again that begins with this decoding time: the segments that it is
    /// part of become gaps in the renditions that needed it. False when it is not kept any more.
    pub(super) fn leave_out(&mut self, group: MediaTime) -> bool {
        self.kept.leave_out(group)
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
        let dependent = self.lanes.iter().filter(|lane| lane.depends() && !lane.lost && !lane.off);
        self.kept.cut_from(dependent.filter_map(|lane| lane.segmenter.oldest_unfinished()).min()?)
    }

    /// Gives up what the encoder has not made yet, up to the newest point where it can start: those segments become
    /// gaps in the renditions that needed them. Returns how many segments were lost; the encoder must be restarted.
    pub(super) fn skip_ahead(&mut self) -> u64 {
        let (Some(newest), Some(oldest)) = (self.kept.newest_cut(self.end), self.oldest_cut()) else {
            return 0;
        };
        self.kept.forget_before(newest.at, self.has_video);
        self.kept.start_over();
        // Those that show nothing without the encoder list their gaps now, not when it comes back.
        for lane in self.lanes.iter_mut().filter(|lane| lane.depends() && lane.own_track().is_none()) {
            lane.segmenter.rewind();
            lane.segmenter.give_up(newest.sequence);
        }
        newest.sequence.0.saturating_sub(oldest.sequence.0)
    }

    /// Forgets kept packets that no dependent rendition needs any more.
    fn release(&mut self) {
        if let Some(oldest) = self.oldest_cut() {
            self.kept.forget_before(oldest.at, self.has_video);
        }
        self.kept.keep_small();
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
                self.lanes[at].segmenter.give_up(open);
            }
        }
    }

    /// Moves finished segments into the presentation; true when there were any.
    pub(super) fn publish(&mut self, now: Instant) -> bool {
        let mut any = false;
        self.give_up_on_the_stopped();
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
        self.flush();
        while !self.made.is_empty() {
            self.pass_made();
        }
        for lane in &mut self.lanes {
            lane.segmenter.finish();
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

/// What was seen of a publication's pictures, all tracks together.
#[derive(Debug, Default)]
struct Seen {
    newest: Option<MediaTime>,
    /// The longest step: slide shows are no pictures that have stopped.
    longest: MediaSpan,
}

impl Seen {
    fn see(&mut self, packet: &Packet) {
        if let Some(newest) = self.newest {
            self.longest = self.longest.max((packet.pts - newest).min(LONGEST_STEP));
        }
        self.newest = self.newest.max(Some(packet.pts));
    }

    /// When the last picture was shown, if none comes any more while sound has come as far as `sound`.
    fn ended(&self, sound: MediaTime) -> Option<MediaTime> {
        let newest = self.newest?;
        (sound - newest > PICTURES_GONE.max(self.longest.times(GONE_STEPS))).then_some(newest)
    }
}

fn key(kind: TrackKind, track: TrackId) -> (bool, TrackId) {
    (kind == TrackKind::Video, track)
}
