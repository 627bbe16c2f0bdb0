#![forbid(unsafe_code)]
//! End-to-end checks of the built `sluice` binary with real encoders and players.
//!
//!   encoders ══RTMP══▶ sluice (a child process, see `harness`) ══HTTP══▶ `hlscheck` ─▶ `tscheck` ─▶ report
//!
//! Nothing here depends on the crates it judges: the checkers, which are the crate `check`, read the wire.

pub mod alignment;
pub mod avsync;
pub mod captions;
pub mod conformance;
pub mod harness;
pub mod http;
pub mod overload;
pub mod proc;

pub use check::{hlscheck, report, tscheck};
