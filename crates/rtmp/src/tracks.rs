//! Audio and video messages become media events: configurations told when they change, frames normalised and placed
//! in time, what cannot be used dropped and counted.
//!
//! ```text
//!  flv::VideoTag ─▶ video::Video (one a track) ─ media::Pictures ─▶ changed? VideoConfig, at the next keyframe ─┐
//!  flv::AudioTag ─▶ audio::Audio (one a track) ─ media::Sounds ──▶ changed? AudioConfig, at the next keyframe ──┤
//!                                                     Timeline ─▶ Interleave ────────────────────────────────┴▶ MediaEvent
//! ```
//! A changed configuration takes effect at the next keyframe; frames between are dropped, since they belong to
//! neither. Sound waits for the same keyframe where there is a picture, but never longer than [`AUDIO_CHANGE_WAIT_MS`].
//!
//! Track 0 of each kind is the default; up to 16 are kept apart, each with its own coding. What cannot be decoded is
//! refused when it is all there is, and left out with a note when it comes beside a track that can.

mod audio;
mod video;

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use media::{
    AudioConfig, BreakReason, Interleave, MediaEvent, Packet, Timeline, TrackId, VideoCodec, VideoCoding,
    VideoConfig, WireMillis, timeline::Repairs,
};

use self::{audio::Audio, video::Video};
use crate::{
    flv::{self, AudioTag, VideoContent, VideoTag},
    metadata::Metadata,
    quirk::{Quirk, Quirks},
};

/// Longest that sound of a changed configuration waits for a keyframe, in wire milliseconds.
pub const AUDIO_CHANGE_WAIT_MS: u32 = 10_000;
/// Raw AAC without any configuration for so long is taken for AAC-LC as onMetaData describes it, in wire milliseconds.
pub const AUDIO_CONFIG_WAIT_MS: u32 = 2_000;
/// Tracks of one kind that are kept apart; numbers from here on are left out.
pub const TRACKS_MAX: u8 = 16;

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
    order: Interleave,
    videos: Vec<Video>,
    audios: Vec<Audio>,
    /// What onMetaData told last.
    hints: Hints,
    counters: Counters,
    /// What was odd; the owner drains it.
    pub quirks: Quirks,
}

