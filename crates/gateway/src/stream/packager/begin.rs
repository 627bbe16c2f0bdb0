//! How a publication begins: which track leads, what each rendition is made of, and what it is coded in.

use std::sync::Arc;

use hls::cut::{CutPlan, Mode};
use media::{AudioConfig, MediaSequence, TrackKind, VideoConfig};
use transcode::{
    ladder::{AudioPlan, CutMode, Plan, Treatment},
    source::Source,
};

use super::{
    ENCODED_SOUND, Packager, Publication,
    kept::Kept,
    lane::{Lane, Pictures, Sound, shared},
    routes::Routes,
    seen::Seen,
};
use crate::{
    config,
    stream::{blank, silence::Silence},
};
impl Packager {
    /// A publication begins, the first one or a later one; the one before must have been finished.
    pub(in crate::stream) fn begin(&mut self, publication: &Publication<'_>, first: MediaSequence) {
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
            lane.packing.wait_for_sound(encoded.then_some(ENCODED_SOUND));
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
    pub(in crate::stream) fn wish_captions(&mut self, wish: config::Captions) {
        self.captions.wish(wish);
        self.declare_captions();
    }

    pub(super) fn declare_captions(&mut self) {
        self.codecs.captions = self.captions.seen();
        self.presentation.set_captions(self.captions.declared());
    }

    /// What a rendition's pictures are coded in.
    pub(super) fn coded_picture(&mut self, index: usize, config: &Arc<VideoConfig>) {
        let packing = &mut self.lanes[index].packing;
        packing.video_config(config);
        packing.declare_video(&mut self.presentation, config);
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
    pub(super) fn coded_sound(&mut self, sound: Sound, config: &Arc<AudioConfig>) {
        let alone = if self.sound == sound { sound.alone() } else { sound };
        let has = |lane: &Lane| lane.sound == sound || lane.sound == alone;
        for (index, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| has(lane)) {
            lane.packing.audio_config(config);
            lane.packing.declare_audio(&mut self.presentation, config);
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
}
