//! What a viewer's decoder makes of the captions in a file: ffmpeg's, by way of `movie=…[out0+subcc]`.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// One caption as it was shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Cue {
    /// Seconds from the file's first picture.
    pub from: f64,
    /// Seconds from the file's first picture.
    pub to: f64,
    /// Without styling.
    pub text: String,
}

/// All captions of channel CC1 in a file, in order.
pub fn cues(file: &Path) -> Result<Vec<Cue>> {
    let name = file.to_str().context("a path that is UTF-8")?;
    ensure!(!name.contains(['\\', '\'', ':', '[', ']', ',', ';']), "{name} would have to be escaped");
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", &format!("movie={name}[out0+subcc]")])
        .args(["-map", "0:s", "-f", "srt", "-"])
        .stdin(Stdio::null())
        .output()
        .context("ffmpeg runs")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "captions of {name}: {said}");
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// SubRip as ffmpeg writes it.
fn parse(text: &str) -> Result<Vec<Cue>> {
    let mut out = Vec::new();
    let blocks = text.replace("\r\n", "\n");
    for block in blocks.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let mut lines = block.lines();
        let times = lines.nth(1).context("a cue without times")?;
        let (from, to) = times.split_once(" --> ").with_context(|| format!("times {times:?}"))?;
        let text: Vec<String> = lines.map(plain).collect();
        out.push(Cue { from: seconds(from)?, to: seconds(to)?, text: text.join("\n").trim().to_owned() });
    }
    Ok(out)
}

fn seconds(stamp: &str) -> Result<f64> {
    let fields: Vec<&str> = stamp.trim().split([':', ',']).collect();
    let [hours, minutes, seconds, millis] = fields[..] else { anyhow::bail!("time {stamp:?}") };
    let number = |text: &str| text.parse::<f64>().with_context(|| format!("time {stamp:?}"));
    Ok(number(hours)? * 3600.0 + number(minutes)? * 60.0 + number(seconds)? + number(millis)? / 1000.0)
}

/// A line without `<font>` and `{\an7}`.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in line.chars() {
        match c {
            '<' | '{' => inside = true,
            '>' | '}' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out.replace("\\h", " ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subrip_is_read_without_its_styling() {
        let text = "1\n00:00:01,500 --> 00:00:03,000\n<font face=\"Monospace\">{\\an7}HELLO\\hTHERE</font>\n\n\
                    2\n00:01:00,000 --> 01:00:00,250\nTWO\nROWS\n\n";
        let want = [(1.5, 3.0, "HELLO THERE"), (60.0, 3600.25, "TWO\nROWS")];
        let want: Vec<Cue> = want.map(|(from, to, text)| Cue { from, to, text: text.into() }).into();
        assert_eq!(parse(text).unwrap(), want);
        assert!(parse("1\nnonsense\n").is_err());
    }
}
