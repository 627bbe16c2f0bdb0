#![forbid(unsafe_code)]
//! Live presentations judged by the standards they claim to follow.
//!
//!   URL ══HTTP══▶ `hlscheck` (lists over time) ─▶ `tscheck` (segments) ─▶ `report`
//!
//! Nothing here depends on another crate of this project: what judges the muxers shares none of their code.

pub mod hlscheck;
pub mod http;
pub mod report;
pub mod tscheck;
