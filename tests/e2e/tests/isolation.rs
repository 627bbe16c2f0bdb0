#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]
//! Encoder processes that die of what they are sent, hang or are killed: one stream is hurt for a moment, the others not
//! at all.

use e2e::harness::{
    Gateway, Home, PATIENCE, Publisher, QUICK, alone, clip, hurt, judged, s, send, until, wait_for,
};
use e2e::hlscheck::{Options, Outcome, Watch};
use e2e::proc;
use rustix::process::Signal;
use std::path::Path;
use std::time::{Duration, Instant};

/// A hurt stream's next encoded picture comes this soon.
const BACK_WITHIN: Duration = s(3);
const SEGMENT: f64 = 2.0;

/// Three streams of one gateway, each watched.
struct Trio {
    gateway: Gateway,
    watches: Vec<Watch>,
    publishers: Vec<Publisher>,
    /// The workers of the whole streams.
    others: Vec<u32>,
    home: Home,
}

const NAMES: [&str; 3] = ["one", "two", "three"];

impl Trio {
    /// The first publishes `hurt`, the others `whole`, all again and again.
    fn new(hurt: &Path, whole: &Path, obey: bool) -> Self {
        let home = Home::new();
        let keys = NAMES.map(|name| home.key(name));
        let mut settings = QUICK.to_vec();
        if obey {
            settings.push(("SLUICE_OBEY_FAULT_MARKS", "1"));
        }
        let gateway = home.gateway(&settings);
        let files = [hurt, whole, whole];
        // The whole ones first: their watches are to see the other's trouble from its start.
        let (mut publishers, mut others) = (Vec::new(), Vec::new());
        let mut watches = Vec::new();
        for nth in [1, 2, 0] {
            if nth == 0 {
                let both = || Some(gateway.workers()).filter(|workers| workers.len() == 2);
                others = wait_for("two workers", PATIENCE, both);
            }
            publishers.push(Publisher::copy(&home, files[nth], 0, &gateway.publish_url(&keys[nth])));
            let mut options =
                Options::new(gateway.live_url(NAMES[nth]), home.path(&format!("watch-{}", NAMES[nth])));
            options.memory = Some(proc::meter(gateway.pid()));
            options.decode = nth != 0;
            gateway.wait_live(NAMES[nth], PATIENCE);
            watches.push(Watch::start(options));
        }
        Trio { gateway, watches, publishers, others, home }
    }

    fn worker_of_hurt(&self) -> Option<u32> {
        self.gateway.workers().into_iter().find(|worker| !self.others.contains(worker))
    }

    /// How long after each death the encoder was back, in milliseconds.
    fn back_after(&self) -> Vec<u64> {
        let log = self.gateway.log();
        let back = log.lines().filter(|line| line.contains("encoder is back"));
        back.filter_map(|line| line.split("after_ms=").nth(1)?.split_whitespace().next()?.parse().ok())
            .collect()
    }

    /// Stops watching; nobody but the first had a late segment or a gap. Gives the first's outcome.
    fn judged(mut self) -> Outcome {
        for _ in 0..2 {
            let whole = judged(self.watches.remove(0));
            whole.assert_clean();
            assert!(whole.renditions.iter().all(|r| r.gaps == 0 && r.discontinuities == 0), "{whole}");
        }
        let hurt = judged(self.watches.remove(0));
        for publisher in &mut self.publishers {
            publisher.stop();
        }
        let gateway = &self.gateway;
        wait_for("the last worker's end", s(10), || gateway.workers().is_empty().then_some(()));
        hurt
    }
}

/// The copied rendition of a hurt stream.
fn copied(outcome: &Outcome) -> &e2e::hlscheck::RenditionOutcome {
    outcome.renditions.iter().max_by_key(|r| r.resolution).unwrap()
}

fn whole() -> e2e::harness::Clip {
    clip("640x360", 30, 24, 60, &[])
}

fn more_segments(watch: &Watch, count: u64, limit: Duration) {
    let before: Vec<_> = watch.progress().renditions.iter().map(|r| r.newest.unwrap_or(0)).collect();
    until(watch, &format!("{count} more segments in every rendition"), limit, |p| {
        p.renditions.len() == before.len()
            && p.renditions.iter().zip(&before).all(|(r, before)| r.newest.unwrap_or(0) >= before + count)
    });
}

