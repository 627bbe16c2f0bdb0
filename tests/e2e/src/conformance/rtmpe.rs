//! Many RTMPE connections in a row: one in 256 fails where a shared secret's or a key's leading zero is treated as most
//! peers do not, and one in two where the publisher's chunk size is touched.

use super::arena::Arena;
use super::client::{Client, Transport};
use super::publish::last_words;
use super::sample::Recipe;
use crate::harness::Process;
use anyhow::{Result, bail, ensure};
use std::process::Command;
use std::time::{Duration, Instant};

/// What came of a burst.
#[derive(Debug, Clone)]
pub struct Burst {
    /// Who connected, and what for.
    pub what: String,
    /// Connections tried, and those that failed.
    pub tried: u32,
    /// In words, the first few.
    pub failures: Vec<String>,
    /// All of them.
    pub failed: u32,
    /// The whole burst.
    pub took: Duration,
    /// The slowest connection.
    pub slowest: Duration,
}

impl std::fmt::Display for Burst {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {} of {} failed, {:.1} s in all, slowest {:.2} s",
            self.what,
            self.failed,
            self.tried,
            self.took.as_secs_f64(),
            self.slowest.as_secs_f64()
        )?;
        for failure in &self.failures {
            write!(f, "\n  {failure}")?;
        }
        Ok(())
    }
}

/// `count` publications by the static FFmpeg, which checks least and trusts most, and, when something is live, as many
/// connections of rtmpdump. `encrypted` false does the same in the clear, for comparison.
pub fn burst(arena: &Arena, client: Client, count: u32, encrypted: bool) -> Result<Burst> {
    if let Some(program) = arena.missing(client) {
        bail!("{program} is not installed");
    }
    let transport = if encrypted { Transport::Rtmpe } else { Transport::Rtmp };
    // Its keyframes are several chunks long: a chunk size that was garbled shows.
    let sample = arena.sample(&Recipe::usual("burst"))?;
    let log = |n: u32| arena.home.path(&format!("burst-{}-{n}.log", client.name().replace(' ', "-")));
    let mut failures = Vec::new();
    let (mut failed, mut slowest) = (0, Duration::ZERO);
    // A name for each burst: the stream of an earlier one may still be held, listed without anybody publishing.
    let played = format!("burst-live-{}", transport.scheme());
    let _publisher = match client {
        Client::Rtmpdump => Some(live(arena, &sample.path, &played)?),
        _ => None,
    };
    let names: Vec<_> = (0..4).map(|n| arena.key(&format!("burst-{}-{n}", client.name().len()))).collect();
    let started = Instant::now();
    for n in 0..count {
        let mut command = Command::new(arena.program(client));
        if client == Client::Rtmpdump {
            // It ends by itself when its buffer says that a tenth of a second has come.
            command.args(["-v", "--timeout", "10", "-B", "0.1", "-o", "/dev/null", "-r"]);
            command.arg(arena.url(transport, &played));
        } else {
            let key = &names[n as usize % names.len()];
            command.args(["-v", "error", "-nostdin", "-i"]).arg(&sample.path);
            command.args(["-c", "copy", "-frames:v", "8", "-f", "flv", &arena.url(transport, &key.secret)]);
        }
        let before = Instant::now();
        let mut process = Process::start(client.name(), &mut command, &log(n))?;
        let ended = loop {
            if let Some(status) = process.ended() {
                break Some(status);
            }
            if before.elapsed() > Duration::from_secs(15) {
                process.kill();
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        slowest = slowest.max(before.elapsed());
        let said = process.log();
        let good = match client {
            // It ends with 2 where a stream went on longer than it was asked to play.
            Client::Rtmpdump => {
                ended.is_some_and(|s| matches!(s.code(), Some(0 | 2)))
                    && said.contains("Starting Live Stream")
            }
            _ => ended.is_some_and(|s| s.success()) && said.trim().is_empty(),
        };
        if !good {
            failed += 1;
            if failures.len() < 5 {
                failures.push(format!("connection {n}: {ended:?}: {}", last_words(&said)));
            }
        }
    }
    let what = if client == Client::Rtmpdump { "plays" } else { "publishes" };
    Ok(Burst {
        what: format!("{} {} {what} over {}", client.name(), arena.version(client), transport.scheme()),
        tried: count,
        failures,
        failed,
        took: started.elapsed(),
        slowest,
    })
}

/// Something to play.
fn live(arena: &Arena, file: &std::path::Path, name: &str) -> Result<Process> {
    let key = arena.key(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i"]).arg(file);
    command.args(["-c", "copy", "-f", "flv", &arena.url(Transport::Rtmp, &key.secret)]);
    let mut process = Process::start("the publisher", &mut command, &arena.home.path("burst-live.log"))?;
    arena.gateway.wait_live(name, Duration::from_secs(20));
    ensure!(process.ended().is_none(), "the publisher ended: {}", process.log());
    Ok(process)
}
