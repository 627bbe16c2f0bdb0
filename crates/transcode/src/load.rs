//! What the parts of a transcoder cost: measured where the work is done, summed, and told now and then.
//!
//! A rung's cost is the CPU time of its encoder's thread and of the scaling to its size, against the content that came
//! through. Threads that a codec starts by itself show only in the process's sum ([`Load::process_cpu_micros`]).

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::Instant,
};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Time that some work took, and the content that it was done for. Only ever grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// CPU time in microseconds.
    pub cpu_micros: u64,
    /// Time from beginning to end of each piece of work, in microseconds: more than the CPU time where the CPU is short.
    pub busy_micros: u64,
    /// Content that came through, in microseconds.
    pub content_micros: u64,
}

/// One encoded rung.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RungLoad {
    /// Scaling to its size and encoding.
    pub cost: Cost,
    /// Frames that wait for its encoder now.
    pub queued: u32,
    /// It has an encoder; one that was shed has none.
    pub running: bool,
}

/// What a transcoder has cost so far.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Load {
    /// CPU time of the worker process with all its threads, in microseconds; zero where it is a thread of ours.
    pub process_cpu_micros: u64,
    /// Decoding the picture.
    pub decoder: Cost,
    /// The job's rungs, in its order.
    pub rungs: Vec<RungLoad>,
}

impl Cost {
    /// What was added since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            cpu_micros: self.cpu_micros.saturating_sub(before.cpu_micros),
            busy_micros: self.busy_micros.saturating_sub(before.busy_micros),
            content_micros: self.content_micros.saturating_sub(before.content_micros),
        }
    }

    /// CPU seconds for a second of content; `None` before any content.
    pub fn per_second(self) -> Option<f64> {
        (self.content_micros > 0).then(|| self.cpu_micros as f64 / self.content_micros as f64)
    }

    /// How many times faster than real time the work goes, on the CPU that it gets; `None` before any work.
    pub fn realtime_factor(self) -> Option<f64> {
        (self.busy_micros > 0 && self.content_micros > 0)
            .then(|| self.content_micros as f64 / self.busy_micros as f64)
    }
}

/// Counts one part's work; written by the threads that do it.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    cpu_micros: AtomicU64,
    busy_micros: AtomicU64,
    content_micros: AtomicU64,
    queued: AtomicU32,
    running: AtomicBool,
}

impl Meter {
    /// Does a piece of work, and counts what it took of the calling thread.
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let (cpu, busy) = (thread_cpu_micros(), Instant::now());
        let done = work();
        self.cpu_micros.fetch_add(thread_cpu_micros().saturating_sub(cpu), Ordering::Relaxed);
        self.busy_micros.fetch_add(busy.elapsed().as_micros() as u64, Ordering::Relaxed);
        done
    }

    /// Content between two frames that followed each other, in ticks of 90 kHz. A hole is not content.
    pub(crate) fn content(&self, ticks: i64) {
        const HOLE: i64 = 90_000;
        if (1..HOLE).contains(&ticks) {
            self.content_micros.fetch_add(ticks.unsigned_abs() * 100 / 9, Ordering::Relaxed);
        }
    }

    /// A frame waits for the encoder.
    pub(crate) fn enters(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    /// The encoder took one.
    pub(crate) fn leaves(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the rung has an encoder from here on; a new one's queue is empty.
    pub(crate) fn runs(&self, running: bool) {
        self.running.store(running, Ordering::Relaxed);
        if !running {
            self.queued.store(0, Ordering::Relaxed);
        }
    }

    fn cost(&self) -> Cost {
        Cost {
            cpu_micros: self.cpu_micros.load(Ordering::Relaxed),
            busy_micros: self.busy_micros.load(Ordering::Relaxed),
            content_micros: self.content_micros.load(Ordering::Relaxed),
        }
    }
}

/// The meters of one transcoder.
#[derive(Debug)]
pub(crate) struct Meters {
    pub(crate) decoder: Meter,
    pub(crate) rungs: Vec<Meter>,
}

impl Meters {
    pub(crate) fn new(rungs: usize) -> Self {
        Self { decoder: Meter::default(), rungs: (0..rungs).map(|_| Meter::default()).collect() }
    }

    pub(crate) fn read(&self) -> Load {
        let rung = |meter: &Meter| RungLoad {
            cost: meter.cost(),
            queued: meter.queued.load(Ordering::Relaxed),
            running: meter.running.load(Ordering::Relaxed),
        };
        Load {
            process_cpu_micros: 0,
            decoder: self.decoder.cost(),
            rungs: self.rungs.iter().map(rung).collect(),
        }
    }
}

fn thread_cpu_micros() -> u64 {
    micros(ClockId::ThreadCPUTime)
}

/// CPU time of this process, all threads together, in microseconds.
pub(crate) fn process_cpu_micros() -> u64 {
    micros(ClockId::ProcessCPUTime)
}

fn micros(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_against_its_content() {
        let meter = Meter::default();
        let sum = meter
            .time(|| (0..2_000_000u64).fold(0u64, |sum, at| sum.rotate_left(1) ^ std::hint::black_box(at)));
        assert_ne!(sum, 1);
        assert_eq!(
            (meter.cost().per_second(), meter.cost().realtime_factor()),
            (None, None),
            "no content yet"
        );
        meter.content(3000);
        meter.content(9_000_000); // a hole
        meter.content(-3000);
        let cost = meter.cost();
        assert_eq!(cost.content_micros, 33_333);
        assert!(cost.cpu_micros > 0 && cost.busy_micros + 1000 >= cost.cpu_micros, "{cost:?}");
        let twice = Cost { cpu_micros: 50, busy_micros: 100, content_micros: 200 };
        assert_eq!((twice.per_second(), twice.realtime_factor()), (Some(0.25), Some(2.0)));
        assert_eq!(twice.since(twice), Cost::default());
    }
}
