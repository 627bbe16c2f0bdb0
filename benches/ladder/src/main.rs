#![forbid(unsafe_code)]
//! What `benches/ladder.sh` measures of ours: a clip's ladder through the real worker process, and the same decode, scales
//! and encodes alone. Each prints one line of JSON; whoever starts it counts the CPU of the whole run.
//!
//! ```text
//!  ladder-bench sluice CLIP RUNGS PRESET FOLDER   as the gateway does: cuts, worker, transport streams into FOLDER
//!  ladder-bench floor  CLIP RUNGS PRESET          nothing but the libraries' calls, on one thread
//! ```
//! RUNGS is `720:3000,480:1400`: heights and kbit/s. The source's own size is copied.

mod floor;
mod sluice;

use std::{env, path::Path, process::ExitCode};

use transcode::{
    Job, file,
    ladder::{self, Plan, Preset, RungWish, Wishes},
    source::Source,
};

/// A clip's ladder.
struct Task {
    clip: String,
    source: Source,
    plan: Plan,
    job: Job,
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["worker"] => return transcode::worker_main(),
        ["sluice", clip, rungs, preset, folder] => {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(sluice::run(task(clip, rungs, preset), Path::new(folder)));
        }
        ["floor", clip, rungs, preset] => floor::run(&task(clip, rungs, preset)),
        _ => {
            eprintln!("usage: ladder-bench sluice|floor CLIP HEIGHT:KBITS,… PRESET [FOLDER]");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn task(clip: &str, rungs: &str, preset: &str) -> Task {
    let number = |text: &str| text.parse::<u32>().expect("HEIGHT:KBITS");
    let wished = rungs
        .split(',')
        .filter_map(|rung| rung.split_once(':'))
        .map(|(height, kbits)| RungWish { height: number(height), bitrate_bps: Some(number(kbits) * 1000) })
        .chain([RungWish { height: 1080, bitrate_bps: None }])
        .collect();
    let preset: Preset = preset.parse().expect("a preset");
    let wishes = Wishes { rungs: wished, preset, ..Wishes::default() };
    let source = file::probe(clip, &wishes).expect("a source");
    let plan = ladder::plan(&source, &wishes);
    let job = Job::of(&plan, &source).expect("something to encode");
    Task { clip: clip.to_owned(), source, plan, job }
}
