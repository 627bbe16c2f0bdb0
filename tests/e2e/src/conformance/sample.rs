//! Clips of any coding, made once and kept: what is in them is known, so what becomes of them can be judged.

use super::arena::Arena;
use super::client::Client;
use crate::avsync;
use anyhow::{Context, Result, ensure};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// How a clip is made. Each second begins with three white pictures and 100 ms of a tone, as in `harness::clip`.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Recipe {
    /// Part of the file's name.
    pub(super) name: &'static str,
    /// Picture size; pictures come 30 a second.
    pub(super) size: &'static str,
    /// Pictures from keyframe to keyframe.
    pub(super) gop: u32,
    /// FFmpeg's options of the video coding; empty for none.
    pub(super) video: &'static str,
    /// FFmpeg's options of the audio coding; empty for none.
    pub(super) audio: &'static str,
    /// A further video filter.
    pub(super) filter: &'static str,
    /// FLV's own codings come in FLV, the others in Matroska, whose times are milliseconds as well.
    pub(super) container: &'static str,
    /// The tone, Hz: two clips of two tones can be told apart.
    pub(super) tone: u32,
}

/// H.264 without delay, as a live encoder's fastest setting has it.
pub(super) const H264: &str =
    "libx264 -preset ultrafast -b:v 600k -maxrate 600k -bufsize 600k -sc_threshold 0";
/// AAC as everybody sends it.
pub(super) const AAC: &str = "aac -b:a 96k -ar 48000 -ac 2";

impl Recipe {
    /// The usual: H.264 and AAC, 320x180, keyframes 2 s apart.
    pub(super) const fn usual(name: &'static str) -> Self {
        Recipe {
            name,
            size: "320x180",
            gop: 60,
            video: H264,
            audio: AAC,
            filter: "",
            container: "flv",
            tone: 1000,
        }
    }

    /// Other video options.
    pub(super) const fn video(self, video: &'static str) -> Self {
        Recipe { video, ..self }
    }

    /// Other audio options.
    pub(super) const fn audio(self, audio: &'static str) -> Self {
        Recipe { audio, ..self }
    }

    /// In Matroska.
    pub(super) const fn matroska(self) -> Self {
        Recipe { container: "mkv", ..self }
    }

    /// Another picture size.
    pub(super) const fn size(self, size: &'static str) -> Self {
        Recipe { size, ..self }
    }

    /// Another keyframe distance.
    pub(super) const fn gop(self, gop: u32) -> Self {
        Recipe { gop, ..self }
    }

    /// Another tone.
    pub(super) const fn tone(self, tone: u32) -> Self {
        Recipe { tone, ..self }
    }

    /// A further video filter.
    pub(super) const fn filter(self, filter: &'static str) -> Self {
        Recipe { filter, ..self }
    }
}

/// A clip with what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) path: PathBuf,
    /// Pictures; none without video.
    pub(super) frames: Option<u64>,
    /// Sound behind picture, ms: the median of all flashes. None without one of them.
    pub(super) offset_ms: Option<f64>,
    /// How long it lasts, s.
    pub(super) seconds: f64,
}

/// The recipe's clip with what is known of it.
pub(super) fn sample(arena: &Arena, recipe: &Recipe, seconds: u32) -> Result<Sample> {
    let path = clip(arena, recipe, seconds)?;
    let frames = if recipe.video.is_empty() { None } else { Some(pictures(&path)?) };
    let both = !recipe.video.is_empty() && !recipe.audio.is_empty();
    let offsets = if both { avsync::offsets(&path)? } else { Vec::new() };
    ensure!(!both || offsets.len() as u32 >= seconds / 2, "{}: no flashes with tones", path.display());
    let offset_ms = avsync::summary(&offsets).map(|(median, _)| median);
    Ok(Sample { path, frames, offset_ms, seconds: f64::from(seconds) })
}

/// The recipe's clip, from the last run or made now, with nothing known of it: no program here may decode it.
pub(super) fn unknown(arena: &Arena, recipe: &Recipe, seconds: u32) -> Result<Sample> {
    let path = clip(arena, recipe, seconds)?;
    Ok(Sample { path, frames: None, offset_ms: None, seconds: f64::from(seconds) })
}

fn clip(arena: &Arena, recipe: &Recipe, seconds: u32) -> Result<PathBuf> {
    static MAKING: Mutex<()> = Mutex::new(());
    let dir = std::env::temp_dir().join("sluice-e2e-samples");
    std::fs::create_dir_all(&dir)?;
    let mut hasher = DefaultHasher::new();
    recipe.hash(&mut hasher);
    let stem = format!("{}-{seconds}s-{:08x}", recipe.name, hasher.finish() as u32);
    let path = dir.join(format!("{stem}.{}", recipe.container));
    let _one = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if !path.is_file() {
        make(arena, recipe, seconds, &path).with_context(|| format!("making the clip {}", recipe.name))?;
    }
    Ok(path)
}

fn make(arena: &Arena, recipe: &Recipe, seconds: u32, path: &Path) -> Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    // The system's FFmpeg has Speex; the static one all that is newer.
    let client = if recipe.container == "mkv" && arena.missing(Client::FfmpegStatic).is_none() {
        Client::FfmpegStatic
    } else {
        Client::Ffmpeg
    };
    let mut command = Command::new(arena.program(client));
    command.args(["-v", "error", "-nostdin", "-y"]);
    if !recipe.video.is_empty() {
        let more = if recipe.filter.is_empty() { String::new() } else { format!(",{}", recipe.filter) };
        let picture = format!(
            "testsrc2=s={}:r=30,drawbox=t=fill:c=white:enable='lt(mod(n,30),3)',format=yuv420p{more}",
            recipe.size
        );
        command.args(["-f", "lavfi", "-i", &picture]);
    }
    if !recipe.audio.is_empty() {
        let sound = format!("aevalsrc='0.4*sin(2*PI*{}*t)*lt(mod(t,1),0.1)':s=48000", recipe.tone);
        command.args(["-f", "lavfi", "-i", &sound]);
    }
    command.args(["-t", &seconds.to_string()]);
    if !recipe.video.is_empty() {
        command.arg("-c:v").args(recipe.video.split_whitespace()).args(["-g", &recipe.gop.to_string()]);
        if !recipe.filter.is_empty() {
            command.args(["-fps_mode", "vfr"]);
        }
    }
    if !recipe.audio.is_empty() {
        command.arg("-c:a").args(recipe.audio.split_whitespace());
    }
    command.args(["-f", if recipe.container == "mkv" { "matroska" } else { recipe.container }]).arg(&part);
    let output = command.stdin(Stdio::null()).output().context("running ffmpeg")?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(std::fs::rename(&part, path)?)
}

/// Pictures in a file, as its container tells them apart.
pub(super) fn pictures(file: &Path) -> Result<u64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_packets", "-select_streams", "v:0", "-of", "csv=p=0"])
        .args(["-show_entries", "stream=nb_read_packets"])
        .arg(file)
        .output()
        .context("running ffprobe")?;
    let text = String::from_utf8_lossy(&output.stdout).trim().trim_end_matches(',').to_owned();
    text.parse().with_context(|| format!("ffprobe counts {text:?} pictures in {}", file.display()))
}
