//! The gateway's side of a worker process: starts it, feeds it, hears it, reaps it.
//!
//! ```text
//!  inbox ─▶ writer ─▶ socket ─▶ worker ─▶ socket ─▶ reader ─▶ outbox
//!                                   └ stderr ─▶ a few lines a second to the log
//!  overseer: waits for the reader's end or for the Host's drop; kills, reaps, then says how it ended
//! ```

use std::{
    env, io,
    os::fd::OwnedFd,
    path::PathBuf,
    pin::pin,
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Once,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Layers,
    guard::Guard,
    protocol::{FromWorker, ToWorker, frame, read_async},
};
use crate::{Input, Job, Output, StartError, transcoder::Progress};

/// A worker that has closed its socket gets this long to exit by itself, so that its status can be told.
const EXIT_GRACE: Duration = Duration::from_secs(2);
/// Lines of a worker's stderr that are logged in one second; a broken stream can cause thousands.
const LOG_LINES_A_SECOND: u32 = 5;
/// The only environment that a worker gets: it decodes what strangers send, and secrets stand in the rest.
/// Those of accelerators tell their drivers which device is meant.
pub(super) const PASSED_ON: [&str; 7] = [
    "LD_LIBRARY_PATH",
    "RUST_BACKTRACE",
    "LLVM_PROFILE_FILE",
    "TZ",
    "LIBVA_DRIVER_NAME",
    "LIBVA_DRIVERS_PATH",
    "CUDA_VISIBLE_DEVICES",
];
/// How often a silent worker is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Opening codecs may take so long.
const STARTING: Duration = Duration::from_secs(10);
/// Longest line of stderr that is kept whole.
const MAX_LINE: u64 = 1000;

/// A worker process. Dropping it kills the process; the overseer then reaps it.
#[derive(Debug)]
pub(crate) struct Host {
    stop: CancellationToken,
    /// 0 once reaped.
    pid: Arc<AtomicU32>,
}

impl Host {
    /// Starts `exe worker` and gives it its job.
    pub(crate) fn start(
        exe: PathBuf,
        job: Job,
        inbox: mpsc::Receiver<Input>,
        outbox: mpsc::Sender<Output>,
        progress: Arc<Progress>,
    ) -> Result<Self, StartError> {
        let (ours, theirs) = UnixStream::pair().map_err(StartError::Socket)?;
        let theirs = theirs.into_std().map_err(StartError::Socket)?;
        theirs.set_nonblocking(false).map_err(StartError::Socket)?;
        let kept = PASSED_ON.iter().filter_map(|name| Some((name, env::var_os(name)?)));
        let mut child = Command::new(&exe)
            .arg("worker")
            .env_clear()
            .envs(kept)
            // A Ctrl-C at the terminal is for the gateway, which lets workers finish.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|cause| StartError::Spawn { exe, cause })?;
        let pid = Arc::new(AtomicU32::new(child.id().unwrap_or(0)));
        let stop = CancellationToken::new();
        let (reading, writing) = ours.into_split();
        let (mut feeding, mut logging) = (JoinSet::new(), JoinSet::new());
        let (patience, guard) = (job.patience, Guard::new(&job));
        feeding.spawn(feed(writing, job, inbox, Arc::clone(&progress)));
        if let Some(stderr) = child.stderr.take() {
            logging.spawn(log(stderr, child.id().unwrap_or(0)));
        }
        let overseer =
            Overseer { outbox, progress, stop: stop.clone(), pid: Arc::clone(&pid), patience, guard };
        // The one task that nobody joins: it must outlive the Host by the moment it takes to reap. It ends by itself
        // when the process does, and owns the others.
        tokio::spawn(overseer.run(child, reading, feeding, logging));
        Ok(Self { stop, pid })
    }

    /// The process id, until it has been reaped.
    pub(crate) fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Job and inputs to the worker. Ends when the worker is gone or nothing more can come.
async fn feed(mut to: OwnedWriteHalf, job: Job, mut inbox: mpsc::Receiver<Input>, progress: Arc<Progress>) {
    let mut wanted = progress.wanted();
    let mut next = Some(ToWorker::Job(Box::new(job)));
    while let Some(message) = next {
        let sent = match frame(&message) {
            Ok(bytes) => to.write_all(&bytes).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                progress.left_out();
                tracing::warn!(%error, "an input too large for the transcoder was left out");
            }
            Err(_) => break, // the worker is gone; the reader sees the same and tells
        }
        next = tokio::select! {
            biased;
            Ok(()) = wanted.changed() => Some(ToWorker::Want(*wanted.borrow_and_update())),
            input = inbox.recv() => input.map(ToWorker::Input),
        };
    }
    inbox.close();
}

