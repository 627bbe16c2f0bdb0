#![allow(clippy::unwrap_used)] // the whole file is tests
//! Codings that viewers never get, decoded and encoded anew: their times, likeness, and where their sound falls.

mod support;

use std::{io::Write, process::Command};

use media::{AudioConfig, TrackKind, VideoConfig};
use support::{Made, check_rung, clip, events, inputs, likeness, packets, planned, run, times};
use transcode::{
    Isolation,
    ladder::{AudioPlan, RungWish, Wishes},
    source::Gop,
};

fn small() -> Wishes {
    let rungs = [240, 120].map(|height| RungWish { height, bitrate_bps: None });
    Wishes { rungs: rungs.to_vec(), ..Wishes::default() }
}

#[tokio::test]
async fn pictures_of_every_coding_become_h264_with_the_sources_times() {
    for (name, extension, args) in [
        ("HEVC", "mp4", "-c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params log-level=none:keyint=30"),
        (
            "HEVC",
            "mp4",
            "-pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=30",
        ),
        ("HEVC", "ts", "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=30"),
        ("AV1", "mp4", "-c:v libsvtav1 -preset 12 -g 30"),
        ("AV1", "mkv", "-pix_fmt yuv420p10le -c:v libsvtav1 -preset 12 -g 30"),
        ("VP9", "webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 1M -g 30"),
        ("VP8", "webm", "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 1M -g 30"),
        ("Sorenson H.263", "flv", "-c:v flv -q:v 3 -g 30"),
        ("Screen video", "flv", "-c:v flashsv -g 30"),
        ("Screen video 2", "flv", "-c:v flashsv2 -g 30"),
    ] {
        let clip = clip(extension, &format!("-f lavfi -i testsrc2=size=320x240:rate=30 -t 3 {args}"));
        let (source, plan, job) = planned(&clip.path, &small());
        let name = format!("{name} {extension} {args}");
        let video = source.video.as_ref().unwrap();
        assert!(name.starts_with(&video.config.codecs()), "{name}: {}", source.describe());
        assert_eq!(video.dimensions(), (320, 240), "{name}");
        assert!(video.frame_rate.is_some_and(|rate| (rate.as_f64() - 30.0).abs() < 0.1), "{name}: {video}");
        assert!(
            matches!(video.gop, Gop::Known { longest, .. } if longest.millis() <= 1001),
            "{name}: {video}"
        );
        assert!(plan.rungs.iter().all(|rung| !rung.is_copy()), "{name}: {plan}");
        assert!(plan.rungs[0].reason.contains(&video.config.codecs()), "{name}: {plan}");
        let events = events(&clip.path);
        let source_times = times(packets(&events, TrackKind::Video));
        assert_eq!(source_times.len(), 90, "{name}");
        let grid = vec![source_times[0], source_times[60]];
        let made = run(Isolation::Thread, job, inputs(events, Some(grid.clone()))).await;
        assert_eq!(made.end, Some(Ok(())), "{name}");
        for rung in 0..plan.rungs.len() {
            check_rung(&made, rung, &source_times, &grid);
            let likeness = likeness(&made, rung, &clip.path);
            // FFmpeg's own conversion of RGB uses another matrix than ours
            let least = if name.starts_with("Screen") { 20.0 } else { 30.0 };
            assert!(likeness > least, "{name}: {likeness} dB");
        }
    }
}

/// A tone that sets in one second after the start, so that it shows where sound falls.
const TONE: &str = "aevalsrc='if(gte(t,1),0.7*sin(2*PI*600*t),0)'";

#[tokio::test]
async fn sound_of_every_coding_falls_where_it_was() {
    for (name, extension, rate, args) in [
        ("Opus", "mkv", 48_000, "-c:a libopus -ac 2"),
        ("Opus", "mkv", 48_000, "-c:a libopus -ac 1 -frame_duration 60"),
        ("FLAC", "mkv", 44_100, "-c:a flac -ac 2"),
        ("AC-3", "mkv", 48_000, "-c:a ac3 -ac 6"),
        ("E-AC-3", "mkv", 48_000, "-c:a eac3 -ac 2"),
        ("MP3", "flv", 44_100, "-c:a libmp3lame -ac 1"),
        ("MP3", "flv", 22_050, "-c:a libmp3lame -ac 2"),
        ("Speex", "flv", 16_000, "-c:a libspeex -ac 1"),
        ("Nellymoser", "flv", 22_050, "-c:a nellymoser -ac 1"),
        ("PCM", "flv", 44_100, "-c:a pcm_s16le -ac 2"),
        ("PCM", "flv", 22_050, "-c:a pcm_u8 -ac 1"),
        ("G.711 A-law", "flv", 8_000, "-c:a pcm_alaw -ac 1"),
        ("G.711 µ-law", "flv", 8_000, "-c:a pcm_mulaw -ac 1"),
        ("ADPCM", "flv", 44_100, "-c:a adpcm_swf -ac 2"),
        ("AAC", "mp4", 96_000, "-c:a aac -ac 2"),
    ] {
        // Later than 0, so that what encoders put first has room for its stamps.
        let clip = clip(extension, &format!("-f lavfi -i {TONE}:s={rate}:d=3 {args} -output_ts_offset 1"));
        let name = format!("{name} {rate} {args}");
        let (source, plan, job) = planned(&clip.path, &Wishes::default());
        let audio = source.audio.as_ref().unwrap();
        assert!(name.starts_with(audio.to_string().split(' ').next().unwrap()), "{name}: {audio}");
        assert!(matches!(plan.audio, AudioPlan::Encode(_)), "{name}: {plan}");
        let events = events(&clip.path);
        let source_times = times(packets(&events, TrackKind::Audio));
        let made = run(Isolation::Thread, job, inputs(events, None)).await;
        assert_eq!(made.end, Some(Ok(())), "{name}");
        assert_eq!(made.stats.audio_reanchored, 0, "{name}");
        let got = times(&made.audio);
        assert!(got.windows(2).all(|two| two[1] - two[0] == 1920), "{name}: {got:?}");
        assert!((got[0] - source_times[0]).abs() < 3_600, "{name}: {} {}", source_times[0], got[0]);
        let onset = onset(&made);
        assert!((onset - 2.0).abs() < 0.020, "{name}: the tone is heard at {onset:.4} s");
    }
}

