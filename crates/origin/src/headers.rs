//! What a request's headers ask for: encodings, validators, ranges (RFC 9110). Pure.

use axum::http::{HeaderMap, Method, header};

/// The part of a request that decides how a known body is sent.
#[derive(Debug, Default)]
pub(crate) struct Ask<'a> {
    /// HEAD: the headers of GET without its body.
    pub(crate) head: bool,
    /// gzip is welcome.
    pub(crate) gzip: bool,
    if_none_match: Option<&'a HeaderMap>,
    if_modified_since: Option<&'a str>,
    range: Option<&'a str>,
    if_range: Option<&'a str>,
}

/// A range read against a body's length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: no range, several, or one that cannot be read.
    Whole,
    /// Bytes `start..=end`.
    Part { start: u64, end: u64 },
    /// Nothing the body has.
    Unsatisfiable,
}

impl<'a> Ask<'a> {
    pub(crate) fn read(method: &Method, headers: &'a HeaderMap) -> Self {
        let text =
            |name| headers.get(name).and_then(|value: &'a axum::http::HeaderValue| value.to_str().ok());
        Self {
            head: method == Method::HEAD,
            gzip: accepts_gzip(headers),
            if_none_match: headers.contains_key(header::IF_NONE_MATCH).then_some(headers),
            if_modified_since: text(header::IF_MODIFIED_SINCE),
            // RFC 9110 §14.2: ranges are defined for GET alone.
            range: if method == Method::GET { text(header::RANGE) } else { None },
            if_range: text(header::IF_RANGE),
        }
    }

    /// Whether the client already holds the representation with this (strong, quoted) tag: RFC 9110 §13.1.2, which
    /// compares weakly.
    pub(crate) fn holds(&self, etag: &str) -> bool {
        let Some(headers) = self.if_none_match else { return false };
        headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|list| list.trim() == "*" || tags(list).any(|tag| tag == etag))
    }

    /// Whether the client holds the representation of this date: RFC 9110 §13.1.3, which counts only where no tag was sent.
    /// Another date, earlier or later, means another picture: a stream may begin anew.
    pub(crate) fn has_of(&self, date: &str) -> bool {
        self.if_none_match.is_none() && self.if_modified_since.is_some_and(|since| since.trim() == date)
    }

    /// The bytes asked for out of `len`.
    pub(crate) fn wanted(&self, etag: &str, len: u64) -> Wanted {
        let Some(range) = self.range else { return Wanted::Whole };
        // RFC 9110 §13.1.5 compares strongly; we have no dates.
        if self.if_range.is_some_and(|tag| tag.trim() != etag) {
            return Wanted::Whole;
        }
        single_range(range, len)
    }
}

/// The opaque tags of a list, quotes kept, `W/` dropped. A comma may stand inside a tag's quotes.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest.find('"')?;
        let len = rest[start + 1..].find('"')? + 2;
        let tag = &rest[start..start + len];
        rest = &rest[start + len..];
        Some(tag)
    })
}

/// RFC 9110 §12.5.3: `gzip` (or its old name), else `*`, with a weight above 0.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        let Ok(list) = value.to_str() else { continue };
        for item in list.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let coding = parts.next().unwrap_or_default();
            let weight = parts
                .filter_map(|parameter| parameter.split_once('='))
                .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
                .map_or(1.0, |(_, weight)| weight.trim().parse::<f32>().unwrap_or(0.0));
            if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
                return weight > 0.0;
            }
            any |= coding == "*" && weight > 0.0;
        }
    }
    any
}

