//! Tries encoders out: each is opened and made to encode, in a process of its own and within a time limit, since a
//! driver may crash, hang, or open well and then refuse every picture.
//!
//! ```text
//!  try_encoder ─▶ exe worker --try-encoder NAME BYTES ─▶ 30 pictures, two of them forced keyframes
//!       └ exit status, or FFmpeg's last words on stderr, put plainly
//! ```

use std::{
    env,
    io::Read,
    path::Path,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use media::FrameRate;

use super::{child, host::PASSED_ON};
use crate::{
    av::{self, Colour, EncoderSettings, Picture, Received, VideoEncoder},
    ladder::{EncoderName, Preset, Profile},
};

/// Stands before the encoder's name on the command line of a worker that is to try it.
pub(super) const ARGUMENT: &str = "--try-encoder";
/// A driver that has not encoded a second of a small picture by then is of no use live.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// Most bytes of a trial's words that are read.
const MAX_WORDS: u64 = 64 * 1024;
/// Pictures of a trial; the first and this one must become keyframes.
const PICTURES: i64 = 30;
const SECOND_KEY: i64 = 15;
/// 30 fps.
const TICKS: i64 = 3000;
const SIZE: (u32, u32) = (640, 360);

/// Tries an encoder in a process of its own, `exe worker`, that may take `memory` bytes of address space. Blocks for up to
/// ten seconds.
///
/// # Errors
/// Why it cannot be used, for the operator.
pub fn try_encoder(exe: &Path, name: EncoderName, memory: u64) -> Result<(), String> {
    let kept = PASSED_ON.iter().filter_map(|name| Some((name, env::var_os(name)?)));
    let mut child = Command::new(exe)
        .args(["worker", ARGUMENT, name.as_str(), &memory.to_string()])
        .env_clear()
        .envs(kept)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("it cannot be tried: {}: {error}", exe.display()))?;
    let words = child.stderr.take().map(|stderr| {
        thread::spawn(move || {
            let mut words = Vec::new();
            let _ = stderr.take(MAX_WORDS).read_to_end(&mut words); // what came before an error is as good
            String::from_utf8_lossy(&words).into_owned()
        })
    });
    let ended = wait(&mut child);
    let words = words.and_then(|words| words.join().ok()).unwrap_or_default();
    match ended {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(plainly(&words, status)),
        None => Err(format!("it had not encoded a second of pictures after {} s", PATIENCE.as_secs())),
    }
}

/// `None` when it had to be killed.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => thread::sleep(POLL),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// What FFmpeg's words mean, by what stands in them.
const MEANINGS: [(&str, &str); 8] = [
    ("built without it", "this FFmpeg is built without it"),
    ("libcuda", "NVIDIA's driver is not installed"),
    ("libnvidia-encode", "NVIDIA's driver lacks its encoder library"),
    ("No capable devices", "no NVIDIA card here can encode this"),
    ("VA display", "there is no graphics device here that VA-API can use"),
    ("av_hwdevice_ctx_create of h264_vaapi", "there is no graphics device here that VA-API can use"),
    ("libva", "VA-API's driver for this graphics device does not work"),
    ("MFX session", "Intel's Quick Sync finds no device or no runtime here"),
];

fn plainly(words: &str, status: ExitStatus) -> String {
    let lines = || words.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("Svt["));
    if status.code().is_none() {
        return format!("it crashed when it was tried: {status}");
    }
    let known = MEANINGS.iter().find_map(|(mark, meaning)| {
        let line = lines().find(|line| line.contains(mark))?;
        let whole = line.contains(meaning);
        Some(if whole { (*meaning).to_owned() } else { format!("{meaning} ({})", bare(line)) })
    });
    known
        .or_else(|| lines().next_back().map(|line| bare(line).to_owned()))
        .unwrap_or_else(|| status.to_string())
}

/// Without the address that FFmpeg puts before a line: `[h264_nvenc @ 0x55…] `.
fn bare(line: &str) -> &str {
    let rest = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    rest.map_or(line, |(_, text)| text).trim_end_matches(':')
}

/// The trial's own process: `arguments` are what stands behind [`ARGUMENT`].
pub(super) fn run(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let name = arguments.next().unwrap_or_default();
    let memory = arguments.next().and_then(|bytes| bytes.parse().ok()).unwrap_or(u64::MAX);
    av::to_stderr();
    let outcome = name.parse().map_err(|bad: crate::ladder::BadEncoder| bad.to_string()).and_then(|name| {
        child::limit_memory(memory).map_err(|error| error.to_string())?;
        encode(name)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

fn encode(name: EncoderName) -> Result<(), String> {
    let (width, height) = SIZE;
    let words = |error: av::CodecError| error.to_string();
    let mut encoder = VideoEncoder::open(&EncoderSettings {
        width,
        height,
        frame_rate: FrameRate::new(30, 1),
        bitrate_bps: 1_000_000,
        maxrate_bps: 1_250_000,
        bufsize_bits: 1_000_000,
        profile: Profile::Main,
        level_idc: 31,
        preset: Preset::default(),
        colour: Colour::BT709,
        gop: None,
        threads: 1,
        encoder: name,
    })
    .map_err(words)?;
    let made = encoder.config().map_err(words)?.dimensions();
    if made != SIZE {
        return Err(format!("it made {}x{} of {width}x{height}", made.0, made.1));
    }
    let (mut pictures, mut keys) = (0, Vec::new());
    for nth in 0..=PICTURES {
        if nth < PICTURES {
            let mut picture = Picture::black(width, height).map_err(words)?;
            picture.plane_mut(0).fill(16 + nth as u8 * 6);
            picture.mark(nth * TICKS, nth == 0 || nth == SECOND_KEY);
            encoder.send(&picture).map_err(words)?;
        } else {
            encoder.finish().map_err(words)?;
        }
        while let Received::Output(coded) = encoder.receive().map_err(words)? {
            pictures += 1;
            if coded.idr {
                keys.push(coded.pts);
            }
        }
    }
    if pictures != PICTURES {
        return Err(format!("it made {pictures} pictures of {PICTURES}"));
    }
    if keys != [0, SECOND_KEY * TICKS] {
        return Err("it does not make keyframes where it is asked to, and nowhere else".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn ffmpegs_words_are_put_plainly() {
        let failed = ExitStatus::from_raw(1 << 8);
        for (words, want) in [
            (
                "[h264_nvenc @ 0x563edc534c80] Cannot load libcuda.so.1\navcodec_open2 of h264_nvenc: Operation not permitted\n",
                "NVIDIA's driver is not installed (Cannot load libcuda.so.1)",
            ),
            ("find of h264_qsv: this FFmpeg is built without it", "this FFmpeg is built without it"),
            ("Svt[info]: hello\nsomething new\n\n", "something new"),
            ("", "exit status: 1"),
        ] {
            assert_eq!(plainly(words, failed), want);
        }
        assert!(plainly("noise", ExitStatus::from_raw(11)).contains("crashed"));
    }

    #[test]
    fn x264_passes_and_what_lacks_its_device_does_not() {
        assert_eq!(encode(EncoderName::Libx264), Ok(()));
        assert!(encode(EncoderName::H264Videotoolbox).unwrap_err().contains("built without it"));
    }
}
