//! The opinion of FFmpeg's own programs on what was stored.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// Decodes the whole file; what ffmpeg prints at level error, empty when all is well.
pub fn decode(file: &Path) -> Result<String> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-xerror", "-i"])
        .arg(file)
        // Times pass as they are: the null muxer would else count in frames of the nominal rate, into which the
        // milliseconds of a live encoder do not fit.
        .args(["-vsync", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"])
        .stdin(Stdio::null())
        .output()
        .context("running ffmpeg")?;
    let mut text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !output.status.success() && text.is_empty() {
        text = format!("ffmpeg ended with {}", output.status);
    }
    Ok(text)
}

/// Width and height of the first video stream, None without one.
pub fn picture_size(file: &Path) -> Result<Option<(u32, u32)>> {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=width,height",
            "-of",
            "json",
        ])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .context("running ffprobe")?;
    ensure!(output.status.success(), "ffprobe: {}", String::from_utf8_lossy(&output.stderr));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).context("ffprobe's JSON")?;
    let size = |name: &str| value["streams"][0][name].as_u64().and_then(|n| u32::try_from(n).ok());
    Ok(size("width").zip(size("height")))
}
