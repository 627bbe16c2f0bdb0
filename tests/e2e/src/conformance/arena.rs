//! One gateway for all rows, its clients' programs and versions, and the samples.

use super::client::{Client, Transport};
use super::sample::{Recipe, Sample, sample};
use crate::harness::{Gateway, Home, Key};
use crate::hlscheck::Options;
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What all rows share.
pub struct Arena {
    /// `sluice serve`.
    pub gateway: Gateway,
    /// How long each row publishes or plays, s.
    pub seconds: u32,
    versions: OnceLock<Vec<(Client, String)>>,
    /// `sluice keys add` one after the other: SQLite has one writer.
    keys: Mutex<()>,
    /// Last: it has the logs of what is dropped before.
    pub home: Home,
}

impl Arena {
    /// Starts a gateway whose streams keep all that a row sends in their lists.
    pub fn new(seconds: u32, settings: &[(&str, &str)]) -> Self {
        let home = Home::new();
        let mut all = vec![("ladder.preset", "ultrafast"), ("hls.window", "120s")];
        all.extend_from_slice(settings);
        let gateway = home.gateway(&all);
        Arena { gateway, seconds, versions: OnceLock::new(), keys: Mutex::new(()), home }
    }

    /// A new key of a stream.
    pub fn key(&self, stream: &str) -> Key {
        let _one = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        self.home.key(stream)
    }

    /// A new user that may publish this stream: name and password. The name is short, since librtmp writes it into a
    /// fixed piece of memory.
    pub(super) fn user(&self, stream: &str) -> Result<(String, String)> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("u{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let _one = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = self.home.sluice(&["users", "add", &name, "--stream", stream]);
        let output = command.arg("--data-dir").arg(self.home.path("data")).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "users add {name}: {}", String::from_utf8_lossy(&output.stderr));
        Ok((name, text.lines().last().unwrap_or_default().trim().to_owned()))
    }

    /// Where a client publishes, or plays, under this last part of the URL.
    pub fn url(&self, transport: Transport, last: &str) -> String {
        format!("{}://{}/live/{last}", transport.scheme(), self.gateway.rtmp)
    }

    /// The recipe's clip, as long as a row runs.
    pub(super) fn sample(&self, recipe: &Recipe) -> Result<Sample> {
        sample(self, recipe, self.seconds)
    }

    /// How to watch a stream's lists. What the segments hold is decoded by the row.
    pub(super) fn options(&self, stream: &str) -> Options {
        let mut options =
            Options::new(self.gateway.live_url(stream), self.home.path(&format!("watch-{stream}")));
        options.decode = false;
        options
    }

    /// The client's program.
    pub fn program(&self, client: Client) -> PathBuf {
        match client {
            Client::Ffmpeg => "ffmpeg".into(),
            Client::FfmpegStatic => static_ffmpeg(),
            Client::Rtmpsink | Client::Rtmp2sink => "gst-launch-1.0".into(),
            Client::Rtmpdump => "rtmpdump".into(),
            Client::Obs => "obs".into(),
            Client::Feeder => std::env::current_exe().unwrap_or_default(),
        }
    }

    /// A program that the client needs and that is not there.
    pub fn missing(&self, client: Client) -> Option<&'static str> {
        let found = |path: &Path| {
            path.is_file()
                || std::env::var_os("PATH")
                    .is_some_and(|all| std::env::split_paths(&all).any(|dir| dir.join(path).is_file()))
        };
        match client {
            Client::FfmpegStatic if !found(&static_ffmpeg()) => {
                Some("the static FFmpeg (scripts/install-deps test)")
            }
            Client::Obs if !found(Path::new("Xvfb")) => Some("Xvfb"),
            _ if !found(&self.program(client)) => Some(client.name()),
            _ => None,
        }
    }

    /// As the client's program tells it; empty where it does not.
    pub fn version(&self, client: Client) -> String {
        let all = [
            Client::Ffmpeg,
            Client::FfmpegStatic,
            Client::Rtmpsink,
            Client::Rtmp2sink,
            Client::Rtmpdump,
            Client::Obs,
        ];
        let versions = self.versions.get_or_init(|| {
            let told = |c: &Client| (self.missing(*c).is_none()).then(|| (*c, self.ask_version(*c)));
            all.iter().filter_map(told).collect()
        });
        versions.iter().find(|(c, _)| *c == client).map(|(_, v)| v.clone()).unwrap_or_default()
    }

    fn ask_version(&self, client: Client) -> String {
        let option = match client {
            Client::Ffmpeg | Client::FfmpegStatic => "-version",
            Client::Rtmpdump => "--help",
            _ => "--version",
        };
        let output = Command::new(self.program(client)).arg(option).output();
        let text = output.map(|o| [o.stdout, o.stderr].concat()).unwrap_or_default();
        // The first word with a digit and a dot: `ffmpeg version 5.1.9-0+deb12u1`, `OBS Studio - 29.0.2`, `RTMPDump v2.4`.
        let text = String::from_utf8_lossy(&text).into_owned();
        let number = |w: &&str| w.contains('.') && w.chars().take(2).any(|c| c.is_ascii_digit());
        let word = text.split_whitespace().find(number).unwrap_or_default();
        let word = word.trim_start_matches(['n', 'v']);
        word.split(['-', '+']).next().unwrap_or(word).to_owned()
    }
}

/// `E2E_STATIC_FFMPEG`, or where `scripts/install-deps test` puts it.
fn static_ffmpeg() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/e2e-tools/ffmpeg-static");
    std::env::var_os("E2E_STATIC_FFMPEG").map_or_else(default, PathBuf::from)
}
