//! `sluice keys`: makes, lists and revokes stream keys.

use std::process::ExitCode;

use anyhow::Context;
use media::StreamName;

use crate::{
    cli::{DataFlags, KeyAction},
    store::{KeyLimits, Store},
};

/// Runs the command.
///
/// # Errors
/// When the configuration or a name is wrong, or the database fails.
pub(crate) fn run(action: &KeyAction, data: &DataFlags) -> anyhow::Result<ExitCode> {
    let config = data.load(&[])?;
    let store = Store::open(&config.data_dir)?;
    match action {
        KeyAction::Add { name, from, app } => {
            let name: StreamName = name.parse()?;
            let limits = KeyLimits { app: app.clone(), addresses: from.join(",").parse()? };
            let key = store.add_key_within(&name, &limits).context("the key is not made")?;
            println!("Stream {name}: its key, shown this once:");
            println!("{key}");
        }
        KeyAction::List => {
            let rows = store.keys()?;
            if rows.is_empty() {
                println!("No keys yet. Make one: sluice keys add NAME");
                return Ok(ExitCode::SUCCESS);
            }
            println!("{:>4}  {:<24} {:<10} {:<18} {:<18} STATE", "ID", "STREAM", "KEY", "MADE", "LAST USED");
            for row in rows {
                let state = if row.revoked_at.is_some() { "revoked" } else { "valid" };
                let state = format!("{state}{}", place(&row.limits));
                let (made, used) = (ago(Some(row.created_at)), ago(row.last_used_at));
                println!(
                    "{:>4}  {:<24} {:<10} {made:<18} {used:<18} {state}",
                    row.id,
                    row.stream,
                    format!("{}…", row.hint)
                );
            }
        }
        KeyAction::Revoke { id } => {
            anyhow::ensure!(
                store.revoke_key(*id)?,
                "there is no valid key {id}; `sluice keys list` shows them"
            );
            println!("Key {id} is revoked. Who publishes with it now goes on until it disconnects.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `, from 10.0.0.0/8, app live`: nothing for a key that counts everywhere.
fn place(limits: &KeyLimits) -> String {
    let mut text = String::new();
    if !limits.addresses.is_empty() {
        text.push_str(&format!(", from {}", limits.addresses));
    }
    if let Some(app) = &limits.app {
        text.push_str(&format!(", app {app}"));
    }
    text
}

/// How long ago, roughly.
pub(crate) fn ago(unix: Option<i64>) -> String {
    let Some(unix) = unix else { return "never".to_owned() };
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.as_secs() as i64);
    match (now - unix).max(0) {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7_200 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}
