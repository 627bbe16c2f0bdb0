//! Webhooks: the operator's own program is asked about publishers (`on_publish`) and told when they leave
//! (`on_unpublish`). `docs/webhooks.md` is the contract.
//!
//! Nothing here runs on the media thread: requests are sent by tasks of the runtime that serves viewers. Questions fail
//! closed; notifications are tried again ([`notify`]).

mod answer;
mod client;
mod notify;
mod sign;
#[cfg(test)]
mod tests;

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use axum::http::Uri;
use ingest::{SecretText, Transport};
use metrics::counter;
use serde::Serialize;
use tokio::{runtime::Handle, sync::oneshot};
use tracing::warn;

pub(crate) use self::answer::{Allowed, Word};
use self::{
    client::Client,
    notify::{Notice, Notifier, Patience},
};
use super::claim::Claim;

/// What the configuration says of webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Asked before anybody publishes.
    pub on_publish: Option<Uri>,
    /// Told when somebody has published.
    pub on_unpublish: Option<Uri>,
    /// Signs both.
    pub secret: SecretText,
    /// For one request, its answer included.
    pub budget: Duration,
    /// Notifications that wait at most.
    pub queue: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on_publish: None,
            on_unpublish: None,
            secret: SecretText::default(),
            budget: Duration::from_secs(5),
            queue: 256,
        }
    }
}

/// The webhooks of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Hooks(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    settings: Settings,
    client: Client,
    notifier: Notifier,
    runtime: Handle,
}

/// Resolves when everything that waited has been tried.
#[derive(Debug)]
pub(crate) struct Rest {
    notifier: Notifier,
    end: oneshot::Receiver<()>,
}

/// A publisher, as webhooks are told of it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(Default))]
pub(crate) struct Facts {
    /// The same in `publish` and `unpublish`.
    pub publication: String,
    /// The stream; `None` as long as nothing but the webhook can say.
    pub stream: Option<String>,
    /// What spoke for the publisher.
    pub proof: &'static str,
    app: String,
    /// The publish name, unless it is a key that was proven.
    name: Option<String>,
    query: String,
    address: String,
    transport: Option<&'static str>,
    /// Whether TLS protects it; RTMPE does not.
    tls: bool,
    encoder: Option<String>,
}

#[derive(Serialize)]
struct Message<'a> {
    event: &'static str,
    unix_ms: u64,
    #[serde(flatten)]
    facts: &'a Facts,
    #[serde(flatten)]
    end: Option<End<'a>>,
}

#[derive(Serialize)]
struct End<'a> {
    clean: bool,
    reason: &'a str,
    seconds: f64,
}

impl Facts {
    /// What `claim` says. A key that was `proven` here is nobody else's business; one that was not is all that the
    /// webhook has to judge by.
    pub(crate) fn of(claim: &Claim, stream: Option<&str>, proof: &'static str, proven: bool) -> Self {
        let hidden = proven && stream != Some(claim.name());
        let query = if proven { claim.query_without_secrets() } else { claim.query().to_owned() };
        Self {
            publication: random_id(),
            stream: stream.map(str::to_owned),
            proof,
            app: claim.app.clone(),
            name: (!hidden).then(|| claim.name().to_owned()),
            query,
            address: claim.address.to_string(),
            transport: claim.transport.map(Transport::as_str),
            tls: claim.transport.is_some_and(Transport::is_tls),
            encoder: claim.encoder.clone(),
        }
    }
}

impl Hooks {
    /// Sets webhooks up, if any are configured. Their tasks run on `runtime`.
    ///
    /// # Errors
    /// When TLS is needed and the machine's certificates cannot be read.
    pub(crate) fn start(settings: Settings, runtime: Handle) -> anyhow::Result<Option<(Self, Rest)>> {
        Self::with_patience(settings, Patience::default(), runtime)
    }

