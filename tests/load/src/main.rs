#![forbid(unsafe_code)]
//! Viewers without players: as many low-latency sessions as a machine can hold, and plain fetching to weigh a server's
//! work. `tests/load/run.sh` sets the stage, with nginx beside the gateway.
//!
//!   load viewers http://127.0.0.1:8080/live/show/ll.m3u8 --sessions 2000 --seconds 60 --pid 4711
//!   load fetch --seconds 10 --pid 4711 http://127.0.0.1:8080/live/show/1/720p/12.ts …

mod cost;
mod fetch;
mod figures;
mod viewers;
mod wire;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "Load for servers of HLS.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Low-latency sessions: blocking reloads of a picture's and a sound's list, and every part.
    Viewers(viewers::Arguments),
    /// Some addresses over and over, as fast as a few connections can.
    Fetch(fetch::Arguments),
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match arguments.command {
            Command::Viewers(arguments) => viewers::run(arguments).await,
            Command::Fetch(arguments) => fetch::run(arguments).await,
        }
    })
}
