//! One signed POST, within its budget. hyper's own client: it follows no redirect and sends nothing of its own accord.

use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::{Method, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Hyper, connect::HttpConnector},
    rt::TokioExecutor,
};
use ingest::SecretText;
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::sign;

/// Longest answer that is read, in bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// Sends requests to the addresses of the configuration, and to no others.
#[derive(Debug, Clone)]
pub(super) struct Client {
    hyper: Hyper<HttpsConnector<HttpConnector>, Full<Bytes>>,
    secret: SecretText,
    budget: Duration,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Why nothing that counts came back.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the request failed")]
    Request(#[from] hyper_util::client::legacy::Error),
    #[error("the answer is longer than {ANSWER_MAX} bytes")]
    TooLong,
    #[error("the answer broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Client {
    /// A client that signs with `secret` and gives each request `budget`. The machine's certificates are read only where
    /// TLS is spoken.
    pub(super) fn new(secret: SecretText, budget: Duration, tls: bool) -> io::Result<Self> {
        let builder = HttpsConnectorBuilder::new();
        let builder = if tls {
            builder.with_provider_and_native_roots(ring::default_provider())?
        } else {
            let config = ClientConfig::builder_with_provider(ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?;
            builder
                .with_tls_config(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
        };
        let connector = builder.https_or_http().enable_http1().build();
        let hyper = Hyper::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(8)
            .build(connector);
        Ok(Self { hyper, secret, budget })
    }

    /// Posts `body` to `url`; `id` is the same for each attempt of one delivery.
    pub(super) async fn post(
        &self,
        url: &Uri,
        event: &str,
        id: &str,
        body: Bytes,
    ) -> Result<Answer, CallError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.clone();
        for (name, value) in [
            (header::CONTENT_TYPE.as_str(), "application/json"),
            (header::USER_AGENT.as_str(), concat!("sluice/", env!("CARGO_PKG_VERSION"))),
            ("sluice-event", event),
            ("sluice-delivery", id),
            (sign::HEADER, &sign::signature(self.secret.expose(), now, &body)),
        ] {
            // All of these are plain ASCII of ours.
            if let (Ok(name), Ok(value)) =
                (header::HeaderName::try_from(name), header::HeaderValue::from_str(value))
            {
                request.headers_mut().insert(name, value);
            }
        }
        let exchange = async {
            let response = self.hyper.request(request).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() { CallError::TooLong } else { CallError::Body(error) }
            })?;
            Ok(Answer { status: head.status, body: body.to_bytes() })
        };
        tokio::time::timeout(self.budget, exchange).await.unwrap_or(Err(CallError::Timeout(self.budget)))
    }
}
