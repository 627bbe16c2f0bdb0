//! Real H.264 and AAC through plan, segmenter and muxer, decoded by FFmpeg: every segment alone, and all in a row.
//!
//! The input is made by the `ffmpeg` program; without it the test says so and passes.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use hls::{Segment, cut::Mode, segmenter::Segmenter};
use media::{AudioConfig, MediaTime, Packet, TrackId, TrackKind, VideoConfig, aac, h264};
use support::{
    demux::Demuxer,
    ffmpeg::{Folder, decode, ffmpeg},
    plan, segment_all,
};

/// What an FLV file holds, as far as it is ours.
struct Flv {
    video: Arc<VideoConfig>,
    audio: Option<Arc<AudioConfig>>,
    packets: Vec<Packet>,
}

fn read_flv(file: &[u8]) -> Flv {
    let file = Bytes::copy_from_slice(file);
    let mut at = 13;
    let (mut video, mut audio, mut packets) = (None, None, vec![]);
    let mut samples = 0;
    while at + 11 < file.len() {
        let head = &file[at..at + 11];
        let len = usize::from(head[1]) << 16 | usize::from(head[2]) << 8 | usize::from(head[3]);
        let ms = i64::from(u32::from_be_bytes([head[7], head[4], head[5], head[6]]));
        let body = file.slice(at + 11..at + 11 + len);
        at += 11 + len + 4;
        match (head[0], body.get(1)) {
            (9, Some(0)) => {
                let record = h264::Record::parse(&body.slice(5..)).unwrap();
                let config = h264::Config::from_units(record.sps_units, record.pps_units).unwrap();
                video = Some(Arc::new(VideoConfig::H264(config)));
            }
            (9, Some(1)) => {
                let composition = i64::from(i32::from_be_bytes([body[2], body[3], body[4], 0]) >> 8);
                let unit = h264::normalise(&body.slice(5..), 4);
                packets.push(Packet {
                    track: TrackId(0),
                    kind: TrackKind::Video,
                    pts: MediaTime::from_ticks((ms + composition) * 90),
                    dts: MediaTime::from_ticks(ms * 90),
                    keyframe: unit.idr,
                    data: unit.data,
                });
            }
            (8, Some(0)) => {
                audio = Some(Arc::new(AudioConfig::Aac(aac::Config::parse(&body[2..]).unwrap())));
            }
            (8, Some(1)) => {
                let pts = MediaTime::ZERO
                    + media::MediaSpan::from_samples(
                        samples,
                        audio.as_ref().map_or(48_000, |c| c.sample_rate()),
                    );
                samples += 1024;
                let (track, kind, data) = (TrackId(0), TrackKind::Audio, body.slice(2..));
                packets.push(Packet { track, kind, pts, dts: pts, keyframe: true, data });
            }
            _ => {}
        }
    }
    Flv { video: video.unwrap(), audio, packets }
}

/// Six seconds of test picture and tone, by the given encoder settings.
fn source(video: &[&str], rate: u32) -> Option<Flv> {
    let picture = "testsrc2=size=320x180:rate=30";
    let tone = format!("sine=frequency=440:sample_rate={rate}");
    let output = ffmpeg()?
        .args(["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", &tone, "-t", "6", "-pix_fmt", "yuv420p"])
        .args(["-c:v", "libx264", "-preset", "veryfast"])
        .args(video)
        .args(["-c:a", "aac", "-ac", "2", "-f", "flv", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(read_flv(&output.stdout))
}

fn check(name: &str, flv: &Flv) -> Vec<Segment> {
    let mut segmenter = Segmenter::new(true, flv.audio.is_some());
    segmenter.video_config(flv.video.clone());
    if let Some(audio) = &flv.audio {
        segmenter.audio_config(audio.clone());
    }
    let (_, segments) = segment_all(&flv.packets, &mut plan(Mode::Keyframes), &mut segmenter);
    let folder = Folder::new(name);
    let mut demuxer = Demuxer::default();
    let mut pictures = 0;
    for segment in &segments {
        let read = demuxer.segment(&segment.bytes, true, flv.audio.is_some());
        let sent = read.iter().filter(|pes| pes.pid == 0x100).count();
        let path = folder.write(&format!("{}.ts", segment.sequence), [&segment.bytes]);
        assert_eq!(decode(&path).len(), sent, "{name}: pictures of segment {} alone", segment.sequence);
        pictures += sent;
    }
    let path = folder.write("all.ts", segments.iter().map(|segment| &segment.bytes));
    assert_eq!(decode(&path).len(), pictures, "{name}: pictures of all in a row");
    assert_eq!(pictures, 180);
    segments
}

#[test]
fn ffmpeg_decodes_what_was_copied() {
    let regular = ["-g", "60", "-keyint_min", "60", "-sc_threshold", "0"];
    let Some(flv) = source(&regular, 48_000) else { return };
    let segments = check("b-frames", &flv);
    assert!(segments.iter().all(|segment| (segment.duration.millis() - 2000).abs() <= 1), "{segments:?}");

    let Some(flv) = source(&[&regular[..], &["-bf", "0", "-tune", "zerolatency"]].concat(), 44_100) else {
        return;
    };
    check("low-delay", &flv);

    let Some(mut flv) = source(&["-g", "17", "-x264-params", "slices=4:aud=1"], 48_000) else { return };
    check("slices", &flv);
    flv.audio = None;
    check("pictures-alone", &flv);
}
