//! A DASH presentation watched over time: each MPD against the rules and against the ones before, each segment asked
//! for at its computed time and held against the MPD.
//!
//!   URL ─▶ walk ─▶ mpd (read, judged) ─▶ history ─▶ timing (which segment when) ─▶ cmafcheck ─▶ Outcome
//!
//! The rules are those of `rules` that begin with `dash.`, and `cmaf.*` and `http.*`.

mod clock;
mod history;
mod judge;
mod mpd;
mod outcome;
#[cfg(test)]
mod tests;
mod timing;
mod values;
mod walk;

pub use outcome::{Outcome, RepresentationOutcome};
pub use walk::{Options, watch};
