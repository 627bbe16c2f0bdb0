//! What is made of one lane's packets: segments of transport stream, chunks of fragmented MP4, or both of the same cuts.

use std::{sync::Arc, time::Instant};

use hls::{
    cmaf::{Chunked, Chunker},
    cut::Cut,
    presentation::Presentation,
    segmenter::Segmenter,
};
use media::{AudioConfig, MediaSequence, MediaSpan, MediaTime, Packet, TrackKind, VideoConfig};

/// Which renditions of the presentation a lane feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Face {
    /// It has pictures; else it has sound alone.
    pub(super) has_video: bool,
    /// It has sound beside the pictures, or alone.
    pub(super) has_audio: bool,
    /// The rendition of transport streams: everything muxed.
    pub(super) ts: Option<usize>,
    /// The rendition of fragmented MP4: the pictures, or where there are none the sound.
    pub(super) cmaf: Option<usize>,
}

/// See the module.
pub(super) struct Packing {
    face: Face,
    segmenter: Option<Segmenter>,
    chunker: Option<Chunker>,
}

impl Packing {
    /// `part_target` is the longest that a part of fragmented MP4 lasts.
    pub(super) fn new(face: Face, part_target: MediaSpan) -> Self {
        let kind = if face.has_video { TrackKind::Video } else { TrackKind::Audio };
        Self {
            face,
            segmenter: face.ts.map(|_| Segmenter::new(face.has_video, face.has_audio)),
            chunker: face.cmaf.map(|_| Chunker::new(kind, part_target)),
        }
    }

    pub(super) fn cut(&mut self, cut: Cut) {
        self.segmenter.iter_mut().for_each(|segmenter| segmenter.cut(cut));
        self.chunker.iter_mut().for_each(|chunker| chunker.cut(cut));
    }

    /// The configuration of the pictures from the next keyframe on.
    pub(super) fn video_config(&mut self, config: &Arc<VideoConfig>) {
        self.segmenter.iter_mut().for_each(|segmenter| segmenter.video_config(config.clone()));
        self.chunker.iter_mut().for_each(|chunker| chunker.video_config(config.clone()));
    }

    /// The configuration of the sound that follows.
    pub(super) fn audio_config(&mut self, config: &Arc<AudioConfig>) {
        self.segmenter.iter_mut().for_each(|segmenter| segmenter.audio_config(config.clone()));
        self.chunker.iter_mut().for_each(|chunker| chunker.audio_config(config.clone()));
    }

    /// What the presentation is to know of the pictures' coding.
    pub(super) fn declare_video(&self, presentation: &mut Presentation, config: &VideoConfig) {
        for rendition in [self.face.ts, self.face.cmaf].into_iter().flatten() {
            presentation.set_codecs(rendition, Some(config), None);
        }
    }

    /// The same of the sound's.
    pub(super) fn declare_audio(&self, presentation: &mut Presentation, config: &AudioConfig) {
        let alone = self.face.cmaf.filter(|_| !self.face.has_video);
        for rendition in [self.face.ts, alone].into_iter().flatten() {
            presentation.set_codecs(rendition, None, Some(config));
        }
    }

    /// See [`Segmenter::wait_for_sound`].
    pub(super) fn wait_for_sound(&mut self, patience: Option<MediaSpan>) {
        self.segmenter.iter_mut().for_each(|segmenter| segmenter.wait_for_sound(patience));
    }

    pub(super) fn push(&mut self, packet: Packet) {
        match (&mut self.segmenter, &mut self.chunker) {
            (Some(segmenter), Some(chunker)) => {
                segmenter.push(packet.clone());
                chunker.push(packet);
            }
            (Some(segmenter), None) => segmenter.push(packet),
            (None, Some(chunker)) => chunker.push(packet),
            (None, None) => {}
        }
    }

    pub(super) fn finish(&mut self) {
        self.segmenter.iter_mut().for_each(Segmenter::finish);
        self.chunker.iter_mut().for_each(Chunker::finish);
    }

    pub(super) fn give_up(&mut self, sequence: MediaSequence) {
        self.segmenter.iter_mut().for_each(|segmenter| segmenter.give_up(sequence));
        self.chunker.iter_mut().for_each(|chunker| chunker.give_up(sequence));
    }

    /// The encoder died: what is not finished comes again. Where parts of it have been shown, a keyframe is needed right
    /// behind them, at the time returned.
    pub(super) fn rewind(&mut self) -> Option<MediaTime> {
        self.segmenter.iter_mut().for_each(|segmenter| _ = segmenter.rewind());
        self.chunker.as_mut().and_then(Chunker::rewind)
    }

    /// The lowest number that is told or open but not finished.
    pub(super) fn oldest_unfinished(&self) -> Option<MediaSequence> {
        let segment = self.segmenter.as_ref().and_then(Segmenter::oldest_unfinished);
        let chunk = self.chunker.as_ref().and_then(Chunker::oldest_unfinished);
        segment.into_iter().chain(chunk).min()
    }

    /// What was repaired or lost in the transport stream.
    #[cfg(test)]
    pub(super) fn stats(&self) -> hls::segmenter::Stats {
        self.segmenter.as_ref().map(Segmenter::stats).unwrap_or_default()
    }

    /// Moves what is ready into the presentation; true when there was any.
    pub(super) fn publish(&mut self, now: Instant, presentation: &mut Presentation) -> bool {
        let mut any = false;
        if let (Some(segmenter), Some(rendition)) = (&mut self.segmenter, self.face.ts) {
            while let Some(segment) = segmenter.poll() {
                presentation.push(now, rendition, segment);
                any = true;
            }
        }
        if let (Some(chunker), Some(rendition)) = (&mut self.chunker, self.face.cmaf) {
            while let Some(chunked) = chunker.poll() {
                match chunked {
                    Chunked::Opened(opening) => presentation.open(now, rendition, opening),
                    Chunked::Part { sequence, index, part } => {
                        presentation.part(rendition, sequence, index, part);
                    }
                    Chunked::Finished(segment) => presentation.push(now, rendition, segment),
                }
                any = true;
            }
        }
        any
    }

    /// Lists a hole in the renditions.
    pub(super) fn gap(&self, now: Instant, presentation: &mut Presentation, gap: &hls::Segment) {
        for rendition in [self.face.ts, self.face.cmaf].into_iter().flatten() {
            presentation.push(now, rendition, gap.clone());
        }
    }
}
