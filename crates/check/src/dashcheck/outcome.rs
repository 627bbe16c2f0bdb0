//! What was measured of Representations.

use crate::report::Findings;
use serde::Serialize;
use std::fmt;

/// A Representation's figures.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RepresentationOutcome {
    /// Period and Representation.
    pub name: String,
    /// Segments fetched.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their durations, s.
    pub seconds: f64,
    /// `bandwidth`, bit/s.
    pub bandwidth: u64,
    /// Largest and median time from a segment's computed availability to the head of its answer, ms.
    pub head_ms: (f64, f64),
    /// Largest distance of a segment's media time from the MPD's, ms.
    pub time_off_ms: f64,
    /// Chunks of the newest segment.
    pub chunks: usize,
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The MPD.
    pub url: String,
    /// How long it was watched.
    pub seconds: f64,
    /// Distinct MPDs.
    pub versions: u64,
    /// How far the server's clock was ahead of ours, ms.
    pub clock_ms: Option<f64>,
    /// What broke which rule.
    pub findings: Findings,
    /// By period and id.
    pub representations: Vec<RepresentationOutcome>,
}

impl Outcome {
    /// The figures as text.
    pub(crate) fn figures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for r in &self.representations {
            let average = if r.seconds > 0.0 { r.bytes as f64 * 8.0 / r.seconds } else { 0.0 };
            writeln!(
                f,
                "  {:<14} segments {}, {:.2} s, average {average:.0} of {} bit/s, head {:.0} ms after its time (largest {:.0}), \
                 times off by {:.3} ms, chunks {}",
                r.name, r.segments, r.seconds, r.bandwidth, r.head_ms.1, r.head_ms.0, r.time_off_ms, r.chunks
            )?;
        }
        write!(f, "  {} MPDs", self.versions)?;
        match self.clock_ms {
            Some(ms) => writeln!(f, ", the server's clock is {ms:.0} ms ahead of ours"),
            None => writeln!(f),
        }
    }
}