/// When a tone is first heard in what was made, in seconds of the stream's clock.
fn onset(made: &Made) -> f64 {
    let Some(AudioConfig::Aac(config)) = &made.audio_config else { panic!("sound becomes AAC") };
    let mut file = tempfile::Builder::new().suffix(".aac").tempfile().unwrap();
    for packet in &made.audio {
        file.write_all(&config.adts_header(packet.data.len()).unwrap()).unwrap();
        file.write_all(&packet.data).unwrap();
    }
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-i"])
        .arg(file.path())
        .args(["-ac", "1", "-ar", "48000", "-f", "f32le", "-"])
        .output()
        .unwrap();
    let loud = output
        .stdout
        .chunks_exact(4)
        .position(|sample| f32::from_le_bytes(sample.try_into().unwrap()).abs() > 0.2)
        .expect("the tone is heard");
    made.audio[0].pts.as_secs_f64() + loud as f64 / 48_000.0
}

#[test]
fn every_coding_has_its_decoder() {
    use media::{AudioCodec::*, VideoCodec::*};
    for codec in [Hevc, Av1, Vp9, Vp8, SorensonH263, Vp6, Vp6Alpha, ScreenVideo, ScreenVideo2] {
        let config = VideoConfig::Other(media::OtherVideo {
            codec,
            extradata: bytes::Bytes::new(),
            width: 320,
            height: 240,
            bit_depth: 8,
            frame_rate: None,
            color: None,
        });
        assert!(transcode::can_decode(&config), "{codec:?}");
    }
    for codec in [Opus, Flac, Ac3, Eac3, Mp3, Speex, Nellymoser, PcmS16Le, PcmU8, ALaw, MuLaw, AdpcmSwf] {
        let config = AudioConfig::Other(media::OtherAudio {
            codec,
            extradata: bytes::Bytes::new(),
            sample_rate: 16_000,
            channels: 1,
        });
        assert!(transcode::can_decode_audio(&config), "{codec:?}");
    }
}

#[tokio::test]
async fn a_source_of_uneven_frames_keeps_them_all_and_its_cap() {
    // 7.5 a second at first, from a quarter of a second on 60 a second for half a second, then 7.5 again, and so on
    let clip = clip(
        "mkv",
        "-f lavfi -i testsrc2=size=640x360:rate=60,noise=alls=60:allf=t,select='lt(mod(n+45,60),30)+not(mod(n,8))' \
         -t 8 -vsync vfr -c:v libx264 -preset veryfast -g 34 -keyint_min 34 -sc_threshold 0 -bf 2 -b:v 6M",
    );
    let (source, plan, job) = planned(&clip.path, &small());
    assert!(source.video.as_ref().unwrap().variable_rate, "{}", source.describe());
    let events = events(&clip.path);
    let source = packets(&events, TrackKind::Video);
    let source_times = times(source.iter().copied());
    let keys = times(source.iter().copied().filter(|packet| packet.keyframe));
    assert!((250..300).contains(&source_times.len()), "{}", source_times.len());
    let made = run(Isolation::Thread, job, inputs(events, None)).await;
    assert_eq!(made.end, Some(Ok(())));
    for (index, rung) in plan.rungs.iter().filter(|rung| !rung.is_copy()).enumerate() {
        let made_times = times(&made.video[index]);
        assert!(source_times.iter().all(|pts| made_times.contains(pts)), "{}", rung.name);
        // repeats stand in the slow halves, from the first one on that has a picture before it
        let widest = made_times.windows(2).skip(45).map(|two| two[1] - two[0]).max();
        assert!(widest < Some(2_700), "{}: {widest:?}", rung.name);
        check_rung(&made, index, &made_times, &keys);
        for second in keys.windows(3) {
            let inside = |pts: i64| (second[0]..second[2]).contains(&pts);
            let bytes: usize = made.video[index]
                .iter()
                .filter(|packet| inside(packet.pts.ticks()))
                .map(|packet| packet.data.len())
                .sum();
            let bps = bytes as f64 * 8.0 * 90_000.0 / (second[2] - second[0]) as f64;
            assert!(bps < rung.peak_bps.unwrap() as f64, "{}: {bps:.0} of {:?}", rung.name, rung.peak_bps);
        }
    }
}
