//! The pipeline in a process of its own (design D4): broken media can take down nothing but its own worker.
//!
//! ```text
//!  gateway                                             worker = our binary re-executed with `worker`
//!  Transcoder ─▶ host ══ one socket, its stdin ══▶ child: limits itself, then pipeline::run
//!                     ◀═ length-framed messages ══        stderr lines ─▶ the host's log
//! ```
//!
//! | end | what the host says |
//! |---|---|
//! | all done | `Finished` |
//! | a codec gives up | `Failed` with its words |
//! | killed, aborted, out of memory | `Failed` with the exit status |
//! | the host drops it | killed and reaped |
//! | the host dies | the socket ends, and on Linux the kernel kills it: it exits |

mod child;
mod guard;
mod host;
mod protocol;
mod sandbox;
mod trial;

pub use child::{limit_memory, worker_main};
pub(crate) use host::Host;
pub(crate) use sandbox::attempts;
pub use sandbox::{Layer, Layers, Sandbox, attempts::Attempt, check_sandbox};
pub use trial::try_encoder;
