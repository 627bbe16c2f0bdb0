//! Who may watch: the whole router from outside, by path, token and address.

#![expect(clippy::unwrap_used, reason = "all of this file is tests, helpers included")]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Method, Request, StatusCode},
    routing::get,
};
use http_body_util::BodyExt as _;
use origin::{
    Library, Route, Settings,
    access::{Access, Claims, Keys, Policies, Policy, Sites, guarded},
    router,
};
use tower::ServiceExt as _;

/// Streams whose names begin so need a token.
const PRIVATE: &str = "private";

fn keys() -> Keys {
    Keys::new([("k1".to_owned(), b"a secret of some length".to_vec())]).unwrap()
}

fn token(scope: &str, seconds: i64, address: Option<&str>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = Claims {
        expires: now.saturating_add_signed(seconds),
        scope: scope.parse().unwrap(),
        address: address.map(|text| text.parse().unwrap()),
        viewer: None,
    };
    keys().sign(&claims).unwrap()
}

struct Bench(Router);

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Bench {
    fn new(sites: &str) -> Self {
        let access = Arc::new(Access {
            keys: keys(),
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            sites: sites.parse::<Sites>().unwrap(),
            policies: Policies::new(|name| Policy { signed: name.starts_with(PRIVATE) }),
        });
        let settings = Settings { access: access.clone(), ..Settings::default() };
        // As recordings are: routes of somebody else's, merged in.
        let recordings =
            Router::new().route("/vod/{*rest}", get(async |uri: axum::http::Uri| uri.to_string()));
        Self(guarded(router(Library::new(), settings, None).merge(recordings), access))
    }

    async fn ask(&self, method: Method, path: &str, peer: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let peer = SocketAddr::new(peer.parse().unwrap(), 50_000);
        request.extensions_mut().insert(ConnectInfo(peer));
        let (parts, body) = self.0.clone().oneshot(request).await.unwrap().into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, "192.0.2.7", &[]).await
    }
}

impl Answer {
    #[track_caller]
    fn is_refused(&self, sentence: &str, what: &str) {
        assert_eq!(self.status, 403, "{what}: {}", self.body);
        assert_eq!(self.headers["cache-control"], "no-store", "{what}");
        assert_eq!(self.headers["access-control-allow-origin"], "*", "{what}");
        assert_eq!(self.headers["content-type"], "application/json", "{what}");
        let json: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert!(json["error"].as_str().unwrap().contains(sentence), "{what}: {json}");
        assert_eq!(json["stream"], PRIVATE, "{what}");
    }

    /// Whatever it is that the routes said, the gate let it through to them.
    fn passed(&self) -> bool {
        self.status != 403
    }
}

/// What stands below a stream and below a recording; the last is nothing yet.
const BELOW: &[&str] = &[
    "index.m3u8",
    "ll.m3u8",
    "manifest.mpd",
    "thumbnail.jpg",
    "poster.jpg",
    "storyboard.vtt",
    "storyboard-1.jpg",
    "17/720p/index.m3u8",
    "17/720p/iframes.m3u8",
    "17/v-720p/index.m3u8?_HLS_msn=3&_HLS_part=1",
    "17/720p/8.ts",
    "17/v-720p/8.m4s",
    "17/v-720p/8.2.m4s",
    "17/v-720p/init-0123456789abcdef.mp4",
    "17/keys/3.key",
    "what/comes/next",
];

#[tokio::test]
async fn everything_of_a_signed_stream_is_behind_the_gate() {
    let bench = Bench::new("*");
    for (scope, other) in [("live/private", "live/private2"), ("vod/private-17", "vod/private-18")] {
        let good = token(scope, 60, None);
        let forged = format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { 'B' } else { 'A' });
        for below in BELOW {
            let path = format!("/{scope}/{below}");
            for (token, sentence) in [
                (None, "no token"),
                (Some(String::new()), "no token"),
                (Some(forged.clone()), "not valid"),
                (Some(token(scope, -1, None)), "expired"),
                (Some(token(other, 60, None)), "another stream"),
                (Some(token(scope, 60, Some("198.51.100.0/24"))), "another network"),
            ] {
                let path = token.map_or_else(|| path.clone(), |token| format!("/t/{token}{path}"));
                bench.get(&path).await.is_refused(sentence, &path);
            }
            let answer = bench.get(&format!("/t/{good}{path}")).await;
            assert!(answer.passed(), "{path}: {}", answer.body);
            let here = token(scope, 60, Some("192.0.2.0/24"));
            assert!(bench.get(&format!("/t/{here}{path}")).await.passed(), "{path}");
        }
    }
    // The routes behind see the path alone, query and all.
    let good = token("vod/private-17", 60, None);
    let seen = bench.get(&format!("/t/{good}/vod/private-17/index.m3u8?x=1")).await;
    assert_eq!((seen.status.as_u16(), seen.body.as_str()), (200, "/vod/private-17/index.m3u8?x=1"));
}

