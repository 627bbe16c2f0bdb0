#![forbid(unsafe_code)]
//! More 1080p ladders than the machine can make: which rungs are shed, when, and when they return.
//!
//!   SLUICE_BIN=target/release/sluice cargo run -p e2e --bin e2e-overload -- --streams 3 --full 60 --rest 120
//!
//! Every stream is one file, coded once, sent as it is. After `--full` seconds all publishers but the first stop. A line a
//! second tells how late each stream's encoder is, what each rung does (`#` encoded, `.` shed, `=` copied), and the idle CPU.
//! Exit code 1 when a stream fell further behind than the ceiling, a larger rung was kept while a smaller one went, a copied
//! rung was late, or not every rung of the first stream returned. Every list is judged by the rules of hlscheck, but
//! what shows that a shed rung has the next smaller one's pictures (`ts.params`, V4, V5), and that encoded rungs are late.

use anyhow::{Result, anyhow};
use clap::Parser;
use e2e::harness::{Browser, Gateway, Home, Process, Publisher, s, wait_for};
use e2e::hlscheck::{Options, Watch};
use e2e::report::Finding;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Arguments {
    /// Streams of 1920x1080 at 30 fps.
    #[arg(long, default_value_t = 3)]
    streams: usize,
    /// Seconds with all of them.
    #[arg(long, default_value_t = 60)]
    full: u64,
    /// Most seconds with the first one alone.
    #[arg(long, default_value_t = 120)]
    rest: u64,
    /// Seconds between two publishers' starts.
    #[arg(long, default_value_t = 0)]
    apart: u64,
    /// A viewer in Chromium and one in ffmpeg at the first stream's largest encoded rung.
    #[arg(long)]
    viewers: bool,
    /// Settings of the gateway, such as ladder.preset=quality.
    #[arg(long = "set")]
    set: Vec<String>,
}

/// Seconds in which the source is looked at and the lists begin.
const START: f64 = 15.0;

/// One encoded or copied rung, as the API tells it.
struct Rung {
    id: String,
    mark: char,
    height: u64,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let home = Home::new();
    let clip = hard_clip();
    let names: Vec<String> = (1..=arguments.streams).map(|nth| format!("s{nth}")).collect();
    let keys: Vec<_> = names.iter().map(|name| home.key(name)).collect();
    let mut settings: Vec<(&str, &str)> =
        vec![("ladder.admission", "always"), ("ladder.latency_ceiling", "4s")];
    for pair in arguments.set.iter().filter_map(|pair| pair.split_once('=')) {
        settings.retain(|(name, _)| *name != pair.0);
        settings.push(pair);
    }
    println!("settings {settings:?}");
    let gateway = home.gateway(&settings);
    let ceiling =
        settings.iter().find(|(name, _)| *name == "ladder.latency_ceiling").map_or("", |(_, value)| value);
    let ceiling = ceiling
        .trim_end_matches('s')
        .parse()
        .map_err(|_| anyhow!("give the ceiling in seconds, such as 4s"))?;
    let mut run = Run {
        gateway: &gateway,
        names: &names,
        started: Instant::now(),
        marks: Vec::new(),
        disorder: 0,
        broken: 0,
        worst: 0.0,
        ceiling,
    };

    let mut publishers = Vec::new();
    let mut watches = Vec::new();
    for (name, key) in names.iter().zip(&keys) {
        publishers.push(Publisher::copy(&home, &clip, 0, &gateway.publish_url(key)));
        let mut options = Options::new(gateway.live_url(name), home.path(&format!("watch-{name}")));
        options.decode = false;
        options.poll = Duration::from_millis(500);
        watches.push(Watch::start(options));
        run.follow(s(arguments.apart), |_| false);
    }
    run.follow(s(8), |_| false);
    let mut viewers = arguments.viewers.then(|| Viewers::start(&home, &gateway, &names[0]));
    run.follow(s(arguments.full), |_| false);

    println!("-- {:5.1} all publishers but the first stop", run.started.elapsed().as_secs_f64());
    for publisher in publishers.iter_mut().skip(1) {
        publisher.stop();
    }
    run.follow(s(arguments.rest), |marks| marks.first().is_some_and(|first| !first.contains(['.', '?'])));
    if run.marks.first().is_none_or(|first| first.contains('.')) {
        run.fault("not every rung of the first stream returned");
    }
    run.follow(s(12), |_| false);
    if let Some(viewers) = &mut viewers {
        run.broken += viewers.judge();
    }
    println!("worst lateness {:.2} s", run.worst);
    publishers.first_mut().ok_or_else(|| anyhow!("no publisher"))?.stop();
    for (name, watch) in names.iter().zip(watches) {
        run.judge(name, watch);
    }
    let log = gateway.log();
    for line in log.lines().filter(|line| line.contains("rung") || line.contains("skipped")) {
        println!("log: {line}");
    }
    let broken = run.broken;
    println!("{}", if broken == 0 { "all as it should be" } else { "BROKEN" });
    Ok(ExitCode::from(u8::from(broken > 0)))
}

