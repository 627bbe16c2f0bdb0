//! The ladder as the gateway makes it: the cut plan, the worker process, a segmenter per rendition.

use std::{
    collections::VecDeque,
    env,
    fs::{self, File as Out},
    io::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use hls::{
    cut::{CutPlan, Mode, WallClock},
    segmenter::Segmenter,
};
use media::{MediaEvent, MediaSequence, MediaTime, Packet, TrackKind};
use transcode::{Input, Isolation, Output, SendError, Transcoder, file::File, ladder::CutMode};

use crate::Task;

const CLOCK: WallClock = WallClock { at: MediaTime::ZERO, unix_micros: 1_795_348_800_000_000 };

/// A rendition and the file that its segments go to, one behind the other.
struct Rendition {
    segmenter: Segmenter,
    file: Out,
}

impl Rendition {
    fn new(path: &Path, sound: bool) -> Self {
        Self { segmenter: Segmenter::new(true, sound), file: Out::create(path).expect("a file") }
    }

    fn push(&mut self, packet: Packet) {
        self.segmenter.push(packet);
        self.write();
    }

    fn write(&mut self) {
        while let Some(segment) = self.segmenter.poll() {
            self.file.write_all(&segment.bytes).expect("it can be written");
        }
    }
}

/// Runs the clip as fast as it goes. Prints the seconds of content, the wall clock's seconds and the worker's peak
/// memory in KiB.
pub(crate) async fn run(task: Task, folder: &Path) {
    let start = Instant::now();
    let sound = task.source.audio.is_some();
    let rungs = task.job.video.as_ref().map_or(0, |video| video.rungs.len());
    let mode = if task.plan.cut == CutMode::Keyframes { Mode::Keyframes } else { Mode::Grid };
    let mut plan = CutPlan::new(mode, task.plan.segment, task.plan.longest, MediaSequence(1));
    let copied = task.plan.rungs.iter().any(|rung| rung.is_copy());
    // The copied rendition comes last here; the encoded ones stand in the job's order.
    let mut names: Vec<String> = task
        .job
        .video
        .iter()
        .flat_map(|video| &video.rungs)
        .map(|rung| format!("{}.ts", rung.name))
        .collect();
    names.extend(copied.then(|| "copy.ts".to_owned()));
    let mut renditions: Vec<Rendition> =
        names.iter().map(|name| Rendition::new(&folder.join(name), sound)).collect();

    let exe = env::current_exe().expect("our own path");
    let mut transcoder = Transcoder::start(Isolation::Process { exe }, task.job).await.expect("it starts");
    let pid = transcoder.worker_pid().expect("a process");
    let mut events = File::open(&task.clip).expect("it opens");
    let (mut peak, mut outputs, mut end, mut ended) = (0, 0u64, MediaTime::ZERO, false);
    let mut waiting = VecDeque::new();
    while !ended {
        if waiting.is_empty() {
            match events.next() {
                Some(MediaEvent::Packet(packet)) => {
                    end = end.max(packet.pts);
                    if packet.kind == TrackKind::Video {
                        for cut in plan.see(&packet, CLOCK) {
                            renditions.iter_mut().for_each(|rendition| rendition.segmenter.cut(cut));
                            waiting.push_back(Input::CutAt(cut.at));
                        }
                        if copied {
                            renditions[rungs].push(packet.clone());
                        }
                        waiting.push_back(Input::Packet(packet));
                    } else {
                        renditions.iter_mut().for_each(|rendition| rendition.push(packet.clone()));
                    }
                }
                Some(MediaEvent::VideoConfig(_, config)) if copied => {
                    renditions[rungs].segmenter.video_config(config);
                }
                Some(MediaEvent::AudioConfig(_, config)) => {
                    for rendition in &mut renditions {
                        rendition.segmenter.audio_config(Arc::clone(&config));
                    }
                }
                Some(_) => {}
                None => waiting.push_back(Input::Finish),
            }
        }
        let Some(input) = waiting.pop_front() else { continue };
        let finish = input == Input::Finish;
        let mut full = match transcoder.try_send(input) {
            Ok(()) => finish,
            Err(SendError::Full(input)) => {
                waiting.push_front(input);
                true
            }
            Err(SendError::Closed) => true,
        };
        while full && !ended {
            match transcoder.recv().await {
                Some(Output::Ready { video, .. }) => {
                    for (rendition, config) in renditions.iter_mut().zip(video) {
                        rendition.segmenter.video_config(Arc::new(config));
                    }
                }
                Some(Output::Video { rung, packet }) => renditions[rung].push(packet),
                Some(Output::Failed(reason)) => panic!("{reason}"),
                Some(Output::Finished) | None => ended = true,
                Some(_) => {}
            }
            outputs += 1;
            if outputs.is_multiple_of(64) {
                peak = peak.max(peak_of(pid));
            }
            full = (finish && waiting.is_empty()) || transcoder.room() == 0;
        }
    }
    for rendition in &mut renditions {
        rendition.segmenter.finish();
        rendition.write();
    }
    // Gone from the table, so that whoever waits for us has its time too.
    while transcoder.worker_pid().is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "{{\"seconds\":{:.3},\"wall\":{:.3},\"peak_kib\":{peak},\"rungs\":{}}}",
        end.as_secs_f64(),
        start.elapsed().as_secs_f64(),
        rungs
    );
}

/// VmHWM of a process, KiB.
fn peak_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
