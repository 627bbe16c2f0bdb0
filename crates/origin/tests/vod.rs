//! Recordings over HTTP, from somebody who keeps one in memory.

#![allow(clippy::unwrap_used)]

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use hls::snapshot::Document;
use http_body_util::BodyExt;
use media::RecordingId;
use origin::vod::{Found, Media, RecordingRow, Recordings, Refusal, Wanted};
use tower::ServiceExt;

const TOKEN: &str = "0123456789abcdef";
const MEDIA: &[u8] = b"0123456789";

struct List(Document);

impl AsRef<Document> for List {
    fn as_ref(&self) -> &Document {
        &self.0
    }
}

/// One recording, until it is removed.
#[derive(Default)]
struct One(Mutex<bool>);

impl Recordings for One {
    fn find<'a>(&'a self, id: &'a RecordingId, wanted: Wanted<'a>) -> BoxFuture<'a, Result<Found, Refusal>> {
        let found = match wanted {
            _ if id.stream.as_str() != "show" => Err(Refusal::Missing("Gone.".into())),
            Wanted::Multivariant => Ok(Found::List(Box::new(List(Document::new("#EXTM3U\n".repeat(99)))))),
            Wanted::Playlist("later") => Err(Refusal::Later("Soon.".into())),
            Wanted::Segment("v-720p", 12, "m4s") | Wanted::Mp4 { .. } => {
                let read = Box::new(|range: Range<u64>| {
                    let bytes = range.map(|at| Ok(Bytes::from_static(&MEDIA[at as usize..=at as usize])));
                    stream::iter(bytes).boxed()
                });
                let file = matches!(wanted, Wanted::Mp4 { .. });
                Ok(Found::Media(Media {
                    mime: "video/mp4",
                    tag: "abc".into(),
                    length: MEDIA.len() as u64,
                    immutable: !file,
                    file_name: file.then(|| "show-7.mp4".into()),
                    read,
                }))
            }
            _ => Err(Refusal::Missing("No such thing.".into())),
        };
        async { found }.boxed()
    }

    fn rows(&self) -> Vec<RecordingRow> {
        if *self.0.lock().unwrap() {
            return Vec::new();
        }
        let id = "show-1795348800000".parse().unwrap();
        vec![RecordingRow { id, ended_unix_ms: None, duration_ms: 1500, bytes: 9, lost_segments: 2 }]
    }

    fn remove<'a>(&'a self, _: &'a RecordingId) -> BoxFuture<'a, Result<(), Refusal>> {
        let gone = std::mem::replace(&mut *self.0.lock().unwrap(), true);
        async move { if gone { Err(Refusal::Conflict("Twice.".into())) } else { Ok(()) } }.boxed()
    }
}

fn routes(token: Option<&str>) -> Router {
    let library = origin::Library::new();
    let settings = origin::Settings::default();
    let access = settings.access.clone();
    let routes = origin::router(library, settings, None)
        .merge(origin::vod::router(Arc::new(One::default()), token.map(str::to_owned)));
    origin::access::guarded(routes, access)
}

async fn ask(
    routes: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Bytes) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    (head.status, head.headers, body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn media_goes_out_whole_in_ranges_and_not_at_all() {
    let routes = routes(None);
    let segment = "/vod/show-7/7/v-720p/12.m4s";
    let (status, headers, body) = ask(&routes, "GET", segment, &[]).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, MEDIA));
    for (name, want) in [
        ("content-type", "video/mp4"),
        ("content-length", "10"),
        ("etag", "\"abc\""),
        ("accept-ranges", "bytes"),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("access-control-allow-origin", "*"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(headers.get(name).map(|value| value.to_str().unwrap()), Some(want), "{name}");
    }
    let (status, headers, body) = ask(&routes, "GET", segment, &[("range", "bytes=3-5")]).await;
    assert_eq!((status, &body[..]), (StatusCode::PARTIAL_CONTENT, &b"345"[..]));
    assert_eq!(
        (&headers["content-range"], &headers["content-length"]),
        (&"bytes 3-5/10".parse().unwrap(), &"3".parse().unwrap())
    );
    let (status, headers, _) = ask(&routes, "GET", segment, &[("range", "bytes=10-")]).await;
    assert_eq!(
        (status, &headers["content-range"]),
        (StatusCode::RANGE_NOT_SATISFIABLE, &"bytes */10".parse().unwrap())
    );
    let (status, _, body) = ask(&routes, "GET", segment, &[("if-none-match", "\"abc\"")]).await;
    assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
    let (status, headers, body) = ask(&routes, "HEAD", segment, &[]).await;
    assert_eq!((status, body.len(), &headers["content-length"]), (StatusCode::OK, 0, &"10".parse().unwrap()));
    let (_, headers, _) = ask(&routes, "GET", "/vod/show-7/x.mp4?rendition=v-720p", &[]).await;
    assert_eq!(headers["content-disposition"], "attachment; filename=\"show-7.mp4\"");
    assert_eq!(headers["cache-control"], "no-cache");
}

