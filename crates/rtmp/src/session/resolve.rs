//! Where the stream key is: encoders put it into the server address, the stream name or either's query, and split one
//! address between the two as they like.
//!
//! ```text
//!  connect {app, tcUrl} ─▶ Server ─┐
//!  publish name ───────────────────┴▶ app, name, query
//! ```

use crate::limits::{APP_MAX, NAME_MAX, TC_URL_MAX};

/// Query parameters kept; nobody sends more than a handful.
const PAIRS_MAX: usize = 64;

/// Why an address is refused: a sentence for the encoder's user, free of the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Unresolvable {
    #[error("The application in the server address is longer than {APP_MAX} bytes.")]
    LongApp,
    #[error("The server address is longer than {TC_URL_MAX} bytes.")]
    LongUrl,
    #[error("The stream key is longer than {NAME_MAX} bytes.")]
    LongName,
    #[error("The stream key is empty: enter it in the encoder, or append it to the server address.")]
    NoName,
    #[error("The server address or stream key holds '..' or control characters.")]
    Unclean,
}

/// What `connect` said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Server {
    elements: Vec<String>,
    /// Behind `?` in app, then behind `?` in tcUrl.
    queries: [String; 2],
    pub(super) host: Option<String>,
}

/// What is to be published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Resolved {
    pub(super) app: String,
    pub(super) name: String,
    pub(super) query: String,
}

impl Server {
    /// From `app` and `tcUrl`; either may be missing, quoted or padded.
    pub(super) fn parse(app: Option<&str>, tc_url: Option<&str>) -> Result<Self, Unresolvable> {
        let tc_url =
            tc_url.unwrap_or_default().trim_matches(|c: char| is_padding(c) || c == '"' || c == '\'');
        let tc_url = without_auth(tc_url);
        if tc_url.len() > TC_URL_MAX {
            return Err(Unresolvable::LongUrl);
        }
        let (host, path) = split_url(tc_url);
        let (url_path, url_query) = split_query(path);
        let app = without_auth(app.unwrap_or_default().trim_matches(is_padding));
        if app.len() > APP_MAX {
            return Err(Unresolvable::LongApp);
        }
        let (app_path, app_query) = split_query(app);
        let app_path = if app_path.is_empty() { url_path } else { app_path };
        let elements = elements(app_path);
        check_clean(&elements)?;
        let host =
            host.filter(|host| !host.is_empty() && !host.chars().any(char::is_control)).map(str::to_owned);
        Ok(Self { elements, queries: [app_query.to_owned(), url_query.to_owned()], host })
    }

    /// The application, without credentials.
    pub(super) fn app(&self) -> String {
        self.elements.join("/")
    }

    /// Joins `name`, as `publish` or `play` gave it.
    pub(super) fn resolve(&self, name: &str) -> Result<Resolved, Unresolvable> {
        let raw = name.trim_matches(is_padding);
        if raw.len() > NAME_MAX {
            return Err(Unresolvable::LongName);
        }
        let (path, mut query) = raw.split_once('?').unwrap_or((raw, ""));
        let mut app = self.elements.clone();
        let [mut app_query, url_query] = self.queries.each_ref().map(String::as_str);
        let path =
            ["mp4:", "f4v:", "flv:"].iter().find_map(|prefix| path.strip_prefix(prefix)).unwrap_or(path);
        let path = path.strip_suffix(".flv").unwrap_or(path);
        let mut name = elements(path);
        if name.is_empty() {
            // `app?k=v/name`, as FMLE writes it: the name stands behind the query. Only where the application has no
            // element to spare, since a value may hold a slash of its own.
            let behind = |query: &mut &str| {
                let (head, tail) = query.rsplit_once('/').filter(|_| app.len() <= 1)?;
                *query = head;
                Some(elements(tail))
            };
            name = behind(&mut query).or_else(|| behind(&mut app_query)).unwrap_or_default();
        }
        if name.is_empty() {
            name.extend(app.pop()); // the whole address was entered as the server's
        }
        check_clean(&name)?;
        if name.is_empty() {
            return Err(Unresolvable::NoName);
        }
        Ok(Resolved {
            app: app.join("/"),
            name: name.join("/"),
            query: merge_queries(&[query, app_query, url_query]),
        })
    }
}

