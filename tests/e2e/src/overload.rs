//! What a run with more ladders than the machine can make has shown: looks at the gateway in, figures and broken rules out.
//! Pure, so that the rules have tests.

use std::fmt::Write as _;

/// Looks in a row at which something must be out of order to count: streams are not told at the same moment.
const LASTS: u32 = 3;

/// One copied or encoded rung at a look, as the API tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// The rendition's id.
    pub id: String,
    /// `=` copied, `#` encoded, `.` shed, `?` nothing known.
    pub mark: char,
    /// Lines.
    pub height: u64,
}

/// One stream at a look.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamLook {
    /// Seconds that its encoder is late.
    pub late: f64,
    /// In the order of the lists.
    pub rungs: Vec<Rung>,
}

impl StreamLook {
    /// One character a rung.
    pub fn marks(&self) -> String {
        self.rungs.iter().map(|rung| rung.mark).collect()
    }

    /// Every rung is copied or encoded.
    pub fn is_whole(&self) -> bool {
        !self.rungs.is_empty() && self.rungs.iter().all(|rung| "=#".contains(rung.mark))
    }
}

/// What a stream's copied rung was seen to be in its lists.
#[derive(Debug, Clone, PartialEq)]
pub struct Copied {
    /// The stream and the rendition.
    pub name: String,
    /// Longest time until a new segment, in seconds.
    pub longest_wait: f64,
    /// Gaps while its publisher sent.
    pub gaps: usize,
    /// Times at which a segment was late by the rules of lists, in seconds.
    pub late_at: Vec<f64>,
}

/// A rung went or came.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    at: f64,
    stream: usize,
    rung: String,
    shed: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Figures {
    names: Vec<String>,
    /// Seconds.
    ceiling: f64,
    last: Vec<StreamLook>,
    changes: Vec<Change>,
    /// Latest seconds and when, for each stream.
    worst: Vec<(f64, f64)>,
    /// When all publishers but the first were stopped, and when the first stream was whole again.
    relieved: Option<f64>,
    whole: Option<f64>,
    /// Ids of renditions that were seen to be copied.
    copies: Vec<String>,
    copied: Vec<Copied>,
    /// Looks in a row at which a smaller rung was shed and a larger one kept.
    disorder: u32,
    broken: Vec<String>,
}

impl Figures {
    /// For streams of these names, and `ladder.latency_ceiling` in seconds.
    pub fn new(names: &[String], ceiling: f64) -> Self {
        Self {
            names: names.to_vec(),
            ceiling,
            last: Vec::new(),
            changes: Vec::new(),
            worst: vec![(0.0, 0.0); names.len()],
            relieved: None,
            whole: None,
            copies: Vec::new(),
            copied: Vec::new(),
            disorder: 0,
            broken: Vec::new(),
        }
    }

    /// A rule is broken.
    pub fn fault(&mut self, what: impl Into<String>) {
        self.broken.push(what.into());
    }

    /// What was broken so far.
    pub fn faults(&self) -> &[String] {
        &self.broken
    }

    /// All streams were looked at, `at` seconds since the start; true when a rung's mark has changed.
    pub fn look(&mut self, at: f64, streams: Vec<StreamLook>) -> bool {
        for (stream, look) in streams.iter().enumerate() {
            if let Some(worst) = self.worst.get_mut(stream).filter(|worst| look.late > worst.0) {
                *worst = (look.late, at);
            }
            let before = self.last.get(stream).map_or(&[][..], |before| &before.rungs);
            for rung in &look.rungs {
                if rung.mark == '=' && !self.copies.contains(&rung.id) {
                    self.copies.push(rung.id.clone());
                }
                let was = before.iter().find(|before| before.id == rung.id).map_or('?', |before| before.mark);
                // A rung that is shed from the start had no room; a stream that has ended has neither.
                let shed = rung.mark == '.' && was != '.';
                if shed || (rung.mark == '#' && was == '.') {
                    self.changes.push(Change { at, stream, rung: rung.id.clone(), shed });
                }
            }
        }
        self.in_order(&streams);
        if self.relieved.is_some()
            && self.whole.is_none()
            && streams.first().is_some_and(StreamLook::is_whole)
        {
            self.whole = Some(at);
        }
        let changed = streams.len() != self.last.len()
            || streams.iter().zip(&self.last).any(|(now, before)| now.marks() != before.marks());
        self.last = streams;
        changed
    }

