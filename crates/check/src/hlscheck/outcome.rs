//! The end of a watch: rules over everything seen, and the figures.

use super::across::{self, Drift, Side};
use super::watch::{Rendition, segment_path};
use super::{across::Checked, decode};
use crate::report::Findings;
use crate::tscheck::SegmentFacts;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Resident memory over time, KiB.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Memory {
    /// (seconds since the start, KiB), at most one a second.
    pub samples: Vec<(f64, u64)>,
}

impl Memory {
    pub(crate) fn sample(&mut self, at: f64, kib: u64) {
        self.samples.push((at, kib));
    }

    /// First sample.
    pub fn start(&self) -> u64 {
        self.samples.first().map_or(0, |s| s.1)
    }

    /// Last sample.
    pub fn end(&self) -> u64 {
        self.samples.last().map_or(0, |s| s.1)
    }

    /// Largest sample.
    pub fn peak(&self) -> u64 {
        self.samples.iter().map(|s| s.1).max().unwrap_or(0)
    }
}

/// A rendition's figures.
#[derive(Debug, Clone, Serialize)]
pub struct RenditionOutcome {
    /// Last directory of its URI.
    pub name: String,
    /// Its list.
    pub url: String,
    /// Segments with media.
    pub segments: u64,
    /// GAP segments.
    pub gaps: u64,
    /// Different discontinuity numbers seen, less one.
    pub discontinuities: u64,
    /// Distinct lists.
    pub lists: u64,
    /// First and newest media sequence numbers.
    pub msn: Option<(u64, u64)>,
    /// Pictures.
    pub frames: u64,
    /// Sum of EXTINF, GAP included, s.
    pub seconds: f64,
    /// Longest time between new segments, s.
    pub update_gap_max: f64,
    /// Longest time behind another rendition, s.
    pub lag_max: f64,
    /// Slowest download of a segment, ms.
    pub fetch_max_ms: f64,
    /// Largest distance of audio's first frame from the first picture in a segment, ms.
    pub av_start_max_ms: f64,
    /// Declared and measured peak, bit/s.
    pub bandwidth: (Option<u64>, Option<u64>),
    /// Declared and measured average, bit/s.
    pub average: (Option<u64>, Option<u64>),
    /// RESOLUTION.
    pub resolution: Option<(u32, u32)>,
    /// EXTINF and dates against the media.
    pub drift: Drift,
    /// The newest list has ENDLIST.
    pub ended: bool,
    /// Facts of each segment by media sequence number.
    #[serde(skip)]
    pub facts: BTreeMap<u64, SegmentFacts>,
    /// The list's words by media sequence number.
    #[serde(skip)]
    pub entries: BTreeMap<u64, super::media::Entry>,
    /// Where its segments and lists are stored.
    pub dir: PathBuf,
    /// Segments of one discontinuity put together, in order.
    pub joined: Vec<PathBuf>,
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The multivariant playlist.
    pub url: String,
    /// How long it was watched.
    pub seconds: f64,
    /// What broke which rule.
    pub findings: Findings,
    /// In the order of the multivariant playlist.
    pub renditions: Vec<RenditionOutcome>,
    /// If a process was given.
    pub memory: Option<Memory>,
    /// Time from a segment's end on the PROGRAM-DATE-TIME clock until a look showed it: median and largest, ms.
    pub publish_lag_ms: Option<(i64, i64)>,
}

pub(crate) struct Parts {
    pub(crate) url: String,
    pub(crate) seconds: f64,
    pub(crate) findings: Findings,
    pub(crate) renditions: Vec<Rendition>,
    pub(crate) memory: Option<Memory>,
    pub(crate) publish_lag_ms: Vec<i64>,
    pub(crate) decode: bool,
}

