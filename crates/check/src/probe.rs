//! HTTP by the book (RFC 9110): compression, validators, HEAD, ranges, other origins, lives of caches.

use crate::fetch::{Answer, Client, PATIENCE, Url};
use crate::report::Findings;

const ORIGIN: (&str, &str) = ("origin", "https://player.example");

async fn ask(client: &Client, method: &str, url: &Url, headers: &[(&str, &str)]) -> Option<Answer> {
    client.request(method, url, headers, PATIENCE).await.ok()
}

/// A playlist or manifest that changes. `target`: seconds of its target duration, if it is a media playlist.
pub(crate) async fn list(client: &Client, url: &Url, place: &str, target: Option<u64>, found: &mut Findings) {
    let Some(zipped) = ask(client, "GET", url, &[("accept-encoding", "gzip"), ORIGIN]).await else { return };
    if zipped.header("content-encoding") != Some("gzip") && zipped.body.len() > 200 {
        found.violation("http.gzip", place, "not compressed, though the request takes gzip");
    } else if !zipped.header("vary").unwrap_or("").to_ascii_lowercase().contains("accept-encoding") {
        found.violation("http.gzip", place, format!("Vary is {:?}", zipped.header("vary")));
    }
    if let Some(plain) = ask(client, "GET", url, &[ORIGIN]).await
        && plain.header("content-encoding").is_some()
    {
        let text = format!("{:?} to a request that takes none", plain.header("content-encoding"));
        found.violation("http.gzip", place, text);
    }
    validators(client, url, place, found).await;
    head(client, url, place, found).await;
    origins(client, url, place, &zipped, found).await;
    match zipped.max_age() {
        None => found.violation(
            "http.cache",
            place,
            format!("Cache-Control is {:?}", zipped.header("cache-control")),
        ),
        Some(age) if target.is_some_and(|t| age > t) => {
            found.violation(
                "http.cache",
                place,
                format!("max-age {age} for a playlist of target duration {target:?}"),
            );
        }
        Some(_) => {}
    }
    let date = |name: &str| zipped.header(name).and_then(http_date);
    if let (Some(target), Some(modified), Some(now)) = (target, date("last-modified"), date("date"))
        && now - modified > 3 * i64::try_from(target).unwrap_or(0)
    {
        found.violation(
            "http.modified",
            place,
            format!("Last-Modified is {} s older than Date", now - modified),
        );
    }
}

/// A segment, part or header that does not change.
pub(crate) async fn media(
    client: &Client,
    url: &Url,
    place: &str,
    target: Option<u64>,
    found: &mut Findings,
) {
    let Some(whole) = ask(client, "GET", url, &[("accept-encoding", "gzip"), ORIGIN]).await else { return };
    if whole.status != 200 {
        return; // told where it was fetched first
    }
    if whole.header("content-encoding").is_some() {
        found.violation("http.encoding", place, "media is compressed for transport");
    }
    head(client, url, place, found).await;
    let size = whole.body.len();
    let last = size.saturating_sub(1).min(199);
    if let Some(part) = ask(client, "GET", url, &[("range", &format!("bytes=10-{last}"))]).await
        && size > 20
    {
        let want = format!("bytes 10-{last}/{size}");
        let is = part.header("content-range").unwrap_or_default();
        if part.status != 206 || is != want || Some(&part.body[..]) != whole.body.get(10..=last) {
            let text = format!(
                "range 10-{last} of {size}: status {}, Content-Range {is:?}, {} bytes",
                part.status,
                part.body.len()
            );
            found.violation("http.range", place, text);
        }
    }
    if let Some(behind) = ask(client, "GET", url, &[("range", &format!("bytes={}-", size + 10))]).await
        && behind.status != 416
    {
        found.violation("http.range", place, format!("a range behind the end: status {}", behind.status));
    }
    match whole.max_age() {
        Some(age) if age >= target.unwrap_or(0) => {}
        _ => found.violation(
            "http.cache",
            place,
            format!("Cache-Control is {:?}", whole.header("cache-control")),
        ),
    }
    let mut lost = url.clone();
    lost.set_path(&format!("{}.not-there", url.path()));
    if let Some(answer) = ask(client, "GET", &lost, &[ORIGIN]).await
        && answer.status >= 400
        && answer.header("access-control-allow-origin").is_none()
    {
        found.violation(
            "http.cors",
            place,
            format!("status {} without Access-Control-Allow-Origin", answer.status),
        );
    }
}

async fn validators(client: &Client, url: &Url, place: &str, found: &mut Findings) {
    // A live list may change between two requests: it has three tries to stay the same.
    for attempt in 0..3 {
        let Some(first) = ask(client, "GET", url, &[]).await else { return };
        let Some(etag) = first.header("etag") else {
            found.violation("http.etag", place, "no ETag");
            return;
        };
        let Some(again) = ask(client, "GET", url, &[("if-none-match", etag)]).await else { return };
        if again.status == 304 && again.body.is_empty() {
            return;
        }
        if again.header("etag") == Some(etag) || attempt == 2 {
            let text =
                format!("status {} to If-None-Match {etag}, ETag {:?}", again.status, again.header("etag"));
            found.violation("http.etag", place, text);
            return;
        }
    }
}

async fn head(client: &Client, url: &Url, place: &str, found: &mut Findings) {
    let (Some(get), Some(head)) = (ask(client, "GET", url, &[]).await, ask(client, "HEAD", url, &[]).await)
    else {
        found.violation("http.head", place, "HEAD is not answered");
        return;
    };
    if head.status != get.status || !head.body.is_empty() || head.media_type() != get.media_type() {
        let text =
            format!("HEAD: status {}, {} bytes, type {:?}", head.status, head.body.len(), head.media_type());
        found.violation("http.head", place, text);
    }
}

async fn origins(client: &Client, url: &Url, place: &str, answer: &Answer, found: &mut Findings) {
    let exposed = answer.header("access-control-expose-headers").unwrap_or("").to_ascii_lowercase();
    if exposed != "*" && !exposed.split(',').any(|h| h.trim() == "age") {
        found.violation("http.expose", place, format!("Access-Control-Expose-Headers is {exposed:?}"));
    }
    let headers =
        [ORIGIN, ("access-control-request-method", "GET"), ("access-control-request-headers", "range")];
    let Some(preflight) = ask(client, "OPTIONS", url, &headers).await else { return };
    let allowed = preflight.header("access-control-allow-headers").unwrap_or("").to_ascii_lowercase();
    let range = allowed == "*" || allowed.split(',').any(|h| h.trim() == "range");
    if !(200..300).contains(&preflight.status)
        || preflight.header("access-control-allow-origin").is_none()
        || !range
    {
        let text = format!("OPTIONS: status {}, Access-Control-Allow-Headers {allowed:?}", preflight.status);
        found.violation("http.preflight", place, text);
    }
}

/// Seconds of Unix time.
pub(crate) fn http_date(text: &str) -> Option<i64> {
    let text = text.strip_suffix("GMT")?;
    jiff::fmt::rfc2822::parse(&format!("{text}+0000")).ok().map(|zoned| zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("yesterday"), None);
    }
}
