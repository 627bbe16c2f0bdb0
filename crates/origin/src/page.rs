//! The bundled web page (`web/dist`): in the binary of a release, read from disk in a debug build.
//!
//! One HTML file serves `/`, `/watch/{name}` and `/embed/{name}`; everything else it needs stands in `/assets/` under
//! names that change with their content. It needs no other host, and the headers here forbid it any.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt::Write as _,
    io::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::header;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use rust_embed::RustEmbed;

use crate::{
    headers::Ask,
    reply::{Content, FOREVER, Form, REVALIDATE, Reply},
};

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
struct Dist;

/// A file of the page.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) bytes: Bytes,
    pub(crate) mime: String,
    /// Hash of `bytes`, in hexadecimal.
    pub(crate) hash: String,
}

/// The page's files and their compressed forms.
#[derive(Clone)]
pub(crate) struct Page {
    read: fn(&str) -> Option<File>,
    gzipped: Arc<Mutex<HashMap<String, Bytes>>>,
}

/// Who may put the page into a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing<'a> {
    /// Nobody: clicks on it cannot be stolen.
    Forbidden,
    /// The sites that `frame-ancestors` lists so: that is what the embed page is for.
    Allowed(&'a str),
}

/// Compressed files kept; a release has about ten, a debug build makes one for each change.
const KEPT: usize = 64;

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sluice</title>\
    <p>Sluice is running, but its web page was not built: run <code>make web</code>, then build the server again. \
    Streams play from <code>/live/NAME/index.m3u8</code> all the same.</p></html>\n";

impl Page {
    /// The files of `web/dist`.
    pub(crate) fn bundled() -> Self {
        Self::from_source(|path| {
            let file = Dist::get(path)?;
            let bytes = match file.data {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => Bytes::from(bytes),
            };
            let hash = file.metadata.sha256_hash()[..12].iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
            Some(File { bytes, mime: file.metadata.mimetype().to_owned(), hash })
        })
    }

    pub(crate) fn from_source(read: fn(&str) -> Option<File>) -> Self {
        Self { read, gzipped: Arc::default() }
    }

    /// The HTML of a stream's own page: with what sites that link to it show (<https://ogp.me>), whose addresses must be
    /// whole. `origin` is where the client sees this server.
    pub(crate) fn watch(&self, name: &str, origin: Option<&str>, ask: &Ask<'_>) -> Reply {
        let Some(origin) = origin else { return self.html(Framing::Forbidden, ask) };
        let mut file = self.index();
        // Neither holds a character that HTML or an entity tag could mistake: names and hosts keep to few.
        let tags = format!(
            "<meta property=\"og:type\" content=\"video.other\" />\
             <meta property=\"og:title\" content=\"{name}\" />\
             <meta property=\"og:url\" content=\"{origin}/watch/{name}\" />\
             <meta property=\"og:image\" content=\"{origin}/live/{name}/poster.jpg\" />\
             <meta name=\"twitter:card\" content=\"summary_large_image\" />"
        );
        let text = String::from_utf8_lossy(&file.bytes);
        if let Some(end) = text.find("</head>") {
            file.bytes = [&text[..end], &tags, &text[end..]].concat().into();
            file.hash = format!("{}-{name}-{origin}", file.hash);
        }
        self.framed(&file, Framing::Forbidden, ask)
    }

    /// The HTML, for any of its addresses.
    pub(crate) fn html(&self, framing: Framing<'_>, ask: &Ask<'_>) -> Reply {
        self.framed(&self.index(), framing, ask)
    }

    fn index(&self) -> File {
        (self.read)("index.html").unwrap_or_else(|| File {
            bytes: Bytes::from_static(NOT_BUILT.as_bytes()),
            mime: "text/html".to_owned(),
            hash: "not-built".to_owned(),
        })
    }

    fn framed(&self, file: &File, framing: Framing<'_>, ask: &Ask<'_>) -> Reply {
        let ancestors = match framing {
            Framing::Allowed(sites) => sites,
            Framing::Forbidden => "'none'",
        };
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; \
             connect-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; manifest-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
        );
        let reply = self
            .send(file, REVALIDATE, ask)
            .with(header::CONTENT_SECURITY_POLICY, &policy)
            .with(header::REFERRER_POLICY, "no-referrer");
        match framing {
            Framing::Forbidden => reply.with(header::X_FRAME_OPTIONS, "DENY"),
            Framing::Allowed(_) => reply,
        }
    }

    /// A file of `/assets/`.
    pub(crate) fn asset(&self, file: &str, ask: &Ask<'_>) -> Reply {
        match (self.read)(&format!("assets/{file}")) {
            Some(file) => self.send(&file, FOREVER, ask),
            None => Reply::not_found("The page has no such file; reload it, the server may be newer.", None),
        }
    }

    fn send(&self, file: &File, cache: &'static str, ask: &Ask<'_>) -> Reply {
        let text = is_text(&file.mime);
        let mime = if text { format!("{}; charset=utf-8", file.mime) } else { file.mime.clone() };
        let gzip = text && ask.gzip;
        let (form, etag, body) = if gzip {
            (Form::Gzip, format!("\"{}-gz\"", file.hash), self.gzipped(file))
        } else {
            (Form::Plain, format!("\"{}\"", file.hash), file.bytes.clone())
        };
        Content { mime: &mime, cache, etag: Some(&etag), form, body: body.into() }.reply(ask)
    }

    fn gzipped(&self, file: &File) -> Bytes {
        let kept = |page: &Self| {
            page.gzipped.lock().unwrap_or_else(PoisonError::into_inner).get(&file.hash).cloned()
        };
        if let Some(bytes) = kept(self) {
            return bytes;
        }
        let bytes = gzip(&file.bytes, Compression::best());
        let mut gzipped = self.gzipped.lock().unwrap_or_else(PoisonError::into_inner);
        if gzipped.len() >= KEPT {
            gzipped.clear();
        }
        gzipped.insert(file.hash.clone(), bytes.clone());
        bytes
    }
}

