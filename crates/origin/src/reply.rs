//! Answers as values: a status, headers and shared bytes. One place turns a body and a request's [`Ask`] into 200, 206,
//! 304 or 416, and one turns that into axum's response.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header},
};
use bytes::Bytes;
use hyper::body::Frame;
use serde::Serialize;

use crate::{
    headers::{Ask, Wanted},
    rope::Rope,
};

/// Of things whose name changes with their content.
pub(crate) const FOREVER: &str = "public, max-age=31536000, immutable";
/// Of things that are asked for anew each time, by validator where there is one.
pub(crate) const REVALIDATE: &str = "no-cache";
/// Of errors and of what describes this very moment.
pub(crate) const NEVER: &str = "no-store";

pub(crate) const JSON: &str = "application/json";

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Rope,
}

/// A body that exists, before it is known how much of it is sent.
pub(crate) struct Content<'a> {
    pub(crate) mime: &'a str,
    pub(crate) cache: &'static str,
    /// Strong and quoted; `None` for what has no validator.
    pub(crate) etag: Option<&'a str>,
    pub(crate) form: Form,
    pub(crate) body: Rope,
}

/// What else may be done with a body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Media: served in ranges, never compressed.
    Media,
    /// Text, sent plain; another client may get it compressed.
    Plain,
    /// Text, compressed.
    Gzip,
}

impl Content<'_> {
    /// What every answer about it says.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        set(&mut headers, header::CACHE_CONTROL, self.cache);
        if let Some(etag) = self.etag {
            set(&mut headers, header::ETAG, etag);
        }
        if self.form != Form::Media {
            set(&mut headers, header::VARY, "accept-encoding");
        }
        headers
    }

    /// 304: the client has it.
    pub(crate) fn not_modified(&self) -> Reply {
        Reply { status: StatusCode::NOT_MODIFIED, headers: self.headers(), body: Rope::default() }
    }

    pub(crate) fn reply(self, ask: &Ask<'_>) -> Reply {
        if self.etag.is_some_and(|etag| ask.holds(etag)) {
            return self.not_modified();
        }
        let mut headers = self.headers();
        set(&mut headers, header::CONTENT_TYPE, self.mime);
        let len = self.body.len();
        let wanted = match self.form {
            Form::Media => {
                set(&mut headers, header::ACCEPT_RANGES, "bytes");
                ask.wanted(self.etag.unwrap_or_default(), len)
            }
            Form::Plain | Form::Gzip => {
                set(&mut headers, header::ACCEPT_RANGES, "none");
                Wanted::Whole
            }
        };
        if self.form == Form::Gzip {
            set(&mut headers, header::CONTENT_ENCODING, "gzip");
        }
        match wanted {
            Wanted::Whole => Reply { status: StatusCode::OK, headers, body: self.body },
            Wanted::Part { start, end } => {
                set(&mut headers, header::CONTENT_RANGE, &format!("bytes {start}-{end}/{len}"));
                let body = self.body.slice(start, end + 1);
                Reply { status: StatusCode::PARTIAL_CONTENT, headers, body }
            }
            Wanted::Unsatisfiable => {
                set(&mut headers, header::CONTENT_RANGE, &format!("bytes */{len}"));
                set(&mut headers, header::CACHE_CONTROL, NEVER);
                headers.remove(header::CONTENT_TYPE);
                headers.remove(header::ETAG);
                Reply { status: StatusCode::RANGE_NOT_SATISFIABLE, headers, body: Rope::default() }
            }
        }
    }
}

#[derive(Serialize)]
struct Trouble<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
}

impl Reply {
    /// An error: a sentence a person can use, and the stream it speaks of. Never cached.
    pub(crate) fn refuse(status: StatusCode, sentence: &str, stream: Option<&str>) -> Self {
        let body =
            serde_json::to_vec(&Trouble { error: sentence, stream }).expect("two strings always serialize");
        let mut headers = HeaderMap::new();
        set(&mut headers, header::CONTENT_TYPE, JSON);
        set(&mut headers, header::CACHE_CONTROL, NEVER);
        Self { status, headers, body: Bytes::from(body).into() }
    }

    /// Nothing at all.
    pub(crate) fn empty() -> Self {
        Self { status: StatusCode::OK, headers: HeaderMap::new(), body: Default::default() }
    }

    pub(crate) fn not_found(sentence: &str, stream: Option<&str>) -> Self {
        Self::refuse(StatusCode::NOT_FOUND, sentence, stream)
    }

    /// Not now: come back in a second.
    pub(crate) fn later(sentence: &str, stream: Option<&str>) -> Self {
        Self::refuse(StatusCode::SERVICE_UNAVAILABLE, sentence, stream).with(header::RETRY_AFTER, "1")
    }

    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        set(&mut self.headers, name, value);
        self
    }

    /// For HEAD the body stays here, its length is told (RFC 9110 §9.3.2).
    pub(crate) fn into_response(self, head: bool) -> Response<Body> {
        let len = self.body.len();
        let mut response = Response::new(match self.status {
            StatusCode::NOT_MODIFIED => Body::new(NoBody),
            _ if head => Body::empty(),
            _ => Body::new(self.body),
        });
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if self.status != StatusCode::NOT_MODIFIED {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(len));
        }
        response
    }
}

/// The body of a 304. RFC 9110 §8.6: its Content-Length would be that of what is not sent. An empty body of known
/// length would be sent with a 0.
struct NoBody;

impl HttpBody for NoBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

/// Our own values are visible ASCII; one that were not is left out rather than sent broken.
pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
