//! The built binary as a child process, encoders as child processes, and waits with deadlines.
//!
//!   Home (a temporary data directory, keys) ─▶ Gateway (`sluice serve` on port 0) ◀── Publisher (ffmpeg, gst-launch-1.0)
//!
//! Whatever a test starts ends with it: children are killed by their own ids when their owner is dropped. When a test
//! fails, the tail of each child's log is printed.

mod browser;
mod clips;
pub mod flv;
mod gateway;
pub mod hurt;
pub mod peer;
mod publisher;
mod stage;
mod wire;

pub use browser::Browser;
pub use clips::{Clip, clip};
pub use gateway::{Gateway, Home, Key, binary};
pub use publisher::{Publisher, ffmpeg, gstreamer};
pub use stage::{PATIENCE, QUICK, Stage, judged, segments, to_the_end, until};
pub use wire::Wire;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// One test at a time: two cores cannot run several ladders, and times would waver.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks until the condition gives a value.
///
/// # Panics
/// When the limit passes without one.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(started.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        sleep(Duration::from_millis(50));
    }
}

/// Looks for the whole span and fails as soon as the condition does not hold.
///
/// # Panics
/// With what `look` says.
#[track_caller]
pub fn holds_for(what: &str, span: Duration, mut look: impl FnMut() -> Result<(), String>) {
    let started = Instant::now();
    while started.elapsed() < span {
        if let Err(text) = look() {
            panic!("{what} ceased after {:?}: {text}", started.elapsed());
        }
        sleep(Duration::from_millis(50));
    }
}

/// Seconds as a span.
pub const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whether a program is there. Without it the test fails, unless E2E_ALLOW_MISSING is set, which skips it aloud.
///
/// # Panics
/// When it is missing.
pub fn has(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !found {
        assert!(
            std::env::var_os("E2E_ALLOW_MISSING").is_some(),
            "{program} is not installed (E2E_ALLOW_MISSING=1 skips the tests that need it)"
        );
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// A child whose output goes to a file, ended at drop.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts the command with both outputs in `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdout(file.try_clone()?)
            .stderr(file)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {name}: {command:?}"))?;
        Ok(Process { child, name: name.into(), log: log.into() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has written.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends a signal; a process that is gone is no error.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// SIGKILL, and the end awaited.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The exit status, when it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        wait_for(&format!("the end of {name}"), limit, || self.ended())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Asked first: scripts take their own children along, which SIGKILL would leave behind.
        self.signal(Signal::TERM);
        let patience = Instant::now() + Duration::from_secs(8);
        while self.ended().is_none() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- {} ({}), last lines:", self.name, self.log.display());
            for line in &lines[lines.len().saturating_sub(60)..] {
                eprintln!("    {line}");
            }
        }
    }
}

/// Sends a signal to a process that this test started, or to a child of one.
pub fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
