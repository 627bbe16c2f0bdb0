//! What a check says in the end: for people, and as JSON.

use crate::dashcheck;
use crate::hlscheck::Outcome;
use crate::report::{Finding, Findings};
use crate::rules::{self, Level};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Examples of each broken rule beside the first.
const EXAMPLES: usize = 4;

/// A rule that was broken.
#[derive(Debug, Clone, Serialize)]
pub struct Broken {
    /// Its id.
    pub rule: &'static str,
    /// How binding it is.
    pub level: Level,
    /// Where it is written.
    pub section: &'static str,
    /// What it asks for.
    pub text: &'static str,
    /// How often it was broken.
    pub count: usize,
    /// The first time.
    pub first: Finding,
    /// Some more.
    pub more: Vec<Finding>,
}

/// A whole check.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// What was checked.
    pub url: String,
    /// `HLS`, `LL-HLS` or `DASH`.
    pub kind: &'static str,
    /// How long it was watched.
    pub seconds: f64,
    /// No binding rule was broken.
    pub clean: bool,
    /// Binding rules first, each in the order of the tables.
    pub broken: Vec<Broken>,
    /// Worth knowing: a rule's id, how often, and the first time.
    pub notes: Vec<(&'static str, usize, Finding)>,
    /// What was measured of lists and segments, if it is HLS.
    pub hls: Option<Outcome>,
    /// What was measured of Representations, if it is DASH.
    pub dash: Option<dashcheck::Outcome>,
}

impl Summary {
    /// Whether a binding rule was broken or, when `strict`, an advising one.
    pub fn fails(&self, strict: bool) -> bool {
        self.broken.iter().any(|b| strict || b.level == Level::Must)
    }

    pub(crate) fn new(url: &str, kind: &'static str, seconds: f64, findings: &Findings) -> Self {
        let mut broken: Vec<Broken> = rules::all().filter_map(|rule| broken(rule, findings)).collect();
        broken.sort_by_key(|b| b.level);
        let mut notes: BTreeMap<&'static str, (usize, Finding)> = BTreeMap::new();
        for note in &findings.notes {
            notes.entry(note.rule).or_insert_with(|| (0, note.clone())).0 += 1;
        }
        Summary {
            url: url.into(),
            kind,
            seconds,
            clean: broken.iter().all(|b| b.level != Level::Must),
            broken,
            notes: notes.into_iter().map(|(rule, (count, first))| (rule, count, first)).collect(),
            hls: None,
            dash: None,
        }
    }
}

fn broken(rule: &rules::Rule, findings: &Findings) -> Option<Broken> {
    let all = findings.violations.iter().chain(&findings.warnings).filter(|f| f.rule == rule.id);
    let mut all: Vec<&Finding> = all.collect();
    all.sort_by_key(|f| f.at_ms);
    let (first, rest) = all.split_first()?;
    Some(Broken {
        rule: rule.id,
        level: rule.level,
        section: rule.section,
        text: rule.text,
        count: all.len(),
        first: (*first).clone(),
        more: rest.iter().take(EXAMPLES).map(|f| (*f).clone()).collect(),
    })
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} watched for {:.1} s", self.kind, self.url, self.seconds)?;
        if let Some(outcome) = &self.hls {
            outcome.figures(f)?;
        }
        if let Some(outcome) = &self.dash {
            outcome.figures(f)?;
        }
        for (rule, count, first) in &self.notes {
            writeln!(f, "  note {rule}, {count} times, first: {}: {}", first.place, first.detail)?;
        }
        for b in &self.broken {
            let word = if b.level == Level::Must { "BROKEN" } else { "warning" };
            writeln!(f, "\n{word} {} ({}): {}", b.rule, b.section, b.text)?;
            let times = if b.count == 1 { "once".to_owned() } else { format!("{} times, first", b.count) };
            writeln!(f, "  {times} at {}", spot(&b.first))?;
            for finding in b.more.iter().take(2) {
                writeln!(f, "  also at {}", spot(finding))?;
            }
        }
        let count = |level| self.broken.iter().filter(|b| b.level == level).count();
        let (must, should) = (count(Level::Must), count(Level::Should));
        let verdict =
            if must == 0 { "No rule is broken".to_owned() } else { format!("{must} rules are broken") };
        writeln!(f, "\n{verdict}, {should} warnings.")
    }
}

fn spot(finding: &Finding) -> String {
    format!("{:.1} s, {}: {}", finding.at_ms as f64 / 1e3, finding.place, finding.detail)
}