#[tokio::test]
async fn lists_refusals_and_other_methods() {
    let routes = routes(None);
    let (status, headers, _) =
        ask(&routes, "GET", "/vod/show-7/index.m3u8", &[("accept-encoding", "gzip")]).await;
    assert_eq!((status, &headers["content-encoding"]), (StatusCode::OK, &"gzip".parse().unwrap()));
    assert_eq!(headers["content-type"], "application/vnd.apple.mpegurl");
    for (path, want) in [
        ("/vod/show-7/7/later/index.m3u8", 503),
        ("/vod/show-7/7/v-720p/13.m4s", 404),
        ("/vod/other-7/index.m3u8", 404),
        ("/vod/nonsense", 404),
        ("/vod/", 404),
    ] {
        let (status, headers, _) = ask(&routes, "GET", path, &[]).await;
        assert_eq!(status.as_u16(), want, "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert_eq!(headers["access-control-allow-origin"], "*", "players see why");
    }
    assert_eq!(ask(&routes, "POST", "/vod/show-7/index.m3u8", &[]).await.0, StatusCode::METHOD_NOT_ALLOWED);
    let preflight = [("origin", "https://a"), ("access-control-request-method", "GET")];
    assert_eq!(ask(&routes, "OPTIONS", "/vod/show-7/index.m3u8", &preflight).await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_api_wants_the_token() {
    let (list, one) = ("/api/v1/recordings", "/api/v1/recordings/show-1795348800000");
    assert_eq!(
        ask(&routes(None), "GET", list, &[("authorization", "Bearer ")]).await.0,
        StatusCode::FORBIDDEN
    );
    let routes = routes(Some(TOKEN));
    for bad in [
        &[][..],
        &[("authorization", "Bearer 0123456789abcdeF")],
        &[("authorization", "Basic 0123456789abcdef")],
    ] {
        let (status, headers, _) = ask(&routes, "DELETE", one, bad).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(headers.contains_key("www-authenticate"));
    }
    let good = [("authorization", "bearer 0123456789abcdef")];
    let (status, _, body) = ask(&routes, "GET", list, &good).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        String::from_utf8(body.to_vec()).unwrap(),
        "{\"recordings\":[{\"id\":\"show-1795348800000\",\"stream\":\"show\",\"state\":\"recording\",\
         \"started_at\":\"2026-11-22T12:00:00.000Z\",\"ended_at\":null,\"duration_seconds\":1.5,\"bytes\":9,\
         \"lost_segments\":2,\"playlist\":\"/vod/show-1795348800000/index.m3u8\",\
         \"download\":\"/vod/show-1795348800000/show-1795348800000.mp4\"}],\"bytes\":9}"
    );
    for (method, path, want) in [
        ("GET", one, 200),
        ("GET", "/api/v1/recordings/show-8", 404),
        ("GET", "/api/v1/recordings/show", 404),
        ("POST", list, 405),
        ("DELETE", list, 405),
        ("DELETE", one, 204),
        ("DELETE", one, 409),
        ("GET", one, 404),
    ] {
        assert_eq!(ask(&routes, method, path, &good).await.0.as_u16(), want, "{method} {path}");
    }
}
