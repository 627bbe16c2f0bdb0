//! What a row's viewers got, against what its client sent.

use super::arena::Arena;
use super::record::Record;
use super::sample::Sample;
use crate::avsync;
use crate::hlscheck::{Outcome, RenditionOutcome};
use anyhow::{Context, Result};
use serde_json::Value;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The farthest that sound may move against picture, ms.
pub(super) const AV_LIMIT_MS: f64 = 40.0;

/// Rules about when a list changes, not about what is in it: rows share a small machine with their encoders.
const TIMING: [&str; 3] = ["M11", "V20", "M13"];

/// The rendition with the largest picture; the only one of a stream without picture.
pub(super) fn top(outcome: &Outcome) -> Option<&RenditionOutcome> {
    outcome.renditions.iter().max_by_key(|r| r.resolution.map(|(w, h)| w * h))
}

/// Rules, decoder, repairs: what holds for every stream, however it came to be.
pub(super) fn stream(arena: &Arena, name: &str, outcome: &Outcome, record: &mut Record) -> Result<()> {
    for rule in outcome.findings.rules() {
        let first = outcome.findings.violations.iter().find(|v| v.rule == rule);
        let text = first.map(ToString::to_string).unwrap_or_default();
        if TIMING.contains(&rule) { record.note(text) } else { record.fail(text) }
    }
    let said = decoder(&arena.gateway.live_url(name))?;
    record.messages = Some(said.len());
    if let Some(first) = said.first() {
        record.fail(format!("the decoder said {first}"));
    }
    record.segments = top(outcome).map(|r| r.segments);
    let story = arena.gateway.stream(name).unwrap_or_default();
    record.repairs = repairs(&story);
    for note in story["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        record.note(format!("“{note}”"));
    }
    let sizes: Vec<String> = outcome
        .renditions
        .iter()
        .map(|r| r.resolution.map_or_else(|| "sound".to_owned(), |(w, h)| format!("{w}x{h}")))
        .collect();
    record.note(sizes.join(" "));
    Ok(())
}

/// Pictures and sound of the top rung, with up to `breaks` discontinuities in it. With `paced` pictures are repeated, up to so
/// many a second.
pub(super) fn media(
    outcome: &Outcome,
    sample: &Sample,
    breaks: u64,
    paced: Option<u32>,
    record: &mut Record,
) -> Result<()> {
    let top = top(outcome).context("no rendition")?;
    if top.joined.len() as u64 > 1 + breaks {
        record.fail(format!("{} pieces with gaps or discontinuities between them", top.joined.len()));
    } else if top.joined.len() > 1 {
        record.note(format!("{} pieces with discontinuities between them", top.joined.len()));
    }
    if let Some(sent) = sample.frames {
        let most = paced.map_or(sent, |rate| (sample.seconds * f64::from(rate)).round() as u64);
        counted(top.frames, sent..=most, record);
    } else {
        let off = (top.seconds - sample.seconds).abs();
        record.note(format!("{:.2} s of sound from {:.2} s", top.seconds, sample.seconds));
        if off > 0.2 {
            record.fail(format!("{off:.2} s of sound are missing or too many"));
        }
    }
    let Some(reference) = sample.offset_ms else { return Ok(()) };
    offset(&top.joined, reference, record)
}

/// The same of what stands behind the last discontinuity alone.
pub(super) fn last_piece(outcome: &Outcome, sample: &Sample, record: &mut Record) -> Result<()> {
    let top = top(outcome).context("no rendition")?;
    let file = top.joined.last().context("no segment")?;
    let sent = sample.frames.unwrap_or(0);
    counted(hashes(file)?.len() as u64, sent..=sent, record);
    let Some(reference) = sample.offset_ms else { return Ok(()) };
    offset(std::slice::from_ref(file), reference, record)
}

/// As many pictures as were sent, up to as many as there may be, ± 1.
pub(super) fn counted(got: u64, wanted: RangeInclusive<u64>, record: &mut Record) {
    let (sent, most) = wanted.into_inner();
    (record.got, record.sent) = (Some(got), Some(sent));
    if got + 1 < sent || got > most + 1 {
        record.fail(format!("{got} pictures of {sent}"));
    } else if got > sent + 1 {
        record.note("made regular");
    }
}

/// Sound against picture in all of these files, as far from the source's own distance as allowed.
pub(super) fn offset(files: &[PathBuf], reference_ms: f64, record: &mut Record) -> Result<()> {
    let mut moved = Vec::new();
    for file in files {
        moved.extend(avsync::offsets(file)?.iter().map(|ms| ms - reference_ms));
    }
    let Some((_, worst)) = avsync::summary(&moved) else {
        record.fail("no flash with a tone in what came out");
        return Ok(());
    };
    record.av_ms = Some(worst);
    if worst >= AV_LIMIT_MS {
        record.fail(format!("sound moved by {worst:.1} ms"));
    }
    Ok(())
}

/// What FFmpeg says, at level error, while it decodes all tracks of a URL or file.
pub(super) fn decoder(input: &str) -> Result<Vec<String>> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i", input, "-map", "0"])
        .args(["-vsync", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"])
        .stdin(Stdio::null())
        .output()
        .context("running ffmpeg")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let mut said: Vec<String> = text.lines().map(str::to_owned).collect();
    if !output.status.success() && said.is_empty() {
        said.push(format!("nothing, and ended with {}", output.status));
    }
    Ok(said)
}

/// The MD5 of each decoded picture, in the order of presentation.
pub(super) fn hashes(file: &Path) -> Result<Vec<String>> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(file)
        .args(["-map", "0:v:0", "-vsync", "passthrough", "-enc_time_base", "-1", "-f", "framemd5", "-"])
        .stdin(Stdio::null())
        .output()
        .context("running ffmpeg")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    Ok(lines.filter_map(|l| l.rsplit(',').next()).map(|h| h.trim().to_owned()).collect())
}

/// The stream's counters that are not zero, as the API tells them.
fn repairs(story: &Value) -> String {
    let mut out = Vec::new();
    for section in ["counters", "repairs"] {
        let Some(counters) = story[section].as_object() else { continue };
        let counted = counters.iter().filter_map(|(name, value)| Some((name, value.as_u64()?)));
        out.extend(counted.filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")));
    }
    out.join(", ")
}

/// A stream that must not be there.
pub(super) fn absent(arena: &Arena, name: &str, record: &mut Record) -> Result<()> {
    let status = arena.gateway.get(&format!("/live/{name}/index.m3u8"))?.status;
    if status != 404 {
        record.fail(format!("the stream is there: status {status}"));
    }
    Ok(())
}

/// Whether the API says that this rendition is copied; None where it does not tell.
pub(super) fn is_copied(story: &Value, size: (u32, u32)) -> Option<bool> {
    let renditions = story["renditions"].as_array()?;
    let same = |r: &&Value| {
        r["width"].as_u64() == Some(size.0.into()) && r["height"].as_u64() == Some(size.1.into())
    };
    Some(renditions.iter().find(same)?["made"].as_str()? == "copy")
}
