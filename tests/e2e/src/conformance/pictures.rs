//! Pictures that no player takes as they come: what the rungs made of them look like, as FFmpeg's own tools see it.

use super::record::Record;
use crate::hlscheck::Outcome;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Command, Stdio};

/// Frames of which FFmpeg's `idet` may say that they are interlaced, as a share: it errs at hard cuts.
const COMBED: f64 = 0.1;

/// What has to become of the pictures, in every rung; always 8 bits, 4:2:0, progressive H.264.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// Picture size of the largest rung.
    pub(super) size: (u32, u32),
    /// Least and most mean luma (0 to 255) of every rung; none: not looked at.
    pub(super) luma: Option<(f64, f64)>,
    /// The rungs have to say that they are BT.709.
    pub(super) bt709: bool,
    /// The source's lines comb, and those of the rungs must not. Not to be asked of other sources: sharp patterns that
    /// stand side by side look combed to `idet`.
    pub(super) deinterlaced: bool,
}

/// Holds every rendition against what is expected.
pub(super) fn judge(outcome: &Outcome, expected: &Expected, record: &mut Record) -> Result<()> {
    let largest = outcome.renditions.iter().filter_map(|r| r.resolution).max_by_key(|(w, h)| w * h);
    if largest != Some(expected.size) {
        record.fail(format!("the largest rung is {largest:?}, not {:?}", expected.size));
    }
    for rendition in outcome.renditions.iter().filter(|r| r.resolution.is_some()) {
        let name = &rendition.name;
        let file = rendition.joined.last().with_context(|| format!("{name} has no segment"))?;
        let stream = stream(file)?;
        let mut wanted = vec!["codec_name=h264", "pix_fmt=yuv420p", "field_order=progressive"];
        if expected.bt709 {
            wanted.extend(["color_transfer=bt709", "color_primaries=bt709", "color_space=bt709"]);
        }
        for want in wanted {
            if !stream.lines().any(|line| line == want) {
                let key = want.split('=').next().unwrap_or_default();
                let got = stream.lines().find(|line| line.starts_with(key)).unwrap_or("nothing");
                record.fail(format!("{name}: {got}, not {want}"));
            }
        }
        let seen = filtered(file, "idet,signalstats,metadata=print:file=-")?;
        let frames = seen.matches("lavfi.idet.multiple.current_frame=").count();
        let even = seen.matches("lavfi.idet.multiple.current_frame=progressive").count()
            + seen.matches("lavfi.idet.multiple.current_frame=undetermined").count();
        let combed = (frames - even) as f64 / frames.max(1) as f64;
        if expected.deinterlaced && (frames == 0 || combed > COMBED) {
            record.fail(format!("{name}: {} of {frames} pictures are interlaced", frames - even));
        }
        let luma: Vec<f64> = seen
            .lines()
            .filter_map(|line| line.strip_prefix("lavfi.signalstats.YAVG=")?.parse().ok())
            .collect();
        let luma = luma.iter().sum::<f64>() / luma.len().max(1) as f64;
        record.note(format!("{name} mean luma {luma:.0}"));
        if expected.luma.is_some_and(|(least, most)| !(least..=most).contains(&luma)) {
            record.fail(format!("{name}: mean luma {luma:.1}, not within {:?}", expected.luma));
        }
    }
    Ok(())
}

/// What ffprobe tells of the picture, a `key=value` a line.
fn stream(file: &Path) -> Result<String> {
    let fields = "stream=codec_name,pix_fmt,field_order,color_transfer,color_primaries,color_space";
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-of", "default=nw=1", "-show_entries", fields])
        .arg(file)
        .output()
        .context("running ffprobe")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a chain of FFmpeg's filters writes to its standard output.
fn filtered(file: &Path, filters: &str) -> Result<String> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(file)
        .args(["-map", "0:v:0", "-vf", filters, "-f", "null", "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .context("running ffmpeg")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
