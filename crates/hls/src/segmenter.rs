//! One rendition's packets, gathered into segments: which packet belongs to which side of a cut, and when a segment is
//! whole.
//!
//! ```text
//!  video ─▶ opens a segment at the keyframe a cut waits for ─▶ pictures of the newest open segment
//!  audio ─▶ queue, shared out by PTS: segment i gets [V_i, V_i+1), V being first video PTS
//!  segment i+1 is open and audio has reached V_i+1 ─▶ segment i is muxed, at once, into one `Bytes`
//! ```
//!
//! Sound that stays away does not hold segments back for ever: once pictures are [`AUDIO_PATIENCE`] past the boundary
//! the segment is closed without it, and waiting starts again only with the next sound. Cuts that no keyframe answered
//! before the next cut's did become gaps. Memory is bounded: one segment takes at most [`MAX_SPAN`] and [`MAX_BYTES`],
//! further packets of it are dropped and counted; at most [`MAX_PENDING`] cuts and [`MAX_SOUNDS`] audio frames wait.

use std::{collections::VecDeque, sync::Arc};

use media::{AudioConfig, MediaSequence, MediaSpan, MediaTime, Packet, TrackKind, VideoConfig};

pub use crate::Segment;
use crate::{
    cut::{Cut, Rhythm},
    ts::{Contents, Muxer, Picture, Sound},
};

/// How far pictures may run past a boundary while sound has not reached it.
pub const AUDIO_PATIENCE: MediaSpan = MediaSpan::from_millis(1000);
/// Sound that comes this much after its segment was closed still goes into the next one.
const AUDIO_LATENESS: MediaSpan = MediaSpan::from_millis(500);
/// Sound may outlast the last picture by this much.
const AUDIO_TAIL: MediaSpan = MediaSpan::from_millis(100);
/// A discontinuity with less than this between last picture and next is no hole: the last picture stands until then.
pub(crate) const SMALL_HOLE: MediaSpan = MediaSpan::from_millis(500);
/// A picture's length when nothing tells it.
const NOMINAL_PICTURE: MediaSpan = MediaSpan::from_ticks(3000);
/// Longest that one segment grows while no cut comes.
pub const MAX_SPAN: MediaSpan = MediaSpan::from_millis(60_000);
/// Largest that one segment grows.
pub const MAX_BYTES: usize = 128 << 20;
/// Most cuts that wait for their keyframe.
pub const MAX_PENDING: usize = 256;
/// Most audio frames that wait for their segment.
pub const MAX_SOUNDS: usize = 8192;

/// What did not go as it should, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Segments that were closed without waiting any longer for sound.
    pub audio_waits: u64,
    /// Pictures left out: before the first cut, without a configuration, past a segment's limits, after a hole.
    pub dropped_pictures: u64,
    /// Audio frames left out: outside every segment, come again, too late, or not writable as ADTS.
    pub dropped_sounds: u64,
    /// Cuts that no keyframe answered.
    pub gaps: u64,
}

/// Gathers one rendition's packets into segments.
#[derive(Debug)]
pub struct Segmenter {
    has_video: bool,
    has_audio: bool,
    muxer: Muxer,
    video_config: Option<Arc<VideoConfig>>,
    audio_config: Option<Arc<AudioConfig>>,
    /// Cuts whose segment is not open yet, in order.
    pending: VecDeque<Cut>,
    /// Open segments, in order; packets of the lead track go to the last.
    building: VecDeque<Building>,
    /// Sound beside pictures, in the order it came.
    sounds: VecDeque<Sound>,
    /// Highest PTS of sound in a finished segment since the last discontinuity.
    written_sound: Option<MediaTime>,
    /// Highest PTS of sound that came.
    newest_sound: Option<MediaTime>,
    /// Decoding time of the last picture.
    newest_picture: Option<MediaTime>,
    /// The last wait for sound was in vain.
    audio_lost: bool,
    /// How far pictures may go on while sound is waited for.
    patience: MediaSpan,
    rhythm: Rhythm,
    finished: VecDeque<Segment>,
    stats: Stats,
}

#[derive(Debug)]
struct Building {
    cut: Cut,
    start: MediaTime,
    /// No keyframe came for it before the next one's.
    missing: bool,
    pictures: Vec<Picture>,
    /// Sound without pictures; else it is shared out at the end.
    sounds: Vec<Sound>,
    bytes: usize,
}