/// Hears a worker to its end, whichever it is.
struct Overseer {
    outbox: mpsc::Sender<Output>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    pid: Arc<AtomicU32>,
    patience: Duration,
    guard: Guard,
}

impl Overseer {
    async fn run(
        mut self,
        mut child: Child,
        reading: OwnedReadHalf,
        feeding: JoinSet<()>,
        mut logging: JoinSet<()>,
    ) {
        let stop = self.stop.clone();
        let last = tokio::select! {
            last = self.hear(reading) => Some(last),
            () = stop.cancelled() => None,
        };
        let status = match last {
            Some(Ok(_)) => tokio::select! {
                status = child.wait() => status,
                () = self.stop.cancelled() => kill(&mut child).await,
                () = sleep(EXIT_GRACE) => kill(&mut child).await,
            },
            _ => kill(&mut child).await,
        };
        self.pid.store(0, Ordering::Relaxed);
        drop(feeding);
        let end = match last {
            None => return,
            Some(Ok(Some(last))) => last,
            Some(Ok(None)) => Output::Failed(format!("the worker process {}", how(&status))),
            Some(Err(error)) => {
                Output::Failed(format!("the worker process broke off: {error}; it {}", how(&status)))
            }
        };
        // What it wrote last is often the reason.
        let _ = timeout(EXIT_GRACE, logging.join_next()).await;
        tokio::select! {
            _ = self.outbox.send(end) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// The next message. Fails when it does not come although the worker has something to do.
    async fn next(&self, from: &mut OwnedReadHalf, buffer: &mut Vec<u8>) -> io::Result<Option<FromWorker>> {
        let mut reading = pin!(read_async(from, buffer));
        let mut silent_since = Instant::now();
        loop {
            if let Ok(message) = timeout(LOOK, &mut reading).await {
                return message;
            }
            let patience = if self.guard.is_ready() { self.patience } else { STARTING.max(self.patience) };
            if self.progress.waiting() == 0 {
                silent_since = Instant::now();
            } else if silent_since.elapsed() >= patience {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("it has taken none of its inputs for {patience:?}"),
                ));
            }
        }
    }

    /// The worker's outputs, until it ends or says something impossible. Returns its last word, if it had one.
    async fn hear(&mut self, mut from: OwnedReadHalf) -> io::Result<Option<Output>> {
        let mut buffer = Vec::new();
        loop {
            let message = self.next(&mut from, &mut buffer).await?;
            if let Some(message) = &message {
                self.guard.check(message, self.progress.span()).map_err(io::Error::other)?;
            }
            match message {
                Some(FromWorker::Group(at)) => self.progress.begin_group(at),
                Some(FromWorker::Stats(stats)) => self.progress.set_stats(stats),
                Some(FromWorker::Load(load)) => self.progress.set_load(load),
                Some(FromWorker::ShutIn(layers)) => {
                    shut_in(&layers);
                    let _ = self.progress.layers.set(layers);
                }
                Some(FromWorker::Output(last)) if last.is_last() => return Ok(Some(last)),
                Some(FromWorker::Output(output)) => {
                    if self.outbox.send(output).await.is_err() {
                        return Ok(None);
                    }
                }
                None => return Ok(None),
            }
        }
    }
}

/// What the kernel lacks is told once: it is the same for every worker.
fn shut_in(layers: &Layers) {
    static TOLD: Once = Once::new();
    tracing::debug!(%layers, "worker is shut in");
    if let Some(lacking) = layers.lacking() {
        TOLD.call_once(|| tracing::warn!(lacking, "workers are not shut in as they should be"));
    }
}

async fn kill(child: &mut Child) -> io::Result<ExitStatus> {
    // An error means that it has exited already, which is as good.
    let _ = child.start_kill();
    child.wait().await
}

fn how(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("ended: {status}"),
        Err(error) => format!("could not be waited for: {error}"),
    }
}

/// FFmpeg's and the runtime's words, a few a second.
async fn log(stderr: impl AsyncRead + Unpin, pid: u32) {
    let mut lines = BufReader::new(stderr);
    let mut since = Instant::now();
    let (mut told, mut kept_back) = (0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if since.elapsed() > Duration::from_secs(1) {
            if kept_back > 0 {
                tracing::debug!(worker = pid, lines = kept_back, "further lines of the worker were left out");
            }
            (since, told, kept_back) = (Instant::now(), 0, 0);
        }
        if told < LOG_LINES_A_SECOND {
            told += 1;
            tracing::debug!(worker = pid, "{}", String::from_utf8_lossy(&line).trim_end());
        } else {
            kept_back += 1;
        }
    }
}
