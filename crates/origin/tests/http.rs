//! The router from outside: hand-built streams, one request at a time, every row of what HTTP has to say.

#![expect(clippy::unwrap_used, reason = "all of this file is tests, helpers included")]

use std::{
    io::Read as _,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use bytes::Bytes;
use hls::{
    Part, Segment,
    presentation::{
        Bandwidth, Family, Presentation, RenditionSpec, Role, Settings as PresentationSettings, VideoSpec,
    },
    snapshot::{Phase, Snapshot},
    storyboard::{NewSheet, Storyboard},
};
use http_body_util::BodyExt as _;
use media::{AudioConfig, Epoch, FrameRate, MediaSequence, MediaSpan, MediaTime, VideoConfig, aac, h264};
use origin::{
    Library, Listing, Made, Picture, Pictures, PublisherInfo, Readiness, RenditionInfo, Settings, State,
    StreamInfo, access::guarded, router,
};
use tower::ServiceExt as _;

/// The SPS of a 1280x720 picture at 30 frames a second, High profile, level 3.1, and its PPS.
const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
];
const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
const SEGMENT_BYTES: usize = 188 * 10;

/// A stream of two renditions that a test moves by hand.
struct Show {
    presentation: Presentation,
    now: Instant,
}

impl Show {
    fn new(session: u64) -> Self {
        let rendition = |id: &str, width, height| RenditionSpec {
            id: id.to_owned(),
            family: Family::Ts,
            video: Some(VideoSpec { width, height, frame_rate: FrameRate::new(30, 1) }),
            has_audio: true,
            bandwidth: Bandwidth::Declared { peak_bps: 3_000_000, average_bps: 2_000_000 },
            role: Role::Variant(None),
        };
        let settings = PresentationSettings {
            name: "show".parse().unwrap(),
            session: Epoch(session),
            target_duration: 2,
            window: MediaSpan::from_millis(12_000),
            min_segments: 6,
            discontinuity_sequence: 0,
            part_target: MediaSpan::from_millis(500),
        };
        let mut presentation =
            Presentation::new(settings, vec![rendition("720p", 1280, 720), rendition("360p", 640, 360)]);
        let video =
            h264::Config::from_units(vec![Bytes::from_static(SPS)], vec![Bytes::from_static(PPS)]).unwrap();
        let (video, audio) =
            (VideoConfig::H264(video), AudioConfig::Aac(aac::Config::lc(48_000, 2).unwrap()));
        for rendition in 0..2 {
            presentation.set_codecs(rendition, Some(&video), Some(&audio));
        }
        Self { presentation, now: Instant::now() }
    }

    /// Lists a segment whose bytes tell its place.
    fn push(&mut self, rendition: usize, sequence: u64) {
        let segment = Segment {
            sequence: MediaSequence(sequence),
            start: MediaTime::from_ticks(sequence as i64 * 180_000),
            duration: MediaSpan::from_millis(2000),
            discontinuity: false,
            gap: false,
            unix_micros: 1_763_800_000_000_000 + sequence as i64 * 2_000_000,
            bytes: body_of(rendition, sequence),
            ..Segment::default()
        };
        self.now += Duration::from_secs(2);
        self.presentation.push(self.now, rendition, segment);
    }

    fn both(&mut self, sequences: std::ops::Range<u64>) -> Arc<Snapshot> {
        for sequence in sequences {
            self.push(0, sequence);
            self.push(1, sequence);
        }
        self.presentation.snapshot()
    }
}

fn body_of(rendition: usize, sequence: u64) -> Bytes {
    (0..SEGMENT_BYTES)
        .map(|at| (at as u64 * 7 + sequence * 3 + rendition as u64) as u8)
        .collect::<Vec<_>>()
        .into()
}

/// A router over a library, and what a test may turn.
struct Bench {
    library: Library,
    router: Router,
    readiness: Readiness,
}

impl Bench {
    fn new() -> Self {
        Self::with(Settings { start_wait: Duration::from_millis(30), ..Settings::default() })
    }

    fn with(settings: Settings) -> Self {
        let (library, readiness) = (Library::new(), settings.readiness.clone());
        let access = settings.access.clone();
        let routes = router(library.clone(), settings, None);
        Self { router: guarded(routes, access), library, readiness }
    }

    /// With the stream `show`, session 17, segments 0 to 8 in both renditions.
    fn live() -> (Self, Show, Listing) {
        let bench = Self::new();
        let mut show = Show::new(17);
        let listing = bench.library.open("show".parse().unwrap(), show.both(0..9));
        (bench, show, listing)
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            path: path.to_owned(),
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, path, headers).await
    }
}

