//! `sluice doctor`: says what this machine has and lacks, before the first stream finds out.

use std::{
    net::{SocketAddr, TcpListener},
    process::ExitCode,
};

use crate::{cli::ServeFlags, store::Store, tls};

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
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    findings.push(good(format!(
        "{cores} CPU cores; a 1080p30 stream with its ladder takes about one, a copied stream next to nothing"
    )));
    for finding in &findings {
        println!("{} {}", if finding.good { "ok   " } else { "FAULT" }, finding.what);
    }
    Ok(if findings.iter().all(|finding| finding.good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
