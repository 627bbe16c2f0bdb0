//! One stream's outcome against what must hold between its renditions.

use super::sources::Source;
use crate::hlscheck::{Outcome, RenditionOutcome};
use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Command, Stdio};

/// Rules about when a list changes, not about what is in it: the sources share a small machine.
const TIMING: [&str; 3] = ["M11", "V20", "M13"];
/// Renditions may be seen to begin and end so many segments apart: they are looked at one after the other.
const EDGE: u64 = 2;
/// Numbers of each stream that ffprobe looks at, too.
const SAMPLES: usize = 6;

/// What became of one source.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The source's name.
    pub name: String,
    /// Renditions, those that are copied first among them.
    pub renditions: usize,
    /// How many of them are copied.
    pub copied: usize,
    /// Numbers that were compared.
    pub numbers: u64,
    /// Of them those without media.
    pub gaps: u64,
    /// How often it began anew behind a discontinuity.
    pub discontinuities: u64,
    /// The encoder was killed and came back so often.
    pub returns: u64,
    /// Largest distance of the first pictures of equal numbers, in ticks of 90 kHz.
    pub ticks: i64,
    /// First pictures that ffprobe read.
    pub probed: usize,
    /// Worst of the encoded renditions, and of the copied ones, as shares of what was declared: peak, average; percent.
    pub encoded: Option<(f64, f64)>,
    /// The same of copied ones.
    pub copies: Option<(f64, f64)>,
    /// What must not be.
    pub faults: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// Judges one stream.
pub(super) fn row(source: &Source, outcome: &Outcome, story: &Value, returns: u64) -> Result<Row> {
    let mut row = Row { name: source.name.into(), returns, ..Row::default() };
    for rule in outcome.findings.rules() {
        let of_rule = outcome.findings.violations.iter().filter(|v| v.rule == rule);
        let text = of_rule.clone().next().map(ToString::to_string).unwrap_or_default();
        let text = format!("{text} ({} times)", of_rule.count());
        if TIMING.contains(&rule) { row.notes.push(text) } else { row.faults.push(text) }
    }
    row.renditions = outcome.renditions.len();
    if row.renditions < 2 {
        row.faults.push(format!("{} renditions", row.renditions));
        return Ok(row);
    }
    row.discontinuities = outcome.renditions.iter().map(|r| r.discontinuities).max().unwrap_or(0);
    let Some(common) = span(outcome, &mut row) else { return Ok(row) };
    compare(outcome, &common, &mut row);
    probe(outcome, &common, &mut row)?;
    rates(outcome, story, &mut row);
    Ok(row)
}

/// The numbers that all renditions reach over.
fn span(outcome: &Outcome, row: &mut Row) -> Option<RangeInclusive<u64>> {
    let spans: Vec<(u64, u64)> = outcome.renditions.iter().filter_map(|r| r.msn).collect();
    let (first, last) = (spans.iter().map(|s| s.0), spans.iter().map(|s| s.1));
    let bounds = |all: &[u64]| Some((*all.iter().min()?, *all.iter().max()?));
    let (early, late) = bounds(&first.collect::<Vec<_>>())?;
    let (short, long) = bounds(&last.collect::<Vec<_>>())?;
    if spans.len() < outcome.renditions.len() {
        row.faults.push("a rendition without segments".into());
        return None;
    }
    for (edge, distance) in [("begin", late - early), ("end", long - short)] {
        if distance > EDGE {
            row.faults.push(format!("renditions {edge} {distance} numbers apart"));
        }
    }
    (late <= short).then_some(late..=short)
}

/// Every number in every rendition, alike.
fn compare(outcome: &Outcome, common: &RangeInclusive<u64>, row: &mut Row) {
    let Some((lead, others)) = outcome.renditions.split_first() else { return };
    row.numbers = common.end() - common.start() + 1;
    let mut unequal = Vec::new();
    for msn in common.clone() {
        let Some(entry) = lead.entries.get(&msn) else {
            unequal.push(format!("{} has no number {msn}", lead.name));
            continue;
        };
        row.gaps += u64::from(entry.gap);
        for other in others {
            let Some(theirs) = other.entries.get(&msn) else {
                unequal.push(format!("{} has no number {msn}", other.name));
                continue;
            };
            let mut differs = |what: &str, a: String, b: String| {
                unequal.push(format!("{msn}: {what} {a} in {}, {b} in {}", lead.name, other.name));
            };
            if entry.gap != theirs.gap {
                differs("gap", entry.gap.to_string(), theirs.gap.to_string());
                continue;
            }
            if entry.micros != theirs.micros {
                differs("EXTINF", entry.micros.to_string(), theirs.micros.to_string());
            }
            let discontinuity = |e: &crate::hlscheck::media::Entry| (e.discontinuity_number, e.discontinuity);
            if discontinuity(entry) != discontinuity(theirs) {
                let text = |e| format!("{:?}", discontinuity(e));
                differs("discontinuity", text(entry), text(theirs));
            }
            let start =
                |r: &RenditionOutcome| r.facts.get(&msn).and_then(|f| f.video.as_ref()).map(|v| v.first_pts);
            match (start(lead), start(other)) {
                (Some(a), Some(b)) => {
                    row.ticks = row.ticks.max((a - b).abs());
                    if a != b {
                        differs("first PTS", a.to_string(), b.to_string());
                    }
                }
                (None, None) if entry.gap => {}
                (a, b) => differs("first picture", format!("{a:?}"), format!("{b:?}")),
            }
        }
    }
    let more = unequal.len().saturating_sub(4);
    row.faults.extend(unequal.into_iter().take(4));
    if more > 0 {
        row.faults.push(format!("… and {more} more of these"));
    }
}

