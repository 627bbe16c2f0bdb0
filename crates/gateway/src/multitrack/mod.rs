//! OBS's Enhanced Broadcasting ("Multitrack Video"): before it goes live, OBS posts what it has and gets told which
//! pictures to encode. Each becomes a rendition that is copied.
//!
//! ```text
//!  OBS ──POST /api/v1/obs/multitrack──▶ key known? ─▶ offer: sizes and rates of our ladder ──▶ OBS ══RTMP, several tracks══▶
//! ```
//! Errors are told in OBS's own form with status 200: OBS shows `status.html_en_us` to its user, and of an HTTP error
//! nothing but its number.

mod offer;
mod request;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::{HeaderMap, header},
    routing::post,
};
use metrics::counter;
use tracing::info;
use transcode::ladder::RungWish;

use self::{
    offer::{Answer, Audio, Endpoint, Meta, Status, offer},
    request::Request,
};
use crate::desk::{claim::Claim, gate::Gate};

/// Where OBS posts to.
pub(crate) const PATH: &str = "/api/v1/obs/multitrack";
/// Longest request, in bytes; OBS's are about 2 KiB.
const REQUEST_MAX: usize = 64 * 1024;
/// Longest of the texts that are given back as they came.
const ECHO_MAX: usize = 64;

/// What answers go by.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Who may publish.
    pub gate: Arc<Gate>,
    /// The operator's rungs; empty for those that fit.
    pub rungs: Vec<RungWish>,
    /// `publish.url`: where encoders are sent; the host that OBS asked where `None`.
    pub url: Option<String>,
    /// The port of RTMP at that host.
    pub rtmp_port: u16,
}

/// The route, to be merged with the others.
pub(crate) fn router(settings: Settings) -> Router {
    Router::new()
        .route(PATH, post(answer))
        .layer(DefaultBodyLimit::max(REQUEST_MAX))
        .with_state(Arc::new(settings))
}

async fn answer(
    State(settings): State<Arc<Settings>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Json<Answer> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let answer = settings.answer(peer, host, &body).await;
    counter!("sluice_multitrack_requests_total", "result" => answer.status.result).increment(1);
    info!(
        %peer,
        result = answer.status.result,
        tracks = answer.encoder_configurations.len(),
        why = answer.status.html_en_us.as_deref().unwrap_or_default(),
        "OBS asked for its multitrack configuration"
    );
    Json(answer)
}

impl Settings {
    async fn answer(&self, peer: SocketAddr, host: Option<&str>, body: &[u8]) -> Answer {
        let request: Request = match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(error) => return refusal(None, &format!("The request is not what OBS sends: {error}.")),
        };
        let claim = Claim::of_key(peer.ip(), &request.authentication);
        let asks = self.gate.hooks.as_ref().is_some_and(|hooks| hooks.asks());
        match self.gate.known(&claim).await {
            Err(refusal_) => return refusal(Some(&request), &refusal_.description),
            // The webhook may let it in, and is asked when it publishes.
            Ok(None) if !asks => {
                return refusal(
                    Some(&request),
                    "Unknown stream key. Check it in OBS under Settings, Stream.",
                );
            }
            Ok(_) => {}
        }
        let Some(url) = self.url_template(host) else {
            return refusal(Some(&request), "The server does not know its own address; set publish.url.");
        };
        let (encoder_configurations, audio_configurations) = match offer(&request, &self.rungs) {
            Ok(offered) => offered,
            Err(sentence) => return refusal(Some(&request), sentence),
        };
        let status = match request.preferences.further_canvases() {
            0 => Status { result: "success", html_en_us: None },
            _ => Status {
                result: "warning",
                html_en_us: Some("Only the first canvas is streamed to this server.".to_owned()),
            },
        };
        let protocol = if url.starts_with("rtmps:") { "RTMPS" } else { "RTMP" };
        Answer {
            meta: meta(Some(&request)),
            status,
            ingest_endpoints: vec![Endpoint { protocol, url_template: url }],
            encoder_configurations,
            audio_configurations,
        }
    }

    /// `rtmp://HOST[:PORT]/live/{stream_key}`.
    fn url_template(&self, host: Option<&str>) -> Option<String> {
        if let Some(url) = &self.url {
            return Some(format!("{}/{{stream_key}}", url.trim_end_matches('/')));
        }
        // The port of a host: behind the last colon, unless that stands inside an IPv6 address' brackets.
        let host = host?;
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
        if name.is_empty() || name.len() > 255 || !name.bytes().all(plain) {
            return None;
        }
        let port = if self.rtmp_port == 1935 { String::new() } else { format!(":{}", self.rtmp_port) };
        Some(format!("rtmp://{name}{port}/live/{{stream_key}}"))
    }
}

fn meta(request: Option<&Request>) -> Meta {
    let echo = |text: &str| text.chars().filter(|c| !c.is_control()).take(ECHO_MAX).collect();
    Meta {
        service: request.map(|request| echo(&request.service)).unwrap_or_default(),
        schema_version: request.map(|request| echo(&request.schema_version)).unwrap_or_default(),
        config_id: format!("{:016x}", rand::random::<u64>()),
    }
}

/// No, in words that OBS shows as HTML.
fn refusal(request: Option<&Request>, sentence: &str) -> Answer {
    let mut html = String::with_capacity(sentence.len());
    for c in sentence.chars().take(400) {
        match c {
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '&' => html.push_str("&amp;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
    Answer {
        meta: meta(request),
        status: Status { result: "error", html_en_us: Some(html) },
        ingest_endpoints: Vec::new(),
        encoder_configurations: Vec::new(),
        audio_configurations: Audio::default(),
    }
}