struct Run<'a> {
    gateway: &'a Gateway,
    names: &'a [String],
    started: Instant,
    marks: Vec<String>,
    /// Looks in a row at which a smaller rung was shed and a larger one kept; streams are not told at the same moment.
    disorder: u32,
    broken: usize,
    worst: f64,
    /// Seconds.
    ceiling: f64,
}

impl Run<'_> {
    fn fault(&mut self, what: &str) {
        println!("FAULT {what}");
        self.broken += 1;
    }

    /// Prints a line a second; ends early when `enough` says so of the marks.
    fn follow(&mut self, span: Duration, enough: impl Fn(&[String]) -> bool) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1000));
            self.look();
            if enough(&self.marks) {
                return;
            }
        }
    }

    fn look(&mut self) {
        let metrics = self.gateway.get("/metrics").ok().and_then(|r| r.text().ok()).unwrap_or_default();
        let gauge = |name: &str| -> Option<f64> {
            metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        let rungs: Vec<Vec<Rung>> = self.names.iter().map(|name| rungs(self.gateway.stream(name))).collect();
        let marks: Vec<String> = rungs.iter().map(|rungs| rungs.iter().map(|r| r.mark).collect()).collect();
        let late: Vec<f64> = self
            .names
            .iter()
            .map(|name| {
                gauge(&format!("sluice_stream_encoder_late_seconds{{stream=\"{name}\"}}")).unwrap_or(0.0)
            })
            .collect();
        self.worst = late.iter().copied().fold(self.worst, f64::max);
        if late.iter().any(|late| *late > self.ceiling + 0.5) {
            self.fault("a stream is later than the ceiling");
        }
        let late: Vec<String> = late.iter().map(|late| format!("{late:4.1}")).collect();
        let idle = gauge("sluice_cpu_idle_cores").unwrap_or(f64::NAN);
        let changed = if marks == self.marks { "" } else { "  <" };
        println!(
            "{:6.1} s  late {}  rungs {}  idle {idle:.2}{changed}",
            self.started.elapsed().as_secs_f64(),
            late.join(" "),
            marks.join(" ")
        );
        self.in_order(&rungs);
        self.marks = marks;
    }

    /// What goes is never smaller than what stays in any stream, as far as both are encoded.
    fn in_order(&mut self, rungs: &[Vec<Rung>]) {
        let shed = rungs.iter().flatten().filter(|rung| rung.mark == '.').map(|rung| rung.height).min();
        let kept = rungs.iter().flatten().filter(|rung| rung.mark == '#').map(|rung| rung.height).max();
        let (Some(shed), Some(kept)) = (shed, kept) else { return };
        self.disorder = if kept > shed { self.disorder + 1 } else { 0 };
        if self.disorder == 3 {
            let text = format!("{kept}p is kept in one stream, {shed}p shed in one");
            self.fault(&text);
        }
    }

    fn judge(&mut self, name: &str, watch: Watch) {
        let outcome = match watch.finish() {
            Ok(outcome) => outcome,
            Err(error) => return self.fault(&format!("{name}: {error:#}")),
        };
        println!(
            "{name}: rules {:?}, lag of the lists (median, most) {:?} ms",
            outcome.findings.rules(),
            outcome.publish_lag_ms
        );
        for rendition in &outcome.renditions {
            println!(
                "{name}/{}: {} segments, {} gaps, longest wait {:.2} s, behind others {:.2} s",
                rendition.name,
                rendition.segments,
                rendition.gaps,
                rendition.update_gap_max,
                rendition.lag_max
            );
        }
        for finding in outcome.findings.violations.iter().filter(|finding| finding.rule == "M11").take(6) {
            println!("{name}: {finding}");
        }
        let late = |finding: &Finding, name: &str| {
            let at = finding.place.strip_prefix(name)?.strip_prefix(" at ")?.strip_suffix(" s")?;
            at.parse::<f64>().ok().filter(|at| finding.rule == "M11" && *at > START)
        };
        if let Some(copied) = outcome.renditions.first() {
            let late: Vec<f64> = outcome
                .findings
                .violations
                .iter()
                .filter_map(|finding| late(finding, &copied.name))
                .collect();
            if copied.gaps > 0 || !late.is_empty() {
                self.fault(&format!(
                    "{name}: the copied rung was late at {late:?} s, with {} gaps",
                    copied.gaps
                ));
            }
        }
        // V19 and V20: encoded rungs may come later than copied ones, up to the ceiling; `ts.`: segments behind gaps.
        let gaps = outcome.renditions.iter().any(|rendition| rendition.gaps > 0);
        let behind_gaps = ["ts.pcr", "ts.audio-gap", "ts.jump", "ts.av-start", "ts.audio-home"];
        let rest: Vec<_> = outcome
            .findings
            .violations
            .iter()
            .filter(|finding| !["ts.params", "M11", "V4", "V5", "V19", "V20"].contains(&finding.rule))
            .filter(|finding| !gaps || !behind_gaps.contains(&finding.rule))
            .collect();
        for finding in rest.iter().take(8) {
            self.fault(&format!("{name}: {finding}"));
        }
    }
}