#[derive(Debug, Default)]
struct Hints {
    /// Sample rate and channels.
    audio: Option<(u32, u8)>,
    /// Width and height.
    size: Option<(u32, u32)>,
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
        Repairs { reordered: self.order.reordered(), ..self.timeline.repairs() }
    }

    /// onMetaData came: kept for streams that do not tell by themselves.
    pub fn metadata(&mut self, metadata: &Metadata) {
        let audio = metadata.audio_sample_rate.map(|rate| (rate, metadata.audio_channels.unwrap_or(2)));
        self.hints.audio = audio.or(self.hints.audio);
        self.hints.size = metadata.width.zip(metadata.height).or(self.hints.size);
        if let Some((width, height)) = self.hints.size {
            let default = self.videos.iter_mut().find(|video| video.track == TrackId::default());
            default.into_iter().for_each(|video| video.pictures.hint_size(width, height));
        }
    }

    /// Takes the body of a video message stamped `wire`.
    ///
    /// # Errors
    /// When the picture is coded in a way that is not taken.
    pub fn video(&mut self, wire: u32, body: &Bytes, out: &mut Sink) -> Result<(), Unsupported> {
        flv::video(body).try_for_each(|tag| self.video_tag(wire, tag, out))
    }

    /// Takes the body of an audio message stamped `wire`.
    ///
    /// # Errors
    /// When the sound is coded in a way that is not taken.
    pub fn audio(&mut self, wire: u32, body: &Bytes, out: &mut Sink) -> Result<(), Unsupported> {
        flv::audio(body).try_for_each(|tag| self.audio_tag(wire, tag, out))
    }

    /// The publication is over, or pauses: packets that waited for others go out.
    pub fn flush(&mut self, out: &mut Sink) {
        self.order.flush(out);
    }

    fn video_tag(&mut self, wire: u32, tag: VideoTag, out: &mut Sink) -> Result<(), Unsupported> {
        let VideoTag { track, coding, content, nanos } = tag;
        let has_picture = self.videos.iter().any(|video| video.told.is_some());
        let coding = match coding {
            Ok(VideoCoding::Other(VideoCodec::Vvc)) => Err("VVC (H.266)".to_owned()),
            known => known,
        };
        let coding = match coding {
            Ok(coding) if track < TRACKS_MAX => coding,
            Ok(_) => return self.left_out(|| format!("video track {track}; numbers up to 15 are taken")),
            Err(name) => {
                return self.foreign(&name, track, has_picture, "video", "H.264, HEVC, AV1 or VP9");
            }
        };
        let known = self.videos.iter().position(|video| video.track == TrackId(track));
        let at = match (known, &content) {
            // FFmpeg tells the colours of every track as if they were the default one's: the coding says whose they are.
            (Some(_), VideoContent::Color(_)) => {
                let coded_so = self.videos.iter().position(|video| video.labelled == coding);
                let Some(at) = coded_so else { return Ok(()) };
                at
            }
            (Some(_), VideoContent::Nothing) => return Ok(()),
            (Some(at), _) => at,
            (None, _) => {
                let Some(mut video) = Video::new(TrackId(track), coding) else { return Ok(()) };
                if let (0, Some((width, height))) = (track, self.hints.size) {
                    video.pictures.hint_size(width, height);
                }
                self.videos.push(video);
                self.videos.len() - 1
            }
        };
        self.videos[at].relabel(coding);
        self.video_content(at, Stamped { wire: WireMillis(wire), nanos }, content, out);
        Ok(())
    }

    fn audio_tag(&mut self, wire: u32, tag: AudioTag, out: &mut Sink) -> Result<(), Unsupported> {
        let AudioTag { track, coding, mut format, content, nanos } = tag;
        // FFmpeg's muxer writes the lowest rate where FLV has no code for the true one, which metadata then tells.
        if let (flv::LOWEST_RATE, Some((rate @ (8_000 | 16_000), _))) = (format.sample_rate, self.hints.audio)
        {
            format.sample_rate = rate;
        }
        let has_sound = self.audios.iter().any(|audio| audio.told.is_some());
        let coding = match coding {
            Ok(coding) if track < TRACKS_MAX => coding,
            Ok(_) => return self.left_out(|| format!("audio track {track}; numbers up to 15 are taken")),
            Err(name) => return self.foreign(&name, track, has_sound, "audio", "AAC or Opus"),
        };
        let known = self.audios.iter().position(|audio| audio.track == TrackId(track));
        let at = known.unwrap_or_else(|| {
            self.audios.push(Audio::new(TrackId(track), coding));
            self.audios.len() - 1
        });
        self.audios[at].relabel(coding);
        self.audio_content(at, Stamped { wire: WireMillis(wire), nanos }, format, content, out);
        Ok(())
    }

    /// A coding that is not taken ends the publication, unless it comes beside a track that is.
    fn foreign(
        &mut self,
        name: &str,
        track: u8,
        has_track: bool,
        what: &str,
        wanted: &str,
    ) -> Result<(), Unsupported> {
        if has_track || track != 0 {
            return self.left_out(|| format!("{what} track {track}: {name} cannot be decoded here"));
        }
        self.counters.dropped += 1;
        Err(Unsupported(format!(
            "The stream's {what} is {name}, which cannot be decoded here. Set the encoder's {what} to {wanted}."
        )))
    }

    fn left_out(&mut self, detail: impl FnOnce() -> String) -> Result<(), Unsupported> {
        self.counters.dropped += 1;
        self.quirks.note_with(Quirk::ExtraTrack, detail);
        Ok(())
    }

    /// Something that applies to what follows it, on this track or on all.
    fn announce(&mut self, event: MediaEvent, out: &mut Sink) {
        self.order.flush(out);
        out.push_back(event);
    }

    fn packet(&mut self, packet: Packet, broke: Option<BreakReason>, out: &mut Sink) {
        if let Some(reason) = broke {
            self.quirks.note(Quirk::TimestampJump);
            self.announce(MediaEvent::Break(reason), out);
        }
        self.counters.packets += 1;
        self.order.push(packet, out);
    }

    fn tell_video(&mut self, at: usize, config: Arc<VideoConfig>, out: &mut Sink) {
        let video = &mut self.videos[at];
        video.told = Some(config.clone());
        let track = video.track;
        self.announce(MediaEvent::VideoConfig(track, config), out);
    }

    fn tell_audio(&mut self, at: usize, config: Arc<AudioConfig>, out: &mut Sink) {
        let audio = &mut self.audios[at];
        audio.told = Some(config.clone());
        let track = audio.track;
        self.announce(MediaEvent::AudioConfig(track, config), out);
    }
}

/// A message's time.
#[derive(Clone, Copy, Debug)]
struct Stamped {
    wire: WireMillis,
    /// ModEx's nanoseconds.
    nanos: u32,
}

#[cfg(test)]
#[path = "tracks/tests.rs"]
mod tests;
