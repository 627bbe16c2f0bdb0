//! The HTTP client: HTTP/1.1 and HTTP/2, plain and over TLS, which tells when each piece of an answer came.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::{Method, Request, Version};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client as Pool, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;
pub use url::Url;

/// Largest body that is read.
pub const BODY_LIMIT: usize = 256 << 20;
/// Largest playlist or manifest, unzipped.
const TEXT_LIMIT: u64 = 16 << 20;
/// How long a connection and a plain answer may take.
pub const PATIENCE: Duration = Duration::from_secs(15);
const REDIRECTS: usize = 5;

/// One client with its kept connections.
#[derive(Clone)]
pub struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// An answer with its times.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// As they came.
    pub headers: HeaderMap,
    /// As sent: not unzipped.
    pub body: Bytes,
    /// HTTP/2 or later.
    pub multiplexed: bool,
    /// When the request was handed over.
    pub sent: Instant,
    /// From then to the answer's head.
    pub head: Duration,
    /// From then to the end of each piece, and how many bytes the body had by then.
    pub pieces: Vec<(Duration, usize)>,
    /// From then to the body's end.
    pub total: Duration,
    /// How many redirects were followed.
    pub redirects: usize,
    /// Where the last one led.
    pub url: Url,
}

impl Answer {
    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The media type without parameters, in small letters.
    pub fn media_type(&self) -> String {
        self.header("content-type")
            .and_then(|v| v.split(';').next())
            .unwrap_or("")
            .trim()
            .to_ascii_lowercase()
    }

    /// The body, unzipped where the head says so.
    ///
    /// # Errors
    /// When it is no gzip, or too much.
    pub fn plain(&self) -> Result<Vec<u8>> {
        if self.header("content-encoding") != Some("gzip") {
            return Ok(self.body.to_vec());
        }
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(&self.body[..])
            .take(TEXT_LIMIT + 1)
            .read_to_end(&mut out)
            .context("gzip body")?;
        if out.len() as u64 > TEXT_LIMIT {
            bail!("over {TEXT_LIMIT} bytes when unzipped");
        }
        Ok(out)
    }

    /// From the first piece of the body to its end.
    pub fn burst(&self) -> Duration {
        self.pieces.first().map_or(Duration::ZERO, |(first, _)| self.total.saturating_sub(*first))
    }

    /// `max-age` of Cache-Control, 0 where it says no-cache or no-store.
    pub fn max_age(&self) -> Option<u64> {
        let text = self.header("cache-control")?.to_ascii_lowercase();
        let words = || text.split(',').map(str::trim);
        if words().any(|w| w == "no-cache" || w == "no-store") {
            return Some(0);
        }
        words().find_map(|w| w.strip_prefix("max-age=")?.parse().ok())
    }
}

impl Client {
    /// `insecure` takes any certificate.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(insecure: bool) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .context("TLS versions")?;
        let config = if insecure {
            let any = AnyCertificate(provider.signature_verification_algorithms);
            builder.dangerous().with_custom_certificate_verifier(Arc::new(any)).with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            // A machine without roots can still check plain HTTP.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            builder.with_root_certificates(roots).with_no_client_auth()
        };
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector);
        let pool = Pool::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Client { pool })
    }

    /// GET without further headers, redirects not followed.
    ///
    /// # Errors
    /// When no answer, or no whole one, came in time.
    pub async fn get(&self, url: &Url) -> Result<Answer> {
        self.request("GET", url, &[], PATIENCE).await
    }

    /// GET that follows redirects, for what a user names.
    ///
    /// # Errors
    /// As `get`, and after too many redirects.
    pub async fn get_anywhere(&self, url: &Url, headers: &[(&str, &str)]) -> Result<Answer> {
        let mut url = url.clone();
        for redirects in 0..=REDIRECTS {
            let mut answer = self.request("GET", &url, headers, PATIENCE).await?;
            answer.redirects = redirects;
            match answer
                .headers
                .get(LOCATION)
                .filter(|_| matches!(answer.status, 301 | 302 | 303 | 307 | 308))
            {
                Some(to) => url = url.join(to.to_str().context("Location is no text")?)?,
                None => return Ok(answer),
            }
        }
        bail!("more than {REDIRECTS} redirects")
    }

    /// Any method; a connection that was closed while it was kept is opened anew, once.
    ///
    /// # Errors
    /// When no answer, or no whole one, came within `patience`.
    pub async fn request(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&str, &str)],
        patience: Duration,
    ) -> Result<Answer> {
        let attempt = || async {
            match timeout(patience, self.attempt(method, url, headers)).await {
                Ok(result) => result,
                Err(_) => bail!("no whole answer within {:.1} s", patience.as_secs_f64()),
            }
        };
        let started = Instant::now();
        match attempt().await {
            Err(_) if started.elapsed() < Duration::from_millis(20) => attempt().await,
            other => other,
        }
        .with_context(|| format!("{method} {url}"))
    }

    async fn attempt(&self, method: &str, url: &Url, headers: &[(&str, &str)]) -> Result<Answer> {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes())?).uri(url.as_str());
        for (name, value) in headers {
            request = request.header(HeaderName::try_from(*name)?, HeaderValue::try_from(*value)?);
        }
        let request = request.body(Empty::new()).context("the request cannot be made")?;
        let sent = Instant::now();
        let response = self.pool.request(request).await?;
        let head = sent.elapsed();
        let (parts, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        let mut pieces = Vec::new();
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame.context("the body ends early")?.into_data() {
                if body.len() + data.len() > BODY_LIMIT {
                    bail!("body over {BODY_LIMIT} bytes");
                }
                body.extend_from_slice(&data);
                pieces.push((sent.elapsed(), body.len()));
            }
        }
        Ok(Answer {
            status: parts.status.as_u16(),
            multiplexed: parts.version >= Version::HTTP_2,
            headers: parts.headers,
            body: body.into(),
            sent,
            head,
            pieces,
            total: sent.elapsed(),
            redirects: 0,
            url: url.clone(),
        })
    }
}

/// Reads a URL as a user types it.
///
/// # Errors
/// When it is none of http or https.
pub fn url(text: &str) -> Result<Url> {
    let url = Url::parse(text).with_context(|| format!("{text} is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        bail!("{text} is no http:// or https:// URL");
    }
    Ok(url)
}

/// Takes any certificate; signatures are verified all the same.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
