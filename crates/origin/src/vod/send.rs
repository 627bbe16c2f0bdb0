//! Media that is read while it is sent: validators, ranges, and a body that goes no faster than it is taken.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};
use metrics::counter;

use super::Media;
use crate::{
    headers::{Ask, Wanted},
    reply::{FOREVER, NEVER, REVALIDATE, Reply, set},
};

/// Answers with media, or with what a client that has it, or asks for what is not there, needs.
pub(super) fn media(media: Media, ask: &Ask<'_>) -> Response<Body> {
    let tag = format!("\"{}\"", media.tag);
    let mut headers = HeaderMap::new();
    set(&mut headers, header::CACHE_CONTROL, if media.immutable { FOREVER } else { REVALIDATE });
    set(&mut headers, header::ETAG, &tag);
    if ask.holds(&tag) {
        return Reply { status: StatusCode::NOT_MODIFIED, headers, ..Reply::empty() }.into_response(ask.head);
    }
    set(&mut headers, header::CONTENT_TYPE, media.mime);
    set(&mut headers, header::ACCEPT_RANGES, "bytes");
    if let Some(name) = &media.file_name {
        set(&mut headers, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
    }
    let (status, range) = match ask.wanted(&tag, media.length) {
        Wanted::Whole => (StatusCode::OK, 0..media.length),
        Wanted::Part { start, end } => {
            set(&mut headers, header::CONTENT_RANGE, &format!("bytes {start}-{end}/{}", media.length));
            (StatusCode::PARTIAL_CONTENT, start..end + 1)
        }
        Wanted::Unsatisfiable => {
            let mut headers = HeaderMap::new();
            set(&mut headers, header::CONTENT_RANGE, &format!("bytes */{}", media.length));
            set(&mut headers, header::CACHE_CONTROL, NEVER);
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            return Reply { status, headers, ..Reply::empty() }.into_response(ask.head);
        }
    };
    let length = range.end - range.start;
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let body = if ask.head || length == 0 {
        Body::empty()
    } else {
        counter!("sluice_http_response_bytes_total", "kind" => "vod").increment(length);
        Body::from_stream((media.read)(range))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
