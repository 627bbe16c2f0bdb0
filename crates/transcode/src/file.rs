//! Media files as a publication would bring them: for `sluice ladder`, benches and tests. Serving never reads files.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use media::{
    AudioConfig, MediaEvent, MediaTime, OtherAudio, OtherVideo, Packet, TrackId, TrackKind, VideoConfig, aac,
    h264::{self, Record},
};

use crate::{
    av::{self, Demuxer, StreamInfo, StreamKind},
    ladder::Wishes,
    source::{Hints, Label, Probe, Source, Unsupported},
};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// FFmpeg cannot open or read it.
    #[error("{0}")]
    Read(String),
    /// A track's configuration is malformed.
    #[error("its {track} track: {cause}")]
    Track {
        /// `video` or `audio`.
        track: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// It can never be served.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
}

/// A file being read. As an iterator: the configurations, then the packets of its tracks in file order. A read error
/// ends it, as the end of the file does.
pub struct File {
    demuxer: Demuxer,
    hints: Hints,
    waiting: Vec<MediaEvent>,
    /// Bytes of a NAL unit's length, per track of the demuxer; 0 for what is not H.264.
    length_sizes: Vec<u8>,
}

impl File {
    /// Opens a file or URL that FFmpeg can demux.
    ///
    /// # Errors
    /// When it cannot be opened, or a track's configuration is malformed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        av::quiet();
        let demuxer = Demuxer::open(path.as_ref()).map_err(|error| FileError::Read(error.to_string()))?;
        let mut hints = Hints { has_video: Some(false), has_audio: Some(false), ..Hints::default() };
        let mut length_sizes = Vec::new();
        let mut waiting = Vec::new();
        for stream in demuxer.streams() {
            let details = &stream.details;
            let first = stream.track == TrackId::default();
            match stream.kind.track_kind() {
                TrackKind::Video => {
                    hints.has_video = Some(true);
                    if first {
                        hints.frame_rate = stream.frame_rate;
                        hints.video_bps = details.bitrate_bps;
                    }
                }
                TrackKind::Audio => {
                    hints.has_audio = Some(true);
                    if first {
                        hints.audio_bps = details.bitrate_bps;
                    }
                    let label = Label { name: stream.title.clone(), language: stream.language.clone() };
                    if label != Label::default() {
                        hints.audio_labels.push((stream.track, label));
                    }
                }
            }
            let (event, length_size) = announce(stream)?;
            waiting.extend(event);
            length_sizes.push(length_size);
        }
        waiting.reverse(); // taken from the end
        Ok(Self { demuxer, hints, waiting, length_sizes })
    }

    /// What the file says of itself.
    pub fn hints(&self) -> &Hints {
        &self.hints
    }

    fn event(&mut self) -> Option<MediaEvent> {
        loop {
            if let Some(event) = self.waiting.pop() {
                return Some(event);
            }
            let raw = self.demuxer.read()?;
            let stream = &self.demuxer.streams()[raw.stream];
            let (pts, dts) = (MediaTime::from_ticks(raw.pts.max(raw.dts)), MediaTime::from_ticks(raw.dts));
            let (track, kind) = (stream.track, stream.kind.track_kind());
            let packet = |keyframe, data| Packet { track, kind, pts, dts, keyframe, data };
            match stream.kind {
                StreamKind::H264 => {
                    let unit = h264::normalise(&raw.data, self.length_sizes[raw.stream]);
                    if unit.picture {
                        return Some(MediaEvent::Packet(packet(unit.idr, unit.data)));
                    }
                }
                StreamKind::Aac => match aac::split_adts(&raw.data) {
                    // Files of the ADTS kind (MPEG-TS) carry the configuration in every frame.
                    Some((config, frame)) => {
                        let frame = packet(true, raw.data.slice_ref(frame));
                        self.waiting.push(MediaEvent::Packet(frame));
                        self.waiting.push(MediaEvent::AudioConfig(track, Arc::new(AudioConfig::Aac(config))));
                    }
                    None => return Some(MediaEvent::Packet(packet(true, raw.data))),
                },
                StreamKind::Video(_) => return Some(MediaEvent::Packet(packet(raw.keyframe, raw.data))),
                StreamKind::Audio(_) => {
                    return Some(MediaEvent::Packet(Packet { dts: pts, ..packet(true, raw.data) }));
                }
            }
        }
    }
}

/// A track's configuration, unless its packets bring it, and the bytes of its NAL units' lengths.
fn announce(stream: &StreamInfo) -> Result<(Option<MediaEvent>, u8), FileError> {
    let details = &stream.details;
    let headers = details.headers.clone();
    let video = |config| Some(MediaEvent::VideoConfig(stream.track, Arc::new(config)));
    let audio = |config| Some(MediaEvent::AudioConfig(stream.track, Arc::new(config)));
    Ok(match stream.kind {
        StreamKind::H264 => {
            let broken =
                |error: h264::ConfigError| FileError::Track { track: "video", cause: error.to_string() };
            let record = Record::parse(&headers).map_err(broken)?;
            let config = h264::Config::from_units(record.sps_units, record.pps_units).map_err(broken)?;
            (video(VideoConfig::H264(config)), record.length_size)
        }
        StreamKind::Aac if headers.is_empty() => (None, 0),
        StreamKind::Aac => {
            let config = aac::Config::parse(&headers)
                .map_err(|error| FileError::Track { track: "audio", cause: error.to_string() })?;
            (audio(AudioConfig::Aac(config)), 0)
        }
        StreamKind::Video(codec) => {
            let config = OtherVideo {
                codec,
                extradata: headers,
                width: details.width,
                height: details.height,
                bit_depth: details.bit_depth,
                frame_rate: None,
                color: details.color,
            };
            (video(VideoConfig::Other(config)), 0)
        }
        StreamKind::Audio(codec) => {
            let config = OtherAudio {
                codec,
                extradata: headers,
                sample_rate: details.sample_rate,
                channels: details.channels.max(1),
            };
            (audio(AudioConfig::Other(config)), 0)
        }
    })
}

impl Iterator for File {
    type Item = MediaEvent;
    fn next(&mut self) -> Option<MediaEvent> {
        self.event()
    }
}

/// Looks at a file as at a publication.
///
/// # Errors
/// When it cannot be read, or could never be served.
pub fn probe(path: impl AsRef<Path>, wishes: &Wishes) -> Result<Source, FileError> {
    look(path, wishes, None)
}

/// The same for what may be live: after `patience` what was seen until then must do. Reading itself may block for longer.
///
/// # Errors
/// When it cannot be read, could never be served, or too little came.
pub fn probe_live(path: impl AsRef<Path>, wishes: &Wishes, patience: Duration) -> Result<Source, FileError> {
    look(path, wishes, Some(Instant::now() + patience))
}

fn look(path: impl AsRef<Path>, wishes: &Wishes, until: Option<Instant>) -> Result<Source, FileError> {
    let file = File::open(path)?;
    let mut probe = Probe::new(wishes);
    probe.metadata(file.hints().clone());
    for event in file {
        probe.see(&event);
        if let Some(verdict) = probe.verdict() {
            return Ok(verdict?);
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
    }
    Ok(probe.conclude()?)
}
