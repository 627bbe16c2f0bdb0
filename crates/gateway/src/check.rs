//! `sluice check`: any live presentation against the standards, by the crate of that name.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use check::{Only, Settings, rules};

use crate::cli::{CheckFlags, CheckOnly};

const BROKEN: u8 = 1;
const UNCHECKED: u8 = 2;

/// Runs the command.
///
/// # Errors
/// When the report cannot be made.
pub(crate) fn run(flags: &CheckFlags) -> anyhow::Result<ExitCode> {
    if flags.rules {
        return list(flags.json);
    }
    let settings = Settings {
        url: flags.url.clone().context("no URL")?,
        time: Duration::from_secs(flags.seconds),
        only: flags.only.map(|only| match only {
            CheckOnly::Hls => Only::Hls,
            CheckOnly::Ll => Only::LowLatency,
            CheckOnly::Dash => Only::Dash,
        }),
        insecure: flags.insecure,
    };
    let summary = match check::run(&settings, &mut |line| eprintln!("{line}")) {
        Ok(summary) => summary,
        Err(error) => {
            eprintln!("sluice: {error:#}");
            return Ok(ExitCode::from(UNCHECKED));
        }
    };
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        print!("{summary}");
    }
    Ok(if summary.fails(flags.strict) { ExitCode::from(BROKEN) } else { ExitCode::SUCCESS })
}

fn list(json: bool) -> anyhow::Result<ExitCode> {
    if json {
        println!("{}", serde_json::to_string_pretty(&rules::all().collect::<Vec<_>>())?);
        return Ok(ExitCode::SUCCESS);
    }
    for rule in rules::all() {
        let level = if rule.level == rules::Level::Must { "MUST  " } else { "SHOULD" };
        println!("{:<22} {level} {} [{}]", rule.id, rule.text, rule.section);
    }
    Ok(ExitCode::SUCCESS)
}
