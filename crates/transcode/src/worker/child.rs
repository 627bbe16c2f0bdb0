//! The worker's own side: limits itself, then runs the pipeline between two ends of its socket.

use std::{
    io::{self, BufReader},
    os::unix::net::UnixStream,
    process::{self, ExitCode},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, Signal};
use tokio::sync::mpsc;

use super::protocol::{FromWorker, ToWorker, read, write};
use crate::{Input, Job, Output, av, pipeline, transcoder::Progress};

/// Inputs read ahead of the decoder; more wait in the socket and then in the host.
const READ_AHEAD: usize = 16;
/// Outputs between encoders and socket.
const WRITE_BEHIND: usize = 16;
/// Added to the process's nice value, so that the gateway's own work goes first.
const NICENESS: i32 = 5;
/// How often it is told what the work costs.
const LOAD_EVERY: Duration = Duration::from_secs(1);

/// What `sluice worker` runs; its standard input must be the host's socket. Ends when the job is done, or exits when the
/// socket ends. To be called first thing in `main`: it blocks, so not inside a tokio runtime.
pub fn worker_main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let socket = UnixStream::from(rustix::stdio::stdin().try_clone_to_owned()?);
    if socket.peer_addr().is_err() {
        return Err(io::Error::other("started by hand; only `sluice serve` starts workers"));
    }
    die_with_parent();
    av::to_stderr();
    let mut from = BufReader::new(socket.try_clone()?);
    let mut buffer = Vec::new();
    let job: Job = match read(&mut from, &mut buffer)? {
        Some(ToWorker::Job(job)) => *job,
        Some(_) => return Err(io::Error::other("an input came before the job")),
        None => return Ok(()),
    };
    limit(&job)?;
    let (input, inbox) = mpsc::channel(READ_AHEAD);
    let (outbox, mut output) = mpsc::channel(WRITE_BEHIND);
    let progress = Arc::new(Progress::new(&job));
    let control = Arc::clone(&progress);
    thread::Builder::new().name("inputs".into()).spawn(move || take_inputs(from, buffer, input, &control))?;
    // Not joined: a codec may hang, and the end of this function is the end of the process.
    pipeline::in_thread(job, inbox, outbox, Arc::clone(&progress))?.detach();
    let mut to = socket;
    let mut told = progress.stats();
    let mut load_told = Instant::now();
    while let Some(message) = output.blocking_recv() {
        let last = matches!(message, Output::Finished | Output::Failed(_));
        let stats = progress.stats();
        if last && stats != told
            || stats.frames_decoded >= told.frames_decoded + 30
            || stats.decode_errors > told.decode_errors
        {
            told = stats;
            write(&mut to, &FromWorker::Stats(stats))?;
        }
        if last || load_told.elapsed() >= LOAD_EVERY {
            load_told = Instant::now();
            write(&mut to, &FromWorker::Load(progress.own_load()))?;
        }
        write(&mut to, &FromWorker::Output(message))?;
        if last {
            return Ok(());
        }
    }
    Err(io::Error::other("the pipeline ended without a word"))
}

/// Reads until the host is gone; then nobody wants the rest.
fn take_inputs(
    mut from: impl io::Read,
    mut buffer: Vec<u8>,
    input: mpsc::Sender<Input>,
    progress: &Progress,
) {
    loop {
        match read(&mut from, &mut buffer) {
            Ok(Some(ToWorker::Input(message))) => {
                if input.blocking_send(message).is_err() {
                    return; // the pipeline has ended and says why
                }
            }
            Ok(Some(ToWorker::Want(mask))) => progress.set_wanted(mask),
            Ok(Some(ToWorker::Job(_))) => {}
            Ok(None) => process::exit(0),
            Err(error) => {
                eprintln!("worker: reading inputs: {error}");
                process::exit(1);
            }
        }
    }
}

/// The socket's end tells of the host's death too, but not a thread that a codec holds.
fn die_with_parent() {
    #[cfg(target_os = "linux")]
    {
        if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
            eprintln!("worker: death of the parent will be noticed late: {error}");
        }
    }
}

fn limit(job: &Job) -> io::Result<()> {
    let limit = Rlimit { current: Some(job.memory_limit), maximum: Some(job.memory_limit) };
    rustix::process::setrlimit(Resource::As, limit)?;
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none)?;
    if let Err(error) = rustix::process::nice(NICENESS) {
        eprintln!("worker: priority stays as it is: {error}");
    }
    Ok(())
}
