//! `/vod/…`: recordings, as whoever keeps them tells of them. This reads what is asked for and sends it; it knows no store.
//!
//! ```text
//!  /vod/{recording}/index.m3u8                            /vod/{recording}/{name}.mp4?rendition=…&sound=…
//!  /vod/{recording}/{session}/{rendition}/index.m3u8      {n}.m4s | {n}.ts | init-{hash}.mp4
//! ```

mod api;
mod send;

use std::{fmt, io, ops::Range, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Method, Response, StatusCode, header},
    routing::any,
};
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};
use hls::snapshot::Document;
use media::RecordingId;
use metrics::counter;

pub use self::api::RecordingRow;
use crate::{headers::Ask, live, reply::Reply, router::class};

/// What is wanted of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// The multivariant playlist.
    Multivariant,
    /// The media playlist of a rendition.
    Playlist(&'a str),
    /// A header of fragmented MP4, by rendition and name.
    Init(&'a str, &'a str),
    /// A segment, by rendition, number, and what it is taken for: `m4s` or `ts`.
    Segment(&'a str, u64, &'a str),
    /// One MP4 of the pictures and the sound named; the largest and the first where none is named.
    Mp4 {
        /// A rendition with pictures.
        rendition: Option<&'a str>,
        /// A rendition of sound.
        sound: Option<&'a str>,
    },
}

/// It is there.
pub enum Found {
    /// A playlist.
    List(Box<dyn AsRef<Document> + Send + Sync>),
    /// Media.
    Media(Media),
}

/// Bytes that are read when they are sent.
pub struct Media {
    /// Their type.
    pub mime: &'static str,
    /// What they are, without quotes: other bytes have another tag.
    pub tag: String,
    /// How many they are.
    pub length: u64,
    /// The name never stands for other bytes.
    pub immutable: bool,
    /// They are a file to be kept, of this name.
    pub file_name: Option<String>,
    /// Reads a range, which lies within `length`.
    pub read: ReadRange,
}

/// Reads a range of something, in pieces, as fast as they are taken.
pub type ReadRange = Box<dyn FnOnce(Range<u64>) -> BoxStream<'static, io::Result<Bytes>> + Send>;

/// Why there is nothing to send, in a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not exist.
    Missing(String),
    /// It exists, and cannot be done this way: a recording that is still being made cannot be removed.
    Conflict(String),
    /// Not now: the store fails.
    Later(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(why) | Self::Conflict(why) | Self::Later(why) => f.write_str(why),
        }
    }
}

impl Refusal {
    fn reply(&self, id: &RecordingId) -> Reply {
        let stream = Some(id.stream.as_str());
        match self {
            Self::Missing(why) => Reply::not_found(why, stream),
            Self::Conflict(why) => Reply::refuse(StatusCode::CONFLICT, why, stream),
            Self::Later(why) => Reply::later(why, stream),
        }
    }
}

/// Whoever keeps recordings.
pub trait Recordings: Send + Sync + 'static {
    /// Finds something.
    fn find<'a>(&'a self, id: &'a RecordingId, wanted: Wanted<'a>) -> BoxFuture<'a, Result<Found, Refusal>>;
    /// All recordings, the newest first. May block for a moment.
    fn rows(&self) -> Vec<RecordingRow>;
    /// Removes one.
    fn remove<'a>(&'a self, id: &'a RecordingId) -> BoxFuture<'a, Result<(), Refusal>>;
}

/// What the routes share.
struct Shelf {
    recordings: Arc<dyn Recordings>,
    /// Who knows it may list and remove recordings; `None`: nobody may.
    admin_token: Option<String>,
}

/// The routes, to be merged into [`crate::router`], behind the same gate. The API (`/api/v1/recordings`) wants `admin_token` as bearer.
pub fn router(recordings: Arc<dyn Recordings>, admin_token: Option<String>) -> Router {
    let shelf = Arc::new(Shelf { recordings, admin_token });
    let api = Router::new()
        .route("/api/v1/recordings", any(api::answer))
        .route("/api/v1/recordings/{id}", any(api::answer))
        .with_state(shelf.clone());
    Router::new().route("/vod/{*rest}", any(answer)).with_state(shelf).merge(api)
}

