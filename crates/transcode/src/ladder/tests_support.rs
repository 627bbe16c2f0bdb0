//! Sources for the tables.

use std::sync::Arc;

use bytes::Bytes;
use media::{AudioConfig, FrameRate, MediaSpan, TrackId, VideoConfig, aac, h264};

use crate::source::{AudioSource, Gop, Keyframes, Label, Source, Turn, VideoSource};

/// What one row changes.
pub(super) enum Change {
    Gop(Gop),
    /// profile_idc, level_idc, chroma format, bits, interlaced.
    Sps(u8, u8, u8, u8, bool),
    Rate(u32),
    /// Pixels this many times as wide as high.
    Aspect(u16, u16),
    /// Held upright, coded lying.
    Sideways,
}

pub(super) fn known(gop_ms: i64) -> Gop {
    Gop::Known { longest: MediaSpan::from_millis(gop_ms), scene_cuts: false, open: false }
}

/// H.264 High 3.1 with sound.
pub(super) fn video(width: u32, height: u32, fps: u32, gop_ms: i64) -> Source {
    let sps = h264::SpsInfo {
        profile_idc: 100,
        constraints: 0,
        level_idc: 31,
        width,
        height,
        chroma_format: 1,
        bit_depth: 8,
        interlaced: false,
        frame_rate: FrameRate::new(fps, 1),
        max_reorder: Some(2),
        sample_aspect: (1, 1),
        color: None,
        full_range: false,
    };
    let config = h264::Config {
        sps_units: vec![Bytes::from_static(&[0x67])],
        pps_units: vec![Bytes::from_static(&[0x68])],
        sps,
    };
    let source = VideoSource {
        captions: media::captions::Services::NONE,
        track: TrackId(0),
        variable_rate: false,
        keyframes: Keyframes::default(),
        config: Arc::new(VideoConfig::H264(config)),
        frame_rate: FrameRate::new(fps, 1),
        gop: known(gop_ms),
        bitrate_bps: None,
        turn: Turn::NONE,
    };
    with_audio(Source { video: Some(source), ..Source::default() }, &[0x11, 0x90])
}

pub(super) fn with_audio(source: Source, asc: &[u8]) -> Source {
    let config = aac::Config::parse(asc).expect("a configuration");
    Source {
        audio: Some(AudioSource {
            track: TrackId(0),
            config: Arc::new(AudioConfig::Aac(config)),
            bitrate_bps: None,
            label: Label::default(),
        }),
        ..source
    }
}

pub(super) fn changed(mut source: Source, change: &Change) -> Source {
    let video = source.video.as_mut().expect("a picture");
    match change {
        Change::Gop(gop) => video.gop = *gop,
        Change::Sideways => video.turn = Turn { across: true, mirror_x: true, mirror_y: false },
        Change::Aspect(num, den) => {
            let mut config = video.config.h264().expect("H.264").clone();
            config.sps.sample_aspect = (*num, *den);
            video.config = Arc::new(VideoConfig::H264(config));
        }
        Change::Rate(fps) => video.frame_rate = FrameRate::new(*fps, 1),
        Change::Sps(profile, level, chroma, bits, interlaced) => {
            let mut config = video.config.h264().expect("H.264").clone();
            (config.sps.profile_idc, config.sps.level_idc) = (*profile, *level);
            (config.sps.chroma_format, config.sps.bit_depth) = (*chroma, *bits);
            config.sps.interlaced = *interlaced;
            video.config = Arc::new(VideoConfig::H264(config));
        }
    }
    source
}