pub(crate) fn judge(mut parts: Parts) -> Result<Outcome> {
    let mut found = std::mem::take(&mut parts.findings);
    let mut renditions = Vec::new();
    {
        let targets: Vec<_> =
            parts.renditions.iter().map(|r| r.history.newest().and_then(|l| l.target)).collect();
        let sides: Vec<Side<'_>> = parts
            .renditions
            .iter()
            .zip(&targets)
            .map(|(r, target)| Side {
                place: &r.name,
                target: *target,
                server_control: r.history.newest().and_then(|l| l.server_control.as_deref()),
                segments: &r.segments,
            })
            .collect();
        across::compare(&sides, &mut found);
        for (rendition, side) in parts.renditions.iter().zip(&sides) {
            let drift = across::durations(side, &mut found);
            renditions.push(one(rendition, side.target.unwrap_or(0), drift, parts.decode, &mut found)?);
        }
    }
    for rendition in &mut parts.renditions {
        found.append(std::mem::take(&mut rendition.history.findings));
        let checker = std::mem::replace(&mut rendition.checker, crate::tscheck::Checker::new(None));
        found.append(checker.finish().findings);
    }
    parts.publish_lag_ms.sort_unstable();
    let lag = &parts.publish_lag_ms;
    let publish_lag_ms = lag.last().map(|max| (lag[lag.len() / 2], *max));
    Ok(Outcome {
        url: parts.url,
        seconds: parts.seconds,
        findings: found,
        renditions,
        memory: parts.memory,
        publish_lag_ms,
    })
}

fn one(
    r: &Rendition,
    target: u64,
    drift: Drift,
    decoding: bool,
    found: &mut Findings,
) -> Result<RenditionOutcome> {
    let (peak, average, seconds) = across::rates(&r.segments, target);
    declared(&r.name, (r.variant.bandwidth, peak), (r.variant.average, average), seconds, found);
    let facts: BTreeMap<u64, SegmentFacts> =
        r.segments.iter().filter_map(|(msn, c)| Some((*msn, c.facts.clone()?))).collect();
    codecs(r, &facts, found);
    picture_rate(r, &r.segments, found);
    let numbers = || r.segments.values().map(|c| c.listed.entry.discontinuity_number);
    let offsets = facts.values().filter_map(SegmentFacts::av_offset);
    let joined = join(r, &facts)?;
    for file in &joined {
        if r.variant.resolution.is_some() {
            let size = decode::picture_size(file)?;
            if size != r.variant.resolution {
                let text = format!("RESOLUTION {:?}, ffprobe sees {size:?}", r.variant.resolution);
                found.violation("V5", &r.name, text);
            }
        }
        if decoding {
            let said = decode::decode(file)?;
            if !said.is_empty() {
                let text: String = said.lines().take(5).collect::<Vec<_>>().join(" | ");
                found.violation("ffmpeg", format!("{} {}", r.name, name_of(file)), text);
            }
        }
    }
    Ok(RenditionOutcome {
        name: r.name.clone(),
        url: r.url.to_string(),
        segments: facts.len() as u64,
        gaps: r.segments.values().filter(|c| c.listed.entry.gap).count() as u64,
        discontinuities: numbers().max().unwrap_or(0) - numbers().min().unwrap_or(0),
        lists: r.history.versions(),
        msn: r.segments.keys().next().copied().zip(r.segments.keys().last().copied()),
        frames: facts.values().filter_map(|f| f.video.as_ref()).map(|v| v.frames).sum(),
        seconds: r.segments.values().map(|c| c.listed.entry.micros).sum::<i64>() as f64 / 1e6,
        update_gap_max: r.history.longest_gap().as_secs_f64(),
        lag_max: r.longest_lag.as_secs_f64(),
        fetch_max_ms: r.slowest_fetch.as_secs_f64() * 1e3,
        av_start_max_ms: offsets.map(i64::abs).max().unwrap_or(0) as f64 / 90.0,
        bandwidth: (r.variant.bandwidth, peak),
        average: (r.variant.average, average),
        resolution: r.variant.resolution,
        drift,
        ended: r.ended,
        entries: r.segments.iter().map(|(msn, c)| (*msn, c.listed.entry.clone())).collect(),
        facts,
        dir: r.dir.clone(),
        joined,
    })
}

