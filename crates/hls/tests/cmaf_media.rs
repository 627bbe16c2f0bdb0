//! Real media through plan and chunker, judged by FFmpeg: all segments in a row, each alone, and each independent part
//! alone.
//!
//! The input is made by the `ffmpeg` program; without it the test says so and passes.

#![allow(clippy::unwrap_used)]

mod support;

use hls::{
    cmaf::Chunker,
    cut::{Cut, Mode},
};
use media::{MediaSequence, MediaSpan, Packet, TrackKind};
use support::{
    CLOCK,
    ffmpeg::{Config, Folder, Media, decode, encode, packets, stream, units},
    fmp4::{Read, chunk_all, chunks, collect, timescale},
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

/// An encoder dies in the middle of a segment; the next one codes the segment again, with a keyframe where the chunker asked
/// for one. What was told of the first and what came of the second decode as one.
#[test]
fn a_second_encoder_goes_on_in_the_middle_of_a_segment() {
    for more in [&["-tune", "zerolatency"][..], &["-bf", "3"]] {
        let regular = [&["-g", "60"][..], more].concat();
        let Some(first) = x264("30", &regular) else { return };
        let Config::Video(config) = &first.config else { panic!() };
        let mut chunker = Chunker::new(TrackKind::Video, MediaSpan::from_ticks(HALF));
        chunker.video_config(config.clone());
        let mut read = Read::default();
        // its clock: the first picture is shown at `zero`
        let zero = first.packets[0].pts;
        for nth in 0..3 {
            let at = zero + MediaSpan::from_millis(2000 * nth);
            let sequence = MediaSequence(nth as u64);
            chunker.cut(Cut { sequence, at, discontinuity: false, clock: CLOCK });
        }
        let push = |chunker: &mut Chunker, read: &mut Read, packets: &[Packet]| {
            for packet in packets {
                chunker.push(packet.clone());
                collect(chunker, read, HALF);
            }
        };
        push(&mut chunker, &mut read, &first.packets[..100]);
        let start = read.openings.last().unwrap().start;
        let from = chunker.rewind().unwrap();
        let told: usize = read.parts.iter().map(|(_, part)| chunks(&part.bytes)[0].samples.len()).sum();

        // `ffmpeg` rounds to the nearest picture, and this is right behind one
        let force = format!("{:.3},4.0", (from - zero + MediaSpan::from_millis(20)).as_secs_f64());
        let second = x264("30", &[&regular[..], &["-force_key_frames", &force]].concat()).unwrap();
        let Config::Video(again) = &second.config else { panic!() };
        chunker.video_config(again.clone());
        let resent: Vec<_> = second.packets.iter().filter(|packet| packet.pts >= start).cloned().collect();
        let anew = resent.iter().position(|packet| packet.keyframe && packet.pts >= from).unwrap();
        assert!((resent[anew].pts - from).millis() < 34, "it has a keyframe there");
        push(&mut chunker, &mut read, &resent);
        chunker.finish();
        collect(&mut chunker, &mut read, HALF);

        assert_eq!(chunker.stats(), Default::default());
        let init = read.openings[0].init.clone();
        let samples: Vec<_> = read.segments.iter().flat_map(Read::samples).collect();
        assert_eq!(samples.len(), told + resent.len() - anew);
        assert!(
            samples.windows(2).all(|pair| pair[0].decode + i64::from(pair[0].duration) == pair[1].decode)
        );
        let folder = Folder::new(&format!("second-{}", more.len() + more[0].len()));
        let everything = read.segments.iter().flat_map(|segment| segment.chunks());
        let all = folder.write("all.mp4", std::iter::once(&init.bytes).chain(everything));
        let mut shown = decode(&all);
        assert_eq!(shown.len(), samples.len());
        shown.dedup();
        assert_eq!(shown.len(), samples.len(), "each is shown at its own time");
        // no more than the pictures that a P picture passed are missing
        assert!((180 - samples.len()) <= 3, "{}", samples.len());
    }
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
