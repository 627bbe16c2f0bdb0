//! The router: finds out what is asked, looks it up, waits where that helps, counts, and answers.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State as Shared},
    http::{HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts},
};
use bytes::Bytes;
use hls::snapshot::Snapshot;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    sync::{Semaphore, watch},
    time::sleep_until,
};

use crate::{
    access::Access,
    api::{self, Now, Publish},
    exposition,
    headers::Ask,
    library::{Face, Library},
    live::{self, Patience, Verdict},
    page::{Framing, Page},
    pictures::{self, Pictures},
    reply::{NEVER, Reply, set},
    route::{RenditionPath, Route},
    server::OverTls,
};

/// What the gateway chooses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a request for a playlist waits for a stream that is starting; then it is told to come again. Below the
    /// 10 s that hls.js waits for a first byte.
    pub start_wait: Duration,
    /// How many requests may wait so at once, or for what a list in low latency promised; more are told to come again at
    /// once. Each takes a few hundred bytes beyond its connection.
    pub waiting_limit: usize,
    /// Where encoders publish, for the page's instructions; `None` while that is unknown.
    pub rtmp_port: Option<u16>,
    /// Who may watch what, as [`crate::access::guarded`] has it.
    pub access: Arc<Access>,
    /// What `/readyz` says. Keep a clone to change it.
    pub readiness: Readiness,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            start_wait: Duration::from_secs(6),
            waiting_limit: 65_536,
            rtmp_port: Some(1935),
            access: Arc::default(),
            readiness: Readiness::default(),
        }
    }
}

/// Whether this process wants new viewers: a flag that its clones share.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<State>>);

/// The states of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet: `/readyz` answers 503.
    Starting,
    /// `/readyz` answers 200.
    Ready,
    /// On its way out: `/readyz` answers 503, and no request waits any longer.
    Draining,
}

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(State::Starting)))
    }
}

impl Readiness {
    /// Changes the state for all clones.
    pub fn set(&self, state: State) {
        self.0.send_replace(state);
    }

    /// The state now.
    pub fn get(&self) -> State {
        *self.0.borrow()
    }

    async fn draining(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|state| *state == State::Draining).await;
    }
}

/// All routes that [`Route`] names. `metrics` renders what the process counted, for `/metrics`;
/// without it only the streams' own figures stand there.
///
/// The router answers every path, so other routes are merged into it with `.merge` or `.route`, which take precedence. It
/// lets everybody in: [`crate::access::guarded`] goes around all of it.
/// Viewers are told apart by `ConnectInfo<SocketAddr>` where the server gives it ([`crate::serve`] does).
pub fn router(library: Library, settings: Settings, metrics: Option<PrometheusHandle>) -> Router {
    with_page(library, settings, metrics, Page::bundled())
}

pub(crate) fn with_page(
    library: Library,
    settings: Settings,
    metrics: Option<PrometheusHandle>,
    page: Page,
) -> Router {
    describe_counter!("sluice_http_requests_total", "HTTP requests, by kind of route and class of status");
    describe_counter!("sluice_http_response_bytes_total", "bytes of HTTP response bodies, by kind of route");
    describe_counter!(
        "sluice_http_waits_refused_total",
        "requests that could not wait, because too many did"
    );
    describe_gauge!(
        "sluice_http_waiting",
        "requests that wait for a starting stream, or for what comes next"
    );
    let waiting = Semaphore::new(settings.waiting_limit);
    let origin = Arc::new(Origin { library, settings, metrics, page, waiting });
    Router::new().fallback(answer).with_state(origin)
}

struct Origin {
    library: Library,
    settings: Settings,
    metrics: Option<PrometheusHandle>,
    page: Page,
    waiting: Semaphore,
}

async fn answer(Shared(origin): Shared<Arc<Origin>>, request: Request) -> Response<Body> {
    // Nothing here takes a body: it is dropped unread.
    let (request, _) = request.into_parts();
    let route = Route::parse(request.uri.path());
    let ask = Ask::read(&request.method, &request.headers);
    let reply = match request.method {
        Method::GET | Method::HEAD => origin.reply(route, &ask, &request).await,
        _ => Reply::refuse(StatusCode::METHOD_NOT_ALLOWED, "Only GET, HEAD and OPTIONS work here.", None)
            .with(header::ALLOW, "GET, HEAD, OPTIONS"),
    };
    let kind = route.kind();
    counter!("sluice_http_requests_total", "kind" => kind, "status" => class(reply.status)).increment(1);
    if !ask.head {
        counter!("sluice_http_response_bytes_total", "kind" => kind).increment(reply.body.len());
    }
    reply.into_response(ask.head)
}