    /// What is shed is never smaller than what is kept in any stream, as far as both are encoded.
    fn in_order(&mut self, streams: &[StreamLook]) {
        let rungs = || streams.iter().flat_map(|stream| &stream.rungs);
        let shed = rungs().filter(|rung| rung.mark == '.').map(|rung| rung.height).min();
        let kept = rungs().filter(|rung| rung.mark == '#').map(|rung| rung.height).max();
        let (Some(shed), Some(kept)) = (shed, kept) else {
            self.disorder = 0;
            return;
        };
        self.disorder = if kept > shed { self.disorder + 1 } else { 0 };
        if self.disorder == LASTS {
            self.fault(format!("{kept}p is kept in one stream, {shed}p shed in one"));
        }
    }

    /// The first stream has the machine for itself from here on.
    pub fn relieve(&mut self, at: f64) {
        self.relieved = Some(at);
    }

    /// Whether the first stream has all its rungs again.
    pub fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// Whether a rendition of this id was copied at a look.
    pub fn is_copied(&self, id: &str) -> bool {
        self.copies.iter().any(|copied| copied == id)
    }

    /// What the lists of a stream's copied rung were seen to be.
    pub fn copied(&mut self, copied: Copied) {
        if copied.gaps > 0 || !copied.late_at.is_empty() {
            self.fault(format!("{}: late at {:?} s, with {} gaps", copied.name, copied.late_at, copied.gaps));
        }
        self.copied.push(copied);
    }

    /// The run is over: the rules that look at all of it.
    pub fn conclude(&mut self) {
        for stream in 0..self.names.len() {
            let (late, at) = self.worst[stream];
            if late > self.ceiling {
                let text = format!("{} was {late:.2} s late at {at:.0} s", self.names[stream]);
                self.fault(text);
            }
        }
        if self.relieved.is_some() && self.whole.is_none() {
            self.fault("not every rung of the first stream returned");
        }
    }

