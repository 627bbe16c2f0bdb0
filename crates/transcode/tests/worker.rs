//! The worker process: the same output as in a thread, and a clean end of every kind.

mod support;

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use media::{MediaSpan, TrackKind};
use support::{Clip, events, inputs, packets, picture, planned, process, run};
use transcode::{Fault, Input, Isolation, Job, Output, SendError, Transcoder, ladder::Wishes};

fn small() -> (Clip, Job, Vec<Input>) {
    let clip = picture("480x360", 30, 4, 30, "");
    let (_, _, job) = planned(&clip.path, &Wishes::default());
    let inputs = inputs(events(&clip.path), None);
    (clip, job, inputs)
}

/// Everything until the end; the reason of a failure.
async fn end(transcoder: &mut Transcoder) -> Result<usize, String> {
    let mut pictures = 0;
    loop {
        match transcoder.recv().await.expect("an end is told") {
            Output::Video { .. } => pictures += 1,
            Output::Finished => return Ok(pictures),
            Output::Failed(reason) => return Err(reason),
            _ => {}
        }
    }
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

async fn gone(pid: u32) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while alive(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("the worker is gone, zombie included");
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it can be killed");
}

#[tokio::test]
async fn a_process_makes_what_a_thread_makes() {
    let (_clip, job, inputs) = small();
    let thread = run(Isolation::Thread, job.clone(), inputs.clone()).await;
    let process = run(process(), job, inputs).await;
    assert_eq!(process.end, Some(Ok(())));
    assert_eq!(process.configs, thread.configs);
    assert_eq!(process.video, thread.video);
    assert_eq!(process.stats, thread.stats);
    assert_eq!(process.stats.frames_decoded, 120);
}

#[tokio::test]
async fn a_killed_worker_is_told_and_reaped() {
    let (_clip, job, inputs) = small();
    let mut transcoder = Transcoder::start(process(), job).await.unwrap();
    let pid = transcoder.worker_pid().unwrap();
    assert!(matches!(transcoder.recv().await, Some(Output::Ready { .. })));
    transcoder.try_send(inputs[1].clone()).unwrap();
    kill(pid);
    let reason = end(&mut transcoder).await.unwrap_err();
    assert!(reason.contains("signal: 9"), "{reason}");
    assert!(transcoder.recv().await.is_none(), "nothing follows");
    assert!(!alive(pid), "no zombie");
    assert_eq!(transcoder.worker_pid(), None);
}

#[tokio::test]
async fn an_aborting_worker_is_told_with_its_signal() {
    let (_clip, mut job, inputs) = small();
    job.fault = Some(Fault::AbortAtFrame(40));
    let made = run(process(), job, inputs).await;
    let reason = made.end.unwrap().unwrap_err();
    assert!(reason.contains("signal: 6"), "{reason}");
}

#[tokio::test]
async fn a_hanging_worker_fills_its_queue_and_goes_when_dropped() {
    let (_clip, mut job, inputs) = small();
    job.fault = Some(Fault::HangAtFrame(10));
    job.patience = Duration::from_secs(60); // it is not to be found hung before the queue is full
    let transcoder = Transcoder::start(process(), job).await.unwrap();
    let pid = transcoder.worker_pid().unwrap();
    let packet = inputs
        .iter()
        .find_map(|input| match input {
            Input::Packet(packet) if packet.kind == TrackKind::Video => Some(packet.clone()),
            _ => None,
        })
        .unwrap();
    let mut sent: i64 = 0;
    let filled = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let packet = packet.clone().shifted(MediaSpan::from_ticks(sent * 3000));
            match transcoder.try_send(Input::Packet(packet)) {
                Ok(()) => sent += 1,
                // Full for good once the worker, its read-ahead and the socket have taken what they can.
                Err(SendError::Full(_)) if sent > 600 => break,
                Err(SendError::Full(_)) => tokio::task::yield_now().await,
                Err(SendError::Closed) => panic!("it has not ended"),
            }
        }
    });
    // A socket that swallows more than the queue would only make this end by time.
    let _ = tokio::time::timeout(Duration::from_secs(5), filled).await;
    assert!(sent >= 512, "{sent} packets were taken");
    assert!(transcoder.behind() > MediaSpan::from_millis(10_000), "{:?}", transcoder.behind());
    drop(transcoder);
    gone(pid).await;
}

#[tokio::test]
async fn dropping_it_leaves_no_process() {
    let (_clip, job, inputs) = small();
    let transcoder = Transcoder::start(process(), job).await.unwrap();
    let pid = transcoder.worker_pid().unwrap();
    for input in inputs {
        let _ = transcoder.try_send(input);
    }
    drop(transcoder);
    gone(pid).await;
}

#[tokio::test]
async fn a_worker_over_its_memory_limit_fails_alone() {
    let (_clip, mut job, inputs) = small();
    // Programs and libraries alone map more than this; they are mapped before the limit is set.
    job.memory_limit = 32 << 20;
    let made = run(process(), job, inputs).await;
    let reason = made.end.unwrap().unwrap_err();
    assert!(!reason.is_empty(), "{reason}");
}

#[tokio::test]
async fn a_program_that_is_no_worker_is_told() {
    let (_clip, job, inputs) = small();
    let made = run(Isolation::Process { exe: "/bin/false".into() }, job.clone(), inputs).await;
    assert!(made.end.unwrap().unwrap_err().contains("exit status: 1"));
    let missing = Transcoder::start(Isolation::Process { exe: "/nowhere/sluice".into() }, job).await;
    assert!(missing.unwrap_err().to_string().contains("/nowhere/sluice"));
}

#[test]
fn a_worker_whose_host_is_gone_ends() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_transcode-worker"))
        .arg("worker")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    drop(ours);
    assert!(child.wait().unwrap().success());
}

#[test]
fn started_by_hand_it_says_what_it_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_transcode-worker")).stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("sluice serve"));
}

#[tokio::test]
async fn three_streams_do_not_know_of_each_other() {
    let (clip, job, inputs) = small();
    let mut hurt = job.clone();
    hurt.fault = Some(Fault::AbortAtFrame(20));
    let (one, two, three) = tokio::join!(
        run(process(), job.clone(), inputs.clone()),
        run(process(), hurt, inputs.clone()),
        run(process(), job, inputs)
    );
    assert!(one.end == Some(Ok(())) && three.end == Some(Ok(())) && two.end.unwrap().is_err());
    let frames = packets(&events(&clip.path), TrackKind::Video).len();
    assert_eq!((one.video[0].len(), three.video[0].len()), (frames, frames));
}