#[test]
fn a_crash_in_one_of_three_streams_is_nothing_to_the_others() {
    let _alone = alone();
    let clip = whole();
    let trio = Trio::new(&clip.path, &clip.path, false);
    let watch = &trio.watches[2];
    e2e::harness::segments(watch, 3, PATIENCE);
    for signal in [Signal::SEGV, Signal::KILL, Signal::ABORT] {
        let before = trio.back_after().len();
        let victim = trio.worker_of_hurt().unwrap();
        // Rust's handler takes the first SIGSEGV for a fault that comes again as soon as it returns.
        wait_for("the worker's death", s(5), || {
            send(victim, signal);
            (!proc::alive(victim)).then_some(())
        });
        wait_for("the encoder to be back", s(10), || (trio.back_after().len() > before).then_some(()));
        more_segments(watch, 2, PATIENCE);
    }
    let back = trio.back_after();
    eprintln!("back after {back:?} ms");
    assert!(back.iter().all(|ms| Duration::from_millis(*ms) < BACK_WITHIN), "{back:?}");
    let hurt = trio.judged();
    hurt.assert_clean_with_pause(SEGMENT + BACK_WITHIN.as_secs_f64());
    assert!(hurt.renditions.iter().all(|r| r.gaps == 0 && r.discontinuities == 0), "{hurt}");
}

#[test]
fn a_hung_worker_is_found_and_replaced() {
    let _alone = alone();
    let clip = whole();
    let trio = Trio::new(&clip.path, &clip.path, false);
    let watch = &trio.watches[2];
    e2e::harness::segments(watch, 3, PATIENCE);
    let hung = trio.worker_of_hurt().unwrap();
    send(hung, Signal::STOP);
    let since = Instant::now();
    wait_for("its end", s(10), || (!proc::alive(hung)).then_some(()));
    wait_for("the encoder to be back", s(10), || (!trio.back_after().is_empty()).then_some(()));
    eprintln!("back {:?} after it hung, {:?} ms after its end", since.elapsed(), trio.back_after());
    assert!(since.elapsed() < s(6), "{:?}", since.elapsed());
    more_segments(watch, 2, PATIENCE);
    assert!(trio.gateway.log().contains("has taken none of its inputs"), "{}", trio.gateway.log());
    let hurt = trio.judged();
    hurt.assert_clean_with_pause(SEGMENT + 6.0);
    assert!(hurt.renditions.iter().all(|r| r.gaps == 0), "{hurt}");
}

/// A packet that kills every decoder costs the group of pictures it stands in, once each time it comes, and no more.
#[test]
fn a_poisonous_group_of_pictures_costs_itself() {
    let _alone = alone();
    let clip = whole();
    let dir = tempfile::tempdir().unwrap();
    let hurt = hurt::marked(&clip.path, "abort", 11_000, &dir.path().join("poison.flv")).unwrap();
    let trio = Trio::new(&hurt, &clip.path, true);
    let watch = &trio.watches[2];
    // Twice around: the clip is 24 s long.
    until(watch, "a second time around", s(75), |p| p.all(|r| r.segments + r.gaps >= 21));
    let log = trio.gateway.log();
    let left_out = log.lines().filter(|line| line.contains("killed the encoder twice")).count();
    assert!(left_out >= 1, "{log}");
    let back = trio.back_after();
    eprintln!("left out {left_out} times, back after {back:?} ms");
    let outcome = trio.judged();
    // Until the next keyframe nothing can be decoded: two seconds at most.
    // Behind a gap the times go on where they would be: no discontinuity, but the file of all segments has a hole.
    outcome.assert_clean_but(&["M11", "ts.audio-gap", "ts.jump", "ts.pcr"]);
    let longest = outcome.renditions.iter().map(|r| r.update_gap_max).fold(0.0, f64::max);
    assert!(longest < 2.0 * SEGMENT + BACK_WITHIN.as_secs_f64(), "{outcome}");
    assert_eq!((copied(&outcome).gaps, copied(&outcome).discontinuities), (0, 0), "{outcome}");
    for rendition in &outcome.renditions {
        assert!(rendition.gaps <= left_out as u64, "{}: {} gaps\n{outcome}", rendition.name, rendition.gaps);
    }
}