/// V2 and V3: the live tolerances of Apple's authoring rules 1.28 and 1.29.
pub(super) fn declared(
    place: &str,
    peak: (Option<u64>, Option<u64>),
    average: (Option<u64>, Option<u64>),
    seconds: f64,
    found: &mut Findings,
) {
    for (rule, name, (says, measured), percent) in
        [("V2", "BANDWIDTH", peak, 125), ("V3", "AVERAGE-BANDWIDTH", average, 110)]
    {
        let (Some(says), Some(measured)) = (says, measured) else { continue };
        let share = measured as f64 * 100.0 / says as f64;
        let text = format!("{name} {says}, measured {measured} ({share:.0} %) over {seconds:.0} s");
        if measured * 100 > says * percent && (rule == "V2" || seconds >= 20.0) {
            found.violation(rule, place, text);
        } else if measured > says || measured * 3 < says {
            found.note(rule, place, text);
        }
    }
}

/// V4: exactly the formats that the segments hold.
fn codecs(r: &Rendition, facts: &BTreeMap<u64, SegmentFacts>, found: &mut Findings) {
    let mut says: Vec<String> = r.variant.codecs.iter().map(|c| c.to_ascii_lowercase()).collect();
    says.sort_unstable();
    for (msn, segment) in facts {
        let mut holds: Vec<String> = segment.video.iter().filter_map(|v| v.codec.clone()).collect();
        // ADTS tells HE-AAC as LC, so a declared mp4a.40.5 or .29 stands for object type 2 as well.
        holds.extend(segment.audio.iter().map(|a| {
            let hidden = says.iter().find(|c| matches!(c.as_str(), "mp4a.40.5" | "mp4a.40.29"));
            hidden.filter(|_| a.object == 2).cloned().unwrap_or_else(|| format!("mp4a.40.{}", a.object))
        }));
        holds.sort_unstable();
        if holds != says {
            found.violation(
                "V4",
                format!("{} segment {msn}", r.name),
                format!("CODECS {says:?}, holds {holds:?}"),
            );
            return;
        }
    }
}

/// V5: FRAME-RATE is the maximum; measured over two seconds or more.
fn picture_rate(r: &Rendition, segments: &BTreeMap<u64, Checked>, found: &mut Findings) {
    let Some(says) = r.variant.frame_rate else { return };
    let mut top = 0f64;
    for checked in segments.values() {
        let Some(video) = checked.facts.as_ref().and_then(|f| f.video.as_ref()) else { continue };
        if video.frames >= 20 {
            let ticks = (video.last_pts - video.first_pts) as f64 / (video.frames - 1) as f64;
            top = top.max(90_000.0 / ticks);
        }
    }
    let text = format!("FRAME-RATE {says}, measured {top:.3}");
    if top > says * 1.02 {
        found.violation("V5", &r.name, text);
    } else if top > 0.0 && top < says * 0.9 {
        found.note("V5", &r.name, text);
    }
}

