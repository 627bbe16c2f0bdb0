//! `/api/v1/recordings`: which there are, and away with one.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Method, Response, StatusCode, header},
};
use media::RecordingId;
use metrics::counter;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Shelf;
use crate::{api::send, headers::Ask, reply::Reply, router::class};

/// A recording in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingRow {
    /// Which.
    pub id: RecordingId,
    /// Milliseconds since 1970; `None` while it is being made.
    pub ended_unix_ms: Option<u64>,
    /// From its beginning to its end, holes included.
    pub duration_ms: u64,
    /// What it takes in the store.
    pub bytes: u64,
    /// Segments that could not be kept.
    pub lost_segments: u64,
}

#[derive(Serialize)]
struct List {
    recordings: Vec<One>,
    bytes: u64,
}

#[derive(Serialize)]
struct One {
    id: String,
    stream: String,
    state: &'static str,
    started_at: String,
    ended_at: Option<String>,
    duration_seconds: f64,
    bytes: u64,
    lost_segments: u64,
    playlist: String,
    download: String,
}

impl From<RecordingRow> for One {
    fn from(row: RecordingRow) -> Self {
        let (id, stream) = (row.id.to_string(), row.id.stream.to_string());
        Self {
            state: if row.ended_unix_ms.is_some() { "complete" } else { "recording" },
            started_at: date(row.id.start.0),
            ended_at: row.ended_unix_ms.map(date),
            duration_seconds: row.duration_ms as f64 / 1000.0,
            bytes: row.bytes,
            lost_segments: row.lost_segments,
            playlist: format!("/vod/{id}/index.m3u8"),
            download: format!("/vod/{id}/{id}.mp4"),
            id,
            stream,
        }
    }
}

fn date(unix_ms: u64) -> String {
    let millis = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    format!("{:.3}", jiff::Timestamp::from_millisecond(millis).unwrap_or_default())
}

pub(super) async fn answer(State(shelf): State<Arc<Shelf>>, request: Request) -> Response<Body> {
    let (request, _) = request.into_parts();
    let ask = Ask::read(&request.method, &request.headers);
    let reply = match shelf.keeps_out(&request.headers) {
        None => shelf.reply(&request.method, request.uri.path(), &ask).await,
        Some(reply) => reply,
    };
    counter!("sluice_http_requests_total", "kind" => "api", "status" => class(reply.status)).increment(1);
    reply.into_response(ask.head)
}

impl Shelf {
    async fn reply(&self, method: &Method, path: &str, ask: &Ask<'_>) -> Reply {
        let id = path.strip_prefix("/api/v1/recordings").and_then(|rest| rest.strip_prefix('/'));
        let id = match id.map(str::parse::<RecordingId>).transpose() {
            Ok(id) => id,
            Err(bad) => return Reply::not_found(&format!("{bad}."), None),
        };
        let rows = async || {
            let recordings = self.recordings.clone();
            tokio::task::spawn_blocking(move || recordings.rows()).await.unwrap_or_default()
        };
        match (method, id) {
            (&Method::GET | &Method::HEAD, None) => {
                let recordings: Vec<One> = rows().await.into_iter().map(One::from).collect();
                let bytes = recordings.iter().map(|one| one.bytes).sum();
                send(&List { recordings, bytes }, ask)
            }
            (&Method::GET | &Method::HEAD, Some(id)) => {
                match rows().await.into_iter().find(|row| row.id == id) {
                    Some(row) => send(&One::from(row), ask),
                    None => {
                        Reply::not_found(&format!("There is no recording {id}."), Some(id.stream.as_str()))
                    }
                }
            }
            (&Method::DELETE, Some(id)) => match self.recordings.remove(&id).await {
                Ok(()) => Reply { status: StatusCode::NO_CONTENT, ..Reply::empty() },
                Err(refusal) => refusal.reply(&id),
            },
            (_, id) => Reply::refuse(StatusCode::METHOD_NOT_ALLOWED, "This works with other methods.", None)
                .with(header::ALLOW, if id.is_some() { "GET, HEAD, DELETE" } else { "GET, HEAD" }),
        }
    }

    /// What somebody without the token is told. Hashes are compared, so that the time it takes says nothing of the token.
    fn keeps_out(&self, headers: &HeaderMap) -> Option<Reply> {
        let Some(token) = &self.admin_token else {
            let why = "Recordings are listed and removed by who has the admin token, and none is set (api.admin_token).";
            return Some(Reply::refuse(StatusCode::FORBIDDEN, why, None));
        };
        let borne = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let borne = borne.and_then(|text| text.split_once(' '));
        let borne =
            borne.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        if borne.is_some_and(|borne| Sha256::digest(borne) == Sha256::digest(token)) {
            return None;
        }
        let reply = Reply::refuse(
            StatusCode::UNAUTHORIZED,
            "Send the admin token: Authorization: Bearer TOKEN.",
            None,
        );
        Some(reply.with(header::WWW_AUTHENTICATE, "Bearer realm=\"sluice\""))
    }
}
