#![forbid(unsafe_code)]
//! Takes the publisher or the gateway away for a while and tells what the checker, hls.js and ffmpeg saw.
//!
//!   SLUICE_BIN=target/release/sluice cargo run -p e2e --bin e2e-returns -- --publisher 3 20 --gateway 0 --browser

use anyhow::{Result, anyhow};
use clap::Parser;
use e2e::harness::{Browser, Home, PATIENCE, Process, Publisher, clip, judged, s, segments, until, wait_for};
use e2e::hlscheck::{Options, Watch};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// Kills and returns, one scenario after the other, each with a gateway of its own.
#[derive(Parser)]
struct Arguments {
    /// Seconds that the publisher stays away after kill -9.
    #[arg(long, num_args = 0..)]
    publisher: Vec<u64>,
    /// Seconds that the gateway stays away after kill -9; its publisher returns with it.
    #[arg(long, num_args = 0..)]
    gateway: Vec<u64>,
    /// A viewer in Chromium too.
    #[arg(long)]
    browser: bool,
    /// How long to watch after the return.
    #[arg(long, default_value_t = 20)]
    after: u64,
    /// Settings of the gateway, such as publish.hold=90s.
    #[arg(long = "set")]
    set: Vec<String>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut broken = 0;
    let all =
        arguments.publisher.iter().map(|a| (*a, false)).chain(arguments.gateway.iter().map(|a| (*a, true)));
    for (away, gateway) in all {
        println!("== {} away for {away} s", if gateway { "gateway" } else { "publisher" });
        broken += scenario(&arguments, away, gateway)?;
    }
    Ok(ExitCode::from(u8::from(broken > 0)))
}

/// The number of rules broken.
fn scenario(arguments: &Arguments, away: u64, gateway_too: bool) -> Result<usize> {
    let home = Home::new();
    let key = home.key("studio");
    let settings: Vec<(&str, &str)> = arguments.set.iter().filter_map(|pair| pair.split_once('=')).collect();
    let mut gateway = home.gateway(&settings);
    let clip = clip("640x360", 30, 24, 60, &[]);
    let mut publisher = Publisher::copy(&home, &clip.path, 0, &gateway.publish_url(&key));
    let mut options = Options::new(gateway.live_url("studio"), home.path("watch"));
    options.outages = gateway_too;
    let watch = Watch::start(options);
    let before = segments(&watch, 4, PATIENCE);

    let player_log = home.path("player.progress");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "warning", "-nostdin", "-nostats", "-re", "-i", &gateway.live_url("studio")]);
    command.args(["-map", "0:v:0", "-map", "0:a:0?", "-f", "null", "-progress"]).arg(&player_log).arg("-");
    let mut player = Process::start("ffmpeg as player", &mut command, &home.path("player.log"))?;
    let mut browser = arguments.browser.then(|| Browser::start(&home));
    if let Some(browser) = &mut browser {
        browser.tell(&format!("open http://{}/watch/studio", gateway.http));
        browser.tell("playing 4");
        browser.tell("watchdog start");
    }

    let gone = Instant::now();
    if gateway_too {
        gateway.kill();
    }
    publisher.kill();
    wait_for("the time away", s(away + 5), || (gone.elapsed() >= s(away)).then_some(()));
    if gateway_too {
        gateway = gateway.again(&home)?;
    }
    let back = Instant::now();
    let mut publisher = Publisher::copy(&home, &clip.path, 0, &gateway.publish_url(&key));
    let number = before.renditions.first().ok_or_else(|| anyhow!("no rendition"))?.discontinuity;
    let held = until_returned(&watch, number);
    match held {
        Some(span) => {
            println!("first segment {:.1} s after the return", (back.elapsed().min(span)).as_secs_f64())
        }
        None => println!("the lists ended; nothing returned under the old addresses"),
    }
    let end = Instant::now() + s(arguments.after);
    wait_for("the time after", s(arguments.after + 5), || (Instant::now() >= end).then_some(()));

    if let Some(browser) = &mut browser {
        let saw = browser.ask("watchdog stop");
        println!(
            "hls.js: freezes [at, for s] {}, jumps {}, badges {}",
            saw["freezes"], saw["jumps"], saw["badges"]
        );
        println!("hls.js: still frozen for {} s; {}", saw["frozen"], browser.ask("state")["overlay"]);
    }
    let progress = std::fs::read_to_string(&player_log).unwrap_or_default();
    let last =
        |name: &str| progress.lines().rev().find_map(|l| l.strip_prefix(name)).unwrap_or("none").to_owned();
    println!("ffmpeg: {} frames, time {}, ended {:?}", last("frame="), last("out_time="), player.ended());
    for line in player.log().lines().take(12) {
        println!("ffmpeg said: {line}");
    }
    publisher.kill();
    let outcome = judged(watch);
    Ok(outcome.findings.violations.len())
}

/// How long until a segment behind a new discontinuity was listed everywhere; None when the lists ended instead.
fn until_returned(watch: &Watch, number: u64) -> Option<Duration> {
    let started = Instant::now();
    let end = until(watch, "a segment behind the gap, or the end", s(60), |p| {
        p.over || p.all(|r| r.ended) || p.all(|r| r.discontinuity > number && r.since_discontinuity >= 1)
    });
    let ended = end.over || end.all(|r| r.ended);
    (!ended).then(|| started.elapsed())
}