    fn with_patience(
        settings: Settings,
        patience: Patience,
        runtime: Handle,
    ) -> anyhow::Result<Option<(Self, Rest)>> {
        let urls = [&settings.on_publish, &settings.on_unpublish];
        if urls.iter().all(|url| url.is_none()) {
            return Ok(None);
        }
        let tls = urls.iter().any(|url| url.as_ref().is_some_and(|url| url.scheme_str() == Some("https")));
        let client = Client::new(settings.secret.clone(), settings.budget, tls).context(
            "the certificates of authorities cannot be read, which webhooks over https need (package ca-certificates)",
        )?;
        let (notifier, end) = Notifier::start(client.clone(), settings.queue, patience, &runtime);
        let rest = Rest { notifier: notifier.clone(), end };
        Ok(Some((Self(Arc::new(Parts { settings, client, notifier, runtime })), rest)))
    }

    /// Whether publishers are asked about.
    pub(crate) fn asks(&self) -> bool {
        self.0.settings.on_publish.is_some()
    }

    /// Asks about a publisher, if that is configured. May be called from any runtime.
    pub(crate) async fn ask(&self, facts: &Facts) -> Word {
        let Some(url) = self.0.settings.on_publish.clone() else { return Word::Allow(Allowed::default()) };
        let (client, id, body) = (self.0.client.clone(), random_id(), body("publish", facts, None));
        let call = self.0.runtime.spawn(async move { client.post(&url, "publish", &id, body).await });
        let word = match call.await {
            Ok(Ok(answer)) => answer::read(answer.status, &answer.body),
            Ok(Err(error)) => Word::Unclear(chain(&error)),
            Err(_) => Word::Unclear("the question was dropped".to_owned()),
        };
        let outcome = match &word {
            Word::Allow(_) => "ok",
            Word::Deny(_) => "denied",
            Word::Unclear(why) => {
                warn!(why, "the webhook on_publish gave no usable answer; the publisher is refused");
                "failed"
            }
        };
        counter!("sluice_webhook_requests_total", "event" => "publish", "outcome" => outcome).increment(1);
        word
    }

    fn tell_unpublish(&self, facts: &Facts, end: End<'_>) {
        let Some(url) = self.0.settings.on_unpublish.clone() else { return };
        let body = body("unpublish", facts, Some(end));
        self.0.notifier.tell(Notice { url, event: "unpublish", id: random_id(), body });
    }
}

impl Rest {
    /// Waits until everything that waited has been tried once more, for `limit` at most.
    pub(crate) async fn finish(self, limit: Duration) {
        self.notifier.close();
        if tokio::time::timeout(limit, self.end).await.is_err() {
            warn!("not every webhook notification was delivered before the end");
        }
    }
}

/// An accepted publisher. When it is dropped, `on_unpublish` is told.
#[derive(Debug)]
pub(crate) struct Publication {
    hooks: Option<Hooks>,
    facts: Box<Facts>,
    began: Instant,
    clean: bool,
    reason: String,
}

impl Publication {
    /// From now on.
    pub(crate) fn begin(hooks: Option<Hooks>, facts: Facts) -> Self {
        Self {
            hooks,
            facts: Box::new(facts),
            began: Instant::now(),
            clean: false,
            reason: "the connection was lost".to_owned(),
        }
    }

    /// What spoke for the publisher.
    pub(crate) fn proof(&self) -> &'static str {
        self.facts.proof
    }

    /// One that nobody is told of.
    #[cfg(test)]
    pub(crate) fn untold() -> Self {
        Self::begin(None, Facts::default())
    }

    /// Why it ends; `clean` if the encoder said so.
    pub(crate) fn ends(&mut self, clean: bool, reason: &str) {
        self.clean = clean;
        reason.clone_into(&mut self.reason);
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        if let Some(hooks) = &self.hooks {
            let seconds = (self.began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
            hooks.tell_unpublish(&self.facts, End { clean: self.clean, reason: &self.reason, seconds });
        }
    }
}

fn body(event: &'static str, facts: &Facts, end: Option<End<'_>>) -> bytes::Bytes {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let message = Message { event, unix_ms: now, facts, end };
    serde_json::to_vec(&message).expect("text, flags and finite numbers always serialize").into()
}

/// 128 random bits in hexadecimal.
fn random_id() -> String {
    let mut text = String::with_capacity(32);
    for byte in rand::random::<[u8; 16]>() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
