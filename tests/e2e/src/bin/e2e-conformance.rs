#![forbid(unsafe_code)]
//! Every client over every transport, every medium, every mishap: one row each, as a table.
//!
//!   SLUICE_BIN=target/release/sluice cargo run -p e2e --bin e2e-conformance -- --only rtmpe

use anyhow::{Context, Result};
use clap::Parser;
use e2e::conformance::{self, Arena, Client, Verdict};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs the conformance rows, prints them as a table, writes it as Markdown, and exits with 1 if a row fails.
#[derive(Parser)]
struct Arguments {
    /// Only rows whose name contains this; may be given several times.
    #[arg(long)]
    only: Vec<String>,
    /// Only the short selection that every change has to pass: each transport and each coding once.
    #[arg(long)]
    quick: bool,
    /// How long each row publishes.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Rows at a time.
    #[arg(long, default_value_t = 3)]
    together: usize,
    /// Where the table goes as Markdown.
    #[arg(long, default_value_os_t = table_file())]
    markdown: PathBuf,
    /// Instead of the rows: so many RTMPE connections in a row, by each client that has RTMPE (`--only` chooses).
    #[arg(long, value_name = "COUNT")]
    rtmpe: Option<u32>,
    /// Further settings of the gateway, such as publish.hold=90s.
    #[arg(long = "set")]
    set: Vec<String>,
    /// Prints the names of the rows, and does nothing.
    #[arg(long)]
    list: bool,
}

fn table_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/conformance.md")
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|o| name.contains(o));
    let mut rows = conformance::all();
    rows.retain(|row| wanted(&row.name) && (row.quick || !arguments.quick));
    if arguments.list {
        rows.iter().for_each(|row| println!("{}", row.name));
        return Ok(ExitCode::SUCCESS);
    }
    let mut settings: Vec<(&str, &str)> = Vec::new();
    if arguments.rtmpe.is_some() {
        // All of them come from one address, as fast as they can.
        settings.extend([("rtmp.rtmpe_per_address", "1000"), ("rtmp.accepts_per_address", "1000")]);
    }
    settings.extend(arguments.set.iter().filter_map(|pair| pair.split_once('=')));
    let arena = Arena::new(arguments.seconds, &settings);
    if let Some(count) = arguments.rtmpe {
        let clients = [(Client::FfmpegStatic, true), (Client::Rtmpdump, true), (Client::Rtmpdump, false)];
        return rtmpe(&arena, count, clients.iter().filter(|(client, _)| wanted(client.name())));
    }
    let records = conformance::run(&arena, &rows, arguments.together, |record| {
        let word = if record.verdict == Verdict::Pass { "pass" } else { "NOT PASSED" };
        eprintln!("{word:<10} {} ({:.0} s) {}", record.name, record.seconds, record.notes.join("; "));
    });
    println!("{}", conformance::table(&records));
    let heading = format!("Conformance, {} s a row", arguments.seconds);
    let text = conformance::markdown(&records, &heading);
    println!("{}", text.trim_end().lines().last().unwrap_or_default());
    if let Some(folder) = arguments.markdown.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&arguments.markdown, text).with_context(|| arguments.markdown.display().to_string())?;
    let failed = records.iter().any(|r| r.verdict == Verdict::Fail);
    if failed {
        let log = arena.gateway.log();
        let told: Vec<&str> = log.lines().filter(|l| l.contains("panicked")).collect();
        told.iter().for_each(|line| eprintln!("the gateway: {line}"));
    }
    Ok(ExitCode::from(u8::from(failed)))
}

fn rtmpe<'c>(
    arena: &Arena,
    count: u32,
    clients: impl Iterator<Item = &'c (Client, bool)>,
) -> Result<ExitCode> {
    let mut failed = 0;
    for (client, encrypted) in clients {
        let burst = conformance::burst(arena, *client, count, *encrypted)?;
        println!("{burst}");
        failed += burst.failed;
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}
