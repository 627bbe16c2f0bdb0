#![allow(clippy::unwrap_used)] // the whole file is tests
#![cfg(target_os = "linux")]
//! Code inside a real worker process tries to get out, and ladders of every coding run inside.

mod support;

use std::{fs, time::Duration};

use media::TrackKind;
use support::{Made, clip, events, inputs, packets, picture, planned, process, run};
use transcode::{
    Fault, Input, Isolation, Job, Output, Sandbox, Transcoder, check_sandbox,
    ladder::{RungWish, Wishes},
};

/// What a worker tried in the middle of a real ladder: in words, and the error's number.
async fn tried(sandbox: Sandbox) -> Vec<(String, Option<i32>, bool)> {
    let clip = picture("480x360", 30, 2, 30, "");
    let (_, _, mut job) = planned(&clip.path, &Wishes::default());
    job.fault = Some(Fault::BreakOutAtFrame(20));
    job.sandbox = sandbox;
    let made = run(process(), job, inputs(events(&clip.path), None)).await;
    assert_eq!(made.end, Some(Ok(())), "it goes on as if nothing had been");
    assert!(made.video.iter().all(|rung| rung.len() == 60));
    assert_eq!(made.tried.len(), 1);
    let attempts = made.tried.into_iter().flatten();
    attempts.map(|attempt| (attempt.what.clone(), attempt.errno, attempt.refused())).collect()
}

/// All but the thread that x264 and libavfilter may start later.
const HARMLESS: &str = "start a thread";

#[tokio::test]
async fn code_inside_a_worker_gets_an_error_for_whatever_it_tries() {
    let tried = tried(Sandbox::Auto).await;
    assert!(tried.len() >= 16, "{tried:?}");
    for (what, errno, refused) in &tried {
        println!(
            "{what}: {}",
            errno.map_or("went through".to_owned(), |errno| std::io::Error::from_raw_os_error(errno)
                .to_string())
        );
        assert_eq!(*refused, what != HARMLESS, "{what}: {errno:?}");
    }
}

#[tokio::test]
async fn either_layer_holds_what_is_its_own() {
    let seccomp = tried(Sandbox::SeccompAlone).await;
    assert!(seccomp.iter().all(|(what, _, refused)| *refused == (what != HARMLESS)), "{seccomp:?}");
    // Tried by a thread that was started after the process restricted itself.
    let landlock = tried(Sandbox::LandlockAlone).await;
    for what in [
        "read a file",
        "make a file",
        "list a directory",
        "connect over TCP",
        "listen for TCP",
        "signal the gateway",
    ] {
        assert!(landlock.iter().any(|(tried, _, refused)| tried == what && *refused), "{what}: {landlock:?}");
    }
}

#[tokio::test]
async fn without_a_sandbox_the_same_goes_through() {
    let tried = tried(Sandbox::Off).await;
    for what in [
        "read a file",
        "list a directory",
        "listen for TCP",
        "open a UDP socket",
        "start a program",
        HARMLESS,
    ] {
        assert!(tried.contains(&(what.to_owned(), None, false)), "{what}: {tried:?}");
    }
}

#[tokio::test]
async fn the_check_for_operators_sees_the_same() {
    let Isolation::Process { exe } = process() else { unreachable!("a process") };
    let (layers, through) = check_sandbox(exe).await.unwrap();
    assert!(layers.lacking().is_none() && through.is_empty(), "{layers}: {through:?}");
    assert!(check_sandbox("/bin/false".into()).await.is_err());
}

#[tokio::test]
async fn every_thread_is_shut_in() {
    let clip = picture("480x360", 30, 2, 30, "");
    let (_, _, job) = planned(&clip.path, &Wishes::default());
    let mut transcoder = Transcoder::start(process(), job).await.unwrap();
    let pid = transcoder.worker_pid().unwrap();
    assert!(matches!(transcoder.recv().await, Some(Output::Ready { .. })));
    for input in inputs(events(&clip.path), None).into_iter().take(40) {
        transcoder.send(input).await.unwrap();
    }
    assert!(matches!(transcoder.recv().await, Some(Output::Video { .. })));
    let mut threads = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(":"))
                .unwrap_or("none")
                .trim()
        };
        assert_eq!((field("Seccomp"), field("NoNewPrivs")), ("2", "1"), "{status}");
        threads += 1;
    }
    assert!(threads >= 3, "{threads} threads");
    let score = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert!(
        score.trim().parse::<i32>().unwrap() > own.trim().parse::<i32>().unwrap_or(0).min(999),
        "{score}"
    );
    drop(transcoder);
}

