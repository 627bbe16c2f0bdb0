//! Certificates from an ACME authority such as Let's Encrypt, by TLS-ALPN-01 (RFC 8737): the authority connects to port
//! 443 of the name, so a listener must be there. Account and certificates are kept in the data directory.

use std::{io, sync::Arc};

use anyhow::{Context, bail};
use futures_util::StreamExt;
use rustls::{ClientConfig, RootCertStore, crypto::ring, server::ResolvesServerCert};
use rustls_acme::{AcmeConfig, AcmeState, caches::DirCache};
use tracing::{info, warn};

use crate::config::Config;

/// One account and one certificate.
pub(super) struct Acme {
    state: AcmeState<io::Error>,
    domains: String,
}

impl Acme {
    /// Prepares to ask for a certificate for `domains`; nothing is asked before [`Self::run`].
    ///
    /// # Errors
    /// When the system knows no certificate authorities, by which the directory's own address is checked.
    pub(super) fn new(domains: &[String], config: &Config) -> anyhow::Result<Self> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (good, _) = roots.add_parsable_certificates(found.certs);
        if good == 0 {
            bail!("tls.acme_domains: the system has no certificate authorities (on Debian: ca-certificates)");
        }
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("TLS")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let contact = config.acme_contact.split(',').map(str::trim).filter(|contact| !contact.is_empty());
        let contact = contact.map(|mail| match mail.contains(':') {
            true => mail.to_owned(),
            false => format!("mailto:{mail}"),
        });
        let state = AcmeConfig::new_with_client_config(domains, Arc::new(client))
            .contact(contact)
            .directory(&config.acme_directory)
            .cache(DirCache::new(config.data_dir.join("tls").join("acme")))
            .state();
        Ok(Self { state, domains: domains.join(", ") })
    }

    /// Has the certificate once there is one, and the answers to the authority's challenges.
    pub(super) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        self.state.resolver()
    }

    /// Gets and renews the certificate, for ever.
    pub(super) async fn run(mut self) {
        info!(domains = self.domains, "asking for certificates by ACME");
        while let Some(event) = self.state.next().await {
            match event {
                Ok(what) => info!(domains = self.domains, ?what, "ACME"),
                Err(error) => warn!(domains = self.domains, %error, "ACME failed; it is tried again"),
            }
        }
    }
}
