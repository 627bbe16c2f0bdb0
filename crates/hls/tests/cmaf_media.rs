//! Real media through plan and chunker, judged by FFmpeg: all segments in a row, each alone, and each independent part
//! alone.
//!
//! The input is made by the `ffmpeg` program; without it the test says so and passes.

#![allow(clippy::unwrap_used)]

mod support;

use hls::{cmaf::Chunker, cut::Mode};
use media::{MediaSpan, TrackKind};
use support::{
    ffmpeg::{Config, Folder, Media, decode, encode, packets, stream, units},
    fmp4::{Read, chunk_all, timescale},
    plan,
};

fn chunk(media: &Media, target: i64) -> Read {
    let (kind, mode) = match &media.config {
        Config::Video(_) => (TrackKind::Video, Mode::Keyframes),
        Config::Audio(_) => (TrackKind::Audio, Mode::Grid),
    };
    let mut chunker = Chunker::new(kind, MediaSpan::from_ticks(target)).with_wall_clock();
    match &media.config {
        Config::Video(config) => chunker.video_config(config.clone()),
        Config::Audio(config) => chunker.audio_config(config.clone()),
    }
    assert_eq!(chunker.unwritable(), None);
    let read = chunk_all(&media.packets, &mut plan(mode), &mut chunker, target);
    assert_eq!(chunker.stats(), Default::default());
    read
}

/// How many frames the judge finds where `coded` are: decoders of sound may swallow or add some at the beginning.
fn agrees(media: &Media, found: usize, coded: usize) -> bool {
    match media.config {
        Config::Video(_) => found == coded,
        Config::Audio(_) => found.abs_diff(coded) <= 1,
    }
}

/// Chunks the media, and has everything judged. Returns CODECS.
#[track_caller]
fn check(name: &str, media: &Media, target: i64) -> String {
    let read = chunk(media, target);
    let folder = Folder::new(name);
    let init = read.openings[0].init.clone();
    assert!(read.openings.iter().all(|opening| opening.init == init), "{name}: one header");
    let scale = timescale(&init.bytes);

    let everything = read.segments.iter().flat_map(|segment| segment.chunks());
    let all = folder.write("all.mp4", std::iter::once(&init.bytes).chain(everything));
    let got: Vec<i64> = packets(&all).into_iter().map(|(pts, _)| pts).collect();
    // FFmpeg's reader shows pictures later by the largest offset below zero, in files of its own too (`-movflags
    // negative_cts_offsets`): it wants no PTS before its DTS. The offsets themselves are right: see tests/cmaf.rs.
    let samples = read.segments.iter().flat_map(Read::samples);
    let shift = samples.map(|sample| -i64::from(sample.offset)).max().unwrap().max(0);
    let want: Vec<i64> = media.packets.iter().map(|packet| units(packet.pts, scale) + shift).collect();
    assert_eq!(got, want, "{name}: PTS of all packets");
    assert!(agrees(media, decode(&all).len(), media.packets.len()), "{name}: all in a row");
    for segment in &read.segments {
        let path = folder.write("segment.mp4", std::iter::once(&init.bytes).chain(segment.chunks()));
        let (found, coded) = (decode(&path).len(), Read::samples(segment).len());
        assert!(
            agrees(media, found, coded),
            "{name}: segment {} alone: {found} of {coded}",
            segment.sequence
        );
    }
    for segment in read.segments.iter().take(2) {
        for part in segment.parts.iter().filter(|part| part.independent) {
            let path = folder.write("part.mp4", [&init.bytes, &part.bytes]);
            let coded = support::fmp4::chunks(&part.bytes)[0].samples.len();
            let found = decode(&path).len();
            assert!(agrees(media, found, coded), "{name}: a part alone: {found} of {coded}");
        }
        for keyframe in &segment.keyframes {
            let whole: Vec<u8> = segment.chunks().flat_map(|chunk| chunk.to_vec()).collect();
            let range = keyframe.offset as usize..(keyframe.offset + keyframe.length) as usize;
            assert_eq!(&whole[range][4..8], b"moof");
        }
    }
    println!(
        "{name}: {}",
        stream(&all, "codec_name,profile,level,width,height,sample_aspect_ratio,sample_rate,channels")
    );
    init.codecs.clone()
}

const HALF: i64 = 45_000;

fn x264(rate: &str, more: &[&str]) -> Option<Media> {
    let picture = format!("testsrc2=size=320x180:rate={rate}:duration=6");
    let usual = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-sc_threshold", "0"];
    encode(&picture, &[&usual[..], more].concat())
}

#[test]
fn h264_with_b_frames() {
    for (rate, gop) in [("25", "50"), ("30000/1001", "60"), ("30", "60")] {
        let Some(media) = x264(rate, &["-g", gop, "-bf", "3"]) else { return };
        let name = rate.replace('/', "-");
        assert!(media.packets.iter().any(|packet| packet.pts != packet.dts), "it has B-frames");
        let codecs = check(&format!("x264-{name}"), &media, HALF);
        assert!(codecs.starts_with("avc1.64"), "{codecs}");
        check(&format!("x264-ms-{name}"), &media.in_milliseconds(), HALF);
    }
}

#[test]
fn h264_without_b_frames_in_short_groups() {
    let Some(media) = x264("30", &["-g", "20", "-tune", "zerolatency", "-x264-params", "slices=3:aud=1"])
    else {
        return;
    };
    check("x264-short", &media, HALF / 2);
    let Some(media) = x264("30", &["-g", "60", "-vf", "setsar=4/3"]) else { return };
    check("x264-wide", &media, HALF);
}

#[test]
fn aac() {
    for rate in ["48000", "44100"] {
        let tone = format!("sine=frequency=440:sample_rate={rate}:duration=6");
        let Some(media) = encode(&tone, &["-c:a", "aac", "-ac", "2"]) else { return };
        assert_eq!(check(&format!("aac-{rate}"), &media, HALF), "mp4a.40.2");
    }
}

#[test]
fn codings_that_wait_for_their_players() {
    let picture = "testsrc2=size=320x180:rate=25:duration=4";
    let hevc = ["-pix_fmt", "yuv420p", "-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1"];
    if let Some(media) =
        encode(picture, &[&hevc[..], &["-x265-params", "keyint=50:open-gop=0:log-level=none"]].concat())
    {
        assert_eq!(check("hevc", &media, HALF), "hvc1.1.6.L60.90");
    }
    let av1 =
        ["-pix_fmt", "yuv420p", "-c:v", "libaom-av1", "-cpu-used", "8", "-g", "50", "-lag-in-frames", "0"];
    if let Some(media) = encode(picture, &[&av1[..], &["-usage", "realtime"]].concat()) {
        assert_eq!(check("av1", &media, HALF), "av01.0.00M.08");
    }
    let tone = "sine=frequency=440:sample_rate=48000:duration=4";
    for (name, coder, codecs) in
        [("opus", "libopus", "Opus"), ("flac", "flac", "fLaC"), ("mp3", "libmp3lame", "mp4a.6B")]
    {
        if let Some(media) = encode(tone, &["-c:a", coder, "-ac", "2"]) {
            assert_eq!(check(name, &media, HALF), codecs);
        }
    }
}
