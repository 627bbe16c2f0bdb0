//! `sluice serve` on ports of its own, with a data directory that outlives it.

use super::{Process, s, wait_for};
use crate::http::{Client, Response, Url};
use crate::proc;
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The binary under test: `SLUICE_BIN`, or the one built beside these tests, or target/debug/sluice of the workspace.
///
/// # Panics
/// When there is none.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("SLUICE_BIN") {
        return path.into();
    }
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.join("sluice")));
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/debug/sluice");
    let found = beside.into_iter().chain([workspace]).find(|path| path.is_file());
    found.expect("no sluice binary: run `cargo build -p gateway` first, or set SLUICE_BIN")
}

/// Tests share their machine with compilers and each other: ladders begin whole, and rungs are shed late.
const PATIENT: &[(&str, &str)] = &[("ladder.admission", "always"), ("ladder.latency_ceiling", "12s")];

/// A secret key of a stream.
#[derive(Debug, Clone)]
pub struct Key {
    /// The stream's public name.
    pub name: String,
    /// What goes into the encoder.
    pub secret: String,
}

/// A directory for everything of one test: data, logs, stored segments.
pub struct Home {
    dir: Option<TempDir>,
    path: PathBuf,
}

impl Home {
    /// A new temporary directory; E2E_KEEP leaves it behind.
    ///
    /// # Panics
    /// When none can be made.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("sluice-e2e-").tempdir().expect("a temporary directory");
        let path = dir.path().to_owned();
        if std::env::var_os("E2E_KEEP").is_some() {
            eprintln!("kept: {}", path.display());
            return Home { dir: None, path: dir.keep() };
        }
        Home { dir: Some(dir), path }
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// `sluice` with the data directory of this home, and none of our own environment's settings.
    pub fn sluice(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SLUICE_")) {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(&self.path).stdin(Stdio::null());
        command
    }

    /// Makes a key with `sluice keys add`.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn key(&self, name: &str) -> Key {
        let data = self.path("data");
        let mut command = self.sluice(&["keys", "add", name]);
        let output = command.arg("--data-dir").arg(data).output().expect("sluice keys add runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "keys add {name}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let secret = text.lines().last().unwrap_or_default().trim().to_owned();
        assert!(secret.len() >= 16 && !secret.contains(' '), "keys add printed {text:?}");
        Key { name: name.into(), secret }
    }

    /// Starts the gateway on free ports with further settings, `("hls.window", "20s")`.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn gateway(&self, settings: &[(&str, &str)]) -> Gateway {
        Gateway::start(self, "127.0.0.1:0", "127.0.0.1:0", settings).expect("the gateway starts")
    }

    /// Whether the directory goes with this value.
    pub fn temporary(&self) -> bool {
        self.dir.is_some()
    }
}

impl Default for Home {
    fn default() -> Self {
        Home::new()
    }
}

/// A running `sluice serve`.
pub struct Gateway {
    process: Process,
    /// `127.0.0.1:PORT` for encoders.
    pub rtmp: String,
    /// `127.0.0.1:PORT` for viewers.
    pub http: String,
    settings: Vec<(String, String)>,
}

impl Gateway {
    /// Starts it at these addresses.
    pub fn start(home: &Home, rtmp: &str, http: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let ready = home.path("ready.json");
        let _ = std::fs::remove_file(&ready);
        let mut command = home.sluice(&["serve", "--rtmp-listen", rtmp, "--http-listen", http]);
        command.arg("--data-dir").arg(home.path("data")).arg("--ready-file").arg(&ready);
        for (name, value) in PATIENT.iter().filter(|(name, _)| settings.iter().all(|(set, _)| set != name)) {
            command.arg("--set").arg(format!("{name}={value}"));
        }
        for (name, value) in settings {
            // Names of variables stand among the settings where there is no setting.
            if name.starts_with("SLUICE_") {
                command.env(name, value);
            } else {
                command.arg("--set").arg(format!("{name}={value}"));
            }
        }
        let mut process = Process::start("sluice serve", &mut command, &home.path("gateway.log"))?;
        let text = wait_for("the gateway's ready file", s(15), || {
            let text = std::fs::read_to_string(&ready).ok().filter(|t| t.trim_end().ends_with('}'));
            assert!(text.is_some() || process.ended().is_none(), "the gateway ended:\n{}", process.log());
            text
        });
        let value: serde_json::Value = serde_json::from_str(&text).context("the ready file")?;
        let address = |name: &str| -> Result<String> {
            let text = value[name].as_str().with_context(|| format!("no {name} in {text}"))?;
            ensure!(!text.ends_with(":0"), "{name} tells port 0");
            Ok(text.to_owned())
        };
        let settings = settings.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        Ok(Gateway { process, rtmp: address("rtmp")?, http: address("http")?, settings })
    }

    /// Kills nothing: starts a successor at the same addresses with the same settings and data.
    pub fn again(self, home: &Home) -> Result<Self> {
        let Gateway { process, rtmp, http, settings } = self;
        drop(process);
        let settings: Vec<(&str, &str)> = settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        Gateway::start(home, &rtmp, &http, &settings)
    }

    /// `rtmp://…/live/KEY`.
    pub fn publish_url(&self, key: &Key) -> String {
        format!("rtmp://{}/live/{}", self.rtmp, key.secret)
    }

    /// The multivariant playlist.
    pub fn live_url(&self, name: &str) -> String {
        format!("http://{}/live/{name}/index.m3u8", self.http)
    }

    /// GET of a path.
    pub fn get(&self, path: &str) -> Result<Response> {
        self.request("GET", path, &[])
    }

    /// Any request.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Response> {
        Client::default().request(method, &Url::parse(&format!("http://{}{path}", self.http))?, headers)
    }

    /// What the API says of a stream; None when it is not there.
    pub fn stream(&self, name: &str) -> Option<serde_json::Value> {
        let response = self.get(&format!("/api/v1/streams/{name}")).ok().filter(|r| r.status == 200)?;
        serde_json::from_slice(&response.body).ok()
    }

    /// Waits for the multivariant playlist.
    ///
    /// # Panics
    /// When it does not come in time.
    #[track_caller]
    pub fn wait_live(&self, name: &str, limit: Duration) {
        let path = format!("/live/{name}/index.m3u8");
        wait_for(&format!("{path} to be there"), limit, || self.get(&path).ok().filter(|r| r.status == 200));
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ids of its `sluice worker` children.
    pub fn workers(&self) -> Vec<u32> {
        let tree = proc::tree(self.pid());
        tree.into_iter().filter(|p| proc::command(*p).get(1).is_some_and(|w| w == "worker")).collect()
    }

    /// All it has logged, over restarts of the same home.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and its end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.process.wait(limit)
    }

    /// The exit status, when it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }
}