/// One `bytes` range against a body of `len` bytes (RFC 9110 §14.1.2). Several ranges get the whole body, as the
/// standard allows: no player of ours asks for them.
fn single_range(text: &str, len: u64) -> Wanted {
    let Some((unit, set)) = text.trim().split_once('=') else { return Wanted::Whole };
    let Some((first, last)) = set.trim().split_once('-') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Wanted::Whole;
    }
    let number = |digits: &str| match digits {
        "" => Some(None),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(Some(digits.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    };
    let part = |start: u64, end: u64| {
        if start < len { Wanted::Part { start, end: end.min(len - 1) } } else { Wanted::Unsatisfiable }
    };
    match (number(first.trim()), number(last.trim())) {
        (Some(Some(start)), Some(Some(end))) if start <= end => part(start, end),
        (Some(Some(start)), Some(None)) => part(start, u64::MAX),
        (Some(None), Some(Some(0))) => Wanted::Unsatisfiable,
        (Some(None), Some(Some(suffix))) => part(len.saturating_sub(suffix), u64::MAX),
        _ => Wanted::Whole,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(rows: &[(HeaderName, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in rows {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn gzip_only_where_it_is_welcome() {
        for (value, want) in [
            ("gzip", true),
            ("GZIP", true),
            ("x-gzip", true),
            ("gzip, deflate, br", true),
            ("br;q=1.0, gzip;q=0.8", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("*;q=0", false),
            ("*, gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("gzip;q=rubbish", false),
            ("identity", false),
            ("", false),
            ("gzipped", false),
        ] {
            let map = headers(&[(header::ACCEPT_ENCODING, value)]);
            assert_eq!(Ask::read(&Method::GET, &map).gzip, want, "{value:?}");
        }
        assert!(!Ask::read(&Method::GET, &HeaderMap::new()).gzip, "no header at all");
        let two_lines = headers(&[(header::ACCEPT_ENCODING, "br"), (header::ACCEPT_ENCODING, "gzip")]);
        assert!(Ask::read(&Method::GET, &two_lines).gzip);
    }

    #[test]
    fn validators_compare_weakly_and_come_in_lists() {
        for (value, want) in [
            (r#""a""#, true),
            (r#"W/"a""#, true),
            (r#""b", "a""#, true),
            (r#""b",W/"a" "#, true),
            (" * ", true),
            (r#""b""#, false),
            (r#""a,b""#, false),
            (r#""b,", "a""#, true),
            ("a", false),
            (r#""a"#, false),
            ("", false),
        ] {
            let map = headers(&[(header::IF_NONE_MATCH, value)]);
            assert_eq!(Ask::read(&Method::GET, &map).holds(r#""a""#), want, "{value:?}");
        }
        assert!(!Ask::read(&Method::GET, &HeaderMap::new()).holds(r#""a""#));
    }

    #[test]
    fn a_date_counts_where_no_tag_was_sent() {
        let date = "Sun, 22 Nov 2026 12:00:00 GMT";
        let with = |rows: &[(HeaderName, &str)]| Ask::read(&Method::GET, &headers(rows)).has_of(date);
        assert!(with(&[(header::IF_MODIFIED_SINCE, date)]));
        assert!(!with(&[(header::IF_MODIFIED_SINCE, "Sun, 22 Nov 2026 12:00:05 GMT")]));
        assert!(!with(&[(header::IF_MODIFIED_SINCE, date), (header::IF_NONE_MATCH, "\"a\"")]));
        assert!(!with(&[]));
    }

    #[test]
    fn one_range_or_the_whole() {
        use Wanted::{Part, Unsatisfiable, Whole};
        for (value, want) in [
            ("bytes=0-0", Part { start: 0, end: 0 }),
            ("bytes=0-99", Part { start: 0, end: 99 }),
            ("bytes=10-", Part { start: 10, end: 99 }),
            ("Bytes = 10-19", Part { start: 10, end: 19 }),
            ("bytes=90-4000", Part { start: 90, end: 99 }),
            ("bytes=-10", Part { start: 90, end: 99 }),
            ("bytes=-4000", Part { start: 0, end: 99 }),
            ("bytes=0-99999999999999999999999", Part { start: 0, end: 99 }),
            ("bytes=100-", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=0-1,5-6", Whole),
            ("bytes=9-3", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("lines=0-1", Whole),
            ("bytes", Whole),
            ("", Whole),
        ] {
            let map = headers(&[(header::RANGE, value)]);
            assert_eq!(Ask::read(&Method::GET, &map).wanted(r#""a""#, 100), want, "{value:?}");
        }
        let empty = headers(&[(header::RANGE, "bytes=0-")]);
        assert_eq!(Ask::read(&Method::GET, &empty).wanted(r#""a""#, 0), Unsatisfiable);
        assert_eq!(Ask::read(&Method::HEAD, &empty).wanted(r#""a""#, 100), Whole, "HEAD has no ranges");
        for (tag, want) in [
            (r#""a""#, Part { start: 0, end: 99 }),
            (r#"W/"a""#, Whole),
            (r#""b""#, Whole),
            ("Sun, 22 Nov 2026 00:00:00 GMT", Whole),
        ] {
            let map = headers(&[(header::RANGE, "bytes=0-"), (header::IF_RANGE, tag)]);
            assert_eq!(Ask::read(&Method::GET, &map).wanted(r#""a""#, 100), want, "If-Range {tag:?}");
        }
    }
}
