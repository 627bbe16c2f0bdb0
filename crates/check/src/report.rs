//! What a checker found: rule, place, and the figures that show it.

use crate::rules::{self, Level};
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `M11`, `V5`, `ts.counter` …: listed in `rules`.
    pub rule: &'static str,
    /// Rendition, list version or segment.
    pub place: String,
    /// What was met, and what was expected.
    pub detail: String,
    /// Milliseconds since the watch began.
    pub at_ms: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<18} {}: {}", self.rule, self.place, self.detail)
    }
}

/// Most findings of one kind that are kept for each rule: a fault in every packet must not fill the memory.
const KEPT: usize = 1000;

/// Findings in order of their appearance.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Findings {
    /// Broken rules that bind.
    pub violations: Vec<Finding>,
    /// Broken rules that advise.
    pub warnings: Vec<Finding>,
    /// Worth knowing, against no rule.
    pub notes: Vec<Finding>,
    /// What the next findings are stamped with.
    #[serde(skip)]
    now_ms: u64,
}

impl Findings {
    /// The time, since the watch began, that further findings bear.
    pub fn set_time(&mut self, now: Duration) {
        self.now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    }

    /// Adds a violation, or a warning where the rule only advises.
    pub fn violation(&mut self, rule: &'static str, place: impl Into<String>, detail: impl Into<String>) {
        debug_assert!(rules::find(rule).is_some(), "{rule} is in no table");
        let list = match rules::level(rule) {
            Level::Must => &mut self.violations,
            Level::Should => &mut self.warnings,
        };
        push(list, Finding { rule, place: place.into(), detail: detail.into(), at_ms: self.now_ms });
    }

    /// Adds a note.
    pub fn note(&mut self, rule: &'static str, place: impl Into<String>, detail: impl Into<String>) {
        let finding = Finding { rule, place: place.into(), detail: detail.into(), at_ms: self.now_ms };
        push(&mut self.notes, finding);
    }

    /// Takes over what another checker found.
    pub fn append(&mut self, other: Findings) {
        self.violations.extend(other.violations);
        self.warnings.extend(other.warnings);
        self.notes.extend(other.notes);
    }

    /// Takes over what another checker found just now.
    pub fn adopt(&mut self, mut other: Findings) {
        for finding in other.violations.iter_mut().chain(&mut other.warnings).chain(&mut other.notes) {
            finding.at_ms = self.now_ms;
        }
        self.append(other);
    }

    /// What was found so far, taken out.
    pub fn take(&mut self) -> Findings {
        let now_ms = self.now_ms;
        std::mem::replace(self, Findings { now_ms, ..Findings::default() })
    }

    /// The distinct binding rules broken, sorted.
    pub fn rules(&self) -> Vec<&'static str> {
        distinct(&self.violations)
    }

    /// The distinct rules broken, binding or not, sorted.
    pub fn all_rules(&self) -> Vec<&'static str> {
        distinct(self.violations.iter().chain(&self.warnings))
    }
}

fn push(list: &mut Vec<Finding>, finding: Finding) {
    if list.len() < KEPT || list.iter().filter(|f| f.rule == finding.rule).count() < KEPT {
        list.push(finding);
    }
}

fn distinct<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> Vec<&'static str> {
    let mut rules: Vec<_> = findings.into_iter().map(|v| v.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}
