//! A check from beginning to end: which kind of presentation it is, the walk, the summary.

use crate::dashcheck;
use crate::fetch::{self, Client};
use crate::hlscheck::{Options, Progress, Watch};
use crate::summary::Summary;
use anyhow::{Result, bail};
use std::thread;
use std::time::{Duration, Instant};

/// What to look at alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// HLS as players without low latency see it.
    Hls,
    /// Low-latency HLS; what is not that cannot be checked.
    LowLatency,
    /// DASH; what is not that cannot be checked.
    Dash,
}

/// What to check and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A playlist's or MPD's URL.
    pub url: String,
    /// How long a live presentation is watched.
    pub time: Duration,
    /// None: whatever it is.
    pub only: Option<Only>,
    /// Any certificate will do.
    pub insecure: bool,
}

/// Checks. `tell` is called now and then with a line about how far it is.
///
/// # Errors
/// When it could not be checked: it cannot be reached, or is neither a playlist nor an MPD.
pub fn run(settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<Summary> {
    let url = fetch::url(&settings.url)?;
    let client = Client::new(settings.insecure)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(client.get_anywhere(&url, &[]))?;
    drop(runtime);
    if answer.status != 200 {
        bail!("{url}: status {}", answer.status);
    }
    let body = answer.plain()?;
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&body);
    let manifest = text.trim_ascii_start().starts_with(b"<");
    if manifest {
        if !matches!(settings.only, None | Some(Only::Dash)) {
            bail!("{url} is an MPD, not a playlist");
        }
        let outcome = dashcheck::watch(
            &dashcheck::Options { url, time: settings.time, insecure: settings.insecure },
            tell,
        )?;
        let mut summary = Summary::new(&settings.url, "DASH", outcome.seconds, &outcome.findings);
        summary.dash = Some(outcome);
        return Ok(summary);
    }
    if settings.only == Some(Only::Dash) {
        bail!("{url} is not an MPD");
    }
    hls(settings, tell)
}

fn hls(settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<Summary> {
    let mut options = Options::whole(&settings.url);
    options.insecure = settings.insecure;
    options.low_latency = settings.only != Some(Only::Hls);
    let watch = Watch::start(options);
    let started = Instant::now();
    let mut told = Duration::ZERO;
    while started.elapsed() < settings.time {
        let progress = watch.progress();
        if progress.over {
            break;
        }
        if started.elapsed() >= told + Duration::from_secs(5) {
            told = started.elapsed();
            tell(&line(told, settings.time, &progress));
        }
        thread::sleep(Duration::from_millis(100));
    }
    let outcome = watch.finish()?;
    if settings.only == Some(Only::LowLatency) && outcome.renditions.iter().all(|r| !r.low_latency) {
        bail!("{} has no list with parts", settings.url);
    }
    let kind = if outcome.renditions.iter().any(|r| r.low_latency) { "LL-HLS" } else { "HLS" };
    let mut summary = Summary::new(&settings.url, kind, outcome.seconds, &outcome.findings);
    summary.hls = Some(outcome);
    Ok(summary)
}

fn line(now: Duration, time: Duration, progress: &Progress) -> String {
    let sum =
        |of: fn(&crate::hlscheck::RenditionProgress) -> u64| progress.renditions.iter().map(of).sum::<u64>();
    let broken =
        if progress.broken.is_empty() { "none broken".to_owned() } else { progress.broken.join(" ") };
    format!(
        "{:>4.0} of {:.0} s: {} lists, {} segments, {} parts; rules: {broken}",
        now.as_secs_f64(),
        time.as_secs_f64(),
        progress.renditions.len(),
        sum(|r| r.segments),
        sum(|r| r.parts),
    )
}
