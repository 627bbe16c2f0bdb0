//! The end of a watch: rules over everything seen, and the figures.

use super::across::{self, Drift, Side};
use super::multivariant::text;
use super::walk::{Rendition, Role};
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
    /// What it is to the presentation.
    pub role: Role,
    /// Its lists tell parts.
    pub low_latency: bool,
    /// Its list.
    pub url: String,
    /// Segments with media.
    pub segments: u64,
    /// GAP segments.
    pub gaps: u64,
    /// Parts that were fetched.
    pub parts: u64,
    /// Longest time between new parts, s.
    pub part_gap_max: f64,
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
    /// Where its segments and lists are stored; empty if they are not.
    pub dir: PathBuf,
    /// Segments of one discontinuity put together, in order.
    pub joined: Vec<PathBuf>,
}

/// Advice that a stream of a test need not follow.
const ADVICE: [&str; 3] = ["V12", "V16", "file.version-high"];

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
            .filter(|(r, _)| matches!(r.role, Role::Variant | Role::Audio | Role::Video))
            .map(|(r, target)| Side {
                place: &r.name,
                target: *target,
                server_control: r.history.newest().and_then(|l| l.server_control.as_deref()),
                segments: &r.segments,
            })
            .collect();
        across::compare(&sides, &mut found);
        across::ranges(&parts.renditions, &mut found);
        for (rendition, target) in parts.renditions.iter().zip(&targets) {
            if *target != targets[0] && rendition.role == Role::IFrames {
                let text =
                    format!("TARGETDURATION {target:?}, {} has {:?}", parts.renditions[0].name, targets[0]);
                found.violation("M3", &rendition.name, text);
            }
            let side = sides.iter().find(|s| s.place == rendition.name);
            let drift = side.map(|side| across::durations(side, &mut found)).unwrap_or_default();
            let own = Own { rendition, all: &parts.renditions };
            renditions.push(one(&own, target.unwrap_or(0), drift, parts.decode, &mut found)?);
        }
    }
    for rendition in &mut parts.renditions {
        found.append(std::mem::take(&mut rendition.history.findings));
        let checker = std::mem::replace(&mut rendition.ts, crate::tscheck::Checker::new(None));
        found.append(checker.finish().findings);
        found.append(std::mem::take(&mut rendition.cmaf.findings));
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

/// A rendition and those that may play beside it.
struct Own<'a> {
    rendition: &'a Rendition,
    all: &'a [Rendition],
}

impl Own<'_> {
    /// The renditions of the groups that the variant names, with lists of their own.
    fn beside(&self) -> impl Iterator<Item = &Rendition> {
        let groups: Vec<_> = ["AUDIO", "VIDEO"]
            .into_iter()
            .filter_map(|kind| text(&self.rendition.variant.attributes, kind))
            .collect();
        let named = move |r: &&Rendition| r.group.as_deref().is_some_and(|g| groups.contains(&g));
        self.all.iter().filter(|_| self.rendition.role == Role::Variant).filter(named)
    }

    /// The heaviest of them, by the rate that `rate` gives.
    fn heaviest(&self, rate: impl Fn(&Rendition) -> Option<u64>) -> u64 {
        self.beside().filter_map(rate).max().unwrap_or(0)
    }
}

