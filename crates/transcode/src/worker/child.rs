//! The worker's own side: limits itself, opens its codecs, shuts itself in, then runs the pipeline between two ends of
//! its socket.

use std::{
    fs,
    io::{self, BufReader},
    os::{fd::AsRawFd, unix::net::UnixStream},
    process::{self, ExitCode},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, Signal};
use tokio::sync::mpsc;

use super::{
    Layers,
    protocol::{FromWorker, ToWorker, read, write},
    sandbox,
};
use crate::{Input, Job, Output, av, pipeline, transcoder::Progress};

/// Inputs read ahead of the decoder; more wait in the socket and then in the host.
const READ_AHEAD: usize = 16;
/// Outputs between encoders and socket.
const WRITE_BEHIND: usize = 16;
/// Added to the process's nice value, so that the gateway's own work goes first.
const NICENESS: i32 = 5;
/// How often it is told what the work costs.
const LOAD_EVERY: Duration = Duration::from_secs(1);
/// Added to the process's badness of -1000 to 1000, so that a kernel out of memory takes workers first: half of the
/// machine's memory in the gateway weighs as much.
const BADNESS: i32 = 500;

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
    let mut to = UnixStream::from(rustix::stdio::stdin().try_clone_to_owned()?);
    if to.peer_addr().is_err() {
        return Err(io::Error::other("started by hand; only `sluice serve` starts workers"));
    }
    die_with_parent();
    av::to_stderr();
    let mut from = BufReader::new(to.try_clone()?);
    let mut buffer = Vec::new();
    let job: Job = match read(&mut from, &mut buffer)? {
        Some(ToWorker::Job(job)) => *job,
        Some(_) => return Err(io::Error::other("an input came before the job")),
        None => return Ok(()),
    };
    limit(&job)?;
    pipeline::cores();
    let asked = job.sandbox;
    let landlock = sandbox::before_threads(asked);
    let (input, inbox) = mpsc::channel(READ_AHEAD);
    let (outbox, mut output) = mpsc::channel(WRITE_BEHIND);
    let progress = Arc::new(Progress::new(&job));
    // Not joined: a codec may hang, and the end of this function is the end of the process.
    pipeline::in_thread(job, inbox, outbox, Arc::clone(&progress))?.detach();
    let mut next = output.blocking_recv(); // the codecs are open, or will not
    let seccomp = sandbox::codecs_open(asked, &[from.get_ref().as_raw_fd(), to.as_raw_fd()]);
    write(&mut to, &FromWorker::ShutIn(Layers { landlock, seccomp }))?;
    let control = Arc::clone(&progress);
    thread::Builder::new().name("inputs".into()).spawn(move || take_inputs(from, buffer, input, &control))?;
    let mut told = progress.stats();
    let mut load_told = Instant::now();
    while let Some(message) = next {
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
        next = output.blocking_recv();
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
    #[cfg(target_os = "linux")]
    {
        if let Err(error) = be_taken_first() {
            eprintln!("worker: the kernel may take the gateway first when memory runs out: {error}");
        }
        // A limit of 0 does not keep a core from a program that the kernel pipes it to, which would hold up the restart
        // of a stream and write what strangers sent to disk; and who runs as the same user could look inside.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn be_taken_first() -> io::Result<()> {
    const SCORE: &str = "/proc/self/oom_score_adj";
    let inherited: i32 = fs::read_to_string(SCORE)?.trim().parse().map_err(io::Error::other)?;
    fs::write(SCORE, (inherited + BADNESS).min(1000).to_string())
}
