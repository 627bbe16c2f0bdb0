//! `sluice ladder`: shows which ladder a file would get, and why.

use std::process::ExitCode;

use anyhow::Context;

use crate::{cli::LadderFlags, serve};

/// Runs the command.
///
/// # Errors
/// When the configuration is wrong or the input cannot be read.
pub(crate) fn run(flags: &LadderFlags) -> anyhow::Result<ExitCode> {
    let config = flags.data.load(&flags.set)?;
    let wishes = serve::wishes(&config)?;
    let source = transcode::file::probe(&flags.input, &wishes)
        .with_context(|| format!("cannot look at {}", flags.input))?;
    let plan = transcode::ladder::plan(&source, &wishes);
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&plan)?);
    } else {
        println!("{}", source.describe());
        println!();
        println!("{plan}");
    }
    Ok(ExitCode::SUCCESS)
}
