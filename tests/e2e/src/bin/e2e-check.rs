#![forbid(unsafe_code)]
//! Watches a live HLS URL and judges it.
//!
//!   cargo run -p e2e --bin e2e-check -- http://127.0.0.1:8080/live/NAME/index.m3u8 --seconds 60 --out /tmp/watch

use anyhow::Result;
use clap::Parser;
use e2e::hlscheck::{Options, Watch};
use e2e::proc;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Polls every list of a live HLS presentation, checks every rule over their sequence and every segment's bytes,
/// prints the figures, and exits with 1 if a rule was broken.
#[derive(Parser)]
struct Arguments {
    /// The multivariant playlist.
    url: String,
    /// How long to watch; ends sooner when every list has ended.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where lists and segments are stored (a new temporary directory, removed at the end).
    #[arg(long)]
    out: Option<PathBuf>,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
    /// Process whose memory, children included, is followed.
    #[arg(long)]
    pid: Option<u32>,
    /// Milliseconds between two looks at a list.
    #[arg(long, default_value_t = 200)]
    poll: u64,
    /// Does not have ffmpeg decode what was stored.
    #[arg(long)]
    no_decode: bool,
    /// The server may be away for a while.
    #[arg(long)]
    outages: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir()?;
    let out = arguments.out.clone().unwrap_or_else(|| temporary.path().into());
    let mut options = Options::new(&arguments.url, &out);
    options.poll = Duration::from_millis(arguments.poll);
    options.memory = arguments.pid.map(proc::meter);
    options.decode = !arguments.no_decode;
    options.outages = arguments.outages;
    let watch = Watch::start(options);
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    while Instant::now() < end && !watch.progress().over {
        sleep(Duration::from_millis(100));
    }
    let outcome = watch.finish()?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print!("{outcome}");
    }
    Ok(ExitCode::from(u8::from(!outcome.findings.violations.is_empty())))
}
