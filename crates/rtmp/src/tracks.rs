//! Audio and video messages become media events: configurations told when they change, frames normalised and placed
//! in time, what cannot be used dropped and counted.
//!
//! ```text
//!  flv::VideoTag ─▶ parameter sets ─▶ changed? Break + VideoConfig, at the next keyframe ─┐
//!               └─▶ h264::normalise ─▶ keyframe awaited? dropped ─▶ Timeline ─────────────┴▶ MediaEvent
//! ```
//! A changed configuration takes effect at the next keyframe; frames between are dropped, since they belong to
//! neither. Sound waits for the same keyframe where there is a picture, but never longer than [`AUDIO_CHANGE_WAIT_MS`].

mod fold;
mod parameter_sets;

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use media::{
    AudioConfig, BreakReason, MediaEvent, Packet, Timeline, TrackId, TrackKind, VideoConfig, WireMillis, aac,
    h264, timeline::Repairs,
};

use self::{fold::Unfold, parameter_sets::ParameterSets};
use crate::{
    flv::{self, AudioTag, Foreign, VideoTag},
    metadata::Metadata,
    quirk::{Quirk, Quirks},
};

/// Longest that sound of a changed configuration waits for a keyframe, in wire milliseconds.
pub const AUDIO_CHANGE_WAIT_MS: u32 = 10_000;
/// Raw AAC without any configuration for so long is taken for AAC-LC as onMetaData describes it, in wire milliseconds.
pub const AUDIO_CONFIG_WAIT_MS: u32 = 2_000;
/// Pictures dropped for want of a keyframe before it is told: ten seconds at 30 frames a second.
const NO_KEYFRAME_NOTED: u32 = 300;

/// The stream holds a coding that is not taken: a sentence for the encoder's user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsupported(pub String);

/// What happened to the media of one publication.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Packets handed on.
    pub packets: u64,
    /// Messages dropped.
    pub dropped: u64,
    /// Faults inside access units that were repaired.
    pub nal_repairs: u64,
}

/// The tracks of one publication.
#[derive(Debug, Default)]
pub struct Tracks {
    timeline: Timeline,
    video: Video,
    audio: Audio,
    /// Sample rate and channels that onMetaData told.
    audio_hint: Option<(u32, u8)>,
    counters: Counters,
    /// What was odd; the owner drains it.
    pub quirks: Quirks,
}

#[derive(Debug, Default)]
struct Video {
    clock: Unfold,
    /// Bytes of each NAL length; 0 until a record told, which counts as 4.
    length_size: u8,
    sets: ParameterSets,
    /// What was told to the owner last.
    told: Option<Arc<VideoConfig>>,
    /// What the next keyframe brings.
    next: Option<Arc<VideoConfig>>,
    /// A packet under `told` went out.
    started: bool,
    /// The next picture to go out is a keyframe.
    flowing: bool,
    dropped_in_a_row: u32,
}

#[derive(Debug, Default)]
struct Audio {
    clock: Unfold,
    told: Option<Arc<AudioConfig>>,
    /// A changed configuration, and the wire time it came at.
    next: Option<(Arc<AudioConfig>, u32)>,
    started: bool,
    /// Wire time of the first frame without a configuration.
    without_since: Option<u32>,
}

/// Where events go.
pub type Sink = VecDeque<MediaEvent>;

impl Tracks {
    /// Tracks of which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Repairs of timestamps so far.
    pub fn repairs(&self) -> Repairs {
        self.timeline.repairs()
    }

    /// onMetaData came: kept for streams that never send an AudioSpecificConfig.
    pub fn metadata(&mut self, metadata: &Metadata) {
        self.audio_hint = metadata
            .audio_sample_rate
            .map(|rate| (rate, metadata.audio_channels.unwrap_or(2)))
            .or(self.audio_hint);
    }

    /// Takes the body of a video message stamped `wire`.
    ///
    /// # Errors
    /// When the picture is coded in a way that is not taken.
    pub fn video(&mut self, wire: u32, body: &Bytes, out: &mut Sink) -> Result<(), Unsupported> {
        let wire = self.video.clock.place(wire);
        match flv::video(body) {
            VideoTag::Config(record) => self.video_config(&record, out),
            VideoTag::Frame { composition_ms, body } => {
                self.picture(wire, composition_ms, &body, out);
                Ok(())
            }
            VideoTag::End | VideoTag::Nothing => Ok(()),
            VideoTag::Foreign(foreign) => {
                self.foreign(&foreign, self.video.told.is_some(), "video", "H.264 (x264, NVENC H.264, AVC)")
            }
        }
    }

