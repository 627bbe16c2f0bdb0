//! Every client over every transport, and every medium, each as a named row with its outcome.
//!
//!   rows ─▶ run (a few at a time) ─▶ publish │ play │ events ─▶ Record ─▶ table
//!                  all at one `Arena`: one gateway, a stream and a key for each row
//!
//! A row passes when the client did its part, what viewers got decodes without a word, has as many pictures as were
//! sent (± 1), keeps sound within 40 ms of where the source has it, and no rule of `hlscheck` is broken. Rules about time
//! (a late list) are notes: rows share a small machine with their encoders.

mod arena;
mod client;
mod events;
mod judge;
mod pictures;
mod play;
mod publish;
mod record;
mod rows;
mod rtmpe;
mod sample;
mod sounds;

pub use arena::Arena;
pub use client::{Client, Transport};
pub use record::{Record, Verdict, markdown, table};
pub use rows::all;
pub use rtmpe::{Burst, burst};

use anyhow::Result;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What a row is about; part of its name in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// One client over one transport.
    Transport,
    /// A player over RTMP.
    Play,
    /// Enhanced RTMP.
    Enhanced,
    /// What may be in a stream.
    Media,
    /// What may happen to a stream.
    Event,
}

impl Group {
    /// As the table has it.
    pub fn name(self) -> &'static str {
        match self {
            Group::Transport => "transport",
            Group::Play => "play",
            Group::Enhanced => "enhanced",
            Group::Media => "media",
            Group::Event => "event",
        }
    }
}

/// One row before it has run.
pub struct Row {
    /// `transport/ffmpeg-rtmps`: unique; also the stream's name, with dashes for what is no letter or digit.
    pub name: String,
    /// Who publishes or plays.
    pub client: Client,
    /// Over what.
    pub transport: Transport,
    /// Part of the short run that every change has to pass.
    pub quick: bool,
    /// Runs with no other row beside it.
    pub alone: bool,
    run: Run,
}

/// Runs a row; an error is its failure in words.
type Run = Box<dyn Fn(&Arena, &Row) -> Result<Record> + Send + Sync>;

impl Row {
    /// The name of the row's stream.
    pub fn stream(&self) -> String {
        self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
    }
}

/// Runs the rows, `together` at a time, those that want to be alone at the end. `told` hears of each as it ends; the
/// records come back in the order of the rows.
pub fn run(arena: &Arena, rows: &[Row], together: usize, told: impl Fn(&Record) + Sync) -> Vec<Record> {
    let done = Mutex::new(Vec::new());
    for (alone, together) in [(false, together), (true, 1)] {
        let due: VecDeque<_> = rows.iter().enumerate().filter(|(_, row)| row.alone == alone).collect();
        let due = Mutex::new(due);
        std::thread::scope(|scope| {
            for _ in 0..together.max(1) {
                scope.spawn(|| {
                    loop {
                        let next = due.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                        let Some((at, row)) = next else { break };
                        let record = one(arena, row);
                        told(&record);
                        done.lock().unwrap_or_else(PoisonError::into_inner).push((at, record));
                    }
                });
            }
        });
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, record)| record).collect()
}

fn one(arena: &Arena, row: &Row) -> Record {
    let started = Instant::now();
    let mut record = match arena.missing(row.client) {
        Some(program) => missing(row, program),
        // The harness panics where a deadline passes: that is the row's failure, not the run's.
        None => match catch_unwind(AssertUnwindSafe(|| (row.run)(arena, row))) {
            Ok(Ok(record)) => record,
            Ok(Err(error)) => Record::of(row).failed(format!("{error:#}")),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
                Record::of(row).failed(text)
            }
        },
    };
    record.client = format!("{} {}", row.client.name(), arena.version(row.client)).trim().to_owned();
    record.seconds = started.elapsed().as_secs_f64();
    record
}

fn missing(row: &Row, program: &str) -> Record {
    let record = Record::of(row);
    let text = format!("{program} is not installed");
    if std::env::var_os("E2E_ALLOW_MISSING").is_some() { record.skipped(text) } else { record.failed(text) }
}
