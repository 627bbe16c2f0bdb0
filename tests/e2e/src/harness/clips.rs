//! Encoded clips to publish again and again, made once by ffmpeg and kept between runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file with what is known of it.
#[derive(Debug, Clone)]
pub struct Clip {
    /// FLV, or Matroska where FLV cannot hold it.
    pub path: PathBuf,
    /// Pictures.
    pub frames: u64,
}

/// ffmpeg's options for a clip of this recipe; the name of the file is made of all of them.
///
/// `size` and `rate` of the picture, seconds, keyframe distance in pictures, further options behind the usual ones.
/// Each second begins with three white pictures and 100 ms of a 1 kHz tone, so that sound and picture can be compared.
///
/// # Panics
/// When ffmpeg fails.
#[track_caller]
pub fn clip(size: &str, rate: u32, seconds: u32, gop: u32, more: &[&str]) -> Clip {
    let dir = std::env::temp_dir().join("sluice-e2e-clips-1");
    std::fs::create_dir_all(&dir).expect("a directory for clips");
    let options: String =
        more.join("_").chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let path = dir.join(format!("{size}-{rate}-{seconds}s-gop{gop}{options}.flv"));
    if !path.is_file() {
        make(&path, size, rate, seconds, gop, more);
    }
    Clip { path, frames: u64::from(rate) * u64::from(seconds) }
}

#[track_caller]
fn make(path: &Path, size: &str, rate: u32, seconds: u32, gop: u32, more: &[&str]) {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let picture = format!(
        "testsrc2=s={size}:r={rate},drawbox=t=fill:c=white:enable='lt(mod(n,{rate}),3)',format=yuv420p"
    );
    let sound = "aevalsrc='0.4*sin(2*PI*1000*t)*lt(mod(t,1),0.1)':s=48000";
    let (gop, seconds) = (gop.to_string(), seconds.to_string());
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", sound]);
    command.args([
        "-t",
        &seconds,
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-g",
        &gop,
        "-keyint_min",
        &gop,
    ]);
    command.args(["-sc_threshold", "0", "-b:v", "800k", "-maxrate", "800k", "-bufsize", "800k"]);
    command.args(["-c:a", "aac", "-b:a", "96k", "-ac", "2"]).args(more).args(["-f", "flv"]).arg(&part);
    let output = command.stdin(Stdio::null()).output().expect("ffmpeg runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    std::fs::rename(&part, path).expect("the clip is put in place");
}