#[derive(Debug)]
struct Answer {
    path: String,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), "application/json", "{}", self.path);
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    fn is(&self, status: u16, headers: &[(&str, &str)]) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}: {:?}", self.path, self.body);
        for (name, want) in headers {
            assert_eq!(self.header(name), *want, "{name} of {}", self.path);
        }
        assert_eq!(self.header("access-control-allow-origin"), "*", "CORS of {}", self.path);
        assert_eq!(self.header("x-content-type-options"), "nosniff", "{}", self.path);
        self
    }

    #[track_caller]
    fn is_refusal(&self, status: u16, sentence_holds: &str, stream: Option<&str>) {
        self.is(status, &[("cache-control", "no-store")]);
        let json = self.json();
        let sentence = json["error"].as_str().unwrap();
        assert!(sentence.contains(sentence_holds) && sentence.ends_with('.'), "{}: {sentence:?}", self.path);
        assert_eq!(json["stream"].as_str(), stream, "{}", self.path);
    }
}

fn gunzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

const LIST: &[(&str, &str)] = &[
    ("content-type", "application/vnd.apple.mpegurl"),
    ("cache-control", "no-cache"),
    ("vary", "accept-encoding"),
    ("accept-ranges", "none"),
    ("timing-allow-origin", "*"),
];
const MULTIVARIANT: &str = "/live/show/index.m3u8";
const PLAYLIST: &str = "/live/show/17/720p/index.m3u8";
const SEGMENT: &str = "/live/show/17/720p/8.ts";

#[tokio::test]
async fn a_segment_in_pieces_is_served_as_one() {
    let (bench, mut show, listing) = Bench::live();
    let part = |bytes: &'static [u8]| Part {
        start: MediaTime::ZERO,
        duration: MediaSpan::from_millis(1000),
        independent: true,
        gap: false,
        bytes: Bytes::from_static(bytes),
    };
    let segment = Segment {
        sequence: MediaSequence(9),
        start: MediaTime::from_ticks(9 * 180_000),
        duration: MediaSpan::from_millis(2000),
        unix_micros: 1_763_800_018_000_000,
        parts: vec![part(b"abcd"), part(b""), part(b"efg"), part(b"hij")],
        ..Segment::default()
    };
    show.presentation.push(show.now, 0, segment);
    listing.update(show.presentation.snapshot());
    let path = "/live/show/17/720p/9.ts";
    let whole = bench.get(path, &[]).await;
    whole.is(200, &[("content-length", "10"), ("accept-ranges", "bytes")]);
    assert_eq!(&whole.body[..], b"abcdefghij");
    let head = bench.ask(Method::HEAD, path, &[("range", "bytes=2-7")]).await;
    head.is(200, &[("content-length", "10")]);
    assert!(head.body.is_empty());
    for (range, told, want) in [
        ("bytes=2-7", "bytes 2-7/10", "cdefgh"),
        ("bytes=4-6", "bytes 4-6/10", "efg"),
        ("bytes=-3", "bytes 7-9/10", "hij"),
        ("bytes=0-", "bytes 0-9/10", "abcdefghij"),
    ] {
        let answer = bench.get(path, &[("range", range)]).await;
        answer.is(206, &[("content-range", told), ("content-length", &want.len().to_string())]);
        assert_eq!(answer.text(), want, "{range}");
    }
    bench.get(path, &[("range", "bytes=10-")]).await.is(416, &[("content-range", "bytes */10")]);
}

#[tokio::test]
async fn lists_are_served_with_their_headers() {
    let (bench, _show, _listing) = Bench::live();
    let top = bench.get(MULTIVARIANT, &[]).await;
    top.is(200, LIST).is(200, &[("content-encoding", ""), ("content-length", &top.body.len().to_string())]);
    assert!(
        top.text().starts_with("#EXTM3U\n") && top.text().contains("17/720p/index.m3u8"),
        "{}",
        top.text()
    );
    let list = bench.get(PLAYLIST, &[]).await;
    list.is(200, LIST);
    assert!(list.text().contains("\n8.ts\n"), "{}", list.text());
    // A range on a list means nothing; a query is ignored.
    bench.get(PLAYLIST, &[("range", "bytes=0-3")]).await.is(200, LIST);
    bench.get("/live/show/17/720p/index.m3u8?token=1", &[]).await.is(200, LIST);
}