fn rungs(stream: Option<Value>) -> Vec<Rung> {
    let renditions = stream.and_then(|stream| stream["renditions"].as_array().cloned()).unwrap_or_default();
    let rung = |rendition: &Value| Rung {
        id: rendition["id"].as_str().unwrap_or_default().to_owned(),
        mark: match (rendition["made"].as_str(), rendition["state"].as_str()) {
            (Some("copy"), _) => '=',
            (_, Some("live")) => '#',
            (_, Some("shed")) => '.',
            _ => '?',
        },
        height: rendition["height"].as_u64().unwrap_or(0),
    };
    renditions.iter().map(rung).collect()
}

/// hls.js in Chromium and ffmpeg, both held at one rung.
struct Viewers {
    browser: Browser,
    player: Process,
    progress: PathBuf,
    from: Instant,
}

impl Viewers {
    fn start(home: &Home, gateway: &Gateway, name: &str) -> Self {
        let all = wait_for("an encoded rung", s(30), || {
            let all = rungs(gateway.stream(name));
            all.iter().any(|rung| rung.mark == '#' || rung.mark == '.').then_some(all)
        });
        let rung =
            all.iter().find(|rung| rung.mark != '=').map_or((String::new(), 0), |r| (r.id.clone(), r.height));
        let multivariant = gateway.get(&format!("/live/{name}/index.m3u8")).ok().and_then(|r| r.text().ok());
        let path = multivariant
            .and_then(|text| {
                text.lines().find(|line| line.contains(&format!("/{}/", rung.0))).map(str::to_owned)
            })
            .unwrap_or_default();
        let url = format!("http://{}/live/{name}/{path}", gateway.http);
        println!("viewers of {url}");
        let progress = home.path("player.progress");
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "warning", "-nostdin", "-nostats", "-re", "-i", &url]);
        command.args(["-map", "0:v:0", "-map", "0:a:0?", "-f", "null", "-progress"]).arg(&progress).arg("-");
        let player = Process::start("ffmpeg as player", &mut command, &home.path("player.log"))
            .expect("ffmpeg is installed");
        let mut browser = Browser::start(home);
        browser.tell(&format!("open http://{}/watch/{name}", gateway.http));
        browser.tell("playing 4");
        browser.ask(&format!("level {}", rung.1));
        browser.tell("watchdog start");
        Self { browser, player, progress, from: Instant::now() }
    }

    /// The number of faults.
    fn judge(&mut self) -> usize {
        let watched = self.from.elapsed().as_secs_f64();
        let saw = self.browser.ask("watchdog stop");
        let state = self.browser.ask("state");
        println!("hls.js: freezes [at, for s] {}, jumps {}", saw["freezes"], saw["jumps"]);
        println!(
            "hls.js: at the end {} x, level {}, error {}",
            state["size"], state["level"], state["mediaError"]
        );
        let progress = std::fs::read_to_string(&self.progress).unwrap_or_default();
        let last =
            |name: &str| progress.lines().rev().find_map(|l| l.strip_prefix(name)).unwrap_or("0").to_owned();
        let played = last("out_time_us=").trim().parse::<f64>().unwrap_or(0.0) / 1e6;
        println!("ffmpeg: {} frames, {played:.1} s played in {watched:.1} s", last("frame="));
        for line in self.player.log().lines().take(12) {
            println!("ffmpeg said: {line}");
        }
        let frozen = saw["freezes"].as_array().is_some_and(|freezes| !freezes.is_empty());
        let behind = played < watched - 6.0;
        usize::from(frozen) + usize::from(behind)
    }
}

/// A minute of noise that moves: hard to code at any size. Coded once and kept.
fn hard_clip() -> PathBuf {
    let dir = std::env::temp_dir().join("sluice-e2e-clips-1");
    let path = dir.join("hard-1920x1080-30.flv");
    if !path.is_file() {
        std::fs::create_dir_all(&dir).expect("a directory for clips");
        make(&path);
    }
    path
}

fn make(path: &Path) {
    let part = path.with_extension("part");
    let picture =
        "mandelbrot=s=1920x1080:r=30:start_scale=0.6:end_scale=0.02,noise=alls=12:allf=t,format=yuv420p";
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", picture])
        .args([
            "-f",
            "lavfi",
            "-i",
            "sine=f=440:r=48000",
            "-t",
            "20",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
        ])
        .args(["-g", "60", "-keyint_min", "60", "-sc_threshold", "0", "-b:v", "6M", "-maxrate", "6M"])
        .args(["-bufsize", "6M", "-c:a", "aac", "-ac", "2", "-f", "flv"])
        .arg(&part)
        .stdin(Stdio::null())
        .status()
        .expect("ffmpeg runs");
    assert!(done.success(), "the clip cannot be made");
    std::fs::rename(&part, path).expect("the clip is put in place");
}
