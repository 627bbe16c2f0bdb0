//! Made-up sources and a demuxer of its own, for tests.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod demux;
pub mod ffmpeg;
pub mod fmp4;

use std::sync::Arc;

use bytes::Bytes;
use hls::{
    Segment,
    cut::{Cut, CutPlan, Mode, WallClock},
    segmenter::Segmenter,
};
use media::{
    AudioConfig, MediaSequence, MediaSpan, MediaTime, Packet, TrackId, TrackKind, VideoConfig, aac, h264,
};

/// x264, 1280x720, High@3.1, 30 fps.
pub const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
];
pub const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

pub fn video_config() -> Arc<VideoConfig> {
    let units = |unit: &'static [u8]| vec![Bytes::from_static(unit)];
    Arc::new(VideoConfig::H264(h264::Config::from_units(units(SPS), units(PPS)).unwrap()))
}

pub fn audio_config(rate: u32) -> Arc<AudioConfig> {
    Arc::new(AudioConfig::Aac(aac::Config::lc(rate, 2).unwrap()))
}

/// A picture whose bytes tell its number; `size` is that of its slice.
pub fn picture(nth: u64, pts: i64, dts: i64, keyframe: bool, size: usize) -> Packet {
    let mut slice = vec![if keyframe { 0x65 } else { 0x41 }];
    slice.extend(nth.to_be_bytes().map(|byte| byte | 0x10)); // no start codes inside
    slice.resize(size.max(9), 0xA5);
    let mut data = vec![];
    if keyframe {
        data.extend([0, 0, 0, 3, 6, 5, 0x80]); // an SEI unit
    }
    data.extend((slice.len() as u32).to_be_bytes());
    data.extend(slice);
    packet(TrackKind::Video, pts, dts, keyframe, data)
}

/// A sound whose bytes tell its number.
pub fn sound(nth: u64, pts: i64, size: usize) -> Packet {
    let mut data = nth.to_be_bytes().to_vec();
    data.resize(size.max(8), 0x5A);
    packet(TrackKind::Audio, pts, pts, true, data)
}

fn packet(kind: TrackKind, pts: i64, dts: i64, keyframe: bool, data: Vec<u8>) -> Packet {
    Packet {
        track: TrackId(0),
        kind,
        pts: MediaTime::from_ticks(pts),
        dts: MediaTime::from_ticks(dts),
        keyframe,
        data: data.into(),
    }
}

/// A source with a steady rhythm.
#[derive(Clone, Debug)]
pub struct Source {
    pub start: i64,
    pub seconds: f64,
    /// Ticks between pictures; 0 for none.
    pub frame: i64,
    pub gop: u64,
    /// Pictures are shown in the order I B B P B B P …
    pub b_frames: bool,
    /// 0 for none.
    pub audio_rate: u32,
    pub sizes: Vec<usize>,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            start: 0,
            seconds: 10.0,
            frame: 3000,
            gop: 60,
            b_frames: false,
            audio_rate: 48_000,
            sizes: vec![3000, 200, 500],
        }
    }
}

impl Source {
    /// All packets, interleaved by decoding time.
    pub fn packets(&self) -> Vec<Packet> {
        let end = (self.seconds * 90_000.0) as i64;
        let size = |nth: u64| self.sizes[nth as usize % self.sizes.len()];
        let mut all = vec![];
        if self.frame > 0 {
            let count = (end + self.frame - 1) / self.frame;
            for nth in 0..count {
                let in_gop = nth % self.gop as i64;
                // decode order I P B B P B B: shown as 0 3 1 2 6 4 5
                let shown = match (self.b_frames && in_gop > 0, in_gop % 3) {
                    (false, _) => nth,
                    (true, 1) => nth + 2,
                    (true, _) => nth - 1,
                };
                let late = if self.b_frames { self.frame } else { 0 };
                let pts = self.start + shown * self.frame;
                let dts = self.start + nth * self.frame - late;
                all.push(picture(nth as u64, pts, dts, in_gop == 0, size(nth as u64)));
            }
        }
        if self.audio_rate > 0 {
            let time = |nth: u64| MediaSpan::from_samples(nth * 1024, self.audio_rate).ticks();
            let pts = (0u64..).map(time).take_while(|pts| *pts < end);
            all.extend(
                pts.enumerate()
                    .map(|(nth, pts)| sound(nth as u64, self.start + pts, 50 + size(nth as u64) % 300)),
            );
        }
        all.sort_by_key(|packet| packet.dts);
        all
    }
}

pub const CLOCK: WallClock = WallClock { at: MediaTime::ZERO, unix_micros: 1_795_348_800_000_000 };

pub fn plan(mode: Mode) -> CutPlan {
    CutPlan::new(mode, MediaSpan::from_millis(2000), MediaSpan::from_millis(2499), MediaSequence(100))
}

pub fn segmenter(has_video: bool, has_audio: bool) -> Segmenter {
    let mut segmenter = Segmenter::new(has_video, has_audio);
    segmenter.video_config(video_config());
    segmenter.audio_config(audio_config(48_000));
    segmenter
}

/// Runs packets through a plan and one segmenter, to the end.
pub fn segment_all(
    packets: &[Packet],
    plan: &mut CutPlan,
    segmenter: &mut Segmenter,
) -> (Vec<Cut>, Vec<Segment>) {
    let lead = if packets.iter().any(|packet| packet.kind == TrackKind::Video) {
        TrackKind::Video
    } else {
        TrackKind::Audio
    };
    let (mut cuts, mut segments) = (vec![], vec![]);
    for packet in packets {
        if packet.kind == lead {
            for cut in plan.see(packet, CLOCK) {
                segmenter.cut(cut);
                cuts.push(cut);
            }
        }
        segmenter.push(packet.clone());
        segments.extend(std::iter::from_fn(|| segmenter.poll()));
    }
    segmenter.finish();
    segments.extend(std::iter::from_fn(|| segmenter.poll()));
    (cuts, segments)
}
