//! What a checker found: rule, place, and the figures that show it.

use serde::Serialize;
use std::fmt;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `M11`, `V5`, `ts.counter` …: listed with the checker that raises it.
    pub rule: &'static str,
    /// Rendition, list version or segment.
    pub place: String,
    /// What was met, and what was expected.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<18} {}: {}", self.rule, self.place, self.detail)
    }
}

/// Findings in order of their appearance.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Findings {
    /// Broken rules.
    pub violations: Vec<Finding>,
    /// Worth knowing, against no rule.
    pub notes: Vec<Finding>,
}

impl Findings {
    /// Adds a violation.
    pub fn violation(&mut self, rule: &'static str, place: impl Into<String>, detail: impl Into<String>) {
        self.violations.push(Finding { rule, place: place.into(), detail: detail.into() });
    }

    /// Adds a note.
    pub fn note(&mut self, rule: &'static str, place: impl Into<String>, detail: impl Into<String>) {
        self.notes.push(Finding { rule, place: place.into(), detail: detail.into() });
    }

    /// Takes over what another checker found.
    pub fn append(&mut self, mut other: Findings) {
        self.violations.append(&mut other.violations);
        self.notes.append(&mut other.notes);
    }

    /// The distinct rules broken, sorted.
    pub fn rules(&self) -> Vec<&'static str> {
        let mut rules: Vec<_> = self.violations.iter().map(|v| v.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}
