//! A live HLS presentation watched over time: each list against the rules, each list against the ones before,
//! each segment against its list, each rendition against the others.
//!
//!   URL ─▶ walk (follows, downloads) ─▶ multivariant │ media ─▶ history │ lowlatency │ delta │ reports ─▶ tscheck │ cmafcheck
//!                                                                          └─▶ across │ rates │ decode ─▶ Outcome
//!
//! The rules are those of `rules`: `M…`, `V…`, `file.*`, `date.*`, `iframe.*`, `key.*`, `ll.*` and `http.*`.

pub mod across;
mod daterange;
pub mod decode;
pub mod delta;
pub mod history;
mod list;
pub mod lowlatency;
pub mod media;
pub mod multivariant;
mod outcome;
pub mod rates;
mod reports;
mod second;
mod tags;
#[cfg(test)]
mod tests;
mod text;
mod variables;
mod walk;
#[cfg(test)]
mod walk_tests;
mod watch;

pub use outcome::{Memory, Outcome, RenditionOutcome};
pub(crate) use text::micros;
pub use walk::Role;
pub use watch::{Meter, Options, Progress, RenditionProgress, Watch};
