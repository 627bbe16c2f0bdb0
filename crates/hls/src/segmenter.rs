//! One rendition's packets, gathered into segments.

use std::{collections::VecDeque, sync::Arc};

use media::{AudioConfig, MediaSequence, Packet, VideoConfig};

pub use crate::Segment;
use crate::cut::Cut;

/// Gathers one rendition's packets into segments.
#[derive(Debug)]
pub struct Segmenter {
    finished: VecDeque<Segment>,
}

impl Segmenter {
    /// A segmenter that has seen nothing.
    pub fn new(has_video: bool, has_audio: bool) -> Self {
        let _ = (has_video, has_audio);
        Self { finished: VecDeque::new() }
    }
    /// A boundary became known.
    pub fn cut(&mut self, _cut: Cut) {}
    /// The configuration of the pictures that follow.
    pub fn video_config(&mut self, _config: Arc<VideoConfig>) {}
    /// The configuration of the sound that follows.
    pub fn audio_config(&mut self, _config: Arc<AudioConfig>) {}
    /// The next packet, in decode order within its track.
    pub fn push(&mut self, _packet: Packet) {}
    /// The next finished segment, in order.
    pub fn poll(&mut self) -> Option<Segment> {
        self.finished.pop_front()
    }
    /// The publication is over: closes the open segment short.
    pub fn finish(&mut self) {}
    /// Forgets unfinished packets; they will come again. Returns the first sequence not yet finished.
    pub fn rewind(&mut self) -> Option<MediaSequence> {
        None
    }
    /// The lowest number that is begun or planned but not finished.
    pub fn oldest_unfinished(&self) -> Option<MediaSequence> {
        None
    }
}
