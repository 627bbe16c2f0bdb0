//! What became of a row, and all of them as a table.

use super::Row;
use std::fmt::Write as _;

/// Whether a row is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All as expected.
    Pass,
    /// Something is wrong: the notes say what.
    Fail,
    /// The client is not installed.
    Skipped,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Record {
    /// The row's name.
    pub name: String,
    /// Program and version.
    pub client: String,
    /// URL scheme.
    pub transport: &'static str,
    /// The outcome.
    pub verdict: Verdict,
    /// Pictures that the client sent, or that a player had to get.
    pub sent: Option<u64>,
    /// Pictures that came out: of the top rung, or in the player's file.
    pub got: Option<u64>,
    /// How far sound moved against picture, ms: the farthest of all flashes of the clip.
    pub av_ms: Option<f64>,
    /// Segments of the top rung.
    pub segments: Option<u64>,
    /// Lines that the decoder complained with.
    pub messages: Option<usize>,
    /// The stream's counters that are not zero.
    pub repairs: String,
    /// Facts and faults in words.
    pub notes: Vec<String>,
    /// How long the row took, s.
    pub seconds: f64,
}

impl Record {
    /// A row that has nothing against it yet.
    pub fn of(row: &Row) -> Self {
        Record {
            name: row.name.clone(),
            client: String::new(),
            transport: row.transport.scheme(),
            verdict: Verdict::Pass,
            sent: None,
            got: None,
            av_ms: None,
            segments: None,
            messages: None,
            repairs: String::new(),
            notes: Vec::new(),
            seconds: 0.0,
        }
    }

    /// The row fails, for this reason.
    #[must_use]
    pub fn failed(mut self, why: impl Into<String>) -> Self {
        self.fail(why);
        self
    }

    /// The row fails, for this reason too.
    pub fn fail(&mut self, why: impl Into<String>) {
        self.verdict = Verdict::Fail;
        self.notes.push(format!("FAILS: {}", why.into()));
    }

    /// A fact worth a word.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// The row did not run.
    #[must_use]
    pub fn skipped(mut self, why: impl Into<String>) -> Self {
        self.verdict = Verdict::Skipped;
        self.note(why);
        self
    }

    fn cells(&self) -> [String; 11] {
        let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let notes: Vec<String> = self.notes.iter().map(|n| one_line(n)).collect();
        [
            self.name.clone(),
            self.client.clone(),
            self.transport.to_owned(),
            match self.verdict {
                Verdict::Pass => "pass",
                Verdict::Fail => "FAIL",
                Verdict::Skipped => "skipped",
            }
            .to_owned(),
            number(self.sent),
            number(self.got),
            self.av_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}")),
            number(self.segments),
            self.messages.map_or_else(|| "-".to_owned(), |n| n.to_string()),
            if self.repairs.is_empty() { "none".to_owned() } else { self.repairs.clone() },
            notes.join("; "),
        ]
    }
}

const HEADS: [&str; 11] =
    ["row", "client", "over", "result", "sent", "got", "A/V ms", "segments", "decoder", "repairs", "notes"];

/// A client's log or a panic may have many lines, and a table's cell has one.
fn one_line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(400) {
        Some((at, _)) => format!("{} …", &text[..at]),
        None => text,
    }
}

/// The records in columns for a terminal.
pub fn table(records: &[Record]) -> String {
    let mut rows = vec![HEADS.map(str::to_owned)];
    rows.extend(records.iter().map(Record::cells));
    let width = |at: usize| rows.iter().map(|r| r[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let figures = (4..=8).contains(&at);
            let pad = " ".repeat(widths[at] - cell.chars().count());
            if figures { write!(line, "{pad}{cell}  ") } else { write!(line, "{cell}{pad}  ") }
                .expect("a String takes all");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The records as Markdown, with the sum under them.
pub fn markdown(records: &[Record], heading: &str) -> String {
    let mut out = format!("# {heading}\n\n| {} |\n|{}\n", HEADS.join(" | "), "---|".repeat(HEADS.len()));
    for record in records {
        let cells = record.cells().map(|c| c.replace('|', "\\|"));
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    let _ = writeln!(out, "\n{}", sum(records));
    out
}

/// `61 rows: 60 pass, 1 fail, 0 skipped`.
fn sum(records: &[Record]) -> String {
    let count = |v: Verdict| records.iter().filter(|r| r.verdict == v).count();
    format!(
        "{} rows: {} pass, {} fail, {} skipped",
        records.len(),
        count(Verdict::Pass),
        count(Verdict::Fail),
        count(Verdict::Skipped)
    )
}