#[tokio::test]
async fn lists_are_compressed_for_those_who_accept_it() {
    let (bench, _show, _listing) = Bench::live();
    for path in [MULTIVARIANT, PLAYLIST] {
        let plain = bench.get(path, &[("accept-encoding", "gzip;q=0, br")]).await;
        plain.is(200, LIST).is(200, &[("content-encoding", "")]);
        let small = bench.get(path, &[("accept-encoding", "br, gzip")]).await;
        small.is(200, LIST).is(200, &[("content-encoding", "gzip")]);
        assert_eq!(gunzip(&small.body), plain.text());
        assert_ne!(small.header("etag"), plain.header("etag"), "each form has its own tag");
    }
    let media = bench.get(SEGMENT, &[("accept-encoding", "gzip")]).await;
    media.is(200, &[("content-encoding", ""), ("vary", "")]);
}

#[tokio::test]
async fn what_a_client_holds_is_not_sent_again() {
    let (bench, mut show, listing) = Bench::live();
    for path in [MULTIVARIANT, PLAYLIST, SEGMENT] {
        let first = bench.get(path, &[]).await;
        let etag = first.header("etag").to_owned();
        for value in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
            let again = bench.get(path, &[("if-none-match", &value)]).await;
            again.is(304, &[("etag", &etag), ("content-length", "")]);
            again
                .is(304, &[("cache-control", first.header("cache-control")), ("vary", first.header("vary"))]);
            assert!(again.body.is_empty());
        }
        bench.get(path, &[("if-none-match", "\"other\"")]).await.is(200, &[]);
    }
    let plain = bench.get(PLAYLIST, &[]).await;
    let other_form = [("if-none-match", plain.header("etag")), ("accept-encoding", "gzip")];
    bench.get(PLAYLIST, &other_form).await.is(200, &[("content-encoding", "gzip")]);
    listing.update(show.both(9..10));
    bench.get(PLAYLIST, &[("if-none-match", plain.header("etag"))]).await.is(200, LIST);
    bench.get(SEGMENT, &[("if-none-match", "*")]).await.is(304, &[]);
}

#[tokio::test]
async fn segments_are_served_whole_and_in_ranges() {
    let (bench, _show, _listing) = Bench::live();
    let whole = body_of(0, 8);
    let all = bench.get(SEGMENT, &[]).await;
    let headers = [
        ("content-type", "video/mp2t"),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("accept-ranges", "bytes"),
        ("content-length", "1880"),
        ("timing-allow-origin", "*"),
    ];
    all.is(200, &headers);
    assert_eq!(all.body, whole);
    let etag = all.header("etag").to_owned();
    for (range, want, content_range) in [
        ("bytes=0-187", 0..188, "bytes 0-187/1880"),
        ("bytes=1880-", 0..0, ""),
        ("bytes=188-", 188..1880, "bytes 188-1879/1880"),
        ("bytes=-10", 1870..1880, "bytes 1870-1879/1880"),
        ("bytes=1800-99999", 1800..1880, "bytes 1800-1879/1880"),
    ] {
        let part = bench.get(SEGMENT, &[("range", range)]).await;
        if want.is_empty() {
            part.is(416, &[("content-range", "bytes */1880"), ("cache-control", "no-store")]);
            assert!(part.body.is_empty());
            continue;
        }
        part.is(206, &[("content-range", content_range), ("content-type", "video/mp2t"), ("etag", &etag)]);
        part.is(206, &[("content-length", &want.len().to_string()), ("accept-ranges", "bytes")]);
        assert_eq!(part.body, whole[want], "{range}");
    }
    for unread in ["bytes=0-1,4-5", "bytes=5-1", "chunks=1-2", "nonsense"] {
        bench.get(SEGMENT, &[("range", unread)]).await.is(200, &headers);
    }
    bench.get(SEGMENT, &[("range", "bytes=0-1"), ("if-range", &etag)]).await.is(206, &[]);
    bench.get(SEGMENT, &[("range", "bytes=0-1"), ("if-range", "\"old\"")]).await.is(200, &[]);
}

#[tokio::test]
async fn head_tells_what_get_would_send() {
    let (bench, _show, _listing) = Bench::live();
    for path in
        [MULTIVARIANT, PLAYLIST, SEGMENT, "/api/v1/streams/show", "/live/nobody/index.m3u8", "/healthz", "/"]
    {
        let get = bench.get(path, &[]).await;
        let head = bench.ask(Method::HEAD, path, &[]).await;
        assert!(head.body.is_empty(), "{path}");
        head.is(
            get.status.as_u16(),
            &[("content-type", get.header("content-type")), ("etag", get.header("etag"))],
        );
        if !path.starts_with("/api") {
            head.is(get.status.as_u16(), &[("content-length", &get.body.len().to_string())]);
        }
    }
    // HEAD knows no ranges.
    let head = bench.ask(Method::HEAD, SEGMENT, &[("range", "bytes=0-1")]).await;
    head.is(200, &[("content-length", "1880")]);
}

