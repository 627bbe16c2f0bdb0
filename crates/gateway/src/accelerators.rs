//! Encoders that the operator names are tried before anything relies on them.

use std::thread;

use anyhow::Context;
use tracing::{info, warn};
use transcode::ladder::EncoderName;

use crate::config::Config;

/// Replaces every encoder named in the settings that does not work here by libx264, and says so in the log. Without any
/// named nothing is tried, and no time is lost.
///
/// # Errors
/// When the trials cannot be started.
pub(crate) async fn settle(config: &mut Config) -> anyhow::Result<()> {
    let named = asked(config);
    if named.is_empty() {
        info!(encoder = %EncoderName::default(), "pictures are encoded on the CPU; no accelerator is named in ladder.encoder");
        return Ok(());
    }
    let memory = config.worker_memory;
    let found = tokio::task::spawn_blocking(move || attempt(named, memory)).await??;
    for (encoder, outcome) in found {
        match outcome {
            Ok(()) => info!(%encoder, "the encoder was tried and works"),
            Err(fault) => {
                warn!(%encoder, fault, "the encoder does not work here; libx264 stands in");
                config.broken_encoders.push(encoder);
            }
        }
    }
    Ok(())
}

/// The encoders named in the settings, those of single streams included, without the one that needs no trial.
pub(crate) fn asked(config: &Config) -> Vec<EncoderName> {
    let own = config.streams.iter().map(|rule| rule.apply(config).encoder);
    let mut named: Vec<_> = own.chain([config.encoder]).flatten().collect();
    named.retain(|name| *name != EncoderName::default());
    named.sort_unstable_by_key(|name| name.as_str());
    named.dedup();
    named
}

/// Tries encoders side by side.
///
/// # Errors
/// When this program's own path is unknown.
pub(crate) fn attempt(
    names: impl IntoIterator<Item = EncoderName>,
    memory: u64,
) -> anyhow::Result<Vec<(EncoderName, Result<(), String>)>> {
    let exe = std::env::current_exe().context("this program's own path is unknown")?;
    Ok(thread::scope(|scope| {
        let exe = &exe;
        let start = |name| (name, scope.spawn(move || transcode::try_encoder(exe, name, memory)));
        let started: Vec<_> = names.into_iter().map(start).collect();
        let outcome = |handle: thread::ScopedJoinHandle<'_, _>| {
            handle.join().unwrap_or_else(|_| Err("the trial itself failed".to_owned()))
        };
        started.into_iter().map(|(name, handle)| (name, outcome(handle))).collect()
    }))
}
