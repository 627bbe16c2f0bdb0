//! `sluice token`: makes links for streams and recordings that need one. The keys are those of the gateway.

use std::{
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use origin::access::{Claims, Keys, Scope, is_viewer};

use crate::{
    cli::TokenFlags,
    config::{Config, units::parse_span},
    store::Store,
};

/// The id of the key that the gateway makes for itself.
const OWN: &str = "own";

/// The keys that tokens are made and read with.
///
/// # Errors
/// When the database fails.
pub(crate) fn keys(config: &Config, store: &Store) -> anyhow::Result<Keys> {
    let named = &config.viewers.token_keys;
    let keys = if named.is_empty() {
        Keys::new([(OWN.to_owned(), store.token_secret()?.to_vec())])
    } else {
        Keys::new(named.iter().map(|(id, secret)| (id.clone(), secret.expose().into())))
    };
    keys.context("play.token_keys")
}

/// Runs the command.
///
/// # Errors
/// When the configuration or an argument is wrong, or the database fails.
pub(crate) fn run(flags: &TokenFlags) -> anyhow::Result<ExitCode> {
    let config = flags.data.load(&[])?;
    let keys = keys(&config, &Store::open(&config.data_dir)?)?;
    let path = if flags.recording { format!("vod/{}", flags.name) } else { format!("live/{}", flags.name) };
    let scope: Scope = path.parse().ok().with_context(|| {
        let what = if flags.recording { "recording: write its id, NAME-NUMBER" } else { "stream's name" };
        format!("{:?} is no {what}", flags.name)
    })?;
    if let Some(viewer) = &flags.viewer {
        anyhow::ensure!(
            is_viewer(viewer),
            "{viewer:?}: 1 to 64 letters, digits, '.', '_' and '-' are expected"
        );
    }
    let lasts = parse_span(&flags.expires).map_err(anyhow::Error::msg)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let claims = Claims {
        expires: (now + lasts).as_secs(),
        scope: scope.clone(),
        address: flags.address.map(|network| network.trunc()),
        viewer: flags.viewer.clone(),
    };
    let token = keys.sign(&claims).context("no key")?;
    // The token alone for programs, the rest for people.
    println!("{token}");
    eprintln!("Put it before the path: /t/TOKEN/{scope}/index.m3u8");
    if let Scope::Live(name) = &scope {
        eprintln!("The page: /t/{token}/watch/{name}");
    }
    Ok(ExitCode::SUCCESS)
}