    /// Takes the body of an audio message stamped `wire`.
    ///
    /// # Errors
    /// When the sound is coded in a way that is not taken.
    pub fn audio(&mut self, wire: u32, body: &Bytes, out: &mut Sink) -> Result<(), Unsupported> {
        let wire = self.audio.clock.place(wire);
        match flv::audio(body) {
            AudioTag::Config(asc) => self.audio_config(wire, &asc, out),
            AudioTag::Frame(frame) => self.sound(wire, frame, out),
            AudioTag::Nothing => {}
            AudioTag::Foreign(foreign) => {
                return self.foreign(&foreign, self.audio.told.is_some(), "audio", "AAC");
            }
        }
        Ok(())
    }

    /// A coding that is not taken ends the publication, unless it comes beside a track that is.
    fn foreign(
        &mut self,
        foreign: &Foreign,
        has_track: bool,
        what: &str,
        wanted: &str,
    ) -> Result<(), Unsupported> {
        self.counters.dropped += 1;
        if has_track || foreign.extra_track {
            self.quirks.note_with(Quirk::ExtraTrack, || foreign.codec.clone());
            return Ok(());
        }
        Err(Unsupported(format!(
            "This server takes H.264 video and AAC audio, but the stream's {what} is {}. Set the encoder's {what} to {wanted}.",
            foreign.codec
        )))
    }

    fn video_config(&mut self, record: &Bytes, out: &mut Sink) -> Result<(), Unsupported> {
        if record.is_empty() {
            return Ok(());
        }
        let parsed = h264::Record::parse(record);
        if flv::is_hevc_record(record) && parsed.as_ref().map_or(true, |record| record.sps_units.is_empty()) {
            let foreign = Foreign { codec: "HEVC (H.265) labelled as H.264".to_owned(), extra_track: false };
            return self.foreign(&foreign, false, "video", "H.264");
        }
        match parsed {
            Ok(record) => {
                self.video.length_size = record.length_size;
                if self.video.sets.replace(&record.sps_units, &record.pps_units) {
                    self.settle_video(out);
                }
            }
            Err(error) => self.quirks.note_with(Quirk::BadVideoConfig, || error.to_string()),
        }
        Ok(())
    }

    /// The parameter sets changed: what follows from it?
    fn settle_video(&mut self, out: &mut Sink) {
        let config = match self.video.sets.config() {
            Ok(config) => Arc::new(VideoConfig::H264(config)),
            Err(h264::ConfigError::Missing(_)) => return,
            Err(error) => return self.quirks.note_with(Quirk::BadVideoConfig, || error.to_string()),
        };
        let video = &mut self.video;
        video.flowing = false;
        if video.told.as_ref() == Some(&config) {
            video.next = None;
        } else if video.started {
            self.quirks.note_with(Quirk::VideoConfigChanged, || {
                let (width, height) = config.dimensions();
                format!("{width}x{height}, {}", config.codecs())
            });
            video.next = Some(config);
        } else {
            video.told = Some(config.clone());
            out.push_back(MediaEvent::VideoConfig(TrackId::default(), config));
        }
    }

    fn picture(&mut self, wire: u32, composition_ms: i32, body: &Bytes, out: &mut Sink) {
        let length_size = if self.video.length_size == 0 { 4 } else { self.video.length_size };
        let unit = h264::normalise(body, length_size);
        if unit.repairs > 0 {
            self.counters.nal_repairs += u64::from(unit.repairs);
            self.quirks.note(Quirk::NalFaults);
        }
        let has_sets = !unit.sps_units.is_empty() || !unit.pps_units.is_empty();
        if has_sets && self.video.sets.merge(&unit.sps_units, &unit.pps_units) {
            self.settle_video(out);
        }
        if !unit.picture {
            self.counters.dropped += u64::from(!unit.data.is_empty());
            return;
        }
        if self.video.told.is_none() {
            self.quirks.note(Quirk::VideoBeforeConfig);
            self.counters.dropped += 1;
            return;
        }
        if !self.video.flowing && !unit.idr {
            self.counters.dropped += 1;
            self.video.dropped_in_a_row += 1;
            if self.video.dropped_in_a_row == NO_KEYFRAME_NOTED {
                self.quirks.note(Quirk::NoKeyframe);
            }
            return;
        }
        if unit.idr {
            self.at_keyframe(out);
        }
        let placed = self.timeline.video(WireMillis(wire), composition_ms);
        self.broke(placed.broke, out);
        self.counters.packets += 1;
        out.push_back(MediaEvent::Packet(Packet {
            track: TrackId(0),
            kind: TrackKind::Video,
            pts: placed.pts,
            dts: placed.dts,
            keyframe: unit.idr,
            data: unit.data,
        }));
    }