#[tokio::test]
async fn other_origins_may_ask() {
    let (bench, _show, _listing) = Bench::live();
    let asked = [
        ("origin", "https://example.org"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "range"),
    ];
    for path in [MULTIVARIANT, SEGMENT, "/api/v1/streams", "/live/nobody/index.m3u8"] {
        let preflight = bench.ask(Method::OPTIONS, path, &asked).await;
        preflight.is(200, &[("access-control-max-age", "86400")]);
        for (name, needed) in [
            ("access-control-allow-methods", "GET,HEAD,OPTIONS"),
            ("access-control-allow-headers", "range,if-none-match,if-range,authorization"),
        ] {
            assert_eq!(preflight.header(name).replace(' ', ""), needed);
        }
        let answer = bench.get(path, &asked[..1]).await;
        let exposed = answer.header("access-control-expose-headers").to_owned();
        for name in ["age", "date", "etag", "content-length", "content-range"] {
            assert!(exposed.split(',').any(|each| each.trim() == name), "{name} is not in {exposed:?}");
        }
        assert!(!answer.header("vary").contains("origin"), "one copy for all origins");
    }
}

#[tokio::test]
async fn other_methods_are_refused() {
    let (bench, _show, _listing) = Bench::live();
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = bench.ask(method, MULTIVARIANT, &[]).await;
        answer.is_refusal(405, "GET", None);
        answer.is(405, &[("allow", "GET, HEAD, OPTIONS")]);
    }
}

#[tokio::test]
async fn what_is_not_there_says_so_in_json() {
    let (bench, mut show, listing) = Bench::live();
    for path in [
        "/live/nobody/index.m3u8",
        "/live/nobody/17/720p/index.m3u8",
        "/live/nobody/17/720p/1.ts",
        "/api/v1/streams/nobody",
    ] {
        bench.get(path, &[]).await.is_refusal(404, "No stream named \"nobody\" is live", Some("nobody"));
    }
    for (path, sentence) in [
        ("/live/show/18/720p/index.m3u8", "/live/show/index.m3u8"),
        ("/live/show/18/720p/1.ts", "is over"),
        ("/live/show/17/1080p/index.m3u8", "no rendition \"1080p\""),
        ("/live/show/17/1080p/1.ts", "no rendition \"1080p\""),
        ("/live/show/17/720p/9.ts", "does not exist yet"),
    ] {
        bench.get(path, &[]).await.is_refusal(404, sentence, Some("show"));
    }
    for path in ["/nothing", "/live/show/", "/live/show/17/720p/8.mp4", "/assets/none.js", "/favicon.ico"] {
        bench.get(path, &[]).await.is_refusal(404, "", None);
    }
    show.presentation.gap(show.now, MediaSequence(9), MediaSpan::from_millis(2000), false, 0);
    listing.update(show.presentation.snapshot());
    assert!(bench.get(PLAYLIST, &[]).await.text().contains("#EXT-X-GAP"));
    bench.get("/live/show/17/720p/9.ts", &[]).await.is_refusal(404, "gap", Some("show"));
    // Long after it left the list and its time of grace.
    show.both(10..60);
    show.presentation.trim(show.now + Duration::from_secs(3600));
    listing.update(show.presentation.snapshot());
    bench.get("/live/show/17/720p/0.ts", &[]).await.is_refusal(404, "left the live window", Some("show"));
}

#[tokio::test(start_paused = true)]
async fn a_starting_stream_is_waited_for() {
    let bench = Bench::with(Settings::default());
    let mut show = Show::new(17);
    let listing = bench.library.open("show".parse().unwrap(), show.presentation.snapshot());
    for path in [MULTIVARIANT, PLAYLIST] {
        let began = tokio::time::Instant::now();
        let answer = bench.get(path, &[]).await;
        answer.is_refusal(503, "is starting", Some("show"));
        answer.is(503, &[("retry-after", "1")]);
        assert_eq!(began.elapsed().as_secs(), 6, "{path}");
    }
    // Segments are listed before they are asked for: no reason to wait.
    let began = tokio::time::Instant::now();
    bench.get("/live/show/17/720p/0.ts", &[]).await.is(404, &[]);
    assert!(began.elapsed().is_zero());

    let (bench_ref, began) = (&bench, tokio::time::Instant::now());
    let top = bench_ref.get(MULTIVARIANT, &[]);
    let first = bench_ref.get(PLAYLIST, &[]);
    let second = bench_ref.get("/live/show/17/360p/index.m3u8", &[]);
    let publisher = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        listing.set_info(StreamInfo::default());
        show.push(0, 0);
        listing.update(show.presentation.snapshot());
        tokio::time::sleep(Duration::from_secs(2)).await;
        show.push(1, 0);
        listing.update(show.presentation.snapshot());
    };
    let timed = |asked| async move { (asked.await, began.elapsed().as_secs()) };
    let (top, first, second, ()) = tokio::join!(
        timed(Box::pin(top) as Asked),
        timed(Box::pin(first)),
        timed(Box::pin(second)),
        publisher
    );
    for ((answer, seconds), want) in [(top, 1), (first, 1), (second, 3)] {
        answer.is(200, LIST);
        assert_eq!(seconds, want, "{}", answer.path);
    }
}

