#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses its own part
//! Clips made by FFmpeg's command line, and a whole transcoder driven through one.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use media::{AudioConfig, MediaEvent, MediaTime, Packet, TrackKind, VideoConfig};
use transcode::{
    Attempt, Input, Isolation, Job, Output, SendError, Stats, Still, Transcoder,
    file::File,
    ladder::{self, Plan, Wishes},
    source::Source,
};

/// A clip in a directory that goes with it.
pub struct Clip {
    pub path: PathBuf,
    _dir: tempfile::TempDir,
}

/// `ffmpeg … clip.EXT`, with the arguments in one string.
pub fn clip(extension: &str, args: &str) -> Clip {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join(format!("clip.{extension}"));
    let done = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-y"])
        .args(args.split_whitespace())
        .arg(&path)
        .status()
        .expect("ffmpeg is installed");
    assert!(done.success(), "ffmpeg {args}");
    Clip { path, _dir: dir }
}

/// H.264 of a moving test picture, with two levels of B-frames.
pub fn picture(size: &str, rate: u32, seconds: u32, gop: u32, more: &str) -> Clip {
    let source = format!("testsrc2=size={size}:rate={rate}");
    clip(
        "mp4",
        &format!(
            "-f lavfi -i {source} -t {seconds} -c:v libx264 -preset veryfast -g {gop} -keyint_min {gop} \
             -sc_threshold 0 -bf 3 {more}"
        ),
    )
}

pub fn events(path: &Path) -> Vec<MediaEvent> {
    File::open(path).expect("the clip opens").collect()
}

pub fn packets(events: &[MediaEvent], kind: TrackKind) -> Vec<&Packet> {
    events
        .iter()
        .filter_map(|event| match event {
            MediaEvent::Packet(packet) if packet.kind == kind => Some(packet),
            _ => None,
        })
        .collect()
}

/// Presentation times in rising order, in ticks.
pub fn times<'a>(packets: impl IntoIterator<Item = &'a Packet>) -> Vec<i64> {
    let mut times: Vec<i64> = packets.into_iter().map(|packet| packet.pts.ticks()).collect();
    times.sort_unstable();
    times
}

pub fn planned(path: &Path, wishes: &Wishes) -> (Source, Plan, Job) {
    let source = transcode::file::probe(path, wishes).expect("a source");
    let plan = ladder::plan(&source, wishes);
    let job = Job::of(&plan, &source).expect("something to encode");
    (source, plan, job)
}

/// A worker process of its own.
pub fn process() -> Isolation {
    Isolation::Process { exe: env!("CARGO_BIN_EXE_transcode-worker").into() }
}

/// Everything that a transcoder made.
#[derive(Debug, Default)]
pub struct Made {
    pub configs: Vec<VideoConfig>,
    pub audio_config: Option<AudioConfig>,
    pub video: Vec<Vec<Packet>>,
    pub audio: Vec<Packet>,
    /// `Ok` after `Finished`, the reason after `Failed`.
    pub end: Option<Result<(), String>>,
    pub stats: Stats,
    pub tried: Vec<Vec<Attempt>>,
    pub stills: Vec<Still>,
}

impl Made {
    pub fn take(&mut self, output: Output) {
        assert!(self.end.is_none(), "nothing follows the end");
        match output {
            Output::Ready { video, audio } => {
                assert!(self.configs.is_empty() && self.audio_config.is_none(), "ready comes once");
                self.video = vec![Vec::new(); video.len()];
                self.configs = video;
                self.audio_config = audio.into_iter().next().map(|(_, config)| config);
            }
            Output::Video { rung, packet } => self.video[rung].push(packet),
            Output::Audio(packet) => self.audio.push(packet),
            Output::Rungs { .. } | Output::Drained { .. } => {}
            Output::Finished => self.end = Some(Ok(())),
            Output::Failed(reason) => self.end = Some(Err(reason)),
            Output::Tried(attempts) => self.tried.push(attempts),
            Output::Still(still) => self.stills.push(still),
            Output::EncoderLost { encoder, cause } => {
                self.end = Some(Err(format!("{encoder} lost: {cause}")))
            }
        }
    }

    /// Presentation times of a rung's keyframes, in ticks.
    pub fn keys(&self, rung: usize) -> Vec<i64> {
        times(self.video[rung].iter().filter(|packet| packet.keyframe))
    }
}