#[test]
fn files_of_a_fuzz_corpus_hurt_nobody_else() {
    let _alone = alone();
    let clip = whole();
    let dir = tempfile::tempdir().unwrap();
    let first = hurt::mutated(&clip.path, 1, &dir.path().join("1.flv")).unwrap();
    let trio = Trio::new(&first, &clip.path, false);
    let key = trio.home.key("four");
    let seeds: u64 = std::env::var("E2E_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    for seed in 2..=seeds {
        let file = hurt::mutated(&clip.path, seed, &dir.path().join(format!("{seed}.flv"))).unwrap();
        let mut publisher = Publisher::copy(&trio.home, &file, 1, &trio.gateway.publish_url(&key));
        publisher.wait(s(60));
    }
    more_segments(&trio.watches[2], 2, PATIENCE);
    assert!(!trio.gateway.log().contains("panicked"), "{}", trio.gateway.log());
    let hurt = trio.judged();
    let (first, last) = copied(&hurt).msn.unwrap();
    assert_eq!(copied(&hurt).entries.len() as u64, last - first + 1, "{hurt}");
}

/// `kill -9` again and again: lists stay valid, nothing hangs, nobody is left over, memory stays.
fn killed_every(every: Duration, span: Duration) {
    let clip = whole();
    let trio = Trio::new(&clip.path, &clip.path, false);
    let watch = &trio.watches[2];
    e2e::harness::segments(watch, 3, PATIENCE);
    let (started, mut killed, mut memory) = (Instant::now(), Vec::new(), Vec::new());
    while started.elapsed() < span {
        let victim = trio.worker_of_hurt().unwrap();
        send(victim, Signal::KILL);
        killed.push(victim);
        let next = started + every * killed.len() as u32;
        wait_for("the next kill", every + s(1), || (Instant::now() >= next).then_some(()));
        memory.push(proc::rss_kib(trio.gateway.pid()).unwrap());
        let workers = trio.gateway.workers();
        assert_eq!(workers.len(), 3, "a worker for each stream: {workers:?}");
        assert!(killed.iter().all(|pid| !workers.contains(pid)), "{killed:?} {workers:?}");
    }
    more_segments(watch, 2, PATIENCE);
    let mut back = trio.back_after();
    back.sort_unstable();
    eprintln!(
        "{} kills; back after {} ms at the median, {} at most; gateway {} KiB after the first, {} after the last, {} at most\n{memory:?}",
        killed.len(),
        back[back.len() / 2],
        back[back.len() - 1],
        memory[0],
        memory[memory.len() - 1],
        memory.iter().max().unwrap(),
    );
    assert_eq!(back.len(), killed.len(), "{back:?}");
    assert!(back.iter().all(|ms| Duration::from_millis(*ms) < BACK_WITHIN), "{back:?}");
    if memory.len() > 12 {
        // The window is full after 16 s and twice that; from then on nothing grows.
        let (early, late) = (memory[memory.len() / 3], memory[memory.len() - 1]);
        assert!(late < early + early / 10 + 4096, "{memory:?}");
    }
    assert_eq!(proc::tree(trio.gateway.pid()).len(), 4, "the gateway and three workers");
    let hurt = trio.judged();
    hurt.assert_clean_with_pause(SEGMENT + BACK_WITHIN.as_secs_f64());
    assert_eq!((copied(&hurt).gaps, copied(&hurt).discontinuities), (0, 0), "{hurt}");
}

#[test]
fn a_worker_killed_now_and_then_for_half_a_minute() {
    let _alone = alone();
    killed_every(s(10), s(30));
}

/// `cargo test -p e2e --test isolation -- --ignored --nocapture five_minutes`
#[test]
#[ignore = "takes five and a half minutes"]
fn a_worker_killed_every_ten_seconds_for_five_minutes() {
    let _alone = alone();
    killed_every(s(10), s(300));
}
