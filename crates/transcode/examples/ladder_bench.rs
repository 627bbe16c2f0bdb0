#![forbid(unsafe_code)]
//! Measures the ladder: one file through the real worker process as fast as it goes, beside FFmpeg's command line making
//! the same rungs with the same x264 settings.
//!
//! `ladder_bench FILE [HEIGHT:BITRATE,…]` prints, per way of doing it, CPU seconds per second of content, the wall clock's
//! multiple of real time, and the peak memory of the process that encodes. `benches/ladder.sh` makes clips and runs it.

use std::{
    env, fs,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use media::{MediaEvent, TrackKind};
use transcode::{
    Input, Isolation, Job, Output, SendError, Transcoder,
    file::File,
    ladder::{self, Plan, RungWish, Treatment, Wishes},
};

/// What one run took.
struct Took {
    name: &'static str,
    cpu: f64,
    wall: f64,
    /// Kilobytes.
    peak: u64,
}

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (Some("worker"), None) => transcode::worker_main(),
        (Some(file), rungs) => {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(compare(file, rungs.as_deref().unwrap_or("720:3000,480:1400,360:800")));
            ExitCode::SUCCESS
        }
        (None, _) => {
            eprintln!("usage: ladder_bench FILE [HEIGHT:KBITS,…]");
            ExitCode::FAILURE
        }
    }
}

async fn compare(file: &str, rungs: &str) {
    let wishes = Wishes { rungs: wished(rungs), ..Wishes::default() };
    let source = transcode::file::probe(file, &wishes).expect("a source");
    let plan = ladder::plan(&source, &wishes);
    let job = Job::of(&plan, &source).expect("something to encode");
    println!("{file}: {}\n{plan}", source.describe());
    let seconds = length(file);
    let results = [
        sluice(file, job).await,
        command("ffmpeg, split", &split(file, &plan, false)),
        command("ffmpeg, cascade, 1 thread", &split(file, &plan, true)),
    ];
    println!("{:<28}{:>12}{:>14}{:>12}{:>10}", "", "CPU s / s", "x real time", "peak MB", "ratio");
    let ours = results[0].cpu;
    for took in &results {
        println!(
            "{:<28}{:>12.3}{:>14.2}{:>12.0}{:>10.3}",
            took.name,
            took.cpu / seconds,
            seconds / took.wall,
            took.peak as f64 / 1024.0,
            ours / took.cpu
        );
    }
}

fn wished(rungs: &str) -> Vec<RungWish> {
    let number = |text: &str| text.parse::<u32>().expect("HEIGHT:KBITS");
    rungs
        .split(',')
        .filter_map(|rung| rung.split_once(':'))
        .map(|(height, kbits)| RungWish { height: number(height), bitrate_bps: Some(number(kbits) * 1000) })
        // the source's own size comes first, and is copied
        .chain([RungWish { height: 1080, bitrate_bps: None }])
        .collect()
}

fn length(file: &str) -> f64 {
    let mut last = 0.0f64;
    for event in File::open(file).expect("it opens") {
        if let MediaEvent::Packet(packet) = event {
            last = last.max(packet.pts.as_secs_f64());
        }
    }
    last
}

/// The file through the worker process; what is copied is only read, as the gateway does.
async fn sluice(file: &str, job: Job) -> Took {
    let (cpu, start) = (cpu_seconds(), Instant::now());
    let exe = env::current_exe().expect("our own path");
    let mut transcoder = Transcoder::start(Isolation::Process { exe }, job).await.expect("it starts");
    let pid = transcoder.worker_pid().expect("a process");
    let mut events = File::open(file).expect("it opens");
    let (mut peak, mut outputs, mut ended) = (0, 0u64, false);
    let mut waiting = Vec::new();
    while !ended {
        if waiting.is_empty() {
            match events.next() {
                Some(MediaEvent::Packet(packet)) if packet.kind == TrackKind::Video => {
                    waiting.push(Input::Packet(packet.clone()));
                    if packet.keyframe {
                        waiting.push(Input::CutAt(packet.pts));
                    }
                }
                Some(_) => continue,
                None => waiting.push(Input::Finish),
            }
        }
        let finish = waiting == [Input::Finish];
        let full = match transcoder.try_send(waiting.pop().expect("filled above")) {
            Ok(()) => finish,
            Err(SendError::Full(input)) => {
                waiting.push(input);
                true
            }
            Err(SendError::Closed) => true,
        };
        while full && !ended {
            match transcoder.recv().await {
                Some(Output::Failed(reason)) => panic!("{reason}"),
                Some(Output::Finished) | None => ended = true,
                Some(_) => outputs += 1,
            }
            if outputs % 64 == 0 {
                peak = peak.max(peak_of(pid));
            }
            if !finish && transcoder.room() > 0 {
                break;
            }
        }
    }
    // Gone from the table, so its time counts as ours.
    while transcoder.worker_pid().is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Took { name: "sluice worker", cpu: cpu_seconds() - cpu, wall: start.elapsed().as_secs_f64(), peak }
}