type Asked<'a> = std::pin::Pin<Box<dyn Future<Output = Answer> + 'a>>;

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_the_stream_or_the_server_goes() {
    let bench = Bench::with(Settings { waiting_limit: 1, ..Settings::default() });
    let show = Show::new(17);
    let listing = bench.library.open("show".parse().unwrap(), show.presentation.snapshot());
    let began = tokio::time::Instant::now();
    let (gone, full, ()) = tokio::join!(bench.get(MULTIVARIANT, &[]), bench.get(PLAYLIST, &[]), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(listing);
    });
    gone.is_refusal(404, "No stream", Some("show"));
    full.is_refusal(503, "is starting", Some("show"));
    assert_eq!(began.elapsed().as_secs(), 1, "nobody waited longer than for the stream");

    let _listing = bench.library.open("show".parse().unwrap(), show.presentation.snapshot());
    let (answer, ()) = tokio::join!(bench.get(MULTIVARIANT, &[]), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.readiness.set(State::Draining);
    });
    answer.is_refusal(503, "is starting", Some("show"));
    assert_eq!(began.elapsed().as_secs(), 2);
    bench.get(MULTIVARIANT, &[]).await.is(503, &[("retry-after", "1")]);
    assert_eq!(began.elapsed().as_secs(), 2, "no waiting while draining");
}

#[tokio::test]
async fn held_and_ended_streams_are_served() {
    let (bench, mut show, listing) = Bench::live();
    show.presentation.set_phase(Phase::Held);
    listing.update(show.presentation.snapshot());
    bench.get(MULTIVARIANT, &[]).await.is(200, LIST);
    assert_eq!(bench.get("/api/v1/streams/show", &[]).await.json()["state"], "held");
    show.presentation.set_phase(Phase::Ended);
    listing.update(show.presentation.snapshot());
    assert_eq!(bench.get("/api/v1/streams/show", &[]).await.json()["state"], "ended");
    assert!(bench.get(PLAYLIST, &[]).await.text().contains("#EXT-X-ENDLIST"));
    bench.get(SEGMENT, &[]).await.is(200, &[]);
    drop(listing);
    bench.get(PLAYLIST, &[]).await.is_refusal(404, "No stream", Some("show"));
    assert!(bench.library.is_empty());
}

#[tokio::test]
async fn a_stream_that_ends_before_it_began_is_not_waited_for() {
    let bench = Bench::with(Settings::default());
    let mut show = Show::new(17);
    show.presentation.set_phase(Phase::Ended);
    let _listing = bench.library.open("show".parse().unwrap(), show.presentation.snapshot());
    for path in [MULTIVARIANT, PLAYLIST] {
        bench.get(path, &[]).await.is_refusal(404, "ended before", Some("show"));
    }
}

#[tokio::test]
async fn a_new_session_takes_the_name_and_the_old_one_keeps_its_urls() {
    let (bench, mut old, old_listing) = Bench::live();
    old.presentation.set_phase(Phase::Ended);
    old_listing.update(old.presentation.snapshot());
    let mut new = Show::new(18);
    let new_listing = bench.library.open("show".parse().unwrap(), new.both(9..12));
    assert_eq!(bench.library.len(), 1);
    assert!(bench.get(MULTIVARIANT, &[]).await.text().contains("18/720p/index.m3u8"));
    assert!(bench.get(PLAYLIST, &[]).await.text().contains("#EXT-X-ENDLIST"));
    bench.get(SEGMENT, &[]).await.is(200, &[]);
    bench.get("/live/show/18/720p/11.ts", &[]).await.is(200, &[]);
    drop(old_listing);
    bench.get(PLAYLIST, &[]).await.is_refusal(404, "is over", Some("show"));
    bench.get("/live/show/18/720p/index.m3u8", &[]).await.is(200, LIST);
    drop(new_listing);
    assert!(bench.library.is_empty());
}

