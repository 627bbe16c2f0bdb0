//! Where the certificate for RTMPS and HTTPS comes from.
//!
//! ```text
//!  tls.acme_domains ─▶ acme ───────────┐ until it has one:
//!  tls.certificate, tls.key ─▶ files ──┼─▶ ingest::tls::Tls
//!  tls.self_signed ─▶ self_signed ─────┘ (files, too)
//! ```

mod acme;
mod self_signed;

use std::{
    fs,
    io::{self, IsTerminal},
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use ingest::tls::{CertificateFiles, Tls, TlsStream};
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use tokio::{
    net::TcpStream,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing::{info, warn};

use crate::config::Config;

/// How often certificate files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The certificates of this gateway.
pub(crate) struct Certificates {
    files: Option<Arc<CertificateFiles>>,
    acme: Option<acme::Acme>,
    /// The one in `files` was made here: encoders that check certificates will not take it.
    self_signed: bool,
}

/// Finds or makes what the configuration asks for; `None`: no TLS.
///
/// # Errors
/// When a certificate that the configuration names cannot be used, or none can be made.
pub(crate) fn certificates(config: &Config) -> anyhow::Result<Option<Certificates>> {
    let folder = config.data_dir.join("tls");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700) // keys will lie there
        .create(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let acme = match &config.acme_domains[..] {
        [] => None,
        domains => Some(acme::Acme::new(domains, config)?),
    };
    let named = config.tls_certificate.as_deref().zip(config.tls_key.as_deref());
    let (files, self_signed) = match named {
        Some((certificate, key)) => {
            let files = CertificateFiles::load(certificate, key).context("tls.certificate and tls.key")?;
            info!(certificate = %certificate.display(), sha256 = fingerprint(&files), "certificate for RTMPS and HTTPS");
            (Some(files), false)
        }
        None if config.tls_self_signed => (Some(own(config)?), true),
        None => (None, false),
    };
    let any = acme.is_some() || files.is_some();
    Ok(any.then_some(Certificates { files, acme, self_signed }))
}

/// The self-signed certificate, made if it is not there yet.
fn own(config: &Config) -> anyhow::Result<Arc<CertificateFiles>> {
    let folder = config.data_dir.join("tls");
    let made = self_signed::make_missing(&folder, &config.tls_names).with_context(|| {
        format!(
            "no self-signed certificate can be made in {}; tls.self_signed = false does without",
            folder.display()
        )
    })?;
    let files =
        CertificateFiles::load(&folder.join(self_signed::CERTIFICATE), &folder.join(self_signed::KEY))?;
    if let Some(names) = made {
        info!(
            names = names.join(", "),
            sha256 = fingerprint(&files),
            "made a self-signed certificate for RTMPS and HTTPS, to try things out. Encoders that do not check certificates \
             take it, such as many cameras and older FFmpeg; OBS and browsers do not, they need one from an authority: \
             tls.certificate and tls.key, or tls.acme_domains"
        );
    }
    Ok(files)
}

impl Certificates {
    /// For encoders.
    pub(crate) fn tls(&self) -> Tls {
        self.below(Tls::new)
    }

    /// For viewers.
    pub(crate) fn https(&self) -> Https {
        Https(self.below(Tls::for_http))
    }

    fn below(&self, tls: impl FnOnce(Arc<dyn ResolvesServerCert>) -> Tls) -> Tls {
        match (&self.acme, self.files.clone()) {
            (None, Some(files)) => tls(files),
            (None, None) => unreachable!("there is a source of certificates, or there are no `Certificates`"),
            (Some(acme), files) => {
                let acme = acme.resolver();
                tls(Arc::new(AcmeFirst { acme: acme.clone(), files })).with_acme(acme)
            }
        }
    }

    /// Whether encoders that check certificates, such as OBS, can be expected to take it.
    pub(crate) fn is_trusted(&self) -> bool {
        !self.self_signed || self.acme.is_some()
    }

    /// Keeps certificates fresh: reads files again when they were written or SIGHUP comes, and renews what ACME gave.
    pub(crate) async fn keep_fresh(self) {
        let acme = async {
            match self.acme {
                Some(acme) => acme.run().await,
                None => std::future::pending().await,
            }
        };
        let files = async {
            match self.files {
                Some(files) => follow(&files).await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(acme, files);
    }
}

async fn follow(files: &CertificateFiles) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.tick().await;
    let mut hang_up = reload_signal();
    loop {
        let force = tokio::select! {
            _ = every.tick() => false,
            () = next(&mut hang_up) => true,
        };
        match files.refresh(force) {
            Ok(true) => info!(sha256 = fingerprint(files), "the certificate has changed"),
            Ok(false) if force => info!("told to read the certificate again; it is the same"),
            Ok(false) => {}
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "the new certificate cannot be used; the earlier one stays"
            ),
        }
    }
}

/// SIGHUP, unless this runs in a terminal: there it says that the terminal was closed, and ends the gateway as ever.
/// Where it is not asked for, it ends the gateway, too.
pub(crate) fn reload_signal() -> Option<Signal> {
    if std::io::stderr().is_terminal() {
        return None;
    }
    signal(SignalKind::hangup()).ok()
}

async fn next(hang_up: &mut Option<Signal>) {
    let heard = match hang_up {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending().await
    }
}

/// SHA-256 of the certificate, as openssl and browsers write it.
fn fingerprint(files: &CertificateFiles) -> String {
    let digest = Sha256::digest(files.certificate());
    digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// TLS below HTTP.
#[derive(Clone)]
pub(crate) struct Https(Tls);

impl origin::Security for Https {
    type Stream = TlsStream<TcpStream>;
    const SECURE: bool = true;

    async fn secure(&self, socket: TcpStream) -> io::Result<Option<Self::Stream>> {
        self.0.accept(socket).await
    }
}

/// What ACME gave; until it has given something, the files.
#[derive(Debug)]
struct AcmeFirst {
    acme: Arc<dyn ResolvesServerCert>,
    files: Option<Arc<CertificateFiles>>,
}

impl ResolvesServerCert for AcmeFirst {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.acme.resolve(hello).or_else(|| self.files.as_ref().map(|files| files.current()))
    }
}

/// What `sluice doctor` says about TLS: good or bad, in words.
pub(crate) fn examine(config: &Config) -> Result<String, String> {
    let named = config.tls_certificate.as_deref().zip(config.tls_key.as_deref());
    if let Some((certificate, key)) = named {
        return match CertificateFiles::load(certificate, key) {
            Ok(files) => Ok(format!(
                "certificate {} is usable, SHA-256 {}",
                certificate.display(),
                fingerprint(&files)
            )),
            Err(error) => Err(format!("tls.certificate and tls.key: {:#}", anyhow::Error::from(error))),
        };
    }
    if !config.acme_domains.is_empty() {
        let on_443 =
            config.rtmp_listen.iter().chain(&config.https_listen).any(|address| address.port() == 443);
        let domains = config.acme_domains.join(", ");
        return if on_443 {
            Ok(format!("a certificate for {domains} is asked for at {}", config.acme_directory))
        } else {
            Err(format!(
                "tls.acme_domains ({domains}) needs a listener on port 443: http.tls_listen = \"0.0.0.0:443\", or add it to rtmp.listen"
            ))
        };
    }
    if !config.tls_self_signed {
        return Ok("no certificate: neither rtmps nor https is offered".to_owned());
    }
    let path: &Path = &config.data_dir.join("tls").join(self_signed::CERTIFICATE);
    let state = if path.exists() { path.display().to_string() } else { "made at the first start".to_owned() };
    Ok(format!(
        "self-signed certificate ({state}): rtmps and https work with programs that do not check it; OBS and browsers do"
    ))
}
