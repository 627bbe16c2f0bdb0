//! Which sites' pages may load streams (CORS) and embed players (`frame-ancestors`).

use std::{fmt, str::FromStr, time::Duration};

use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, header},
};
use tower_http::{
    cors::{Any, CorsLayer},
    set_header::SetResponseHeaderLayer,
};

/// Sites, written as browsers name them: `https://tv.example.org`. None listed: all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sites(Vec<String>);

/// Why a text is no [`Sites`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no site: write it as browsers do, such as \"https://tv.example.org\"")]
pub struct BadSite(String);

impl FromStr for Sites {
    type Err = BadSite;

    /// Commas stand between sites; `*` is all.
    fn from_str(text: &str) -> Result<Self, BadSite> {
        let parts: Vec<_> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.contains(&"*") {
            return Ok(Self::default());
        }
        let site = |part: &&str| {
            if is_site(part) { Ok((*part).to_owned()) } else { Err(BadSite((*part).to_owned())) }
        };
        parts.iter().map(site).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Sites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "*".to_owned() } else { self.0.join(",") }.as_str())
    }
}

impl Sites {
    /// For `frame-ancestors` of what may be embedded (CSP level 3 §6.4.2): this server's own pages always may.
    pub(crate) fn ancestors(&self) -> String {
        if self.0.is_empty() { "*".to_owned() } else { format!("'self' {}", self.0.join(" ")) }
    }
}

/// Scheme and host in small letters, perhaps a port: what a browser sends as Origin (RFC 6454 §6.2), and nothing that
/// could end a list in a header.
fn is_site(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-:[]".contains(&b);
        !host.is_empty() && host.len() <= 255 && host.bytes().all(fits)
    })
}

/// The headers that every answer has, refusals too: a player that may not read a refusal sees a broken network.
pub(super) fn headers(routes: Router, sites: &Sites) -> Router {
    let cors = CorsLayer::new()
        .allow_methods([Method::GET, Method::HEAD, Method::OPTIONS])
        .allow_headers([header::RANGE, header::IF_NONE_MATCH, header::IF_RANGE, header::AUTHORIZATION])
        .expose_headers([
            header::AGE,
            header::DATE,
            header::ETAG,
            header::CONTENT_LENGTH,
            header::CONTENT_RANGE,
            header::RETRY_AFTER,
        ])
        .max_age(Duration::from_secs(86_400));
    let cors = if sites.0.is_empty() {
        // `*` does not vary: caches keep one copy for all sites.
        cors.allow_origin(Any).vary([])
    } else {
        let listed = sites.0.iter().filter_map(|site| HeaderValue::from_str(site).ok());
        cors.allow_origin(listed.collect::<Vec<_>>()).vary([header::ORIGIN])
    };
    let always = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    routes
        .layer(cors)
        .layer(always(HeaderName::from_static("timing-allow-origin"), "*"))
        .layer(always(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_read_as_browsers_write_them() {
        let read = |text: &str| text.parse::<Sites>().map(|sites| (sites.to_string(), sites.ancestors()));
        for all in ["", "*", " * , https://a.example"] {
            assert_eq!(read(all), Ok(("*".to_owned(), "*".to_owned())), "{all:?}");
        }
        let two = "https://tv.example.org,http://localhost:3000";
        let ancestors = "'self' https://tv.example.org http://localhost:3000";
        assert_eq!(read(two), Ok((two.to_owned(), ancestors.to_owned())));
        for bad in [
            "tv.example.org",
            "https://",
            "https://TV.example.org",
            "https://a.example/",
            "ftp://a",
            "https://a;b",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