const NOON: i64 = 1_795_348_800_000_000;

/// A storyboard of one sheet with two tiles, taken at noon.
fn storyboard(full: bool) -> Storyboard {
    let mut storyboard = Storyboard::new(Epoch(NOON as u64 / 1000), 5_000_000, 60_000_000);
    storyboard.put(NewSheet {
        number: 0,
        columns: 5,
        tile: (160, 90),
        tiles: vec![NOON, NOON + 5_000_000],
        full,
        jpeg: Bytes::from_static(b"a sheet"),
    });
    storyboard
}

#[tokio::test]
async fn pictures_are_served_and_renewed() {
    const THUMBNAIL: &str = "/live/show/thumbnail.jpg";
    const SHEET: &str = "/live/show/storyboard-1795348800000.jpg";
    let (bench, mut show, listing) = Bench::live();
    for path in [THUMBNAIL, "/live/show/poster.jpg", "/live/show/storyboard.vtt", SHEET] {
        bench.get(path, &[]).await.is_refusal(404, "no pictures yet", Some("show"));
    }
    bench.get("/live/other/thumbnail.jpg", &[]).await.is_refusal(404, "No stream", Some("other"));
    let told = bench.get("/api/v1/streams/show", &[]).await.json();
    assert!(
        told["thumbnail"].is_null() && told["poster"].is_null() && told["storyboard"].is_null(),
        "{told}"
    );

    let picture =
        |words: &'static str, at| Some(Arc::new(Picture::new(Bytes::from_static(words.as_bytes()), at)));
    let mut pictures = Pictures::default();
    (pictures.thumbnail, pictures.poster) = (picture("small", NOON), picture("large", NOON));
    pictures.show(&storyboard(false));
    listing.set_pictures(pictures.clone());
    let first = bench.get(THUMBNAIL, &[]).await;
    first.is(
        200,
        &[
            ("content-type", "image/jpeg"),
            ("cache-control", "no-cache"),
            ("last-modified", "Sun, 22 Nov 2026 12:00:00 GMT"),
            ("access-control-allow-origin", "*"),
            ("x-content-type-options", "nosniff"),
        ],
    );
    assert_eq!(first.text(), "small");
    let etag = first.header("etag").to_owned();
    for held in [("if-none-match", &etag[..]), ("if-modified-since", "Sun, 22 Nov 2026 12:00:00 GMT")] {
        let same = bench.get(THUMBNAIL, &[held]).await;
        same.is(304, &[("etag", &etag), ("last-modified", "Sun, 22 Nov 2026 12:00:00 GMT")]);
        assert!(same.body.is_empty());
    }
    bench.get("/live/show/poster.jpg?at=1", &[]).await.is(200, &[]);
    let told = bench.get("/api/v1/streams/show", &[]).await.json();
    assert_eq!(told["thumbnail"], "/live/show/thumbnail.jpg?at=1795348800000");
    assert_eq!(told["storyboard"], "/live/show/storyboard.vtt");

    let vtt = bench.get("/live/show/storyboard.vtt", &[("accept-encoding", "gzip")]).await;
    vtt.is(200, &[("content-type", "text/vtt; charset=utf-8"), ("cache-control", "no-cache")]);
    let text = gunzip(&vtt.body);
    assert!(text.contains("\nstoryboard-1795348800000.jpg?tiles=2#xywh=160,0,160,90\n"), "{text}");
    bench.get(SHEET, &[]).await.is(200, &[("cache-control", "no-cache"), ("content-type", "image/jpeg")]);
    bench.get("/live/show/storyboard-5.jpg", &[]).await.is_refusal(404, "has left", Some("show"));

    pictures.thumbnail = picture("other", NOON + 5_000_000);
    pictures.show(&storyboard(true));
    listing.set_pictures(pictures);
    bench.get(THUMBNAIL, &[("if-none-match", &etag)]).await.is(200, &[]);
    bench.get(SHEET, &[]).await.is(200, &[("cache-control", "public, max-age=31536000, immutable")]);

    show.presentation.set_phase(Phase::Ended);
    listing.update(show.presentation.snapshot());
    assert_eq!(bench.get(THUMBNAIL, &[]).await.text(), "other", "ended streams keep the last");
}

