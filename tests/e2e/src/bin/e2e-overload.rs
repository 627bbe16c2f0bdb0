#![forbid(unsafe_code)]
//! More 1080p ladders than the machine can make: which rungs are shed, when, and when they return.
//!
//!   SLUICE_BIN=target/release/sluice cargo run -p e2e --bin e2e-overload -- --streams 3 --full 60 --rest 120
//!
//! Every stream is one file, coded once, sent as it is. After `--full` seconds all publishers but the first stop. A line a
//! second tells how late each stream's encoder is, what each rung does (`#` encoded, `.` shed, `=` copied), and the idle CPU;
//! at the end stands a table of figures. Exit code 1 when a stream fell further behind than the ceiling, so that segments were
//! skipped, a larger rung was kept while a smaller one went, a copied rung was late, a publisher's goodbye was not heard, or
//! not every rung of the first stream returned. Every list is judged by the rules of hlscheck, but
//! what shows that a shed rung has the next smaller one's pictures (`ts.params`, V4, V5), and that encoded rungs are late.

use anyhow::{Result, anyhow};
use clap::Parser;
use e2e::harness::{Browser, Gateway, Home, Process, Publisher, s, wait_for};
use e2e::hlscheck::{Options, Watch, media::Entry};
use e2e::overload::{Copied, Figures, Rung, StreamLook};
use e2e::report::Finding;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
        figures: Figures::new(&names, ceiling),
    };

    let mut publishers = Vec::new();
    let mut watches = Vec::new();
    for (name, key) in names.iter().zip(&keys) {
        publishers.push(Publisher::copy(&home, &clip, 0, &gateway.publish_url(key)));
        let mut options = Options::new(gateway.live_url(name), home.path(&format!("watch-{name}")));
        options.decode = false;
        options.poll = Duration::from_millis(500);
        watches.push(Watch::start(options));
        run.follow(s(arguments.apart), false);
    }
    run.follow(s(8), false);
    let mut viewers = arguments.viewers.then(|| Viewers::start(&home, &gateway, &names[0]));
    run.follow(s(arguments.full), false);

    println!("-- {:5.1} all publishers but the first stop", run.at());
    let stop = unix_micros();
    run.figures.relieve(run.at());
    for publisher in publishers.iter_mut().skip(1) {
        publisher.stop();
    }
    run.follow(s(arguments.rest), true);
    run.follow(s(12), false);
    if let Some(viewers) = &mut viewers {
        viewers.judge(&mut run.figures);
    }
    let last = unix_micros();
    publishers.first_mut().ok_or_else(|| anyhow!("no publisher"))?.stop();
    for (nth, (name, watch)) in names.iter().zip(watches).enumerate() {
        run.judge(name, watch, if nth == 0 { last } else { stop });
    }
    let log = gateway.log();
    for line in log.lines().filter(|line| line.contains("rung") || line.contains("skipped")) {
        println!("log: {line}");
    }
    for (words, rule) in
        [("are skipped", "segments were skipped"), ("publisher lost", "a publisher's goodbye was not heard")]
    {
        if let Some(line) = log.lines().find(|line| line.contains(words)) {
            run.figures.fault(format!("{rule}: {line}"));
        }
    }
    run.figures.conclude();
    println!("\n{}", run.figures.table());
    let broken = run.figures.faults().len();
    println!("{}", if broken == 0 { "all as it should be" } else { "BROKEN" });
    Ok(ExitCode::from(u8::from(broken > 0)))
}

fn unix_micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

struct Run<'a> {
    gateway: &'a Gateway,
    names: &'a [String],
    started: Instant,
    figures: Figures,
}

impl Run<'_> {
    /// Seconds since the start.
    fn at(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Prints a line a second; ends early when it is to, and the first stream is whole again.
    fn follow(&mut self, span: Duration, until_whole: bool) {
        let end = Instant::now() + span;
        while Instant::now() < end && !(until_whole && self.figures.is_whole()) {
            std::thread::sleep(Duration::from_millis(1000));
            self.look();
        }
    }

    fn look(&mut self) {
        let metrics = self.gateway.get("/metrics").ok().and_then(|r| r.text().ok()).unwrap_or_default();
        let gauge = |name: &str| -> Option<f64> {
            metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        let stream = |name: &String| StreamLook {
            late: gauge(&format!("sluice_stream_encoder_late_seconds{{stream=\"{name}\"}}")).unwrap_or(0.0),
            rungs: rungs(self.gateway.stream(name)),
        };
        let streams: Vec<StreamLook> = self.names.iter().map(stream).collect();
        let late: Vec<String> = streams.iter().map(|stream| format!("{:4.1}", stream.late)).collect();
        let marks: Vec<String> = streams.iter().map(StreamLook::marks).collect();
        let idle = gauge("sluice_cpu_idle_cores").unwrap_or(f64::NAN);
        let at = self.at();
        let changed = if self.figures.look(at, streams) { "  <" } else { "" };
        println!("{at:6.1} s  late {}  rungs {}  idle {idle:.2}{changed}", late.join(" "), marks.join(" "));
    }

    /// `until`: when its publisher was stopped, in microseconds of Unix time.
    fn judge(&mut self, name: &str, watch: Watch, until: i64) {
        let outcome = match watch.finish() {
            Ok(outcome) => outcome,
            Err(error) => return self.figures.fault(format!("{name}: {error:#}")),
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
        let is_copied = |name: &str| self.figures.is_copied(name);
        if let Some(copied) = outcome.renditions.iter().find(|rendition| is_copied(&rendition.name)) {
            let late: Vec<f64> = outcome
                .findings
                .violations
                .iter()
                .filter_map(|finding| late(finding, &copied.name))
                .collect();
            // A stream that is held after its publisher has gone lists gaps in all its rungs.
            let gap = |entry: &&Entry| entry.gap && entry.date.is_none_or(|date| date < until);
            self.figures.copied(Copied {
                name: format!("{name}/{}", copied.name),
                longest_wait: copied.update_gap_max,
                gaps: copied.entries.values().filter(gap).count(),
                late_at: late,
            });
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
            self.figures.fault(format!("{name}: {finding}"));
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
        // While it is shed its pictures are smaller.
        browser.ask(&format!("level {} any", rung.1));
        browser.tell("watchdog start");
        Self { browser, player, progress, from: Instant::now() }
    }

    fn judge(&mut self, figures: &mut Figures) {
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
        if saw["freezes"].as_array().is_some_and(|freezes| !freezes.is_empty()) {
            figures.fault(format!("the picture in hls.js froze: [at, for s] {}", saw["freezes"]));
        }
        if played < watched - 6.0 {
            figures.fault(format!("ffmpeg played {played:.1} s of {watched:.1} s"));
        }
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
