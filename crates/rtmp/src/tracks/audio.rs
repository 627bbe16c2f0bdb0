//! One track of sound.

use std::sync::Arc;

use bytes::Bytes;
use media::{
    AudioCoding, AudioConfig, BreakReason, HeaderError, MediaEvent, Packet, TrackId, TrackKind, aac,
    sounds::{Format, Sounds},
};

use super::{AUDIO_CHANGE_WAIT_MS, AUDIO_CONFIG_WAIT_MS, Sink, Stamped, Tracks};
use crate::{flv::AudioContent, quirk::Quirk};

/// What is known of one track.
#[derive(Debug)]
pub(super) struct Audio {
    pub(super) track: TrackId,
    sounds: Sounds,
    /// What was told to the owner last.
    pub(super) told: Option<Arc<AudioConfig>>,
    /// A changed configuration, and the wire time it came at.
    next: Option<(Arc<AudioConfig>, u32)>,
    /// A packet under `told` went out.
    started: bool,
    /// Wire time of the first frame without a configuration.
    without_since: Option<u32>,
}

impl Audio {
    pub(super) fn new(track: TrackId, coding: AudioCoding) -> Self {
        let sounds = Sounds::new(coding);
        Self { track, sounds, told: None, next: None, started: false, without_since: None }
    }

    /// The coding may change in mid-stream.
    pub(super) fn relabel(&mut self, coding: AudioCoding) {
        if self.sounds.coding() != coding {
            self.sounds = Sounds::new(coding);
        }
    }
}

impl Tracks {
    pub(super) fn audio_content(
        &mut self,
        at: usize,
        time: Stamped,
        format: Format,
        content: AudioContent,
        out: &mut Sink,
    ) {
        match content {
            AudioContent::Config(record) => match self.audios[at].sounds.record(&record) {
                Ok(true) => self.settle_audio(at, time.wire.0, out),
                Ok(false) => {}
                Err(error) => self.quirks.note_with(Quirk::BadAudioConfig, || error.to_string()),
            },
            AudioContent::Frame(body) => self.sound(at, time, format, &body, out),
            AudioContent::End => self.order.flush(out),
            AudioContent::Channels(_) | AudioContent::Nothing => {}
        }
    }

    /// The configuration may have changed: what follows from it?
    fn settle_audio(&mut self, at: usize, wire: u32, out: &mut Sink) {
        let audio = &mut self.audios[at];
        let Some(config) = audio.sounds.config().cloned().map(Arc::new) else { return };
        if audio.told.as_ref() == Some(&config) {
            audio.next = None;
        } else if audio.next.as_ref().is_some_and(|(next, _)| *next == config) {
        } else if audio.started {
            self.quirks.note_with(Quirk::AudioConfigChanged, || {
                format!("{}, {} Hz, {} channels", config.codecs(), config.sample_rate(), config.channels())
            });
            audio.next = Some((config, wire));
        } else {
            self.tell_audio(at, config, out);
        }
    }

    fn sound(&mut self, at: usize, time: Stamped, format: Format, body: &Bytes, out: &mut Sink) {
        let wire = time.wire.0;
        let frame = match self.audios[at].sounds.frame(body, format) {
            Ok(frame) => frame,
            Err(error) => {
                self.counters.dropped += 1;
                let quirk = match error {
                    HeaderError::Missing(_) => Quirk::AudioBeforeConfig,
                    _ => Quirk::BadAudioFrame,
                };
                return self.quirks.note_with(quirk, || error.to_string());
            }
        };
        if frame.adts {
            self.quirks.note(Quirk::Adts);
        }
        if frame.changed {
            self.settle_audio(at, wire, out);
        }
        if self.audios[at].told.is_none() {
            self.without_config(at, wire, out);
        }
        let has_picture = self.videos.iter().any(|video| video.started);
        if let Some((_, since)) = &self.audios[at].next
            && (!has_picture || wire.wrapping_sub(*since) > AUDIO_CHANGE_WAIT_MS)
        {
            self.change_audio(at, out);
        }
        let audio = &mut self.audios[at];
        let Some(config) = audio.told.as_ref().filter(|_| audio.next.is_none()) else {
            self.counters.dropped += 1;
            return;
        };
        let samples = config.aac().map_or(frame.samples, |aac| aac.samples_per_frame);
        let track = audio.track;
        let placed = self.timeline.audio(track, time.wire, time.nanos, samples, config.sample_rate());
        let Some(placed) = placed else { return };
        audio.started = true;
        let packet = Packet {
            track,
            kind: TrackKind::Audio,
            pts: placed.pts,
            dts: placed.dts,
            keyframe: true,
            data: frame.data,
        };
        self.packet(packet, placed.broke, out);
    }

    /// A change that waited takes effect.
    pub(super) fn change_audio(&mut self, at: usize, out: &mut Sink) {
        let Some((config, _)) = self.audios[at].next.take() else { return };
        self.timeline.restart_sound(self.audios[at].track);
        if self.audios[at].track == TrackId::default() {
            self.announce(MediaEvent::Break(BreakReason::AudioConfigChanged), out);
        }
        self.tell_audio(at, config, out);
    }

    /// Raw AAC and no configuration: after a while, what onMetaData says is believed.
    fn without_config(&mut self, at: usize, wire: u32, out: &mut Sink) {
        self.quirks.note(Quirk::AudioBeforeConfig);
        let audio = &mut self.audios[at];
        let since = *audio.without_since.get_or_insert(wire);
        if audio.sounds.coding() != AudioCoding::Aac || wire.wrapping_sub(since) < AUDIO_CONFIG_WAIT_MS {
            return;
        }
        if let Some(config) = self.hints.audio.and_then(|(rate, channels)| aac::Config::lc(rate, channels)) {
            self.quirks.note_with(Quirk::AssumedAudioConfig, || {
                format!("{} Hz, {} channels", config.sample_rate, config.channels)
            });
            audio.sounds.assume(AudioConfig::Aac(config));
            self.settle_audio(at, wire, out);
        }
    }
}
