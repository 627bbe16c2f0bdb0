#![forbid(unsafe_code)]
//! Live presentations judged by the standards they claim to follow.
//!
//!   URL ══HTTP══▶ `hlscheck` (lists over time) ─▶ `tscheck` │ `cmafcheck` (segments) ─▶ `report` ─▶ `summary`
//!            └──▶ `dashcheck` (MPD over time) ──▶ `cmafcheck` ─┘
//!
//! Nothing here depends on another crate of this project: what judges the muxers shares none of their code.

pub mod cmafcheck;
mod codec;
pub mod dashcheck;
pub mod fetch;
pub mod hlscheck;
mod probe;
pub mod report;
pub mod rules;
mod run;
pub mod summary;
#[cfg(test)]
mod testing;
pub mod tscheck;

pub use run::{Only, Settings, run};
