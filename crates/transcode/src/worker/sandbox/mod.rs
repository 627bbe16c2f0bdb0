//! What a worker may still do once its codecs are open: take packets from its socket and give packets back.
//!
//! ```text
//!  job read ─▶ limits ─▶ landlock ─▶ codec threads start, codecs open ─▶ seccomp on every thread ─▶ first packet read
//! ```
//!
//! Two layers, since a kernel may lack one. Landlock (here up to ABI 7) is inherited by threads that start later and
//! does not reach those that run, so it comes before any does: no file, no TCP, no abstract socket, no signal out of the
//! worker. FFmpeg, x264 and the others that are linked in open without files. Seccomp then lets through only the calls
//! of [`seccomp`]'s list; every other is answered with EPERM, so that a library that tries something needless goes on
//! without. Both set no_new_privs. What is refused is told as an error to the code that asked, never by a signal.

pub(crate) mod attempts;
#[cfg(target_os = "linux")]
mod landlocked;
#[cfg(target_os = "linux")]
mod seccomp;

use std::{fmt, os::fd::RawFd, path::PathBuf, time::Duration};

use media::MediaTime;
use serde::{Deserialize, Serialize};

use self::attempts::Attempt;
use crate::{Fault, Input, Isolation, Job, Output, Transcoder};

/// How far a worker is shut in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Sandbox {
    /// By all that the kernel has.
    #[default]
    Auto,
    /// Not at all.
    Off,
    /// By one layer alone; for tests of it.
    #[doc(hidden)]
    LandlockAlone,
    /// By one layer alone; for tests of it.
    #[doc(hidden)]
    SeccompAlone,
}

/// What became of one layer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Layer {
    /// It holds, with what is to be known of it.
    Holds(String),
    /// It was not asked for.
    Off,
    /// This kernel has none, or less than is asked for; with the reason.
    Lacking(String),
}

/// What shuts a worker in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Layers {
    /// Files, TCP, signals, abstract sockets.
    pub landlock: Layer,
    /// Every system call.
    pub seccomp: Layer,
}

impl Layers {
    /// What is asked for and lacking, in words; `None` when all is well.
    pub fn lacking(&self) -> Option<String> {
        let lacking = |name: &str, layer: &Layer| match layer {
            Layer::Lacking(why) => Some(format!("{name}: {why}")),
            Layer::Holds(_) | Layer::Off => None,
        };
        let both = [lacking("landlock", &self.landlock), lacking("seccomp", &self.seccomp)];
        both.into_iter().flatten().reduce(|one, two| format!("{one}; {two}"))
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |layer: &Layer| match layer {
            Layer::Holds(what) => what.clone(),
            Layer::Off => "off".to_owned(),
            Layer::Lacking(why) => format!("lacking ({why})"),
        };
        write!(f, "landlock {}, seccomp {}", word(&self.landlock), word(&self.seccomp))
    }
}

/// Starts a worker that has nothing to do but try to get out: which layers hold on this machine, and what was not refused
/// although it should be. For `sluice doctor`; needs a tokio runtime with IO. `exe` as in [`Isolation::Process`].
///
/// # Errors
/// In words, when the worker does not start or ends before it could tell.
pub async fn check_sandbox(exe: PathBuf) -> Result<(Layers, Vec<String>), String> {
    let job = Job {
        video: None,
        audio: Vec::new(),
        memory_limit: 1 << 30,
        fault: Some(Fault::BreakOutAtFrame(0)),
        sandbox: Sandbox::Auto,
        patience: Duration::from_secs(2),
        stills: None,
    };
    let mut worker =
        Transcoder::start(Isolation::Process { exe }, job).await.map_err(|error| error.to_string())?;
    worker.try_send(Input::CutAt(MediaTime::ZERO)).map_err(|_| "it takes nothing".to_owned())?;
    while let Some(output) = worker.recv().await {
        match output {
            Output::Tried(tried) => {
                let got_through = |attempt: &&Attempt| !attempt.refused() && !attempt.is_harmless();
                let through = tried.iter().filter(got_through).map(|attempt| attempt.what.clone()).collect();
                let layers = worker.layers().cloned().ok_or("it does not say what shuts it in")?;
                return Ok((layers, through));
            }
            Output::Failed(why) => return Err(why),
            _ => {}
        }
    }
    Err("it ended without a word".to_owned())
}

/// First half: to be called while the process has one thread, which every later one inherits from.
pub(super) fn before_threads(asked: Sandbox) -> Layer {
    if matches!(asked, Sandbox::Off | Sandbox::SeccompAlone) { Layer::Off } else { landlock() }
}

/// Second half, for all threads: to be called when the codecs are open and nothing of the stream was read. Afterwards
/// only `sockets` can be read and written, and stderr be written.
pub(super) fn codecs_open(asked: Sandbox, sockets: &[RawFd]) -> Layer {
    if matches!(asked, Sandbox::Off | Sandbox::LandlockAlone) { Layer::Off } else { filter(sockets) }
}

#[cfg(target_os = "linux")]
fn landlock() -> Layer {
    landlocked::apply()
}

#[cfg(target_os = "linux")]
fn filter(sockets: &[RawFd]) -> Layer {
    match seccomp::apply(sockets) {
        Ok(calls) => Layer::Holds(format!("{calls} calls allowed")),
        Err(why) => Layer::Lacking(why),
    }
}

#[cfg(not(target_os = "linux"))]
fn landlock() -> Layer {
    Layer::Lacking("only Linux has it".to_owned())
}

#[cfg(not(target_os = "linux"))]
fn filter(_: &[RawFd]) -> Layer {
    Layer::Lacking("only Linux has it".to_owned())
}