/// `bytes` in gzip's format.
pub(crate) fn gzip(bytes: &[u8], level: Compression) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3 + 64), level);
    encoder.write_all(bytes).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail").into()
}

fn is_text(mime: &str) -> bool {
    mime.starts_with("text/")
        || ["application/javascript", "application/json", "application/manifest+json", "image/svg+xml"]
            .contains(&mime)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

    use super::*;

    fn page() -> Page {
        Page::from_source(|path| {
            let (text, mime) = match path {
                "index.html" => ("<!doctype html>", "text/html"),
                "assets/app-x1.js" => {
                    ("export const words = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa';", "text/javascript")
                }
                "assets/dot-x2.png" => ("not text", "image/png"),
                _ => return None,
            };
            Some(File { bytes: text.into(), mime: mime.to_owned(), hash: format!("hash-of-{path}") })
        })
    }

    fn ask(headers: &HeaderMap) -> Ask<'_> {
        Ask::read(&Method::GET, headers)
    }

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn assets_are_kept_for_ever_and_compressed_once() {
        let (page, plain) = (page(), HeaderMap::new());
        let gzip = with(header::ACCEPT_ENCODING, "gzip");
        let script = page.asset("app-x1.js", &ask(&plain));
        assert_eq!(script.headers[header::CACHE_CONTROL], FOREVER);
        assert_eq!(script.headers[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(script.headers[header::ETAG], "\"hash-of-assets/app-x1.js\"");
        let small = page.asset("app-x1.js", &ask(&gzip));
        assert_eq!(small.headers[header::CONTENT_ENCODING], "gzip");
        assert_ne!(small.headers[header::ETAG], script.headers[header::ETAG]);
        assert_eq!(small.body.whole().as_ptr(), page.asset("app-x1.js", &ask(&gzip)).body.whole().as_ptr());
        let picture = page.asset("dot-x2.png", &ask(&gzip));
        assert_eq!(
            (picture.headers.get(header::CONTENT_ENCODING), &picture.body.whole()[..]),
            (None, &b"not text"[..])
        );
        let held = with(header::IF_NONE_MATCH, "\"hash-of-assets/dot-x2.png\"");
        assert_eq!(page.asset("dot-x2.png", &ask(&held)).status, StatusCode::NOT_MODIFIED);
        assert_eq!(page.asset("gone-x3.js", &ask(&plain)).status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_server_built_without_the_page_says_so() {
        let html = |page: Page| page.html(Framing::Forbidden, &ask(&HeaderMap::new()));
        assert_eq!(&html(page()).body.whole()[..], b"<!doctype html>");
        let sentence = html(Page::from_source(|_| None));
        assert_eq!(sentence.status, StatusCode::OK);
        assert!(std::str::from_utf8(&sentence.body.whole()).unwrap().contains("make web"));
    }

    #[test]
    fn a_streams_page_tells_other_sites_its_poster() {
        let page = Page::from_source(|path| {
            let html = "<html><head><title>x</title></head><body></body></html>";
            let file = File { bytes: html.into(), mime: "text/html".to_owned(), hash: "h".to_owned() };
            (path == "index.html").then_some(file)
        });
        let none = HeaderMap::new();
        let reply = page.watch("show", Some("https://tv.example.org:8443"), &ask(&none));
        let html = reply.body.whole();
        let html = std::str::from_utf8(&html).unwrap();
        let tag =
            r#"<meta property="og:image" content="https://tv.example.org:8443/live/show/poster.jpg" />"#;
        assert!(html.contains(tag) && html.find(tag) < html.find("</head>"), "{html}");
        assert_eq!(reply.headers[header::X_FRAME_OPTIONS], "DENY");
        let other = page.watch("another", Some("https://tv.example.org:8443"), &ask(&none));
        assert_ne!(reply.headers[header::ETAG], other.headers[header::ETAG]);
        let plain = page.watch("show", None, &ask(&none));
        assert!(!std::str::from_utf8(&plain.body.whole()).unwrap().contains("og:"), "no address, no tags");
    }

    #[test]
    fn only_text_is_compressed() {
        for (mime, want) in [
            ("text/html", true),
            ("text/javascript", true),
            ("text/css", true),
            ("image/svg+xml", true),
            ("image/png", false),
            ("font/woff2", false),
            ("application/octet-stream", false),
        ] {
            assert_eq!(is_text(mime), want, "{mime}");
        }
    }
}
