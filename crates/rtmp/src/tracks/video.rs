//! One track of pictures.

use std::sync::Arc;

use bytes::Bytes;
use media::{
    BreakReason, HeaderError, MediaEvent, Packet, TrackId, TrackKind, VideoCoding, VideoConfig,
    pictures::Pictures,
};

use super::{Sink, Stamped, Tracks};
use crate::{flv::VideoContent, quirk::Quirk};

/// Pictures dropped for want of a keyframe before it is told: ten seconds at 30 frames a second.
const NO_KEYFRAME_NOTED: u32 = 300;

/// What is known of one track.
#[derive(Debug)]
pub(super) struct Video {
    pub(super) track: TrackId,
    /// The coding by its tags; the bitstream may know better.
    pub(super) labelled: VideoCoding,
    pub(super) pictures: Pictures,
    /// What was told to the owner last.
    pub(super) told: Option<Arc<VideoConfig>>,
    /// What the next keyframe brings.
    next: Option<Arc<VideoConfig>>,
    /// A packet under `told` went out.
    pub(super) started: bool,
    /// The next picture to go out need not be a keyframe.
    flowing: bool,
    dropped_in_a_row: u32,
}

impl Video {
    /// A track that begins; `None` for a coding that nothing here decodes.
    pub(super) fn new(track: TrackId, coding: VideoCoding) -> Option<Self> {
        Some(Self {
            track,
            labelled: coding,
            pictures: Pictures::new(coding)?,
            told: None,
            next: None,
            started: false,
            flowing: false,
            dropped_in_a_row: 0,
        })
    }

    /// The coding may change in mid-stream.
    pub(super) fn relabel(&mut self, coding: VideoCoding) {
        if self.labelled != coding
            && let Some(pictures) = Pictures::new(coding)
        {
            (self.labelled, self.pictures, self.flowing) = (coding, pictures, false);
        }
    }
}

impl Tracks {
    pub(super) fn video_content(&mut self, at: usize, time: Stamped, content: VideoContent, out: &mut Sink) {
        match content {
            VideoContent::Config(record) => match self.videos[at].pictures.record(&record) {
                Ok(true) => self.settle_video(at, out),
                Ok(false) => {}
                Err(error) => self.bad_video_config(&error),
            },
            VideoContent::Frame { composition_ms, key, body } => {
                self.picture(at, time, composition_ms, key, &body, out);
            }
            VideoContent::Color(color) => {
                if self.videos[at].pictures.hint_color(color) {
                    self.settle_video(at, out);
                }
            }
            VideoContent::End => self.order.flush(out),
            VideoContent::Nothing => {}
        }
    }

    fn bad_video_config(&mut self, error: &HeaderError) {
        self.quirks.note_with(Quirk::BadVideoConfig, || error.to_string());
    }

    /// The configuration may have changed: what follows from it?
    fn settle_video(&mut self, at: usize, out: &mut Sink) {
        let config = match self.videos[at].pictures.config() {
            Ok(Some(config)) => Arc::new(config),
            Ok(None) => return,
            Err(error) => return self.bad_video_config(&error),
        };
        let video = &mut self.videos[at];
        if video.told.as_ref() == Some(&config) {
            video.flowing &= video.next.take().is_none();
        } else if video.started {
            video.flowing = false;
            self.quirks.note_with(Quirk::VideoConfigChanged, || {
                let (width, height) = config.dimensions();
                format!("{width}x{height}, {}", config.codecs())
            });
            video.next = Some(config);
        } else {
            self.tell_video(at, config, out);
        }
    }

    fn picture(
        &mut self,
        at: usize,
        time: Stamped,
        composition_ms: i32,
        tagged_key: bool,
        body: &Bytes,
        out: &mut Sink,
    ) {
        let frame = match self.videos[at].pictures.frame(body, tagged_key) {
            Ok(frame) => frame,
            Err(error) => {
                self.counters.dropped += 1;
                return self.quirks.note_with(Quirk::NalFaults, || error.to_string());
            }
        };
        if frame.repairs > 0 {
            self.counters.nal_repairs += u64::from(frame.repairs);
            self.quirks.note(Quirk::NalFaults);
        }
        if frame.changed {
            self.settle_video(at, out);
        }
        if !frame.picture {
            self.counters.dropped += u64::from(!frame.data.is_empty());
            return;
        }
        let video = &mut self.videos[at];
        if video.told.is_none() {
            self.quirks.note(Quirk::VideoBeforeConfig);
            self.counters.dropped += 1;
            return;
        }
        if !video.flowing && !frame.key {
            self.counters.dropped += 1;
            video.dropped_in_a_row += 1;
            if video.dropped_in_a_row == NO_KEYFRAME_NOTED {
                self.quirks.note(Quirk::NoKeyframe);
            }
            return;
        }
        let track = video.track;
        if frame.key {
            self.at_keyframe(at, out);
        }
        let placed = self.timeline.video(track, time.wire, composition_ms, time.nanos);
        let packet = Packet {
            track,
            kind: TrackKind::Video,
            pts: placed.pts,
            dts: placed.dts,
            keyframe: frame.key,
            data: frame.data,
        };
        self.packet(packet, placed.broke, out);
    }

    /// Changes that waited for a keyframe take effect; those of sound at keyframes of the default track.
    fn at_keyframe(&mut self, at: usize, out: &mut Sink) {
        let video = &mut self.videos[at];
        (video.flowing, video.started, video.dropped_in_a_row) = (true, true, 0);
        let default = video.track == TrackId::default();
        if let Some(config) = video.next.take() {
            if default {
                self.announce(MediaEvent::Break(BreakReason::VideoConfigChanged), out);
            }
            self.tell_video(at, config, out);
        }
        if default {
            (0..self.audios.len()).for_each(|audio| self.change_audio(audio, out));
        }
    }
}
