//! Alternate audio renditions: each has a list of its own that decodes from end to end, with its own sound in it.

use super::arena::Arena;
use super::judge;
use super::record::Record;
use crate::hlscheck::multivariant;
use crate::http::{Client, Url};
use crate::report::Findings;
use anyhow::{Context, Result};
use std::process::{Command, Stdio};

/// How much louder a rendition's own tone is than the tone of the sound beside the pictures, dB.
const LOUDER_DB: f64 = 10.0;
/// The tone of `Recipe::usual`, Hz.
const USUAL: u32 = 1000;

/// There are as many as tones, each with its tone, as long as the row.
pub(super) fn judge(arena: &Arena, name: &str, tones: &[u32], record: &mut Record) -> Result<()> {
    let base = Url::parse(&arena.gateway.live_url(name))?;
    let text = Client::default().get(&base)?.text()?;
    let list = multivariant::parse(text.as_bytes(), name, &mut Findings::default());
    let get = |m: &[(String, String)], key: &str| {
        m.iter().find(|(n, _)| n == key).map(|(_, v)| v.trim_matches('"').to_owned())
    };
    let all: Vec<_> = list.media.iter().filter(|m| get(m, "TYPE").as_deref() == Some("AUDIO")).collect();
    let uris: Vec<String> = all.iter().filter_map(|m| get(m, "URI")).collect();
    record.note(format!("{} sounds, {} with lists of their own", all.len(), uris.len()));
    if uris.len() != tones.len() {
        record.fail(format!("{} alternate audio renditions, {} expected", uris.len(), tones.len()));
    }
    for (uri, tone) in uris.iter().zip(tones) {
        let url = base.join(uri)?;
        if let Some(first) = judge::decoder(&url.to_string())?.first() {
            record.fail(format!("the decoder said {first} of {uri}"));
        }
        let text = Client::default().get(&url)?.text()?;
        let span = |l: &str| l.strip_prefix("#EXTINF:")?.split(',').next()?.parse::<f64>().ok();
        let seconds: f64 = text.lines().filter_map(span).sum();
        if (seconds - f64::from(arena.seconds)).abs() > 0.3 {
            record.fail(format!("{uri} lasts {seconds:.2} s"));
        }
        let (own, other) = (loudness(&url, *tone)?, loudness(&url, USUAL)?);
        record.note(format!("{tone} Hz at {own:.0} dB, {USUAL} Hz at {other:.0} dB"));
        if own < other + LOUDER_DB {
            record.fail(format!("{uri} has not its own sound"));
        }
    }
    Ok(())
}

/// The loudest moment of a narrow band, dB.
fn loudness(url: &Url, hz: u32) -> Result<f64> {
    let band = format!("bandpass=f={hz}:width_type=h:w=30,bandpass=f={hz}:width_type=h:w=30,volumedetect");
    let output = Command::new("ffmpeg")
        .args(["-v", "info", "-nostats", "-nostdin", "-i", &url.to_string(), "-map", "0:a:0"])
        .args(["-af", &band, "-f", "null", "-"])
        .stdin(Stdio::null())
        .output()
        .context("running ffmpeg")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let found =
        text.lines().find_map(|l| l.split_once("max_volume: ")?.1.split_whitespace().next()?.parse().ok());
    found.with_context(|| format!("no loudness of {url}"))
}
