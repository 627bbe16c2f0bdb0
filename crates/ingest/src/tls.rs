//! TLS below RTMP, RTMPT and HTTP: versions 1.2 and 1.3, no server name asked for, and below RTMP no ALPN, since many
//! encoders send neither. Where the certificate comes from is told by whoever makes the [`Tls`]; [`CertificateFiles`] is one such
//! source, which follows its files.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::LazyConfigAcceptor;
pub use tokio_rustls::server::TlsStream;

/// How long a peer may take for its TLS handshake.
pub(crate) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// The protocol by which an ACME server looks whether a name is ours (RFC 8737 §4).
const ACME_ALPN: &[u8] = b"acme-tls/1";

/// What a listener needs to speak TLS. Clones share it.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    challenge: Option<Arc<ServerConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("acme", &self.challenge.is_some()).finish_non_exhaustive()
    }
}

impl Tls {
    /// Certificates as `resolver` has them at the moment of each handshake.
    pub fn new(resolver: Arc<dyn ResolvesServerCert>) -> Self {
        Self { config: Arc::new(config(resolver)), challenge: None }
    }

    /// The same for viewers: HTTP/2 or HTTP/1.1 by ALPN (RFC 9113 §3.3), and sessions that are resumed, since they come
    /// again and again.
    pub fn for_http(resolver: Arc<dyn ResolvesServerCert>) -> Self {
        let mut config = config(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Without a source of random numbers sessions are not resumed; the handshakes would fail by themselves then.
        if let Ok(tickets) = ring::Ticketer::new() {
            config.ticketer = tickets;
            config.send_tls13_tickets = 1;
        }
        Self { config: Arc::new(config), challenge: None }
    }

    /// Besides, answers ACME servers that look for a TLS-ALPN-01 challenge (RFC 8737), with what `resolver` has for
    /// them.
    pub fn with_acme(mut self, resolver: Arc<dyn ResolvesServerCert>) -> Self {
        let mut challenge = config(resolver);
        challenge.alpn_protocols = vec![ACME_ALPN.to_vec()];
        self.challenge = Some(Arc::new(challenge));
        self
    }

    /// Takes a peer's handshake. `None`: it was an ACME server, which has got what it came for.
    ///
    /// # Errors
    /// When the handshake fails or takes too long.
    pub async fn accept<IO>(&self, io: IO) -> io::Result<Option<TlsStream<IO>>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = async {
            let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), io).await?;
            let asks = |hello: &ClientHello<'_>| {
                hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ACME_ALPN))
            };
            match &self.challenge {
                Some(challenge) if asks(&start.client_hello()) => {
                    let mut stream = start.into_stream(challenge.clone()).await?;
                    tokio::io::AsyncWriteExt::shutdown(&mut stream).await?;
                    Ok(None)
                }
                _ => start.into_stream(self.config.clone()).await.map(Some),
            }
        };
        timeout(HANDSHAKE_LIMIT, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn config(resolver: Arc<dyn ResolvesServerCert>) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has suites for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    // librtmp with GnuTLS (Debian's rtmpdump, GStreamer's rtmpsink) takes a ticket behind the handshake for a failed
    // read and gives up. Publishers stay connected: there is nothing to resume.
    config.send_tls13_tickets = 0;
    config
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read, or holds no PEM of the right kind.
    #[error("{what} in {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate is none, or the key is of another certificate or of an unknown kind.
    #[error("{} does not go with {}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
}

/// A certificate chain (the server's own first) and its key, each in a PEM file. [`Self::refresh`] reads them again
/// when they have changed.
#[derive(Debug)]
pub struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<Current>,
}

#[derive(Debug)]
struct Current {
    pair: Arc<CertifiedKey>,
    /// When the files were written that were last looked at, good or not.
    written: Written,
}

type Written = [Option<SystemTime>; 2];

impl CertificateFiles {
    /// Reads both files.
    ///
    /// # Errors
    /// When they hold no certificate with its key.
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Self>, CertificateError> {
        let written = written(certificate, key);
        let pair = read(certificate, key)?;
        let current = ArcSwap::from_pointee(Current { pair: Arc::new(pair), written });
        Ok(Arc::new(Self { certificate: certificate.to_owned(), key: key.to_owned(), current }))
    }

    /// Reads the files again if one was written since the last look, or in any case if `force`. `Ok(true)`: there is
    /// a new certificate, for connections from now on.
    ///
    /// # Errors
    /// When the files hold no certificate with its key; the earlier one stays in use. The same fault is told once.
    pub fn refresh(&self, force: bool) -> Result<bool, CertificateError> {
        let written = written(&self.certificate, &self.key);
        let current = self.current.load_full();
        if written == current.written && !force {
            return Ok(false);
        }
        let (pair, outcome) = match read(&self.certificate, &self.key) {
            Ok(pair) if pair.cert == current.pair.cert => (current.pair.clone(), Ok(false)),
            Ok(pair) => (Arc::new(pair), Ok(true)),
            Err(error) => (current.pair.clone(), Err(error)),
        };
        self.current.store(Arc::new(Current { pair, written }));
        outcome
    }

    /// The chain with its key, as it is now.
    pub fn current(&self) -> Arc<CertifiedKey> {
        self.current.load().pair.clone()
    }

    /// The server's own certificate as it is now, DER.
    pub fn certificate(&self) -> CertificateDer<'static> {
        let pair = self.current();
        pair.cert.first().cloned().expect("a chain is read with one certificate at least")
    }
}

impl ResolvesServerCert for CertificateFiles {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn written(certificate: &Path, key: &Path) -> Written {
    [certificate, key].map(|path| path.metadata().and_then(|metadata| metadata.modified()).ok())
}

fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let fault = |path: &Path, what| {
        let path = path.to_owned();
        move |source| CertificateError::File { path, what, source }
    };
    let chain =
        CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .and_then(|chain| {
                if chain.is_empty() { Err(rustls::pki_types::pem::Error::NoItemsFound) } else { Ok(chain) }
            })
            .map_err(fault(certificate, "no certificate"))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(fault(key, "no private key"))?;
    // Checks besides that the key is the certificate's.
    CertifiedKey::from_der(chain, secret, &provider()).map_err(|source| CertificateError::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })
}