/// A second reader for some numbers.
fn probe(outcome: &Outcome, common: &RangeInclusive<u64>, row: &mut Row) -> Result<()> {
    let with_media =
        |msn: &u64| outcome.renditions.iter().all(|r| r.facts.get(msn).is_some_and(|f| f.video.is_some()));
    let numbers: Vec<u64> = common.clone().filter(with_media).collect();
    let step = numbers.len().div_ceil(SAMPLES).max(1);
    for msn in numbers.into_iter().step_by(step) {
        let mut times = Vec::new();
        for rendition in &outcome.renditions {
            times.push(first_pts(&rendition.dir.join(format!("{msn}.ts")))?);
        }
        row.probed += times.len();
        if times.windows(2).any(|pair| pair[0] != pair[1]) {
            row.faults.push(format!("{msn}: ffprobe reads first pictures at {times:?}"));
        }
    }
    Ok(())
}

/// PTS of the first coded picture.
fn first_pts(file: &Path) -> Result<i64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-read_intervals", "%+#1"])
        .args(["-show_entries", "packet=pts", "-of", "csv=p=0"])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .context("ffprobe runs")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default().trim().trim_end_matches(',');
    first.parse().with_context(|| format!("{}: ffprobe says {text:?}", file.display()))
}

/// Measured rates against declared ones.
fn rates(outcome: &Outcome, story: &Value, row: &mut Row) {
    for rendition in &outcome.renditions {
        let copied = is_copied(story, &rendition.name);
        row.copied += usize::from(copied);
        let share =
            |(says, measured): (Option<u64>, Option<u64>)| Some(measured? as f64 * 100.0 / says? as f64);
        let (Some(peak), Some(average)) = (share(rendition.bandwidth), share(rendition.average)) else {
            row.faults.push(format!("{}: no rates", rendition.name));
            continue;
        };
        let worst = if copied { &mut row.copies } else { &mut row.encoded };
        let (p, a) = worst.unwrap_or_default();
        *worst = Some((peak.max(p), average.max(a)));
        let limit = if copied { 125.0 } else { 100.0 };
        if peak > limit || average >= 110.0 {
            let (says, got) = rendition.bandwidth;
            row.faults.push(format!(
                "{}: peak {got:?} of {says:?} ({peak:.0} %), average {:?} ({average:.0} %)",
                rendition.name, rendition.average
            ));
        }
    }
}

fn is_copied(story: &Value, id: &str) -> bool {
    let renditions = story["renditions"].as_array();
    renditions.is_some_and(|all| all.iter().any(|r| r["id"] == id && r["made"] == "copy"))
}

/// The rows as people read them.
pub fn table(rows: &[Row]) -> String {
    let mut out = format!(
        "{:<22} {:>7} {:>8} {:>5} {:>7} {:>8} {:>5} {:>9} {:>15} {:>15}\n",
        "source",
        "copy+enc",
        "numbers",
        "gaps",
        "breaks",
        "returns",
        "PTS",
        "ffprobe",
        "encoded pk/avg",
        "copied pk/avg"
    );
    let shares = |shares: Option<(f64, f64)>| {
        shares.map_or_else(|| "-".to_owned(), |(peak, average)| format!("{peak:.0} % / {average:.0} %"))
    };
    for row in rows {
        let kinds = format!("{}+{}", row.copied, row.renditions - row.copied);
        let _ = writeln!(
            out,
            "{:<22} {kinds:>8} {:>8} {:>5} {:>7} {:>8} {:>5} {:>9} {:>15} {:>15}  {}",
            row.name,
            row.numbers,
            row.gaps,
            row.discontinuities,
            row.returns,
            row.ticks,
            row.probed,
            shares(row.encoded),
            shares(row.copies),
            if row.faults.is_empty() { "ok" } else { "BROKEN" },
        );
        for fault in &row.faults {
            let _ = writeln!(out, "    BROKEN {fault}");
        }
        for note in &row.notes {
            let _ = writeln!(out, "    note   {note}");
        }
    }
    out
}