/// Spaces and line ends around a pasted key.
fn is_padding(c: char) -> bool {
    c.is_whitespace()
}

/// librtmp appends its credentials to whatever stands there; no part of them is a path.
fn without_auth(text: &str) -> &str {
    let at = text.find("?authmod=").or_else(|| text.find("&authmod="));
    at.map_or(text, |at| &text[..at])
}

/// Host without userinfo and port, and what follows the first slash.
fn split_url(url: &str) -> (Option<&str>, &str) {
    let Some((_, rest)) = url.split_once("://") else { return (None, "") };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    (Some(host), path)
}

fn split_query(text: &str) -> (&str, &str) {
    text.split_once(['?', '#']).unwrap_or((text, ""))
}

/// Path elements, percent-decoded once; empty ones and the default instance of FMS are left out.
fn elements(path: &str) -> Vec<String> {
    let decoded = percent_decode(path);
    decoded
        .split('/')
        .map(|element| element.trim_matches(is_padding))
        .filter(|element| !element.is_empty() && *element != "_definst_")
        .map(str::to_owned)
        .collect()
}

fn check_clean(elements: &[String]) -> Result<(), Unresolvable> {
    let unclean =
        |element: &String| element == ".." || element == "." || element.chars().any(char::is_control);
    if elements.iter().any(unclean) { Err(Unresolvable::Unclean) } else { Ok(()) }
}

