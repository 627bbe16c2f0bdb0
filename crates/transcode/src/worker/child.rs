//! The worker's own side: limits itself, opens its codecs, shuts itself in, then runs the pipeline between two ends of
//! its socket.

use std::{
    fs,
    io::{self, BufReader},
    os::{fd::AsRawFd, unix::net::UnixStream},
    process::{self, ExitCode},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, Signal};
use tokio::sync::mpsc;

use super::{
    Layer, Layers,
    protocol::{FromWorker, ToWorker, read, write},
    sandbox, trial,
};
use crate::{Input, Job, Stats, av, pipeline, transcoder::Progress};

/// Inputs read ahead of the decoder; more wait in the socket and then in the host.
const READ_AHEAD: usize = 16;
/// Outputs between encoders and socket.
const WRITE_BEHIND: usize = 16;
/// How often the counters are told.
const PULSE: Duration = Duration::from_millis(250);
/// Added to the process's nice value, so that the gateway's own work goes first.
const NICENESS: i32 = 5;
/// How often it is told what the work costs.
const LOAD_EVERY: Duration = Duration::from_secs(1);
/// Added to the process's badness of -1000 to 1000, so that a kernel out of memory takes workers first: half of the
/// machine's memory in the gateway weighs as much.
const BADNESS: i32 = 500;

/// What `sluice worker` runs; its standard input must be the host's socket. Ends when the job is done, or exits when the
/// socket ends. To be called first thing in `main`: it blocks, so not inside a tokio runtime.
///
/// With `--try-encoder` behind it on the command line it tries one instead, for [`super::try_encoder`].
pub fn worker_main() -> ExitCode {
    let mut arguments = std::env::args().skip_while(|argument| argument != trial::ARGUMENT);
    if arguments.next().is_some() {
        return trial::run(arguments);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let to = UnixStream::from(rustix::stdio::stdin().try_clone_to_owned()?);
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
    let (asked, accelerated) = (job.sandbox, accelerated(&job));
    let landlock = if accelerated { driver() } else { sandbox::before_threads(asked) };
    let (input, inbox) = mpsc::channel(READ_AHEAD);
    let (outbox, mut output) = mpsc::channel(WRITE_BEHIND);
    let progress = Arc::new(Progress::new(&job));
    // Not joined: a codec may hang, and the end of this function is the end of the process.
    pipeline::in_thread(job, inbox, outbox, Arc::clone(&progress))?.detach();
    let mut next = output.blocking_recv(); // the codecs are open, or will not
    let sockets = [from.get_ref().as_raw_fd(), to.as_raw_fd()];
    let seccomp = if accelerated { driver() } else { sandbox::codecs_open(asked, &sockets) };
    let voice = Voice::new(to);
    voice.say(&FromWorker::ShutIn(Layers { landlock, seccomp }))?;
    let teller = voice.clone();
    // When the host is gone, the thread that reads from it sees that too, and ends the process.
    progress.on_group(move |at| drop(teller.say(&FromWorker::Group(at))));
    let control = Arc::clone(&progress);
    thread::Builder::new().name("inputs".into()).spawn(move || take_inputs(from, buffer, input, &control))?;
    let (pulse, counted) = (voice.clone(), Arc::clone(&progress));
    thread::Builder::new().name("pulse".into()).spawn(move || {
        while pulse.count(&counted).is_ok() {
            thread::sleep(PULSE);
        }
    })?;
    let mut load_told = Instant::now();
    while let Some(message) = next {
        let last = message.is_last();
        if last {
            voice.count(&progress)?;
        }
        if last || load_told.elapsed() >= LOAD_EVERY {
            load_told = Instant::now();
            voice.say(&FromWorker::Load(progress.own_load()))?;
        }
        voice.say(&FromWorker::Output(message))?;
        if last {
            return Ok(());
        }
        next = output.blocking_recv();
    }
    Err(io::Error::other("the pipeline ended without a word"))
}

/// Whether any of its encoders needs a device.
fn accelerated(job: &Job) -> bool {
    job.video.iter().flat_map(|video| &video.rungs).any(|rung| rung.settings.encoder.is_hardware())
}

/// Why such a job is not shut in.
fn driver() -> Layer {
    Layer::Lacking("the driver of an accelerator opens files and devices when it likes".to_owned())
}

/// The socket to the host, for all threads that have something to say.
#[derive(Clone)]
struct Voice(Arc<Mutex<(UnixStream, Stats)>>);

impl Voice {
    fn new(to: UnixStream) -> Self {
        Self(Arc::new(Mutex::new((to, Stats::default()))))
    }

    fn say(&self, message: &FromWorker) -> io::Result<()> {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).0, message)
    }

    /// Says the counters, if they have changed: to the host, that is a sign of life.
    fn count(&self, progress: &Progress) -> io::Result<()> {
        let mut voice = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (to, told) = &mut *voice;
        let stats = progress.stats();
        if stats == *told {
            return Ok(());
        }
        *told = stats;
        write(to, &FromWorker::Stats(stats))
    }
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

/// Limits this process's address space, in bytes (RLIMIT_AS): for a process that reads what strangers made.
///
/// # Errors
/// When the system refuses.
pub fn limit_memory(bytes: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    Ok(rustix::process::setrlimit(Resource::As, limit)?)
}

fn limit(job: &Job) -> io::Result<()> {
    limit_memory(job.memory_limit)?;
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