    /// The figures, in plain text.
    pub fn table(&self) -> String {
        let mut text = String::from("rungs shed and restored\n");
        if self.changes.is_empty() {
            text += "  none\n";
        }
        for Change { at, stream, rung, shed } in &self.changes {
            let what = if *shed { "shed" } else { "restored" };
            let _ = writeln!(text, "  {at:7.1} s  {what:<9} {} {rung}", self.names[*stream]);
        }
        let _ = writeln!(text, "{:<46}{:>12}  {:<14}", "figure", "measured", "rule");
        let mut row = |figure: String, measured: String, rule: &str, held: bool| {
            let mark = if held { "" } else { "BROKEN" };
            let _ = writeln!(text, "{:<46}{measured:>12}  {rule:<14}{mark}", format!("  {figure}"));
        };
        let ceiling = format!("<= {:.2} s", self.ceiling);
        for (name, (late, at)) in self.names.iter().zip(&self.worst) {
            let figure = if *late > 0.0 {
                format!("worst lateness of {name}, at {at:.0} s")
            } else {
                format!("worst lateness of {name}")
            };
            row(figure, format!("{late:.2} s"), &ceiling, *late <= self.ceiling);
        }
        for copied in &self.copied {
            let held = copied.late_at.is_empty();
            row(
                format!("{}: longest wait for a segment", copied.name),
                format!("{:.2} s", copied.longest_wait),
                "real time",
                held,
            );
            row(format!("{}: gaps", copied.name), copied.gaps.to_string(), "0", copied.gaps == 0);
        }
        if let Some(relieved) = self.relieved {
            let measured =
                self.whole.map_or("never".to_owned(), |whole| format!("{:.0} s", whole - relieved));
            row(
                "until the first stream was whole again".to_owned(),
                measured,
                "happens",
                self.whole.is_some(),
            );
        }
        for fault in &self.broken {
            let _ = writeln!(text, "BROKEN: {fault}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `=##` for 1080p copied, 720p and 480p encoded; late seconds before it.
    fn look(late: f64, marks: &str) -> StreamLook {
        let heights = [1080, 720, 480];
        let rung = |(mark, height): (char, u64)| Rung { id: format!("{height}p"), mark, height };
        StreamLook { late, rungs: marks.chars().zip(heights).map(rung).collect() }
    }

    fn run(looks: &[[(f64, &str); 2]], relieved: Option<usize>) -> Figures {
        let mut figures = Figures::new(&["s1".to_owned(), "s2".to_owned()], 4.0);
        for (second, streams) in looks.iter().enumerate() {
            if relieved == Some(second) {
                figures.relieve(second as f64);
            }
            let streams = streams.iter().map(|(late, marks)| look(*late, marks)).collect();
            figures.look(second as f64, streams);
        }
        figures.conclude();
        figures
    }

    #[test]
    fn rules() {
        for (name, looks, relieved, want) in [
            ("nothing happens", vec![[(0.0, "=##"), (0.0, "=##")]; 5], None, &[][..]),
            ("at the ceiling", vec![[(4.0, "=##"), (0.0, "=##")]], None, &[]),
            ("above it", vec![[(0.0, "=##"), (4.1, "=##")]], None, &["s2 was 4.10 s late at 0 s"]),
            ("the largest goes first", vec![[(1.0, "=.#"), (0.0, "=.#")]; 5], None, &[]),
            ("one is told a moment later", vec![[(1.0, "=.."), (0.0, "=##")]; 2], None, &[]),
            (
                "a smaller one goes first",
                vec![[(1.0, "=.."), (0.0, "=##")]; 5],
                None,
                &["720p is kept in one stream, 480p shed in one"],
            ),
            ("whole again", vec![[(1.0, "=.#"), (0.0, "=.#")], [(0.0, "=##"), (0.0, "")]], Some(1), &[]),
            (
                "never whole again",
                vec![[(1.0, "=.#"), (0.0, "=.#")], [(0.0, "=.#"), (0.0, "")]],
                Some(1),
                &["not every rung of the first stream returned"],
            ),
        ] {
            assert_eq!(run(&looks, relieved).faults(), want, "{name}");
        }
    }

    #[test]
    fn copied_rungs_are_never_late() {
        for (gaps, late_at, want) in [(0, vec![], 0), (6, vec![], 1), (0, vec![31.5], 1)] {
            let mut figures = Figures::new(&[], 4.0);
            figures.copied(Copied { name: "s1/1080p".to_owned(), longest_wait: 2.1, gaps, late_at });
            assert_eq!(figures.faults().len(), want);
        }
    }

    #[test]
    fn the_table_has_every_figure() {
        let looks = [
            [(0.0, "=##"), (0.0, "=##")],
            [(2.5, "=.#"), (1.0, "=##")],
            [(1.0, "=.#"), (0.0, "=.#")],
            [(0.0, "=.#"), (0.0, "")],
            [(0.0, "=##"), (0.0, "")],
        ];
        let mut figures = run(&looks, Some(3));
        figures.copied(Copied { name: "s1/1080p".to_owned(), longest_wait: 2.1, gaps: 0, late_at: vec![] });
        assert!(figures.is_copied("1080p") && !figures.is_copied("720p"));
        let table = figures.table();
        let lines: Vec<String> =
            table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "rungs shed and restored",
                "1.0 s shed s1 720p",
                "2.0 s shed s2 720p",
                "4.0 s restored s1 720p",
                "figure measured rule",
                "worst lateness of s1, at 1 s 2.50 s <= 4.00 s",
                "worst lateness of s2, at 1 s 1.00 s <= 4.00 s",
                "s1/1080p: longest wait for a segment 2.10 s real time",
                "s1/1080p: gaps 0 0",
                "until the first stream was whole again 1 s happens",
            ]
        );
    }
}