fn small() -> Wishes {
    let rungs = [240, 120].map(|height| RungWish { height, bitrate_bps: None });
    Wishes { rungs: rungs.to_vec(), ..Wishes::default() }
}

/// In the sandbox and in a thread of this process.
async fn both(job: &Job, inputs: &[Input]) -> (Made, Made) {
    let mut in_process = job.clone();
    in_process.sandbox = Sandbox::Auto;
    (
        run(process(), in_process, inputs.to_vec()).await,
        run(Isolation::Thread, job.clone(), inputs.to_vec()).await,
    )
}

#[tokio::test]
async fn every_coding_of_pictures_is_decoded_inside() {
    for (extension, args) in [
        ("mp4", "-c:v libx264 -preset ultrafast -g 30"),
        // libavfilter, built at the first frame
        ("mp4", "-c:v libx264 -preset ultrafast -g 30 -flags +ildct+ilme -x264-params tff=1"),
        ("mp4", "-pix_fmt yuv420p10le -c:v libx264 -preset ultrafast -g 30"),
        ("mp4", "-c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params log-level=none:keyint=30"),
        ("mp4", "-c:v libsvtav1 -preset 12 -g 30"),
        ("webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 1M -g 30"),
        ("webm", "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 1M -g 30"),
        ("flv", "-c:v flv -q:v 3 -g 30"),
        ("flv", "-c:v flashsv2 -g 30"),
    ] {
        let clip = clip(extension, &format!("-f lavfi -i testsrc2=size=320x240:rate=30 -t 2 {args}"));
        let (_, _, job) = planned(&clip.path, &small());
        let (inside, outside) = both(&job, &inputs(events(&clip.path), Some(vec![0]))).await;
        assert_eq!(inside.end, Some(Ok(())), "{args}");
        assert_eq!(inside.configs, outside.configs, "{args}");
        assert_eq!(inside.stats, outside.stats, "{args}");
        assert!(inside.video.iter().all(|rung| rung.len() >= 59), "{args}");
    }
}

#[tokio::test]
async fn every_coding_of_sound_is_decoded_inside() {
    for (extension, args) in [
        ("mkv", "-c:a libopus -ac 2"),
        ("mkv", "-c:a flac -ac 2"),
        ("mkv", "-c:a ac3 -ac 6"),
        ("mkv", "-c:a eac3 -ac 2"),
        ("flv", "-c:a libmp3lame -ac 2"),
        ("flv", "-c:a aac -ac 1"),
    ] {
        let source = "-f lavfi -i testsrc2=size=320x240:rate=30 -f lavfi -i sine=440:r=44100 -t 2";
        let clip = clip(extension, &format!("{source} -c:v libx264 -preset ultrafast -g 30 {args}"));
        let (_, _, job) = planned(&clip.path, &small());
        let (inside, outside) = both(&job, &inputs(events(&clip.path), None)).await;
        assert_eq!(inside.end, Some(Ok(())), "{args}");
        assert_eq!(inside.audio_config, outside.audio_config, "{args}");
        assert_eq!(inside.audio.len(), outside.audio.len(), "{args}");
        assert!(inside.audio.is_empty() == job.audio.is_empty(), "{args}");
    }
}

/// A decoder that is opened again under way, and an encoder that starts threads late.
#[tokio::test]
async fn a_source_that_comes_back_different_is_decoded_inside() {
    let (one, two) = (picture("480x360", 30, 1, 30, ""), picture("320x240", 30, 1, 30, ""));
    let (_, _, job) = planned(&one.path, &small());
    let mut all = inputs(events(&one.path), None);
    all.pop();
    let shift = media::MediaSpan::from_millis(1500);
    all.extend(inputs(events(&two.path), None).into_iter().map(|input| match input {
        Input::Packet(packet) => Input::Packet(packet.shifted(shift)),
        Input::CutAt(at) => Input::CutAt(at + shift),
        other => other,
    }));
    let made = tokio::time::timeout(Duration::from_secs(60), run(process(), job, all)).await.unwrap();
    assert_eq!(made.end, Some(Ok(())));
    let frames = packets(&events(&one.path), TrackKind::Video).len() * 2;
    assert!(made.video.iter().all(|rung| rung.len() == frames), "{}", made.video[0].len());
}
