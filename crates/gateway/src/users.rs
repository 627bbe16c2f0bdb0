//! `sluice users`: makes, lists and removes users who publish by name and password.

use std::{
    io::{BufRead, IsTerminal},
    process::ExitCode,
};

use anyhow::{Context, ensure};
use media::StreamName;
use rtmp::auth::is_user_name;

use crate::{
    cli::{DataFlags, UserAction},
    keys::ago,
    store::{Store, random_key},
};

/// Fewest characters of a password chosen by hand: MD5, which the dialogue is built on, protects short ones badly.
const PASSWORD_LEAST: usize = 10;

/// Runs the command.
///
/// # Errors
/// When the configuration, a name or the password is wrong, or the database fails.
pub(crate) fn run(action: &UserAction, data: &DataFlags) -> anyhow::Result<ExitCode> {
    let config = data.load(&[])?;
    let store = Store::open(&config.data_dir)?;
    match action {
        UserAction::Add { name, streams, password_stdin } => {
            ensure!(
                is_user_name(name),
                "a user's name has 1 to 64 letters, digits and . _ - @: encoders send it unescaped"
            );
            let streams: Vec<StreamName> =
                streams.iter().map(|stream| stream.parse()).collect::<Result<_, _>>()?;
            let chosen = password_stdin.then(read_password).transpose()?;
            let password = chosen.clone().unwrap_or_else(random_key);
            let made = store.add_user(name, &password, &streams).context("the user is not made")?;
            ensure!(made, "there is a user {name} already; `sluice users remove {name}` first");
            if chosen.is_none() {
                println!("User {name}: the password, shown this once:");
                println!("{password}");
            } else {
                println!("User {name} is made.");
            }
        }
        UserAction::List => {
            let rows = store.users()?;
            if rows.is_empty() {
                println!("No users yet. Make one: sluice users add NAME --stream STREAM");
                return Ok(ExitCode::SUCCESS);
            }
            println!("{:<24} {:<18} {:<18} STREAMS", "USER", "MADE", "LAST USED");
            for row in rows {
                let (made, used) = (ago(Some(row.created_at)), ago(row.last_used_at));
                println!("{:<24} {made:<18} {used:<18} {}", row.name, row.streams.join(", "));
            }
        }
        UserAction::Remove { name } => {
            ensure!(store.remove_user(name)?, "there is no user {name}; `sluice users list` shows them");
            println!("User {name} is removed. Who publishes with it now goes on until it disconnects.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One line of standard input, without its end.
fn read_password() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprint!("Password (it is shown as you type): ");
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line).context("no password could be read from standard input")?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    ensure!(
        password.chars().count() >= PASSWORD_LEAST,
        "the password is shorter than {PASSWORD_LEAST} characters; without --password-stdin a good one is made"
    );
    Ok(password)
}
