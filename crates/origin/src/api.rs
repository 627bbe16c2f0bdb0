//! The JSON of `/api/v1/streams`: what is live, in numbers and plain words.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use flate2::Compression;
use hls::{
    presentation::Family,
    snapshot::{Phase, RenditionView, Snapshot},
};
use serde::Serialize;

use crate::{
    headers::Ask,
    info::{Made, PublisherInfo, StreamInfo},
    library::Face,
    page::gzip,
    pictures::Picture,
    reply::{Content, Form, JSON, NEVER, Reply},
};

/// Where encoders publish, for the page's instructions.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Publish {
    pub(crate) rtmp_port: Option<u16>,
    pub(crate) app: &'static str,
}

/// Both clocks, read once for an answer.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    pub(crate) steady: Instant,
    pub(crate) wall: SystemTime,
}

impl Now {
    pub(crate) fn read() -> Self {
        Self { steady: Instant::now(), wall: SystemTime::now() }
    }
}

#[derive(Serialize)]
struct List<'a> {
    now: String,
    publish: Publish,
    streams: Vec<Stream<'a>>,
}

/// The server's clock comes along, so that a page can tell latency on a machine whose own clock is wrong.
#[derive(Serialize)]
struct One<'a> {
    now: String,
    #[serde(flatten)]
    stream: Stream<'a>,
}

#[derive(Serialize)]
struct Stream<'a> {
    name: &'a str,
    state: &'static str,
    /// A number, but one that JavaScript may not hold exactly some day: a string, as in URLs.
    session: String,
    since: String,
    uptime_seconds: u64,
    playlist: String,
    watch: String,
    /// Renewed every few seconds, and so is its address: with each picture it has another query.
    thumbnail: Option<String>,
    poster: Option<String>,
    storyboard: Option<String>,
    target_duration: u32,
    /// The longest of the newest segments: what a player's distance from the live edge is reckoned in.
    segment_seconds: Option<f64>,
    viewers: usize,
    source: &'a str,
    encoder: Option<&'a str>,
    publisher: Option<Publisher<'a>>,
    renditions: Vec<Rendition<'a>>,
    notes: &'a [String],
    counters: &'a BTreeMap<Cow<'static, str>, u64>,
}

#[derive(Serialize)]
struct Publisher<'a> {
    since: String,
    transport: Option<&'a str>,
    proof: &'a str,
    address: Option<IpAddr>,
    quirks: &'a [String],
}

#[derive(Serialize)]
struct Rendition<'a> {
    id: &'a str,
    width: Option<u32>,
    height: Option<u32>,
    frame_rate: Option<f64>,
    codecs: &'a str,
    declared_bps: Option<u64>,
    declared_average_bps: Option<u64>,
    measured_peak_bps: Option<u64>,
    measured_average_bps: Option<u64>,
    made: Option<Made>,
    reason: Option<&'a str>,
    /// `live` or `shed`, for what is encoded.
    state: Option<&'static str>,
    shed_because: Option<&'a str>,
    /// The rendition whose pictures are shown instead.
    substitute: Option<&'a str>,
    realtime_factor: Option<f64>,
    cpu_seconds: Option<f64>,
    newest_segment: Option<u64>,
    bytes_held: u64,
}

/// All streams, in the order of their names.
pub(crate) fn list(faces: &[Face], publish: Publish, now: Now, ask: &Ask<'_>) -> Reply {
    let streams = faces.iter().map(|face| stream(face, now)).collect();
    send(&List { now: rfc3339(now.wall), publish, streams }, ask)
}

/// One stream.
pub(crate) fn one(face: &Face, now: Now, ask: &Ask<'_>) -> Reply {
    send(&One { now: rfc3339(now.wall), stream: stream(face, now) }, ask)
}

/// A stream's state in one word. It is `starting` until there is something to play, whatever else it is.
pub(crate) fn state(snapshot: &Snapshot) -> &'static str {
    match snapshot.phase() {
        Phase::Ended => "ended",
        _ if snapshot.multivariant().is_none() => "starting",
        Phase::Starting => "starting",
        Phase::Live => "live",
        Phase::Held => "held",
    }
}

