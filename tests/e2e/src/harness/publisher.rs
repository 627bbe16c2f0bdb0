//! Encoders as child processes.

use super::{Home, Process};
use rustix::process::Signal;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A running encoder.
pub struct Publisher {
    process: Process,
}

fn start(home: &Home, program: &str, command: &mut Command) -> Publisher {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let log = home.path(&format!("{program}-{}.log", NUMBER.fetch_add(1, Ordering::Relaxed)));
    Publisher { process: Process::start(program, command, &log).expect("the encoder starts") }
}

/// ffmpeg with these arguments behind `-re`-less global ones.
///
/// # Panics
/// When it cannot be started.
#[track_caller]
pub fn ffmpeg<S: AsRef<std::ffi::OsStr>>(home: &Home, arguments: impl IntoIterator<Item = S>) -> Publisher {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "info", "-nostats", "-nostdin"]).args(arguments);
    start(home, "ffmpeg", &mut command)
}

/// gst-launch-1.0 with a pipeline in one string.
///
/// # Panics
/// When it cannot be started.
#[track_caller]
pub fn gstreamer(home: &Home, pipeline: &str) -> Publisher {
    let mut command = Command::new("gst-launch-1.0");
    command.args(["-e", "-q"]).args(pipeline.split_whitespace());
    start(home, "gst-launch-1.0", &mut command)
}

impl Publisher {
    /// A file as it is, in real time, `loops` times over (1 = once, 0 = for ever).
    ///
    /// # Panics
    /// When ffmpeg cannot be started.
    #[track_caller]
    pub fn copy(home: &Home, file: &Path, loops: u32, url: &str) -> Self {
        let turns = if loops == 0 { "-1".to_owned() } else { (loops - 1).to_string() };
        let file = file.to_string_lossy();
        ffmpeg(home, ["-re", "-stream_loop", &turns, "-i", &file, "-c", "copy", "-f", "flv", url])
    }

    /// SIGKILL: the connection breaks without a word.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGINT: the encoder ends its publication as it would for its user.
    ///
    /// # Panics
    /// When it does not end within ten seconds.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.process.signal(Signal::INT);
        self.process.wait(Duration::from_secs(10))
    }

    /// SIGSTOP and SIGCONT: a network that hangs.
    pub fn freeze(&self, frozen: bool) {
        self.process.signal(if frozen { Signal::STOP } else { Signal::CONT });
    }

    /// Waits for its own end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        self.process.wait(limit)
    }

    /// The exit status, when it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// All it has written.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}
