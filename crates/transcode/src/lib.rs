//! Makes the adaptive-bitrate ladder: looks at what comes in, plans the rungs, and decodes, scales and encodes them
//! with FFmpeg's libraries, in a worker process of its own or in a thread.
//!
//! ```text
//!  MediaEvent ─▶ source::Probe ─▶ Source ─▶ ladder::plan ─▶ Plan ─▶ Job
//!                                                                   │
//!  Packet, CutAt ─▶ Transcoder ══socket══▶ worker: pipeline: decode ─▶ scale ─▶ encode … ─▶ Output per rung
//! ```
//!
//! What is copied never passes through here, and a stream whose plan encodes nothing has no [`Transcoder`].
//! Left to others: where segments are cut (the cut plan says, through [`Input::CutAt`]), what becomes of the packets,
//! when a dead worker is started again.
//!
//! All unsafe code of Sluice stands in the module `av`.

mod av;
mod blank;
mod codecs;
pub mod encode;
pub mod file;
mod job;
pub mod ladder;
mod load;
mod pipeline;
pub mod source;
mod still;
mod transcoder;
mod worker;

pub use blank::Blank;
pub use codecs::{CodecCheck, can_decode, can_decode_audio, probe_codecs};
pub use job::{AudioJob, FAULT_MARK, Fault, Job, VideoJob, VideoRung};
pub use load::{Cost, Load, RungLoad};
pub use still::{MAX_STILL, SHEET_COLUMNS, SHEET_ROWS, SHEET_TILES, Sheet, Still, StillKind, StillsJob};
pub use transcoder::{Input, Isolation, Output, SendError, StartError, Stats, Transcoder};
pub use worker::{Attempt, Layer, Layers, Sandbox, check_sandbox, limit_memory, try_encoder, worker_main};