/// Puts consecutive segments of one discontinuity number together, as a player would.
fn join(r: &Rendition, facts: &BTreeMap<u64, SegmentFacts>) -> Result<Vec<PathBuf>> {
    let mut out: Vec<(PathBuf, File)> = Vec::new();
    let mut last = None;
    for msn in facts.keys() {
        let number = r.segments[msn].listed.entry.discontinuity_number;
        if last != Some((msn.wrapping_sub(1), number)) {
            let path = r.dir.join(format!("joined-{number}-{msn}.ts"));
            out.push((path.clone(), File::create(path)?));
        }
        last = Some((*msn, number));
        if let Some((_, file)) = out.last_mut() {
            std::io::copy(&mut File::open(segment_path(&r.dir, *msn))?, file)?;
        }
    }
    Ok(out.into_iter().map(|(path, _)| path).collect())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Outcome {
    /// A rendition by name.
    pub fn rendition(&self, name: &str) -> Option<&RenditionOutcome> {
        self.renditions.iter().find(|r| r.name == name)
    }

    /// Fails with the whole report when a rule was broken.
    ///
    /// # Panics
    /// On any violation.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.findings.violations.is_empty(), "\n{self}");
    }

    /// As `assert_clean`, but rules in `but` may be broken: the caller says why.
    ///
    /// # Panics
    /// On any violation of another rule.
    #[track_caller]
    pub fn assert_clean_but(&self, but: &[&str]) {
        let rest: Vec<_> = self.findings.rules().into_iter().filter(|r| !but.contains(r)).collect();
        assert!(rest.is_empty(), "rules {rest:?}\n{self}");
    }

    /// As `assert_clean`, but the lists may have stood still for up to `seconds` once: a change of publishers costs
    /// the time until the new one's first segment is whole.
    ///
    /// # Panics
    /// On any violation of another rule, or a longer pause.
    #[track_caller]
    pub fn assert_clean_with_pause(&self, seconds: f64) {
        self.assert_clean_but(&["M11"]);
        let longest = self.renditions.iter().map(|r| r.update_gap_max).fold(0.0, f64::max);
        assert!(longest <= seconds, "the lists stood still for {longest:.2} s\n{self}");
    }

    /// Writes the JSON form beside the segments.
    pub fn save(&self, to: &Path) -> Result<()> {
        fs::write(to, serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} watched for {:.1} s", self.url, self.seconds)?;
        for r in &self.renditions {
            let size = r.resolution.map_or("audio".to_owned(), |(w, h)| format!("{w}x{h}"));
            let (first, last) = r.msn.unwrap_or_default();
            writeln!(
                f,
                "  {:<8} {size:<10} segments {} ({first} to {last}), gaps {}, discontinuities {}, {:.2} s, {} pictures{}",
                r.name,
                r.segments,
                r.gaps,
                r.discontinuities,
                r.seconds,
                r.frames,
                if r.ended { ", ended" } else { "" }
            )?;
            let mut rates = String::new();
            for (name, (says, measured)) in [("peak", r.bandwidth), ("average", r.average)] {
                if let (Some(says), Some(measured)) = (says, measured) {
                    let share = measured as f64 * 100.0 / says as f64;
                    write!(rates, "  {name} {measured} of {says} bit/s ({share:.0} %)")?;
                }
            }
            writeln!(
                f,
                "           lists {}, longest update gap {:.2} s, lag {:.2} s, slowest fetch {:.0} ms, A/V start {:.1} ms{rates}",
                r.lists, r.update_gap_max, r.lag_max, r.fetch_max_ms, r.av_start_max_ms
            )?;
            writeln!(
                f,
                "           EXTINF off by {:.3} ms, sums by {:.3} ms, dates by {:.3} ms",
                r.drift.extinf_ms, r.drift.sum_ms, r.drift.date_ms
            )?;
        }
        if let Some((median, max)) = self.publish_lag_ms {
            writeln!(f, "  from a segment's end to its listing: median {median} ms, largest {max} ms")?;
        }
        if let Some(memory) = &self.memory {
            let (start, end, peak) = (memory.start(), memory.end(), memory.peak());
            writeln!(f, "  memory: {start} KiB at the start, {end} KiB at the end, largest {peak} KiB")?;
        }
        let mut notes = BTreeMap::<&str, (usize, String)>::new();
        for note in &self.findings.notes {
            let entry =
                notes.entry(note.rule).or_insert_with(|| (0, format!("{}: {}", note.place, note.detail)));
            entry.0 += 1;
        }
        for (rule, (count, example)) in notes {
            writeln!(f, "  note {rule} ({count} times), first: {example}")?;
        }
        for rule in self.findings.rules() {
            let of_rule: Vec<_> = self.findings.violations.iter().filter(|v| v.rule == rule).collect();
            for violation in of_rule.iter().take(5) {
                writeln!(f, "  BROKEN {violation}")?;
            }
            if of_rule.len() > 5 {
                writeln!(f, "  BROKEN {rule:<18} … {} times in all", of_rule.len())?;
            }
        }
        writeln!(f, "  {} violations of {:?}", self.findings.violations.len(), self.findings.rules())
    }
}