#[tokio::test]
async fn a_watch_page_names_its_poster_for_other_sites() {
    if !std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/dist/index.html")).exists() {
        return; // the page is not built here; the page's own tests say the rest
    }
    let bench = Bench::new();
    for (headers, want) in [
        (&[("host", "tv.example.org:8080")][..], Some("http://tv.example.org:8080/live/show/poster.jpg")),
        (
            &[("host", "tv.example.org"), ("x-forwarded-proto", "https")],
            Some("https://tv.example.org/live/show/poster.jpg"),
        ),
        (&[("host", "\"><script>")], None),
        (&[], None),
    ] {
        let answer = bench.get("/watch/show", headers).await;
        let html = answer.text();
        let tag = want.map(|url| format!("<meta property=\"og:image\" content=\"{url}\" />"));
        assert_eq!(html.contains("og:image"), want.is_some(), "{headers:?}");
        assert!(tag.is_none_or(|tag| html.contains(&tag)), "{headers:?}: {html}");
        assert!(!html.contains("<script>"));
    }
}

#[tokio::test]
async fn the_api_tells_the_story_of_a_stream() {
    let (bench, _show, listing) = Bench::live();
    listing.set_info(StreamInfo {
        source: "1280x720, 30 fps, H.264 High, AAC 48 kHz stereo".to_owned(),
        encoder: Some("obs".to_owned()),
        renditions: vec![
            RenditionInfo {
                id: "720p".to_owned(),
                made: Made::Copy,
                reason: "plays everywhere".to_owned(),
                encoding: None,
            },
            RenditionInfo {
                id: "360p".to_owned(),
                made: Made::Encode,
                reason: "for slow links".to_owned(),
                encoding: None,
            },
        ],
        publisher: Some(PublisherInfo {
            since: SystemTime::UNIX_EPOCH,
            transport: Some("rtmps".into()),
            proof: "key".into(),
            address: None,
            quirks: vec!["sends AAC in ADTS frames".to_owned()],
        }),
        notes: vec!["A note.".to_owned()],
        counters: [("timeline_repairs".into(), 3)].into(),
        ..StreamInfo::default()
    });
    bench.get(PLAYLIST, &[("user-agent", "a")]).await;
    bench.get(PLAYLIST, &[("user-agent", "a")]).await;
    bench.get(PLAYLIST, &[("user-agent", "b")]).await;

    let list = bench.get("/api/v1/streams", &[]).await;
    list.is(200, &[("cache-control", "no-store"), ("vary", "accept-encoding")]);
    let list = list.json();
    assert_eq!(list["publish"], serde_json::json!({ "rtmp_port": 1935, "app": "live" }));
    let one = bench.get("/api/v1/streams/show", &[]).await.json();
    assert!(one["now"].as_str().unwrap().ends_with('Z'), "{one}");
    for stream in [&list["streams"][0], &one] {
        for (field, want) in [
            ("name", serde_json::json!("show")),
            ("state", "live".into()),
            ("session", "17".into()),
            ("since", "1970-01-01T00:00:00.017Z".into()),
            ("playlist", "/live/show/index.m3u8".into()),
            ("watch", "/watch/show".into()),
            ("target_duration", 2.into()),
            ("segment_seconds", 2.0.into()),
            ("viewers", 2.into()),
            ("source", "1280x720, 30 fps, H.264 High, AAC 48 kHz stereo".into()),
            ("encoder", "obs".into()),
            (
                "publisher",
                serde_json::json!({
                    "since": "1970-01-01T00:00:00.000Z",
                    "transport": "rtmps",
                    "proof": "key",
                    "address": null,
                    "quirks": ["sends AAC in ADTS frames"],
                }),
            ),
            ("notes", serde_json::json!(["A note."])),
            ("counters", serde_json::json!({ "timeline_repairs": 3 })),
        ] {
            assert_eq!(stream[field], want, "{field}");
        }
        assert_eq!(stream["renditions"][0]["made"], "copy");
        let low = &stream["renditions"][1];
        for (field, want) in [
            ("id", serde_json::json!("360p")),
            ("width", 640.into()),
            ("height", 360.into()),
            ("frame_rate", 30.0.into()),
            ("codecs", "avc1.64001f,mp4a.40.2".into()),
            ("declared_bps", 3_000_000.into()),
            ("made", "encode".into()),
            ("reason", "for slow links".into()),
            ("newest_segment", 8.into()),
            ("bytes_held", (9 * SEGMENT_BYTES).into()),
        ] {
            assert_eq!(low[field], want, "{field}");
        }
        assert_eq!(low["measured_average_bps"], SEGMENT_BYTES * 8 / 2);
    }
    let small = bench.get("/api/v1/streams", &[("accept-encoding", "gzip")]).await;
    small.is(200, &[("content-encoding", "gzip")]);
    assert!(gunzip(&small.body).contains("\"show\""));
}