    /// Changes that waited for a keyframe take effect.
    fn at_keyframe(&mut self, out: &mut Sink) {
        let video = &mut self.video;
        (video.flowing, video.started, video.dropped_in_a_row) = (true, true, 0);
        if let Some(config) = video.next.take() {
            video.told = Some(config.clone());
            out.push_back(MediaEvent::Break(BreakReason::VideoConfigChanged));
            out.push_back(MediaEvent::VideoConfig(TrackId::default(), config));
        }
        self.change_audio(out);
    }

    fn change_audio(&mut self, out: &mut Sink) {
        if let Some((config, _)) = self.audio.next.take() {
            self.audio.told = Some(config.clone());
            out.push_back(MediaEvent::Break(BreakReason::AudioConfigChanged));
            out.push_back(MediaEvent::AudioConfig(TrackId::default(), config));
        }
    }

    fn audio_config(&mut self, wire: u32, asc: &Bytes, out: &mut Sink) {
        if asc.is_empty() {
            return; // FFmpeg opens copied audio with an empty one
        }
        match aac::Config::parse(asc) {
            Ok(config) => self.settle_audio(wire, config, out),
            Err(error) => self.quirks.note_with(Quirk::BadAudioConfig, || error.to_string()),
        }
    }

    fn settle_audio(&mut self, wire: u32, config: aac::Config, out: &mut Sink) {
        let config = Arc::new(AudioConfig::Aac(config));
        let audio = &mut self.audio;
        if audio.told.as_ref() == Some(&config) {
            audio.next = None;
        } else if audio.next.as_ref().is_some_and(|(next, _)| *next == config) {
        } else if audio.started {
            self.quirks.note_with(Quirk::AudioConfigChanged, || {
                format!("{} Hz, {} channels", config.sample_rate(), config.channels())
            });
            audio.next = Some((config, wire));
        } else {
            audio.told = Some(config.clone());
            out.push_back(MediaEvent::AudioConfig(TrackId::default(), config));
        }
    }

    fn sound(&mut self, wire: u32, mut frame: Bytes, out: &mut Sink) {
        if let Some((config, raw)) = aac::split_adts(&frame) {
            if raw.is_empty() {
                return;
            }
            let raw = frame.slice_ref(raw);
            self.quirks.note(Quirk::Adts);
            let current = self.audio.next.as_ref().map(|(next, _)| next).or(self.audio.told.as_ref());
            let same = current.is_some_and(|current| {
                (current.sample_rate(), current.channels()) == (config.sample_rate, config.channels)
            });
            if !same {
                self.settle_audio(wire, config, out);
            }
            frame = raw;
        }
        if self.audio.told.is_none() {
            self.without_config(wire, out);
        }
        if let Some((_, since)) = &self.audio.next
            && (!self.video.started || wire.wrapping_sub(*since) > AUDIO_CHANGE_WAIT_MS)
        {
            self.change_audio(out);
        }
        let Some(config) = self.audio.told.as_ref().filter(|_| self.audio.next.is_none()) else {
            self.counters.dropped += 1;
            return;
        };
        let (samples, rate) = (config.aac().map_or(0, |aac| aac.samples_per_frame), config.sample_rate());
        let Some(placed) = self.timeline.audio(WireMillis(wire), samples, rate) else { return };
        self.audio.started = true;
        self.broke(placed.broke, out);
        self.counters.packets += 1;
        out.push_back(MediaEvent::Packet(Packet {
            track: TrackId(0),
            kind: TrackKind::Audio,
            pts: placed.pts,
            dts: placed.dts,
            keyframe: true,
            data: frame,
        }));
    }

    /// Raw frames and no configuration: after a while, what onMetaData says is believed.
    fn without_config(&mut self, wire: u32, out: &mut Sink) {
        self.quirks.note(Quirk::AudioBeforeConfig);
        let since = *self.audio.without_since.get_or_insert(wire);
        if wire.wrapping_sub(since) < AUDIO_CONFIG_WAIT_MS {
            return;
        }
        if let Some(config) = self.audio_hint.and_then(|(rate, channels)| aac::Config::lc(rate, channels)) {
            self.quirks.note_with(Quirk::AssumedAudioConfig, || {
                format!("{} Hz, {} channels", config.sample_rate, config.channels)
            });
            self.settle_audio(wire, config, out);
        }
    }

    fn broke(&mut self, reason: Option<BreakReason>, out: &mut Sink) {
        if let Some(reason) = reason {
            self.quirks.note(Quirk::TimestampJump);
            out.push_back(MediaEvent::Break(reason));
        }
    }
}

#[cfg(test)]
#[path = "tracks/tests.rs"]
mod tests;
