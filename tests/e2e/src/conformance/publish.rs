//! Rows in which a client publishes a clip once, and viewers have to get all of it.

use super::arena::Arena;
use super::client;
use super::record::Record;
use super::sample::{Recipe, Sample};
use super::{Row, judge, pictures};
use crate::harness::Process;
use crate::hlscheck::{Outcome, Watch};
use anyhow::{Context, Result, bail, ensure};
use std::process::Command;
use std::time::{Duration, Instant};

/// What is published, and what has to come of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Publication {
    /// The first one's pictures and sound are compared.
    pub(super) inputs: Vec<Recipe>,
    /// FFmpeg's options behind the inputs.
    pub(super) options: Vec<String>,
    /// Picture sizes that have to be renditions copied from the source; none: not looked at.
    pub(super) copied: Vec<(u32, u32)>,
    /// Alternate audio renditions that have to be there, by the tone in each, Hz.
    pub(super) sounds: Vec<u32>,
    /// Discontinuities that may be there: a source that turns out different is encoded from there on.
    pub(super) breaks: u64,
    /// Pictures a second that uneven ones are made regular at, where they are encoded.
    pub(super) paced: Option<u32>,
    /// What has to become of pictures that no player takes as they come.
    pub(super) pictures: Option<pictures::Expected>,
}

impl Publication {
    /// One clip.
    pub(super) fn of(recipe: Recipe) -> Self {
        Publication { inputs: vec![recipe], ..Publication::default() }
    }

    /// With FFmpeg options behind the inputs.
    pub(super) fn options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|o| (*o).to_owned()));
        self
    }
}

/// Publishes, watches to the end, judges.
pub(super) fn run(arena: &Arena, row: &Row, publication: &Publication) -> Result<Record> {
    let samples: Vec<Sample> = publication.inputs.iter().map(|r| arena.sample(r)).collect::<Result<_>>()?;
    let refs: Vec<&Sample> = samples.iter().collect();
    let first = refs.first().context("a row without a clip")?;
    let name = row.stream();
    let key = arena.key(&name);
    let url = arena.url(row.transport, &key.secret);
    let mut command = client::publish(arena, row.client, &refs, &publication.options, &url);
    let watch = Watch::start(arena.options(&name));
    let mut process = start(arena, row, &mut command)?;
    let limit = Duration::from_secs(u64::from(arena.seconds) + 30);
    let outcome = to_the_end(watch, &mut process, limit)?;
    let mut record = Record::of(row);
    judge::stream(arena, &name, &outcome, &mut record)?;
    judge::media(&outcome, first, publication.breaks, publication.paced, &mut record)?;
    let story = arena.gateway.stream(&name).unwrap_or_default();
    for size in &publication.copied {
        match judge::is_copied(&story, *size) {
            Some(true) => record.note(format!("{}x{} copied", size.0, size.1)),
            Some(false) => record.fail(format!("{}x{} is encoded, not copied", size.0, size.1)),
            None => record.fail(format!("no rendition of {}x{}", size.0, size.1)),
        }
        let rendition = outcome.renditions.iter().find(|r| r.resolution == Some(*size));
        if let (Some(rendition), Some(sent)) = (rendition, first.frames)
            && rendition.frames.abs_diff(sent) > 1
        {
            record.fail(format!("{}: {} pictures of {sent}", rendition.name, rendition.frames));
        }
    }
    if let Some(expected) = &publication.pictures {
        pictures::judge(&outcome, expected, &mut record)?;
    }
    if !publication.sounds.is_empty() {
        super::sounds::judge(arena, &name, &publication.sounds, &mut record)?;
    }
    Ok(record)
}

/// Starts a client with a log named after its row.
pub(super) fn start(arena: &Arena, row: &Row, command: &mut Command) -> Result<Process> {
    Process::start(row.client.name(), command, &arena.home.path(&format!("{}.log", row.stream())))
}

/// Waits for the client's good end and for the end of all lists.
pub(super) fn to_the_end(watch: Watch, process: &mut Process, limit: Duration) -> Result<Outcome> {
    let started = Instant::now();
    let mut ended = None;
    loop {
        if ended.is_none()
            && let Some(status) = process.ended()
        {
            ensure!(status.success(), "the client ended with {status}: {}", last_words(&process.log()));
            ended = Some(Instant::now());
        }
        if ended.is_some() && watch.progress().over {
            return watch.finish();
        }
        if ended.is_some_and(|at| at.elapsed() > Duration::from_secs(25)) {
            bail!("25 s after the client's end the lists have no end: {:?}", watch.progress());
        }
        if watch.progress().over && ended.is_none() {
            // The lists ended, or never came, before the client did.
            let outcome = watch.finish()?;
            bail!("the lists ended before the client did\n{outcome}");
        }
        ensure!(
            started.elapsed() < limit,
            "still publishing after {limit:?}: {}",
            last_words(&process.log())
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The end of a client's log: what it died of.
pub(super) fn last_words(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join(" / ")
}