/// `%41` is `A`; what is no escape stays as it is; bytes that are not UTF-8 are replaced.
fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        let digit = |at: usize| rest.get(at).and_then(|byte| (*byte as char).to_digit(16));
        match (*first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                bytes = &rest[2..];
            }
            _ => {
                out.push(*first);
                bytes = rest;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `k=v` pairs of all, the first of a key wins; at most [`PAIRS_MAX`].
fn merge_queries(queries: &[&str]) -> String {
    fn key(pair: &str) -> &str {
        pair.split('=').next().unwrap_or_default()
    }
    let mut pairs: Vec<&str> = Vec::new();
    for pair in queries.iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
        if pairs.len() < PAIRS_MAX && !pairs.iter().any(|known| key(known) == key(pair)) {
            pairs.push(pair);
        }
    }
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(label: &str, app: &str, tc_url: &str, name: &str, want: [&str; 3]) {
        let server = Server::parse(Some(app), Some(tc_url)).unwrap();
        let got = server.resolve(name).unwrap();
        assert_eq!([got.app.as_str(), &got.name, &got.query], want, "{label}");
    }

    #[test]
    fn the_key_is_found_wherever_it_was_entered() {
        let url = "rtmp://host/live";
        check("the usual", "live", url, "key", ["live", "key", ""]);
        check("query on the key", "live", url, "show?key=a/b=", ["live", "show", "key=a/b="]);
        check(
            "application with instance",
            "live/one",
            "rtmp://host/live/one",
            "key",
            ["live/one", "key", ""],
        );
        check("default instance", "live/_definst_", url, "key", ["live", "key", ""]);
        check("slashes", "/live//", url, "/key", ["live", "key", ""]);
        check("whole address as server", "live/key", "rtmp://host/live/key", "", ["live", "key", ""]);
        check("no application", "", "rtmp://host", "key", ["", "key", ""]);
        check("whole address, no application", "key", "rtmp://host/key", "", ["", "key", ""]);
        check("pasted with line end", "live", url, " key\r\n", ["live", "key", ""]);
        check("FFmpeg's prefix for mp4", "live", url, "mp4:key.mp4", ["live", "key.mp4", ""]);
        check("flv suffix", "live", url, "flv:key.flv", ["live", "key", ""]);
        check("percent-encoded, once", "live", url, "k%65y%2541", ["live", "key%41", ""]);
        check("no escape after all", "live", url, "50%", ["live", "50%", ""]);
        check("name of two elements", "live", url, "room/key", ["live", "room/key", ""]);
        check("query in app", "live?key=k", "rtmp://host/live?key=k", "show", ["live", "show", "key=k"]);
        check("FMLE, all in app", "live?key=k/show", url, "", ["live", "show", "key=k"]);
        check("FMLE, in the name", "live", url, "?key=k/show", ["live", "show", "key=k"]);
        check("query on an empty key", "live/show", url, "?key=a/b", ["live", "show", "key=a/b"]);
        check("name wins", "live?a=1&b=2", "rtmp://host/live?c=3&a=0", "n?b=9", ["live", "n", "b=9&a=1&c=3"]);
        check("credentials in app", "live?authmod=adobe&user=u", url, "key", ["live", "key", ""]);
        check("credentials twice", "live?authmod=llnw?authmod=llnw&user=u", url, "key", ["live", "key", ""]);
        check(
            "credentials behind a query",
            "live?a=1&authmod=adobe&user=u",
            url,
            "key",
            ["live", "key", "a=1"],
        );
        check(
            "credentials in both",
            "live?a=1?authmod=x",
            "rtmp://h/live?a=1?authmod=x",
            "k",
            ["live", "k", "a=1"],
        );
        check(
            "base64 in credentials",
            "live?authmod=adobe&response=a/b+c==",
            url,
            "key",
            ["live", "key", ""],
        );
        check("application in the address alone", "", "rtmp://host/live", "key", ["live", "key", ""]);
        check("whole address in the address alone", "", "rtmp://host/live/key", "", ["live", "key", ""]);
        check(
            "nothing but credentials in app",
            "?authmod=adobe&user=u",
            "rtmp://host",
            "key",
            ["", "key", ""],
        );
        check("non-ASCII", "live", url, "schlüssel", ["live", "schlüssel", ""]);
    }

    #[test]
    fn hosts_are_found() {
        for (url, want) in [
            ("rtmp://example.org/live", Some("example.org")),
            ("\"rtmp://example.org:1935/live\"", Some("example.org")),
            ("rtmps://user:p@ss@example.org:0/live", Some("example.org")),
            ("rtmp://[::1]:1935/live", Some("::1")),
            ("rtmp:///live", None),
            ("rtmp://host?authmod=adobe&user=a@b", Some("host")),
            ("rtmp://host:99999/live", Some("host")),
            ("live", None),
            ("", None),
        ] {
            assert_eq!(Server::parse(Some("live"), Some(url)).unwrap().host.as_deref(), want, "{url}");
        }
        assert_eq!(Server::parse(None, Some("rtmp://h/live/one?k=v")).unwrap().elements, ["live", "one"]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let server = Server::parse(Some("live"), None).unwrap();
        for (name, want) in [
            ("../etc", Unresolvable::Unclean),
            ("a/%2e%2e/b", Unresolvable::Unclean),
            ("a\u{7}b", Unresolvable::Unclean),
            ("a%00b", Unresolvable::Unclean),
            (&"k".repeat(1025), Unresolvable::LongName),
        ] {
            assert_eq!(server.resolve(name), Err(want), "{name:?}");
        }
        assert_eq!(Server::parse(Some(""), None).unwrap().resolve(" "), Err(Unresolvable::NoName));
        assert_eq!(Server::parse(Some(&"a".repeat(1025)), None), Err(Unresolvable::LongApp));
        assert_eq!(Server::parse(None, Some(&"a".repeat(4097))), Err(Unresolvable::LongUrl));
        assert_eq!(Server::parse(Some("a/../b"), None), Err(Unresolvable::Unclean));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(app in ".{0,60}", url in "(rtmp://)?.{0,60}", name in ".{0,60}") {
            if let Ok(server) = Server::parse(Some(&app), Some(&url)) { let _ = server.resolve(&name); }
        }
    }
}
