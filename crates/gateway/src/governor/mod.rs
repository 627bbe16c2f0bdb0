//! Shares the CPU among the ladders of all streams: what a new stream may begin with, which rung is given up when
//! streams fall behind, and which returns when there is room (design: docs/design/overload.md).
//!
//! ```text
//!  stream ── Ticket::report: how late, what it cost ──▶ ┌──────┐
//!  stream ◀─ Ticket::wanted: which rungs to encode ──── │ Core │ ◀── each second: idle CPU (cpu)
//!                                                       └──────┘
//! ```
//!
//! The order: of all streams' encoded rungs the largest goes first; a stream's last one after all others, and never
//! where nothing is copied. Copied rungs are not the governor's. They return in the reverse order, one at a time.

mod core;
mod cpu;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use media::{FrameRate, MediaSpan};
use transcode::{
    Load,
    ladder::{self, Estimate, Plan, Rung},
    source::Source,
};

pub(crate) use self::core::{Admission, Ladder, NoRoom, Settings, Why, Work};
use self::{core::Core, cpu::Cpu};

/// One for the process; clones share it. Its lock is held for moments, and never across an await.
#[derive(Debug, Clone)]
pub(crate) struct Governor {
    core: Arc<Mutex<Core>>,
}

impl Governor {
    /// A governor of what this process may use; [`Self::run`] is to be spawned.
    pub(crate) fn new(settings: Settings) -> Self {
        Self { core: Arc::new(Mutex::new(Core::new(settings, Cpu::new().cores()))) }
    }

    /// Decides, each second, for ever.
    pub(crate) async fn run(self) {
        let mut cpu = Cpu::new();
        let mut every = tokio::time::interval(core::TICK);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let spare = cpu.spare();
            if let Some(spare) = spare {
                metrics::gauge!("sluice_cpu_idle_cores").set(spare.idle);
            }
            self.lock().tick(Instant::now(), spare);
        }
    }

    /// A stream begins.
    ///
    /// # Errors
    /// When it is to be refused; see [`Admission::Refuse`].
    pub(crate) fn admit(&self, ladder: Ladder) -> Result<Ticket, NoRoom> {
        let id = self.lock().admit(Instant::now(), ladder)?;
        Ok(Ticket { governor: self.clone(), id })
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream's place with the governor, given back when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    governor: Governor,
    id: u64,
}

impl Ticket {
    /// Tells how much later than is normal its encoder is, negative for less, and what it has cost; about once a second.
    pub(crate) fn report(&self, late: MediaSpan, load: &Load) {
        self.governor.lock().report(self.id, Instant::now(), late.as_secs_f64(), load);
    }

    /// Why each of its encoded rungs is not to be encoded; `None` for those that are.
    pub(crate) fn shed(&self) -> Vec<Option<Why>> {
        self.governor.lock().shed(self.id)
    }

    /// CPU seconds that a rung takes for a second, where it was measured.
    pub(crate) fn cost(&self, rung: usize) -> Option<f64> {
        self.governor.lock().cost(self.id, rung)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.governor.lock().leave(self.id);
    }
}

impl Ladder {
    /// The work of a plan; `None` where no picture is encoded.
    pub(crate) fn of(plan: &Plan, source: &Source) -> Option<Self> {
        let encoded = plan.rungs.iter().filter_map(|rung| Some((rung, ladder::estimate_rung(rung, source)?)));
        let work = |(rung, cost): (&Rung, Estimate)| {
            let rate = rung.frame_rate.map_or(30.0, FrameRate::as_f64);
            let size = f64::from(rung.width) * f64::from(rung.height) * rate;
            Work { size, guess: cost.scale + cost.encode }
        };
        Some(Self {
            decode: encoded.clone().next()?.1.decode,
            rungs: encoded.map(work).collect(),
            copied: plan.rungs.iter().any(Rung::is_copy),
        })
    }
}
