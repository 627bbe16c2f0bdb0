//! `sluice doctor`: says what this machine has and lacks, before the first stream finds out.

use std::{
    net::{SocketAddr, TcpListener},
    process::ExitCode,
};

use media::VideoCoding;
use transcode::ladder::EncoderName;

use crate::{accelerators, cli::ServeFlags, config::Config, store::Store, tls};

/// One look at one thing.
struct Finding {
    good: bool,
    what: String,
}

/// Runs the checks and prints them; exit code 1 when one failed.
///
/// # Errors
/// When the configuration is wrong.
pub(crate) fn run(flags: &ServeFlags) -> anyhow::Result<ExitCode> {
    let config = flags.load()?;
    let listed = config.rtmp_listen.iter();
    let mut findings: Vec<_> = listed.map(|address| port("RTMP", "rtmp.listen", *address)).collect();
    findings.extend([
        tls::examine(&config).map_or_else(bad, good),
        port("HTTP", "http.listen", config.http_listen),
        match Store::open(&config.data_dir).and_then(|store| store.keys()) {
            Ok(keys) => {
                let valid = keys.iter().filter(|key| key.revoked_at.is_none()).count();
                good(format!(
                    "data directory {} is usable; {valid} valid stream keys",
                    config.data_dir.display()
                ))
            }
            Err(error) => bad(format!("{:#}", anyhow::Error::from(error))),
        },
    ]);
    for codec in transcode::probe_codecs() {
        findings.push(match codec.fault {
            None => good(format!("{}: {}", codec.name, codec.purpose)),
            Some(fault) if !codec.needed => good(format!("{}: {fault}; {}", codec.name, codec.purpose)),
            Some(fault) => bad(format!("{}: {}: {fault}", codec.name, codec.purpose)),
        });
    }
    findings.push(sandbox());
    findings.extend(encoders(&config)?);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    findings.push(good(format!(
        "{cores} CPU cores; a 1080p30 stream with its ladder takes about one, a copied stream next to nothing"
    )));
    for finding in &findings {
        println!("{} {}", if finding.good { "ok   " } else { "FAULT" }, finding.what);
    }
    Ok(if findings.iter().all(|finding| finding.good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A worker that tries to get out, and what keeps it in.
fn sandbox() -> Finding {
    let checked = std::env::current_exe().map_err(|error| error.to_string()).and_then(|exe| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(transcode::check_sandbox(exe))
    });
    match checked {
        Ok((layers, through)) if layers.lacking().is_none() && through.is_empty() => {
            good(format!("encoder processes are shut in: {layers}"))
        }
        // A kernel that has less is no fault of the installation: streams run all the same.
        Ok((layers, through)) => good(format!(
            "encoder processes are not wholly shut in on this kernel: {layers}; not refused: {}",
            if through.is_empty() { "nothing".to_owned() } else { through.join(", ") }
        )),
        Err(why) => bad(format!("an encoder process was tried and failed: {why}")),
    }
}

/// Every encoder tried, each in a process of its own. One that is missing is a fault only where the settings ask for it.
fn encoders(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let asked = accelerators::asked(config);
    let found = accelerators::attempt(EncoderName::ALL, config.worker_memory)?;
    let finding = |(name, outcome): (EncoderName, Result<(), String>)| match outcome {
        Ok(()) if name.coding() == VideoCoding::H264 => {
            good(format!("{name} works: encodes {}", name.place()))
        }
        Ok(()) => good(format!("{name} works; what it makes goes to no viewer yet")),
        Err(fault) if asked.contains(&name) => bad(format!(
            "{name} is asked for by ladder.encoder and does not work, libx264 stands in: {fault}"
        )),
        Err(fault) if name == EncoderName::default() => bad(format!("{name} does not work: {fault}")),
        Err(fault) => good(format!("{name} ({}) cannot be used here: {fault}", name.place())),
    };
    Ok(found.into_iter().map(finding).collect())
}

fn port(what: &str, setting: &str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => good(format!("{what} port {address} is free")),
        Err(error) => bad(format!("{what} port {address}: {error} (a running gateway, or see {setting})")),
    }
}

fn good(what: String) -> Finding {
    Finding { good: true, what }
}

fn bad(what: String) -> Finding {
    Finding { good: false, what }
}