async fn answer(State(shelf): State<Arc<Shelf>>, request: Request) -> Response<Body> {
    let (request, _) = request.into_parts();
    let ask = Ask::read(&request.method, &request.headers);
    let response = match request.method {
        Method::GET | Method::HEAD => {
            let query = request.uri.query().unwrap_or_default();
            match read(request.uri.path(), query) {
                Some((id, wanted)) => match shelf.recordings.find(&id, wanted).await {
                    Ok(Found::List(list)) => live::list((*list).as_ref(), &ask).into_response(ask.head),
                    Ok(Found::Media(media)) => send::media(media, &ask),
                    Err(refusal) => refusal.reply(&id).into_response(ask.head),
                },
                None => {
                    Reply::not_found("There is no recording at this address.", None).into_response(ask.head)
                }
            }
        }
        _ => Reply::refuse(StatusCode::METHOD_NOT_ALLOWED, "Only GET, HEAD and OPTIONS work here.", None)
            .with(header::ALLOW, "GET, HEAD, OPTIONS")
            .into_response(false),
    };
    counter!("sluice_http_requests_total", "kind" => "vod", "status" => class(response.status()))
        .increment(1);
    response
}

/// Reads a path and its query. As everywhere, only the canonical spelling is ours; of the query, what is not known is left
/// alone.
fn read<'a>(path: &'a str, query: &'a str) -> Option<(RecordingId, Wanted<'a>)> {
    let mut parts = path.strip_prefix("/vod/")?.split('/');
    let id: RecordingId = parts.next()?.parse().ok()?;
    let parts: Vec<&str> = parts.take(4).collect();
    let plain = |text: &str| {
        !text.is_empty()
            && text.len() <= 128
            && !text.starts_with('.')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if !parts.iter().all(|part| plain(part)) {
        return None;
    }
    let wanted = match parts[..] {
        ["index.m3u8"] => Wanted::Multivariant,
        [file] if file.ends_with(".mp4") => {
            let value = |name: &str| {
                let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs.filter(|(key, value)| *key == name && plain(value)).map(|(_, value)| value).next()
            };
            Wanted::Mp4 { rendition: value("rendition"), sound: value("sound") }
        }
        [session, rendition, file] if session.bytes().all(|b| b.is_ascii_digit()) => {
            match file.split_once('.')? {
                ("index", "m3u8") => Wanted::Playlist(rendition),
                (name, "mp4") if name.starts_with("init-") => Wanted::Init(rendition, file),
                (number, kind @ ("m4s" | "ts")) => {
                    let sound = number == "0" || !number.starts_with(['0', '+']);
                    Wanted::Segment(rendition, number.parse().ok().filter(|_| sound)?, kind)
                }
                _ => return None,
            }
        }
        _ => return None,
    };
    Some((id, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let id = "my-show-7";
        for (path, query, want) in [
            ("index.m3u8", "", Some(Wanted::Multivariant)),
            ("show.mp4", "", Some(Wanted::Mp4 { rendition: None, sound: None })),
            (
                "x.mp4",
                "a=b&rendition=v-720p&sound=a-en",
                Some(Wanted::Mp4 { rendition: Some("v-720p"), sound: Some("a-en") }),
            ),
            ("x.mp4", "rendition=../x", Some(Wanted::Mp4 { rendition: None, sound: None })),
            ("7/v-720p/index.m3u8", "", Some(Wanted::Playlist("v-720p"))),
            ("7/v-720p/12.m4s", "", Some(Wanted::Segment("v-720p", 12, "m4s"))),
            ("7/720p/0.ts", "", Some(Wanted::Segment("720p", 0, "ts"))),
            ("7/v-720p/init-0a.mp4", "", Some(Wanted::Init("v-720p", "init-0a.mp4"))),
            ("7/v-720p/gap-3.m4s", "", None),
            ("7/v-720p/012.m4s", "", None),
            ("7/v-720p/+12.m4s", "", None),
            ("7/v-720p/x.mp4", "", None),
            ("7/../index.m3u8", "", None),
            ("7/v-720p/12.m4s/x", "", None),
            ("x/v-720p/12.m4s", "", None),
            ("", "", None),
            ("index.txt", "", None),
        ] {
            let read = read(&format!("/vod/{id}/{path}"), query).map(|(found, wanted)| {
                assert_eq!(found.to_string(), id);
                format!("{wanted:?}")
            });
            assert_eq!(read, want.map(|want| format!("{want:?}")), "{path}?{query}");
        }
        assert_eq!(read("/vod/show/index.m3u8", ""), None);
    }
}