impl Segmenter {
    /// A segmenter that has seen nothing, for a rendition with pictures, sound or both.
    pub fn new(has_video: bool, has_audio: bool) -> Self {
        Self {
            has_video,
            has_audio,
            muxer: Muxer::new(has_video, has_audio),
            video_config: None,
            audio_config: None,
            pending: VecDeque::new(),
            building: VecDeque::new(),
            sounds: VecDeque::new(),
            written_sound: None,
            newest_sound: None,
            newest_picture: None,
            audio_lost: false,
            patience: AUDIO_PATIENCE,
            rhythm: Rhythm::default(),
            finished: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// A boundary became known. It replaces those not reached yet that have its number or time, or a higher one; a
    /// number that is open already is ignored.
    pub fn cut(&mut self, cut: Cut) {
        tell(&mut self.pending, self.building.back().map(|open| open.cut.sequence), cut);
    }

    /// The configuration of the pictures that follow, from their next keyframe on.
    pub fn video_config(&mut self, config: Arc<VideoConfig>) {
        self.video_config = Some(config);
    }

    /// The configuration of the sound that follows.
    pub fn audio_config(&mut self, config: Arc<AudioConfig>) {
        self.audio_config = Some(config);
    }

    /// How far pictures may go past a segment's end while its sound is waited for, where that has a longer way than they
    /// have; `None`: the usual second.
    pub fn wait_for_sound(&mut self, patience: Option<MediaSpan>) {
        self.patience = patience.unwrap_or(AUDIO_PATIENCE);
    }

    /// The next packet, in decode order within its track. Packets of a track that the rendition does not have are
    /// ignored.
    pub fn push(&mut self, packet: Packet) {
        match packet.kind {
            TrackKind::Video if self.has_video => self.push_picture(packet),
            TrackKind::Audio if self.has_audio => self.push_sound(packet),
            _ => return,
        }
        while let Some(boundary) = self.building.get(1).map(|next| next.start)
            && self.whole_up_to(boundary)
        {
            self.close_front();
        }
    }

    /// The next finished segment, in order.
    pub fn poll(&mut self) -> Option<Segment> {
        self.finished.pop_front()
    }

    /// The publication is over: closes what is open, the last segment short. Cuts told ahead are forgotten; counters go
    /// on, so that the next publication may continue the list.
    pub fn finish(&mut self) {
        while !self.building.is_empty() {
            self.close_front();
        }
        self.stats.dropped_sounds += self.sounds.len() as u64;
        self.pending.clear();
        self.sounds.clear();
        self.written_sound = None;
        self.newest_sound = None;
        self.newest_picture = None;
        self.audio_lost = false;
        self.rhythm = Rhythm::default();
    }

    /// The encoder behind this rendition died: forgets the packets of all segments not yet finished, sound included,
    /// which will come again. Their cuts are kept. Returns the first sequence number that is not finished.
    pub fn rewind(&mut self) -> Option<MediaSequence> {
        for open in self.building.drain(..).rev() {
            self.pending.push_front(open.cut);
        }
        self.sounds.clear();
        self.newest_sound = None;
        self.newest_picture = None;
        self.rhythm = Rhythm::default();
        self.pending.front().map(|cut| cut.sequence)
    }

    /// The media of the segments before `sequence` have stopped coming: closes what is open of them, and makes gaps of
    /// those that were told and have not begun. What comes later goes into the segments from there on.
    pub fn give_up(&mut self, sequence: MediaSequence) {
        while self.building.front().is_some_and(|open| open.cut.sequence < sequence) {
            self.close_front();
        }
        while let Some(cut) = self.pending.pop_front() {
            let next = self.pending.front().map(|next| next.at);
            let (true, Some(next)) = (cut.sequence < sequence, next) else {
                self.pending.push_front(cut);
                break;
            };
            self.stats.gaps += 1;
            self.finished.push_back(missing(&cut, next));
        }
        if let (Some(next), true) = (self.pending.front(), self.building.is_empty()) {
            let from = next.at - AUDIO_LATENESS;
            let before = self.sounds.len();
            self.sounds.retain(|sound| sound.packet.pts >= from);
            self.stats.dropped_sounds += (before - self.sounds.len()) as u64;
        }
    }

    /// The lowest number that is told or open but not finished.
    pub fn oldest_unfinished(&self) -> Option<MediaSequence> {
        let open = self.building.front().map(|open| open.cut.sequence);
        open.or_else(|| self.pending.front().map(|cut| cut.sequence))
    }

    /// What was repaired or lost so far.
    pub fn stats(&self) -> Stats {
        Stats { dropped_sounds: self.stats.dropped_sounds + self.muxer.unwritable(), ..self.stats }
    }

    fn push_picture(&mut self, packet: Packet) {
        let config = self.video_config.clone().filter(|_| packet.keyframe);
        if packet.keyframe && config.is_none() {
            self.stats.dropped_pictures += 1; // nothing could decode it
            return;
        }
        self.rhythm.see(packet.dts);
        if packet.keyframe {
            self.open_due(packet.pts);
        }
        let Some(open) = self.building.back_mut().filter(|open| open.takes(&packet)) else {
            self.stats.dropped_pictures += 1;
            return;
        };
        self.newest_picture = Some(packet.dts);
        open.bytes += packet.data.len();
        open.pictures.push(Picture { packet, config });
    }

    fn push_sound(&mut self, packet: Packet) {
        let Some(config) = self.audio_config.clone() else {
            self.stats.dropped_sounds += 1;
            return;
        };
        self.audio_lost = false;
        if !self.has_video {
            self.rhythm.see(packet.dts);
            self.open_due(packet.pts);
            match self.building.back_mut().filter(|open| open.takes(&packet)) {
                Some(open) => {
                    open.bytes += packet.data.len();
                    open.sounds.push(Sound { packet, config });
                }
                None => self.stats.dropped_sounds += 1,
            }
            return;
        }
        self.newest_sound = self.newest_sound.max(Some(packet.pts));
        if self.sounds.len() == MAX_SOUNDS {
            self.sounds.pop_front();
            self.stats.dropped_sounds += 1;
        }
        self.sounds.push_back(Sound { packet, config });
    }

    /// Opens the segment of the last cut that a keyframe at `pts` answers; those before it got none and are missing.
    fn open_due(&mut self, pts: MediaTime) {
        let due = self.pending.iter().take_while(|cut| cut.at <= pts).count();
        for nth in 0..due {
            let Some(cut) = self.pending.pop_front() else { return };
            let missing = nth + 1 < due;
            if missing {
                self.stats.gaps += 1;
                if let Some(before) = self.building.back_mut() {
                    let kept = before.pictures.len();
                    before.pictures.retain(|picture| picture.packet.pts < cut.at);
                    self.stats.dropped_pictures += (kept - before.pictures.len()) as u64;
                }
            }
            let start = if missing { cut.at } else { pts };
            self.building.push_back(Building {
                cut,
                start,
                missing,
                pictures: Vec::new(),
                sounds: Vec::new(),
                bytes: 0,
            });
        }
    }

    /// Whether all sound before `boundary` has come, or is not worth waiting for.
    fn whole_up_to(&mut self, boundary: MediaTime) -> bool {
        if !self.has_video || !self.has_audio || self.newest_sound.is_some_and(|newest| newest >= boundary) {
            return true;
        }
        if self.audio_lost {
            return true;
        }
        if self.newest_picture.is_some_and(|newest| newest - boundary >= self.patience) {
            self.stats.audio_waits += 1;
            self.audio_lost = true;
        }
        self.audio_lost
    }

    fn close_front(&mut self) {
        let Some(mut open) = self.building.pop_front() else { return };
        let next = self.building.front().map(|next| (next.start, next.cut.discontinuity));
        let usual = self.rhythm.usual();
        let sequence = open.cut.sequence;
        if open.missing {
            let end = next.map_or(open.start + NOMINAL_PICTURE, |(start, _)| start);
            // Its sound is missing with it: it is no late sound of the next one.
            let before = self.sounds.len();
            self.sounds.retain(|sound| sound.packet.pts >= end);
            self.stats.dropped_sounds += (before - self.sounds.len()) as u64;
            self.written_sound = None;
            self.finished.push_back(missing(&open.cut, end));
            return;
        }
        let mut tail = MediaSpan::ZERO;
        let end = match next {
            Some((next, false)) => next,
            Some((next, true)) => {
                self.stats.dropped_pictures += open.drop_after_hole(usual);
                let own = open.own_end(usual);
                if next > open.start && next - own <= SMALL_HOLE { next } else { own }
            }
            None => {
                tail = AUDIO_TAIL;
                open.own_end(usual)
            }
        };
        let end = end.max(open.start + MediaSpan::from_ticks(1));
        if self.has_video && self.has_audio {
            self.share_out(&mut open, end + tail);
        }
        let until = match next {
            Some((_, false)) => self.building.front().and_then(Building::first_dts),
            _ => None,
        };
        let (bytes, keyframes) = self.muxer.segment(&Contents {
            pictures: &open.pictures,
            sounds: &open.sounds,
            discontinuity: open.cut.discontinuity,
            until,
        });
        self.finished.push_back(Segment {
            sequence,
            start: open.start,
            duration: end - open.start,
            discontinuity: open.cut.discontinuity,
            gap: false,
            unix_micros: open.cut.clock.unix_micros_at(open.start),
            bytes,
            keyframes,
            ..Segment::default()
        });
    }

    /// Gives the segment its sound: all that comes before `end` and is not too late.
    fn share_out(&mut self, open: &mut Building, end: MediaTime) {
        if open.cut.discontinuity {
            self.written_sound = None;
        }
        let from = match self.written_sound {
            Some(_) => open.start - AUDIO_LATENESS,
            None => open.start, // nothing before it that could be late
        };
        let mut kept = VecDeque::with_capacity(self.sounds.len());
        for sound in self.sounds.drain(..) {
            let pts = sound.packet.pts;
            if pts >= end {
                kept.push_back(sound);
            } else if pts < from || self.written_sound.is_some_and(|written| pts <= written) {
                self.stats.dropped_sounds += 1;
            } else {
                self.written_sound = Some(pts);
                open.sounds.push(sound);
            }
        }
        self.sounds = kept;
    }
}

/// Puts a cut among those that wait for their keyframe, while `open` is the newest segment that found it.
pub(crate) fn tell(pending: &mut VecDeque<Cut>, open: Option<MediaSequence>, cut: Cut) {
    if open.is_some_and(|open| open >= cut.sequence) {
        return;
    }
    pending.retain(|told| told.sequence < cut.sequence && told.at < cut.at);
    if pending.len() == MAX_PENDING {
        pending.pop_front();
    }
    pending.push_back(cut);
}

/// A segment that never came, up to where the next one begins.
fn missing(cut: &Cut, end: MediaTime) -> Segment {
    let duration = (end - cut.at).max(MediaSpan::from_ticks(1));
    Segment::missing(cut.sequence, cut.at, duration, cut.discontinuity, cut.clock.unix_micros_at(cut.at))
}

/// How long the last of `frames` pictures stands when nothing follows it: as the others on the average, where `shown`
/// lies between the first and the last.
pub(crate) fn picture_length(shown: MediaSpan, frames: usize, usual: Option<MediaSpan>) -> MediaSpan {
    match (i64::try_from(frames).unwrap_or(i64::MAX), usual) {
        (frames @ 3.., _) => MediaSpan::from_ticks((shown.ticks() + (frames - 1) / 2) / (frames - 1)),
        (_, Some(usual)) => usual,
        _ => NOMINAL_PICTURE,
    }
}

impl Building {
    fn takes(&self, packet: &Packet) -> bool {
        packet.pts - self.start <= MAX_SPAN && self.bytes + packet.data.len() <= MAX_BYTES
    }

    fn first_dts(&self) -> Option<MediaTime> {
        let first = self.pictures.first().map(|picture| picture.packet.dts);
        first.or_else(|| self.sounds.first().map(|sound| sound.packet.dts))
    }

    /// Drops the pictures that came after a hole in the segment: the next one, which is a discontinuity, begins at the
    /// keyframe after them, and nothing could say how long this one is if they stayed. Returns how many.
    fn drop_after_hole(&mut self, usual: Option<MediaSpan>) -> u64 {
        let mut shown: Vec<_> = self.pictures.iter().map(|picture| picture.packet.pts).collect();
        shown.sort_unstable();
        let hole = shown.windows(2).find(|pair| Rhythm::is_hole(pair[1] - pair[0], usual));
        let Some(&[_, after]) = hole else { return 0 };
        let before = self.pictures.len();
        self.pictures.retain(|picture| picture.packet.pts < after);
        (before - self.pictures.len()) as u64
    }

    /// Where its last frame ends.
    fn own_end(&self, usual: Option<MediaSpan>) -> MediaTime {
        if let Some(last) = self.sounds.last() {
            let config = &last.config;
            let samples = config.aac().map_or(0, |aac| aac.samples_per_frame);
            return last.packet.pts + MediaSpan::from_samples(u64::from(samples), config.sample_rate());
        }
        let last = self.pictures.iter().map(|picture| picture.packet.pts).max().unwrap_or(self.start);
        last + picture_length(last - self.start, self.pictures.len(), usual)
    }
}