/// Inputs for a whole clip: a cut before every source keyframe, or at `grid`'s instants, then the end.
pub fn inputs(events: Vec<MediaEvent>, grid: Option<Vec<i64>>) -> Vec<Input> {
    let mut inputs: Vec<Input> =
        grid.iter().flatten().map(|at| Input::CutAt(MediaTime::from_ticks(*at))).collect();
    for event in events {
        match event {
            MediaEvent::Packet(packet) => {
                if packet.kind == TrackKind::Video && packet.keyframe && grid.is_none() {
                    inputs.push(Input::CutAt(packet.pts));
                }
                inputs.push(Input::Packet(packet));
            }
            MediaEvent::VideoConfig(track, config) => inputs.push(Input::VideoConfig(track, config)),
            MediaEvent::AudioConfig(track, config) => inputs.push(Input::AudioConfig(track, config)),
            MediaEvent::Break(_) => {}
        }
    }
    inputs.push(Input::Finish);
    inputs
}

/// Runs a job over inputs as the gateway does: from one task, never waiting for room.
pub async fn run(isolation: Isolation, job: Job, inputs: Vec<Input>) -> Made {
    let mut transcoder = Transcoder::start(isolation, job).await.expect("it starts");
    let mut made = Made::default();
    let mut next = inputs.into_iter();
    let mut held = next.next();
    while let Some(input) = held.take() {
        match transcoder.try_send(input) {
            Ok(()) => held = next.next(),
            Err(SendError::Full(input)) => {
                held = Some(input);
                match transcoder.recv().await {
                    Some(output) => made.take(output),
                    None => break,
                }
            }
            Err(SendError::Closed) => break,
        }
    }
    while let Some(output) = transcoder.recv().await {
        made.take(output);
    }
    made.stats = transcoder.stats();
    made
}

/// What must hold of any rung: times rise in decode order and never pass the showing, and keyframes open at cuts only.
pub fn check_rung(made: &Made, rung: usize, want_times: &[i64], want_keys: &[i64]) {
    let packets = &made.video[rung];
    assert!(packets.is_sorted_by(|a, b| a.dts < b.dts), "rung {rung}: decode times rise");
    assert!(packets.iter().all(|packet| packet.dts <= packet.pts), "rung {rung}: decoded before shown");
    assert_eq!(times(packets), want_times, "rung {rung}: the source's times");
    assert_eq!(made.keys(rung), want_keys, "rung {rung}: keyframes at the cuts");
}

/// Decodes a rung with FFmpeg's command line, which must have nothing to say about it, and compares its pictures with
/// the source's: PSNR in dB.
pub fn likeness(made: &Made, rung: usize, source: &Path) -> f64 {
    likeness_to(made, rung, source, "null")
}

/// The same, after filters of FFmpeg's command line were run over the source.
pub fn likeness_to(made: &Made, rung: usize, source: &Path, filters: &str) -> f64 {
    let config = made.configs[rung].h264().unwrap();
    let mut bytes = Vec::new();
    let mut put = |unit: &[u8]| {
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(unit);
    };
    config.sps_units.iter().chain(&config.pps_units).for_each(|unit| put(unit));
    for packet in &made.video[rung] {
        media::h264::units(&packet.data).for_each(&mut put);
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("rung.h264");
    std::fs::write(&path, bytes).expect("it can be written");
    let (width, height) = made.configs[rung].dimensions();
    let graph = format!(
        "[0:v]settb=1/25,setpts=N[a];[1:v]{filters},scale={width}:{height}:flags=bicubic,format=yuv420p,settb=1/25,setpts=N[b];[a][b]psnr=shortest=1"
    );
    let run = |level: &str, args: &[&std::ffi::OsStr]| {
        let output = Command::new("ffmpeg")
            // zscale of FFmpeg 5.1 may wait for ever with several threads
            .args(["-nostdin", "-hide_banner", "-filter_complex_threads", "1", "-loglevel", level, "-i"])
            .arg(&path)
            .args(args)
            .args(["-f", "null", "-"])
            .output()
            .expect("ffmpeg is installed");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let complaints = run("warning", &[]);
    // A raw stream has no timestamps, which FFmpeg's muxer remarks on.
    let complaints: Vec<&str> = complaints.lines().filter(|line| !line.contains("imestamp")).collect();
    assert!(complaints.is_empty(), "rung {rung}: {complaints:?}");
    let told = run(
        "info",
        &["-noautorotate".as_ref(), "-i".as_ref(), source.as_os_str(), "-lavfi".as_ref(), graph.as_ref()],
    );
    let average = told.rsplit_once("average:").expect("a PSNR").1.split(' ').next().unwrap_or_default();
    average.parse().expect("a number")
}