fn stream(face: &Face, now: Now) -> Stream<'_> {
    let Face { snapshot, info, audience, pictures, beats: _ } = face;
    let name = snapshot.name().as_str();
    let since = since(snapshot, info);
    Stream {
        name,
        state: state(snapshot),
        session: snapshot.session().to_string(),
        since: rfc3339(since),
        uptime_seconds: now.wall.duration_since(since).unwrap_or_default().as_secs(),
        playlist: format!("/live/{name}/index.m3u8"),
        watch: format!("/watch/{name}"),
        thumbnail: pictures.thumbnail.as_ref().map(|picture| picture_url(name, "thumbnail", picture)),
        poster: pictures.poster.as_ref().map(|picture| picture_url(name, "poster", picture)),
        storyboard: pictures.has_storyboard().then(|| format!("/live/{name}/storyboard.vtt")),
        target_duration: snapshot.target_duration(),
        segment_seconds: segment_seconds(snapshot),
        viewers: audience.count(now.steady, memory_of(snapshot)),
        source: &info.source,
        encoder: info.encoder.as_deref(),
        publisher: info.publisher.as_ref().map(publisher),
        renditions: snapshot
            .renditions()
            .iter()
            .filter(|view| view.family() == Family::Ts)
            .map(|view| rendition(view, info))
            .collect(),
        notes: &info.notes,
        counters: &info.counters,
    }
}

fn picture_url(name: &str, kind: &str, picture: &Picture) -> String {
    format!("/live/{name}/{kind}.jpg?at={}", picture.unix_millis())
}

fn publisher(info: &PublisherInfo) -> Publisher<'_> {
    Publisher {
        since: rfc3339(info.since),
        transport: info.transport.as_deref(),
        proof: &info.proof,
        address: info.address,
        quirks: &info.quirks,
    }
}

/// How long after its last playlist request a viewer counts: a player may miss two reloads.
pub(crate) fn memory_of(snapshot: &Snapshot) -> Duration {
    Duration::from_secs(3 * u64::from(snapshot.target_duration().clamp(3, 60)))
}

fn since(snapshot: &Snapshot, info: &StreamInfo) -> SystemTime {
    info.since.unwrap_or_else(|| UNIX_EPOCH + Duration::from_millis(snapshot.session().0.min(MOST_MILLIS)))
}

/// The end of the year 9999, so that no session number can overflow a date.
const MOST_MILLIS: u64 = 253_402_300_799_000;

fn rendition<'a>(view: &'a RenditionView, info: &'a StreamInfo) -> Rendition<'a> {
    let story = info.renditions.iter().find(|rendition| rendition.id == view.id());
    let video = view.video();
    let encoding = story.and_then(|story| story.encoding.as_ref());
    Rendition {
        id: view.id(),
        width: video.map(|video| video.width),
        height: video.map(|video| video.height),
        // Thousandths, as FRAME-RATE has them.
        frame_rate: video.and_then(|video| Some((video.frame_rate?.as_f64() * 1000.0).round() / 1000.0)),
        codecs: view.codecs(),
        declared_bps: known(view.declared_bps()),
        declared_average_bps: known(view.declared_average_bps()),
        measured_peak_bps: known(view.measured_peak_bps()),
        measured_average_bps: known(view.measured_average_bps()),
        made: story.map(|story| story.made),
        reason: story.map(|story| story.reason.as_str()),
        state: encoding.map(|encoding| if encoding.shed.is_some() { "shed" } else { "live" }),
        shed_because: encoding.and_then(|encoding| encoding.shed.as_deref()),
        substitute: encoding.and_then(|encoding| encoding.substitute.as_deref()),
        realtime_factor: encoding.and_then(|encoding| encoding.realtime_factor).map(hundredths),
        cpu_seconds: encoding.and_then(|encoding| encoding.cpu_seconds).map(hundredths),
        newest_segment: view.newest().map(|sequence| sequence.0),
        bytes_held: view.bytes_held(),
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Rates are 0 until they are known.
pub(crate) fn known(bps: u64) -> Option<u64> {
    (bps > 0).then_some(bps)
}

/// Segments looked at for [`Stream::segment_seconds`].
const RECENT: usize = 4;

fn segment_seconds(snapshot: &Snapshot) -> Option<f64> {
    let listed = snapshot.renditions().first()?.listed();
    let recent = listed.iter().rev().filter(|segment| !segment.gap).take(RECENT);
    let longest = recent.map(|segment| segment.duration.millis()).max()?;
    Some(longest as f64 / 1000.0)
}

fn rfc3339(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}

/// Below this gzip saves less than its header and a packet cost.
const WORTH_COMPRESSING: usize = 512;

pub(crate) fn send(value: &impl Serialize, ask: &Ask<'_>) -> Reply {
    let plain = serde_json::to_vec(value).expect("these types have string keys and finite numbers");
    let (form, body) = if ask.gzip && plain.len() >= WORTH_COMPRESSING {
        (Form::Gzip, gzip(&plain, Compression::fast()))
    } else {
        (Form::Plain, plain.into())
    };
    Content { mime: JSON, cache: NEVER, etag: None, form, body: body.into() }.reply(ask)
}