#[tokio::test]
async fn health_and_readiness() {
    let bench = Bench::new();
    bench.get("/healthz", &[]).await.is(200, &[("cache-control", "no-store")]);
    for (state, status) in [(State::Starting, 503), (State::Ready, 200), (State::Draining, 503)] {
        bench.readiness.set(state);
        assert_eq!(bench.readiness.get(), state);
        bench.get("/readyz", &[]).await.is(status, &[("cache-control", "no-store")]);
    }
    bench.get("/healthz", &[]).await.is(200, &[]);
}

#[tokio::test]
async fn metrics_count_requests_and_show_streams() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _local = metrics::set_default_local_recorder(&recorder);
    let library = Library::new();
    let mut show = Show::new(17);
    let listing = library.open("show".parse().unwrap(), show.both(0..9));
    let publisher = PublisherInfo {
        since: SystemTime::UNIX_EPOCH,
        transport: None,
        proof: "rule".into(),
        address: None,
        quirks: Vec::new(),
    };
    listing.set_info(StreamInfo {
        publisher: Some(publisher),
        counters: [("nal_repairs".into(), 2)].into(),
        ..StreamInfo::default()
    });
    let router = guarded(router(library.clone(), Settings::default(), Some(handle)), Arc::default());
    let bench = Bench { library, router, readiness: Readiness::default() };
    bench.get(SEGMENT, &[]).await;
    bench.get("/live/show/17/720p/99.ts", &[]).await;
    bench.get("/anything/at/all", &[]).await;
    let answer = bench.get("/metrics", &[]).await;
    answer.is(200, &[("content-type", "text/plain; version=0.0.4; charset=utf-8")]);
    for line in [
        "sluice_http_requests_total{kind=\"segment\",status=\"2xx\"} 1",
        "sluice_http_requests_total{kind=\"segment\",status=\"4xx\"} 1",
        "sluice_http_requests_total{kind=\"unknown\",status=\"4xx\"} 1",
        "sluice_stream_state{stream=\"show\",state=\"live\"} 1",
        "sluice_stream_events_total{stream=\"show\",what=\"nal_repairs\"} 2",
        "sluice_stream_publisher{stream=\"show\",transport=\"unknown\",proof=\"rule\"} 1",
        "sluice_stream_quirks{stream=\"show\"} 0",
        "sluice_rendition_bits_per_second{stream=\"show\",rendition=\"720p\",figure=\"declared\"} 3000000",
        "sluice_rendition_newest_segment{stream=\"show\",rendition=\"360p\"} 8",
        "sluice_rendition_held_bytes{stream=\"show\",rendition=\"360p\"} 16920",
    ] {
        assert!(answer.text().lines().any(|each| each == line), "{line} is not in\n{}", answer.text());
    }
    drop(listing);
    assert!(
        !bench.get("/metrics", &[]).await.text().contains("stream=\"show\""),
        "a stream that is gone leaves no line"
    );
}

#[tokio::test]
async fn pages_carry_their_policies() {
    let bench = Bench::new();
    for path in ["/", "/watch/show", "/embed/show"] {
        let page = bench.get(path, &[]).await;
        page.is(200, &[("content-type", "text/html; charset=utf-8"), ("cache-control", "no-cache")]);
        page.is(200, &[("referrer-policy", "no-referrer")]);
        let policy = page.header("content-security-policy");
        assert!(
            policy.contains("script-src 'self';") && policy.contains("media-src 'self' blob:"),
            "{policy}"
        );
        let framed = path.starts_with("/embed");
        assert_eq!(policy.ends_with("frame-ancestors *"), framed, "{path}");
        assert_eq!(page.header("x-frame-options"), if framed { "" } else { "DENY" });
        let etag = page.header("etag").to_owned();
        bench.get(path, &[("if-none-match", &etag)]).await.is(304, &[("etag", &etag)]);
    }
}

#[tokio::test]
async fn media_is_not_copied_on_its_way_out() {
    let (bench, show, _listing) = Bench::live();
    let snapshot = show.presentation.snapshot();
    let held = &snapshot.rendition("720p").unwrap().segment(MediaSequence(8)).unwrap().bytes;
    let sent = bench.get(SEGMENT, &[]).await.body;
    assert_eq!(sent.as_ptr(), held.as_ptr());
    let part = bench.get(SEGMENT, &[("range", "bytes=188-375")]).await.body;
    assert_eq!(part.as_ptr(), held[188..].as_ptr());
}
