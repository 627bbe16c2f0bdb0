//! How far sound is from picture, measured: each second of a test clip begins with white pictures and a tone; the
//! decoded onsets of both are compared (ffmpeg decodes, nothing is assumed of the container but its time stamps).

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// Sound's onset minus picture's, ms, for each flash that has a tone within 400 ms.
pub fn offsets(file: &Path) -> Result<Vec<f64>> {
    let pictures = onsets(
        &values(
            file,
            "-vf",
            "scale=32:18,format=yuv420p,signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-",
        )?,
        215.0,
    );
    let filter = "aresample=48000,asetnsamples=n=48,astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=Peak_level,\
                  ametadata=print:key=lavfi.astats.Overall.Peak_level:file=-";
    let sounds = onsets(&values(file, "-af", filter)?, -24.0);
    let nearest = |p: f64| sounds.iter().map(|s| (s - p) * 1000.0).min_by(|a, b| a.abs().total_cmp(&b.abs()));
    Ok(pictures.iter().filter_map(|p| nearest(*p)).filter(|ms| ms.abs() < 400.0).collect())
}

/// The median, and the largest distance from zero.
pub fn summary(offsets: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = offsets.to_vec();
    sorted.sort_by(f64::total_cmp);
    let max = sorted.iter().map(|o| o.abs()).max_by(f64::total_cmp)?;
    Some((sorted[sorted.len() / 2], max))
}

/// (time in seconds, value) of a metadata filter's print-out.
fn values(file: &Path, option: &str, filter: &str) -> Result<Vec<(f64, f64)>> {
    let other = if option == "-vf" { "-an" } else { "-vn" };
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-copyts", "-i"])
        .arg(file)
        .args([other, option, filter, "-f", "null", "-"])
        .stdin(Stdio::null())
        .output()
        .context("running ffmpeg")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut time = None;
    let mut out = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some((_, text)) = line.split_once("pts_time:") {
            time = text.split_whitespace().next().and_then(|t| t.parse().ok());
        } else if let Some((_, value)) = line.split_once('=') {
            let value =
                if value == "-inf" { f64::NEG_INFINITY } else { value.parse().unwrap_or(f64::NEG_INFINITY) };
            out.extend(time.take().map(|t| (t, value)));
        }
    }
    Ok(out)
}

/// Times at which the value rises over the threshold after 300 ms below it.
fn onsets(values: &[(f64, f64)], threshold: f64) -> Vec<f64> {
    let mut out = Vec::new();
    let mut quiet_since = None;
    for (time, value) in values {
        if *value < threshold {
            quiet_since.get_or_insert(*time);
        } else if quiet_since.take().is_some_and(|since| time - since > 0.3) {
            out.push(*time);
        }
    }
    out
}