pub(crate) fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

impl Origin {
    async fn reply(&self, route: Route<'_>, ask: &Ask<'_>, request: &Parts) -> Reply {
        match route {
            Route::Home => self.page.html(Framing::Forbidden, ask),
            Route::Watch(name) => self.page.watch(name, public_origin(request).as_deref(), ask),
            Route::Embed(_) => self.page.html(Framing::Allowed(&self.settings.access.sites.ancestors()), ask),
            Route::Asset(file) => self.page.asset(file, ask),
            Route::Multivariant(name) => {
                let find = || self.library.newest(name);
                let look = |snapshot: &Snapshot| live::multivariant(snapshot, ask);
                self.listed(name, None, find, live::no_stream, look).await
            }
            Route::Playlist(place) => {
                let find = || self.library.session(place.name, place.session);
                if let Some(face) = find() {
                    saw(&face.borrow().clone(), request);
                }
                let query = request.uri.query().unwrap_or_default();
                let look = |snapshot: &Snapshot| live::playlist(snapshot, place.rendition, query, ask);
                self.listed(place.name, Some(place.rendition), find, self.no_session(&place), look).await
            }
            Route::Segment(place, sequence, family) => self.of_session(&place, |snapshot| {
                live::segment(snapshot, place.rendition, sequence, family, ask)
            }),
            Route::Part(place, sequence, index) => {
                let find = || self.library.session(place.name, place.session);
                let look = |snapshot: &Snapshot| live::part(snapshot, place.rendition, sequence, index, ask);
                self.listed(place.name, Some(place.rendition), find, self.no_session(&place), look).await
            }
            Route::Init(place, file) => {
                self.of_session(&place, |snapshot| live::init(snapshot, place.rendition, file, ask))
            }
            Route::LowLatency(name) => {
                let look = |snapshot: &Snapshot| live::low_latency(snapshot, ask);
                self.listed(name, None, || self.library.newest(name), live::no_stream, look).await
            }
            Route::Iframes(place) => {
                let find = || self.library.session(place.name, place.session);
                let query = request.uri.query().unwrap_or_default();
                let look = |snapshot: &Snapshot| live::iframes(snapshot, place.rendition, query, ask);
                self.listed(place.name, Some(place.rendition), find, self.no_session(&place), look).await
            }
            Route::Thumbnail(name) => {
                self.pictured(name, |pictures| pictures::single(name, pictures.thumbnail.as_ref(), ask))
            }
            Route::Poster(name) => {
                self.pictured(name, |pictures| pictures::single(name, pictures.poster.as_ref(), ask))
            }
            Route::Storyboard(name) => {
                self.pictured(name, |pictures| pictures::storyboard(name, pictures, ask))
            }
            Route::Sheet(name, id) => {
                self.pictured(name, |pictures| pictures::sheet(name, pictures, id, ask))
            }
            Route::Streams => {
                let publish = Publish { rtmp_port: self.settings.rtmp_port, app: "live" };
                api::list(&self.public(), publish, Now::read(), ask)
            }
            Route::Stream(name) => match self.library.newest(name) {
                Some(face) => api::one(&face.borrow().clone(), Now::read(), ask),
                None => live::no_stream(name),
            },
            Route::Health => plain(StatusCode::OK, "ok\n"),
            Route::Ready => match self.settings.readiness.get() {
                State::Ready => plain(StatusCode::OK, "ready\n"),
                State::Starting => plain(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
                State::Draining => plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            },
            Route::Metrics => {
                let mut text = self.metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default();
                exposition::streams(&mut text, &self.library.all(), Now::read());
                let mut reply = plain(StatusCode::OK, "");
                set(&mut reply.headers, header::CONTENT_TYPE, exposition::MIME);
                reply.body = Bytes::from(text).into();
                reply
            }
            Route::Unknown => Reply::not_found("There is nothing at this address.", None),
        }
    }

    /// The streams that everybody may know of.
    fn public(&self) -> Vec<Face> {
        let mut all = self.library.all();
        all.retain(|face| !self.settings.access.policies.of(face.snapshot.name().as_str()).signed);
        all
    }

    /// What is said of a session that is not there.
    fn no_session(&self, place: &RenditionPath<'_>) -> fn(&str) -> Reply {
        if self.library.newest(place.name).is_some() { live::no_session } else { live::no_stream }
    }

    /// Answers from a session's snapshot as it is.
    fn of_session(&self, place: &RenditionPath<'_>, answer: impl FnOnce(&Snapshot) -> Reply) -> Reply {
        match self.library.session(place.name, place.session) {
            Some(face) => {
                let snapshot = Arc::clone(&face.borrow().snapshot);
                answer(&snapshot)
            }
            None => self.no_session(place)(place.name),
        }
    }

    /// Answers from a stream's pictures.
    fn pictured(&self, name: &str, answer: impl FnOnce(&Pictures) -> Reply) -> Reply {
        match self.library.newest(name) {
            Some(face) => {
                let pictures = Arc::clone(&face.borrow().pictures);
                answer(&pictures)
            }
            None => live::no_stream(name),
        }
    }

    /// Answers from a stream's snapshot as soon as one has the answer, and gives up when it may wait no longer. What is
    /// said of one `rendition` is looked at again when that one has gone on.
    async fn listed(
        &self,
        name: &str,
        rendition: Option<&str>,
        find: impl Fn() -> Option<watch::Receiver<Face>>,
        missing: fn(&str) -> Reply,
        look: impl Fn(&Snapshot) -> Verdict,
    ) -> Reply {
        let asked = tokio::time::Instant::now();
        let mut waiting = None;
        loop {
            let Some(mut face) = find() else { return missing(name) };
            // A newer session of the name may come to stand before this one: it is looked for again at each change.
            // The snapshot is taken out: nothing holds the channel's lock while an answer is made.
            let (snapshot, beats) = {
                let face = face.borrow_and_update();
                (Arc::clone(&face.snapshot), Arc::clone(&face.beats))
            };
            let patience = match look(&snapshot) {
                Verdict::Answer(reply) => return reply,
                Verdict::Wait(patience) => patience,
            };
            let mut heart =
                rendition.filter(|id| snapshot.rendition(id).is_some()).and_then(|id| beats.listen(id));
            if heart.is_some() {
                // It may have moved before it was listened to.
                let now = Arc::clone(&face.borrow().snapshot);
                if let Verdict::Answer(reply) = look(&now) {
                    return reply;
                }
            }
            let (limit, too_late): (_, fn(&str) -> Reply) = match patience {
                Patience::Start => (self.settings.start_wait, live::still_starting),
                Patience::Held(limit) => (limit, live::stands_still),
            };
            if waiting.is_none() {
                waiting = Waiting::begin(&self.waiting);
                if waiting.is_none() {
                    counter!("sluice_http_waits_refused_total").increment(1);
                    return too_late(name);
                }
            }
            let moved = async {
                match &mut heart {
                    Some(heart) => heart.changed().await.is_ok(),
                    None => face.changed().await.is_ok(),
                }
            };
            tokio::select! {
                _ = moved => {}
                () = self.settings.readiness.draining() => return too_late(name),
                () = sleep_until(asked + limit) => return too_late(name),
            }
        }
    }
}

/// Where the client sees this server, `https://tv.example.org`: for addresses that must be whole. `None` when the request
/// does not say, or says something that is no host.
fn public_origin(request: &Parts) -> Option<String> {
    let text = |name: HeaderName| request.headers.get(name).and_then(|value| value.to_str().ok());
    let host = request.uri.authority().map(|authority| authority.as_str()).or_else(|| text(header::HOST))?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    if host.is_empty() || host.len() > 255 || !host.bytes().all(fits) {
        return None;
    }
    let secure = request.extensions.get::<OverTls>().is_some()
        || text(HeaderName::from_static("x-forwarded-proto")) == Some("https");
    Some(format!("{}://{host}", if secure { "https" } else { "http" }))
}

/// The right to wait, counted.
struct Waiting<'a>(#[expect(dead_code, reason = "held for its drop")] tokio::sync::SemaphorePermit<'a>);

impl<'a> Waiting<'a> {
    fn begin(all: &'a Semaphore) -> Option<Self> {
        let permit = all.try_acquire().ok()?;
        gauge!("sluice_http_waiting").increment(1.0);
        Some(Self(permit))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        gauge!("sluice_http_waiting").decrement(1.0);
    }
}

/// Counts a viewer: by address, by what a proxy says of it, and by player.
fn saw(face: &Face, request: &Parts) {
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let header = |name: HeaderName| request.headers.get(name).map(HeaderValue::as_bytes);
    let who = (peer, header(HeaderName::from_static("x-forwarded-for")), header(header::USER_AGENT));
    face.audience.saw(Instant::now(), api::memory_of(&face.snapshot), who);
}

fn plain(status: StatusCode, text: &'static str) -> Reply {
    let mut reply =
        Reply { status, headers: Default::default(), body: Bytes::from_static(text.as_bytes()).into() };
    set(&mut reply.headers, header::CONTENT_TYPE, "text/plain; charset=utf-8");
    set(&mut reply.headers, header::CACHE_CONTROL, NEVER);
    reply
}