/// A kind of route that is added must say here which side it is on.
#[tokio::test]
async fn every_kind_of_route_has_its_side_of_the_gate() {
    let bench = Bench::new("*");
    let below = BELOW.iter().map(|below| format!("/live/private/{below}"));
    let others = ["/api/v1/streams/private", "/watch/private", "/embed/private", "/", "/assets/a.js"];
    let others = others.iter().chain(&["/api/v1/streams", "/healthz", "/readyz", "/metrics"]);
    for path in below.chain(others.map(|path| (*path).to_owned())) {
        let kind = Route::parse(path.split('?').next().unwrap()).kind();
        let open = match kind {
            "page" | "asset" | "health" | "metrics" => true,
            "api" => path.ends_with("streams"),
            // Everything else, "unknown" under a stream as well: it may come to be known.
            _ => false,
        };
        let answer = bench.get(&path).await;
        if open {
            assert!(answer.passed(), "{path}");
        } else {
            answer.is_refused("no token", &path);
        }
    }
}

#[tokio::test]
async fn no_other_spelling_leads_around_the_gate() {
    let bench = Bench::new("*");
    for path in [
        "/vod/private%2D17/index.m3u8",
        "/vod/%70rivate-17/index.m3u8",
        "/vod//private-17/index.m3u8",
        "/vod/./private-17/index.m3u8",
        "/vod/x/../private-17/index.m3u8",
        "/%76od/private-17/index.m3u8",
        "/t/x/t/y/vod/private-17/index.m3u8",
        "/t/x/healthz",
        "/t/x/api/v1/streams",
        "/t/x/",
    ] {
        assert_eq!(bench.get(path).await.status, 404, "{path}");
    }
    let good = token("live/private", 60, None);
    // A token for one does not open the other by way of a longer path.
    let path = format!("/t/{good}/live/private/../private2/index.m3u8");
    assert_eq!(bench.get(&path).await.status, 404);
    let path = format!("/t/{good}/live/private2/index.m3u8");
    assert_eq!(bench.get(&path).await.status, 403);
}

#[tokio::test]
async fn what_is_public_needs_no_token_and_takes_any() {
    let bench = Bench::new("*");
    for path in ["/vod/open-17/index.m3u8", "/t/whatever/vod/open-17/index.m3u8"] {
        let answer = bench.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "/vod/open-17/index.m3u8"));
    }
    assert_eq!(bench.get("/live/open/index.m3u8").await.status, 404, "it is not live, and that may be said");
    for page in ["/watch/private", "/t/x/watch/private", "/t/x/embed/private", "/", "/healthz"] {
        assert_eq!(bench.get(page).await.status, 200, "{page}");
    }
}

#[tokio::test]
async fn an_address_is_the_one_behind_trusted_proxies() {
    let bench = Bench::new("*");
    let bound = token("vod/private-17", 60, Some("192.0.2.7/32"));
    let path = format!("/t/{bound}/vod/private-17/index.m3u8");
    for (peer, forwarded, want) in [
        ("192.0.2.7", "", 200),
        ("198.51.100.1", "", 403),
        // Replayed from elsewhere, with a header made up.
        ("198.51.100.1", "192.0.2.7", 403),
        ("10.0.0.1", "192.0.2.7", 200),
        ("10.0.0.1", "192.0.2.7, 198.51.100.1", 403),
        ("10.0.0.1", "198.51.100.1, 192.0.2.7", 200),
    ] {
        let answer = bench.ask(Method::GET, &path, peer, &[("x-forwarded-for", forwarded)]).await;
        assert_eq!(answer.status.as_u16(), want, "{peer} {forwarded}: {}", answer.body);
    }
}

#[tokio::test]
async fn head_is_refused_without_a_body_and_options_is_not() {
    let bench = Bench::new("*");
    let head = bench.ask(Method::HEAD, "/live/private/index.m3u8", "192.0.2.7", &[]).await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (403, ""));
    let preflight = [("origin", "https://tv.example.org"), ("access-control-request-method", "GET")];
    let answer = bench.ask(Method::OPTIONS, "/live/private/index.m3u8", "192.0.2.7", &preflight).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["access-control-allow-origin"]),
        (200, &"*".parse().unwrap())
    );
}

#[tokio::test]
async fn listed_sites_are_named_back_and_others_are_not() {
    let bench = Bench::new("https://tv.example.org,https://a.example");
    for (path, origin, want) in [
        ("/vod/open-17/index.m3u8", "https://tv.example.org", Some("https://tv.example.org")),
        ("/vod/open-17/index.m3u8", "https://a.example", Some("https://a.example")),
        ("/live/private/index.m3u8", "https://a.example", Some("https://a.example")),
        ("/vod/open-17/index.m3u8", "https://evil.example", None),
        ("/vod/open-17/index.m3u8", "null", None),
    ] {
        let answer = bench.ask(Method::GET, path, "192.0.2.7", &[("origin", origin)]).await;
        let told = answer.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(told, want, "{path} {origin}");
        let varies =
            answer.headers.get_all("vary").iter().any(|value| value.to_str().unwrap().contains("origin"));
        assert!(varies, "{:?}", answer.headers);
    }
    let embed = bench.get("/embed/open").await;
    let policy = embed.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.ends_with("frame-ancestors 'self' https://tv.example.org https://a.example"), "{policy}");
    let varies =
        embed.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(varies, ["accept-encoding", "origin"], "both stay");
}
