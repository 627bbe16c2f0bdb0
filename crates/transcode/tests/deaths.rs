#![allow(clippy::unwrap_used)] // the whole file is tests
//! Each way in which a worker may end before its time, as its host tells it, and broken media of every coding.

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use media::{MediaTime, TrackKind};
use support::{Made, clip, events, inputs, picture, planned, process, run};
use transcode::{
    FAULT_MARK, Fault, Input, Job, Transcoder,
    ladder::{RungWish, Wishes},
};

/// A job that obeys marks, and its inputs.
fn job() -> (Job, Vec<Input>) {
    let clip = picture("480x360", 30, 4, 30, "");
    let (_, _, mut job) = planned(&clip.path, &Wishes::default());
    job.fault = Some(Fault::ObeyMarks);
    (job, inputs(events(&clip.path), None))
}

/// Where the third group of pictures begins, 2 s after the start.
fn third_keyframe(inputs: &[Input]) -> (usize, MediaTime) {
    let mut keyframes = inputs.iter().enumerate().filter_map(|(nth, input)| match input {
        Input::Packet(packet) if packet.kind == TrackKind::Video && packet.keyframe => {
            Some((nth, packet.dts))
        }
        _ => None,
    });
    keyframes.nth(2).unwrap()
}

fn mark(inputs: &mut [Input], at: usize, word: &str) {
    let Input::Packet(packet) = &mut inputs[at] else { panic!("a packet is marked") };
    packet.data = Bytes::from([&packet.data[..], FAULT_MARK, word.as_bytes(), b"."].concat());
}

/// What a run ends with when the packet `after` the third keyframe bears the word; the group that is blamed.
async fn ended(word: &str, after: usize, change: impl FnOnce(&mut Job)) -> (String, Option<MediaTime>) {
    let (mut job, mut inputs) = job();
    change(&mut job);
    let (at, third) = third_keyframe(&inputs);
    mark(&mut inputs, at + after, word);
    inputs.pop(); // the end is its own, not asked for
    let mut transcoder = Transcoder::start(process(), job).await.unwrap();
    let pid = transcoder.worker_pid().unwrap();
    for input in inputs {
        if transcoder.send(input).await.is_err() {
            break;
        }
    }
    let told = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if let transcode::Output::Failed(why) = transcoder.recv().await.expect("its end is told") {
                return why;
            }
        }
    });
    let why = told.await.expect("its end is told in time");
    assert_eq!(transcoder.worker_pid(), None, "{word}: reaped");
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{word}: no zombie");
    if let Some(group) = transcoder.group() {
        assert_eq!(group, third, "{word}: the group that it was in");
    }
    (why, transcoder.group())
}

#[tokio::test]
async fn each_kind_of_death_is_told_with_the_group_it_came_in() {
    for (word, says) in [
        ("abort", "signal: 6"),
        ("panic", "a fault of the pipeline itself"),
        ("time", "far from what was put in"),
        ("rung", "a picture of rung 99"),
        ("flood", "the worker says what cannot be"),
    ] {
        let (why, group) = ended(word, 5, |_| {}).await;
        println!("{word}: {why}");
        assert!(why.contains(says), "{word}: {why}");
        assert!(group.is_some(), "{word}");
    }
}

#[tokio::test]
async fn a_worker_that_eats_all_memory_it_may_have_ends_alone() {
    let (why, _) = ended("eat", 5, |job| job.memory_limit = 600 << 20).await;
    println!("eat: {why}");
    assert!(why.contains("signal: 6"), "{why}");
}

#[tokio::test]
async fn a_worker_that_hangs_is_found_soon() {
    let since = Instant::now();
    let (why, group) = ended("hang", 5, |job| job.patience = Duration::from_secs(1)).await;
    println!("hang: {why} after {:?}", since.elapsed());
    assert!(why.contains("has taken none of its inputs for 1s") && why.contains("signal: 9"), "{why}");
    assert!(group.is_some());
}

#[tokio::test]
async fn a_worker_without_anything_to_do_is_not_taken_for_hung() {
    let (mut job, inputs) = job();
    job.patience = Duration::from_millis(500);
    let mut transcoder = Transcoder::start(process(), job).await.unwrap();
    let (at, _) = third_keyframe(&inputs);
    for input in &inputs[..at] {
        transcoder.send(input.clone()).await.unwrap();
    }
    // A publisher that says nothing for a while.
    let quiet = tokio::time::timeout(Duration::from_secs(2), async {
        while let Some(output) = transcoder.recv().await {
            assert!(!matches!(output, transcode::Output::Failed(_)), "{output:?}");
        }
    });
    assert!(quiet.await.is_err(), "it has not ended");
    for input in &inputs[at..] {
        transcoder.send(input.clone()).await.unwrap();
    }
    let mut last = None;
    while let Some(output) = transcoder.recv().await {
        last = Some(output);
    }
    assert_eq!(last, Some(transcode::Output::Finished));
}

/// xorshift64*
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit.max(1)
    }
}

/// Every fifth packet damaged in one way or another.
fn mutate(inputs: &mut [Input], seed: u64) {
    let mut dice = Dice(seed);
    for input in inputs {
        let Input::Packet(packet) = input else { continue };
        if packet.data.is_empty() || dice.below(5) != 0 {
            continue;
        }
        let mut data = packet.data.to_vec();
        let len = data.len();
        match dice.below(4) {
            0 => (0..=dice.below(8)).for_each(|_| data[dice.below(len)] ^= 1 << dice.below(8)),
            1 => data.truncate(dice.below(len)),
            2 => data.iter_mut().take(16).for_each(|byte| *byte ^= dice.below(256) as u8),
            _ => {
                let at = dice.below(len);
                data[at..].iter_mut().take(64).for_each(|byte| *byte = dice.below(256) as u8);
            }
        }
        packet.data = data.into();
    }
}

#[tokio::test]
async fn damaged_media_of_every_coding_end_a_worker_at_most() {
    let rungs = [240, 120].map(|height| RungWish { height, bitrate_bps: None });
    let wishes = Wishes { rungs: rungs.to_vec(), ..Wishes::default() };
    for (extension, args) in [
        ("mp4", "-c:v libx264 -preset veryfast -g 30 -c:a aac -ac 1"),
        (
            "mp4",
            "-c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params log-level=none:keyint=30 -c:a libmp3lame",
        ),
        ("mkv", "-c:v libsvtav1 -preset 12 -g 30 -c:a libopus"),
        ("webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 1M -g 30 -c:a libopus"),
        ("mkv", "-c:v libx264 -preset veryfast -g 30 -c:a ac3"),
    ] {
        let source = "-f lavfi -i testsrc2=size=320x240:rate=30 -f lavfi -i sine=440:r=44100 -t 3";
        let clip = clip(extension, &format!("{source} {args}"));
        let (_, _, job) = planned(&clip.path, &wishes);
        let whole = inputs(events(&clip.path), Some(vec![0]));
        for seed in 1..=3 {
            let mut damaged = whole.clone();
            mutate(&mut damaged, seed);
            let made = tokio::time::timeout(Duration::from_secs(60), run(process(), job.clone(), damaged));
            let made: Made = made.await.unwrap_or_else(|_| panic!("{args}, seed {seed}: it has no end"));
            match made.end {
                Some(Ok(())) => {
                    assert!(made.stats.decode_errors > 0, "{args}, seed {seed}: nothing was noticed")
                }
                Some(Err(why)) => println!("{args}, seed {seed}: {why}"),
                None => panic!("{args}, seed {seed}: no end is told"),
            }
        }
    }
}