fn one(
    own: &Own<'_>,
    target: u64,
    drift: Drift,
    decoding: bool,
    found: &mut Findings,
) -> Result<RenditionOutcome> {
    let r = own.rendition;
    let (peak, average, seconds) = across::rates(&r.segments, target);
    let peak = peak.map(|p| p + own.heaviest(|o| across::rates(&o.segments, target).0));
    let average = average.map(|a| a + own.heaviest(|o| across::rates(&o.segments, target).1));
    declared(&r.name, (r.variant.bandwidth, peak), (r.variant.average, average), seconds, found);
    let facts: BTreeMap<u64, SegmentFacts> =
        r.segments.iter().filter_map(|(msn, c)| Some((*msn, c.facts.clone()?))).collect();
    codecs(own, &facts, found);
    channels(r, &facts, found);
    sizes(r, &facts, found);
    picture_rate(r, &r.segments, found);
    let numbers = || r.segments.values().map(|c| c.listed.entry.discontinuity_number);
    let offsets = facts.values().filter_map(SegmentFacts::av_offset);
    let joined = join(r, &facts)?;
    for file in &joined {
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
        role: r.role,
        low_latency: r.history.newest().is_some_and(|l| l.low_latency()),
        parts: r.parts_fetched,
        part_gap_max: r.history.longest_part_gap().as_secs_f64(),
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
        dir: r.dir.clone().unwrap_or_default(),
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
fn codecs(own: &Own<'_>, facts: &BTreeMap<u64, SegmentFacts>, found: &mut Findings) {
    let r = own.rendition;
    if r.role != Role::Variant && r.role != Role::IFrames || r.variant.codecs.is_empty() {
        return;
    }
    let mut says: Vec<String> = r.variant.codecs.iter().map(|c| c.to_ascii_lowercase()).collect();
    says.sort_unstable();
    let mut beside: Vec<String> = Vec::new();
    for other in own.beside() {
        let segment = other.segments.values().rev().find_map(|c| c.facts.as_ref());
        beside.extend(segment.map(|s| formats(s, &says)).unwrap_or_default());
    }
    for (msn, segment) in facts {
        let mut holds = formats(segment, &says);
        if holds.is_empty() {
            continue; // of a form that is not looked into
        }
        holds.extend(beside.iter().cloned());
        holds.sort_unstable();
        holds.dedup();
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

/// The formats that a segment holds, in small letters.
fn formats(segment: &SegmentFacts, says: &[String]) -> Vec<String> {
    let mut holds: Vec<String> = segment.video.iter().filter_map(|v| v.codec.clone()).collect();
    // ADTS tells HE-AAC as LC, so a declared mp4a.40.5 or .29 stands for object type 2 as well.
    holds.extend(segment.audio.iter().map(|a| match &a.codec {
        Some(codec) => codec.clone(),
        None => {
            let hidden = says.iter().find(|c| matches!(c.as_str(), "mp4a.40.5" | "mp4a.40.29"));
            hidden.filter(|_| a.object == 2).cloned().unwrap_or_else(|| format!("mp4a.40.{}", a.object))
        }
    }));
    holds.iter().map(|codec| codec.to_ascii_lowercase()).collect()
}

/// V21: CHANNELS of an audio rendition.
fn channels(r: &Rendition, facts: &BTreeMap<u64, SegmentFacts>, found: &mut Findings) {
    let says = text(&r.variant.attributes, "CHANNELS").and_then(|c| c.split('/').next()?.parse::<u8>().ok());
    let holds = facts.values().find_map(|f| f.audio.as_ref()).map(|a| a.channels);
    if let (Role::Audio, Some(says), Some(holds)) = (r.role, says, holds)
        && says != holds
        && holds != 0
    {
        found.violation("V21", &r.name, format!("CHANNELS {says}, the segments have {holds}"));
    }
}

/// V5: RESOLUTION is that of the pictures.
fn sizes(r: &Rendition, facts: &BTreeMap<u64, SegmentFacts>, found: &mut Findings) {
    let Some(says) = r.variant.resolution else { return };
    let other =
        facts.iter().find_map(|(msn, f)| Some((msn, f.video.as_ref()?.size.filter(|size| *size != says)?)));
    if let Some((msn, (w, h))) = other {
        let text = format!("RESOLUTION {}x{}, the pictures have {w}x{h}", says.0, says.1);
        found.violation("V5", format!("{} segment {msn}", r.name), text);
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
    let Some(dir) = &r.dir else { return Ok(Vec::new()) };
    let mut last = None;
    for msn in facts.keys() {
        let number = r.segments[msn].listed.entry.discontinuity_number;
        if last != Some((msn.wrapping_sub(1), number)) {
            let kind = if r.fragmented { "mp4" } else { "ts" };
            let path = dir.join(format!("joined-{number}-{msn}.{kind}"));
            let mut file = File::create(&path)?;
            let header = r.init_of.get(msn).and_then(|count| r.inits.get(count.checked_sub(1)?));
            if let Some(header) = header.filter(|_| r.fragmented) {
                std::io::copy(&mut File::open(header)?, &mut file)?;
            }
            out.push((path, file));
        }
        last = Some((*msn, number));
        if let Some((_, file)) = out.last_mut() {
            std::io::copy(&mut File::open(segment_path(dir, *msn))?, file)?;
        }
    }
    Ok(out.into_iter().map(|(path, _)| path).collect())
}

/// Path of a stored segment.
pub(super) fn segment_path(dir: &Path, msn: u64) -> PathBuf {
    dir.join(format!("{msn}.ts"))
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
        self.assert_clean_but(&[]);
    }

    /// As `assert_clean`, but rules in `but` may be broken: the caller says why.
    ///
    /// # Panics
    /// On any violation of another rule.
    #[track_caller]
    pub fn assert_clean_but(&self, but: &[&str]) {
        let excused = |rule: &&str| but.contains(rule) || ADVICE.contains(rule);
        let rest: Vec<_> = self.findings.all_rules().into_iter().filter(|rule| !excused(rule)).collect();
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

impl Outcome {
    /// What was measured of each rendition, as text.
    pub(crate) fn figures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for r in &self.renditions {
            r.figures(f)?;
        }
        if let Some((median, max)) = self.publish_lag_ms {
            writeln!(f, "  from a segment's end to its listing: median {median} ms, largest {max} ms")?;
        }
        if let Some(memory) = &self.memory {
            let (start, end, peak) = (memory.start(), memory.end(), memory.peak());
            writeln!(f, "  memory: {start} KiB at the start, {end} KiB at the end, largest {peak} KiB")?;
        }
        Ok(())
    }
}

impl RenditionOutcome {
    fn figures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = match (self.role, self.resolution) {
            (Role::IFrames, _) => "I-frames".to_owned(),
            (_, Some((w, h))) => format!("{w}x{h}"),
            (Role::Subtitles, None) => "subtitles".to_owned(),
            (_, None) => "audio".to_owned(),
        };
        let (first, last) = self.msn.unwrap_or_default();
        writeln!(
            f,
            "  {:<8} {size:<10} segments {} ({first} to {last}), gaps {}, discontinuities {}, {:.2} s, {} pictures{}",
            self.name,
            self.segments,
            self.gaps,
            self.discontinuities,
            self.seconds,
            self.frames,
            if self.ended { ", ended" } else { "" }
        )?;
        let mut rates = String::new();
        for (name, (says, measured)) in [("peak", self.bandwidth), ("average", self.average)] {
            if let (Some(says), Some(measured)) = (says, measured) {
                let share = measured as f64 * 100.0 / says as f64;
                write!(rates, "  {name} {measured} of {says} bit/s ({share:.0} %)")?;
            }
        }
        writeln!(
            f,
            "           lists {}, longest update gap {:.2} s, lag {:.2} s, slowest fetch {:.0} ms, A/V start {:.1} ms{rates}",
            self.lists, self.update_gap_max, self.lag_max, self.fetch_max_ms, self.av_start_max_ms
        )?;
        if self.parts > 0 {
            writeln!(f, "           parts {}, longest part gap {:.3} s", self.parts, self.part_gap_max)?;
        }
        writeln!(
            f,
            "           EXTINF off by {:.3} ms, sums by {:.3} ms, dates by {:.3} ms",
            self.drift.extinf_ms, self.drift.sum_ms, self.drift.date_ms
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} watched for {:.1} s", self.url, self.seconds)?;
        self.figures(f)?;
        let mut notes = BTreeMap::<&str, (usize, String)>::new();
        for note in &self.findings.notes {
            let entry =
                notes.entry(note.rule).or_insert_with(|| (0, format!("{}: {}", note.place, note.detail)));
            entry.0 += 1;
        }
        for (rule, (count, example)) in notes {
            writeln!(f, "  note {rule} ({count} times), first: {example}")?;
        }
        for rule in self.findings.all_rules() {
            let all = self.findings.violations.iter().chain(&self.findings.warnings);
            let of_rule: Vec<_> = all.filter(|v| v.rule == rule).collect();
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
