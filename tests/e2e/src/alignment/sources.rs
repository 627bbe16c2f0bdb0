//! What encoders may send, each made once by ffmpeg and kept between runs.

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// One source.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// For the table.
    pub name: &'static str,
    /// Pictures as lavfi makes them, 480x270.
    picture: &'static str,
    /// How they are coded.
    coding: &'static [&'static str],
    /// Seconds of the clip, which is sent again and again.
    seconds: u32,
    /// The encoder is killed after so many seconds, and returns.
    pub(super) stays: Option<u64>,
}

const USUAL: &str = "testsrc2=s=480x270:r=30";
const CUTS: &str =
    "testsrc2=s=480x270:r=30,negate=enable='lt(mod(t,3.7),1.3)',hue=h=90:enable='lt(mod(t,2.9),0.8)'";
const NOISE: &str = "testsrc2=s=480x270:r=30,noise=alls=90:allf=t+u";
/// Still for five seconds, noise for five.
const BURSTS: &str = "color=c=gray:s=480x270:r=30,noise=alls=90:allf=t+u:enable='gt(mod(t,10),5)'";

const fn source(
    name: &'static str,
    picture: &'static str,
    coding: &'static [&'static str],
    seconds: u32,
) -> Source {
    Source { name, picture, coding, seconds, stays: None }
}

/// All of them.
pub fn all() -> Vec<Source> {
    let killed = |stays, source: Source| Source { stays: Some(stays), ..source };
    vec![
        source("2 s GOP, 30 fps", USUAL, &["-g", "60", "-bf", "2"], 24),
        source("10 s GOP", USUAL, &["-g", "300", "-sc_threshold", "0"], 30),
        source("open GOP", USUAL, &["-g", "60", "-bf", "3", "-x264-params", "open-gop=1"], 24),
        source("scene cuts", CUTS, &["-g", "90", "-sc_threshold", "40", "-keyint_min", "6"], 33),
        source(
            "VFR",
            "testsrc2=s=480x270:r=60,select='gt(random(1),0.4)'",
            &["-vsync", "vfr", "-g", "60", "-bf", "2"],
            24,
        ),
        source("29.97 fps", "testsrc2=s=480x270:r=30000/1001", &["-g", "60", "-bf", "2"], 24),
        source("50 fps", "testsrc2=s=480x270:r=50", &["-g", "100", "-bf", "2"], 20),
        source("60 fps", "testsrc2=s=480x270:r=60", &["-g", "120", "-bf", "3"], 20),
        source(
            "B-frames, pyramid",
            USUAL,
            &["-g", "72", "-bf", "8", "-b_strategy", "0", "-x264-params", "b-pyramid=normal"],
            24,
        ),
        source("25 fps, GOP of 3.2 s", "testsrc2=s=480x270:r=25", &["-g", "80", "-bf", "2"], 32),
        source(
            "noise, copied top",
            NOISE,
            &["-g", "60", "-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "2500k"],
            20,
        ),
        source(
            "noise, all encoded",
            NOISE,
            &["-g", "300", "-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "2500k"],
            20,
        ),
        source(
            "noise in bursts",
            BURSTS,
            &["-g", "300", "-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "2500k"],
            20,
        ),
        killed(17, source("reconnects", USUAL, &["-g", "60", "-bf", "2"], 24)),
        killed(15, source("reconnects, 10 s GOP", USUAL, &["-g", "300", "-sc_threshold", "0"], 30)),
    ]
}

impl Source {
    /// The clip, made if it is not there yet.
    pub(super) fn clip(&self) -> Result<PathBuf> {
        let dir = std::env::temp_dir().join("sluice-e2e-clips-1");
        std::fs::create_dir_all(&dir)?;
        let words = format!("{} {} {}", self.picture, self.coding.join(" "), self.seconds);
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = self.name.chars().filter(char::is_ascii).map(plain).collect();
        let path = dir.join(format!("align-{name}-{:016x}.flv", hash(&words)));
        if path.is_file() {
            return Ok(path);
        }
        let part = path.with_extension(format!("{}.part", std::process::id()));
        let sound = "sine=f=440:r=48000";
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", self.picture]);
        command.args(["-f", "lavfi", "-i", sound, "-t", &self.seconds.to_string()]);
        command.args(["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-b:v", "600k"]);
        command.args(self.coding).args(["-c:a", "aac", "-b:a", "64k", "-ac", "2", "-f", "flv"]).arg(&part);
        let output = command.stdin(Stdio::null()).output().context("ffmpeg runs")?;
        ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::rename(&part, &path)?;
        Ok(path)
    }
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
