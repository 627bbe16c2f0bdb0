#![forbid(unsafe_code)]
//! Every awkward source at once: whether all renditions are cut alike and hold what is declared of their rates.
//!
//!   SLUICE_BIN=target/release/sluice cargo run -p e2e --bin e2e-alignment -- --seconds 600

use anyhow::Result;
use clap::Parser;
use e2e::alignment;
use std::process::ExitCode;

/// Publishes every awkward source at once, follows all renditions for the whole time, prints a table with one row a
/// source, and exits with 1 if anything does not hold.
#[derive(Parser)]
struct Arguments {
    /// How long each source publishes.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Only sources whose name contains this; may be given several times.
    #[arg(long)]
    only: Vec<String>,
    /// Further settings of the gateway, such as ladder.preset=economy.
    #[arg(long = "set")]
    set: Vec<String>,
    /// Prints the names of the sources, and does nothing.
    #[arg(long)]
    list: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut sources = alignment::all();
    sources.retain(|s| arguments.only.is_empty() || arguments.only.iter().any(|o| s.name.contains(o)));
    if arguments.list {
        sources.iter().for_each(|source| println!("{}", source.name));
        return Ok(ExitCode::SUCCESS);
    }
    let settings: Vec<(&str, &str)> = arguments.set.iter().filter_map(|pair| pair.split_once('=')).collect();
    let rows = alignment::run(&sources, arguments.seconds, &settings)?;
    print!("{}", alignment::table(&rows));
    let broken = rows.iter().filter(|row| !row.faults.is_empty()).count();
    println!("{} sources for {} s each, {broken} broken", rows.len(), arguments.seconds);
    Ok(ExitCode::from(u8::from(broken > 0 || rows.is_empty())))
}
