//! Media files as a publication would bring them: for `sluice ladder`, benches and tests. Serving never reads files.

use std::{path::Path, sync::Arc};

use media::{
    AudioConfig, MediaEvent, MediaTime, Packet, TrackId, TrackKind, VideoConfig, aac,
    h264::{self, Record},
};

use crate::{
    av::{self, Demuxer, StreamKind},
    ladder::Wishes,
    source::{Hints, Probe, Source, Unsupported},
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

/// A file being read. As an iterator: the configurations, then the packets of its first H.264 and first AAC track in
/// file order. A read error ends it, as the end of the file does.
pub struct File {
    demuxer: Demuxer,
    hints: Hints,
    waiting: Vec<MediaEvent>,
    length_size: u8,
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
        let mut length_size = 4;
        let mut waiting = Vec::new();
        for (kind, stream) in demuxer.streams() {
            let headers = stream.headers.clone().into();
            match kind {
                StreamKind::H264 => {
                    let broken = |error: h264::ConfigError| FileError::Track {
                        track: "video",
                        cause: error.to_string(),
                    };
                    let record = Record::parse(&headers).map_err(broken)?;
                    length_size = record.length_size;
                    let config =
                        h264::Config::from_units(record.sps_units, record.pps_units).map_err(broken)?;
                    waiting.push(MediaEvent::VideoConfig(
                        TrackId::default(),
                        Arc::new(VideoConfig::H264(config)),
                    ));
                    hints.has_video = Some(true);
                    hints.frame_rate = stream.frame_rate;
                    hints.video_bps = stream.bitrate_bps;
                }
                StreamKind::Aac => {
                    hints.has_audio = Some(true);
                    hints.audio_bps = stream.bitrate_bps;
                    if !headers.is_empty() {
                        let config = aac::Config::parse(&headers)
                            .map_err(|error| FileError::Track { track: "audio", cause: error.to_string() })?;
                        waiting.push(MediaEvent::AudioConfig(
                            TrackId::default(),
                            Arc::new(AudioConfig::Aac(config)),
                        ));
                    }
                }
            }
        }
        waiting.reverse(); // taken from the end
        Ok(Self { demuxer, hints, waiting, length_size })
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
            let (pts, dts) = (MediaTime::from_ticks(raw.pts.max(raw.dts)), MediaTime::from_ticks(raw.dts));
            let packet = |kind, keyframe, data| Packet { track: TrackId(0), kind, pts, dts, keyframe, data };
            match raw.kind {
                StreamKind::H264 => {
                    let unit = h264::normalise(&raw.data, self.length_size);
                    if unit.picture {
                        return Some(MediaEvent::Packet(packet(TrackKind::Video, unit.idr, unit.data)));
                    }
                }
                StreamKind::Aac => match aac::split_adts(&raw.data) {
                    // Files of the ADTS kind (MPEG-TS) carry the configuration in every frame.
                    Some((config, frame)) => {
                        let frame = packet(TrackKind::Audio, true, raw.data.slice_ref(frame));
                        self.waiting.push(MediaEvent::Packet(frame));
                        self.waiting.push(MediaEvent::AudioConfig(
                            TrackId::default(),
                            Arc::new(AudioConfig::Aac(config)),
                        ));
                    }
                    None => return Some(MediaEvent::Packet(packet(TrackKind::Audio, true, raw.data))),
                },
            }
        }
    }
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
    let file = File::open(path)?;
    let mut probe = Probe::new(wishes);
    probe.metadata(file.hints().clone());
    for event in file {
        probe.see(&event);
        if let Some(verdict) = probe.verdict() {
            return Ok(verdict?);
        }
    }
    Ok(probe.conclude()?)
}