/// One FFmpeg process with the plan's rungs, each muxed to MPEG-TS with the sound copied.
fn split(file: &str, plan: &Plan, tuned: bool) -> Vec<String> {
    let encoded: Vec<_> = plan
        .rungs
        .iter()
        .filter_map(|rung| match &rung.treatment {
            Treatment::Copy => None,
            Treatment::Encode(settings) => Some((rung, settings)),
        })
        .collect();
    let count = encoded.len();
    let mut graph = String::new();
    if tuned {
        for (index, (rung, _)) in encoded.iter().enumerate() {
            let from = if index == 0 { "0:v".to_owned() } else { format!("n{index}") };
            let size = format!("{}:{}", rung.width, rung.height);
            if index + 1 < count {
                graph += &format!("[{from}]scale={size}:flags=bicubic,split=2[v{index}][n{}];", index + 1);
            } else {
                graph += &format!("[{from}]scale={size}:flags=bicubic[v{index}]");
            }
        }
    } else {
        let outs: String = (0..count).map(|index| format!("[s{index}]")).collect();
        graph += &format!("[0:v]split={count}{outs}");
        for (index, (rung, _)) in encoded.iter().enumerate() {
            graph += &format!(";[s{index}]scale={}:{}:flags=bicubic[v{index}]", rung.width, rung.height);
        }
    }
    let mut args: Vec<String> = ["-nostdin", "-loglevel", "error", "-y"].map(str::to_owned).to_vec();
    if tuned {
        args.extend(["-threads", "1"].map(str::to_owned));
    }
    args.extend(["-i", file, "-filter_complex", &graph].map(str::to_owned));
    args.extend(
        ["-map", "0:v", "-map", "0:a?", "-c", "copy", "-f", "mpegts", "/dev/null"].map(str::to_owned),
    );
    for (index, (_, settings)) in encoded.iter().enumerate() {
        let mut rung: Vec<String> = vec![
            "-map".into(),
            format!("[v{index}]"),
            "-map".into(),
            "0:a?".into(),
            "-c:a".into(),
            "copy".into(),
            "-c:v".into(),
            "libx264".into(),
            "-preset".into(),
            settings.preset.to_string(),
            "-b:v".into(),
            settings.bitrate_bps.to_string(),
            "-maxrate".into(),
            settings.maxrate_bps.to_string(),
            "-bufsize".into(),
            settings.bufsize_bits.to_string(),
            "-g".into(),
            "60".into(),
            "-keyint_min".into(),
            "60".into(),
            "-sc_threshold".into(),
            "0".into(),
        ];
        if tuned {
            rung.extend(["-threads", "1"].map(str::to_owned));
        }
        rung.extend(["-f", "mpegts", "/dev/null"].map(str::to_owned));
        args.extend(rung);
    }
    args
}

fn command(name: &'static str, args: &[String]) -> Took {
    let (cpu, start) = (cpu_seconds(), Instant::now());
    let mut child =
        Command::new("ffmpeg").args(args).stdin(Stdio::null()).spawn().expect("ffmpeg is installed");
    let mut peak = 0;
    loop {
        match child.try_wait().expect("it can be waited for") {
            Some(status) => {
                assert!(status.success(), "ffmpeg {args:?}");
                break;
            }
            None => {
                peak = peak.max(peak_of(child.id()));
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    Took { name, cpu: cpu_seconds() - cpu, wall: start.elapsed().as_secs_f64(), peak }
}

/// User and system time of this process and of the children it has waited for (proc(5), stat fields 14 to 17).
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit_once(") ").expect("a name in brackets").1;
    let ticks: u64 =
        after_name.split(' ').skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0 // USER_HZ
}

/// VmHWM of a process, kilobytes.
fn peak_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
