//! What the gateway tells about a stream beyond its snapshot: for the API and the page, never for players.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr, time::SystemTime};

use serde::Serialize;

/// The story of one stream in facts and plain words. Replaced as a whole by [`crate::Listing::set_info`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamInfo {
    /// When this publication began; the birth of the session where `None`.
    pub since: Option<SystemTime>,
    /// What the streamer sends, in words: `1280x720, 30 fps, H.264 High, AAC 48 kHz stereo`.
    pub source: String,
    /// The publisher's program, as it names itself: `obs-output module (libobs version 30.0.2)`.
    pub encoder: Option<String>,
    /// Who publishes it now; `None` while nobody does.
    pub publisher: Option<PublisherInfo>,
    /// How each rendition is made; matched to the snapshot's renditions by id.
    pub renditions: Vec<RenditionInfo>,
    /// Sentences for the streamer, such as why the top rung is not copied.
    pub notes: Vec<String>,
    /// Repairs, drops and restarts so far, by name (`timeline_repairs`). Names are `snake_case`.
    pub counters: BTreeMap<Cow<'static, str>, u64>,
}

/// The publisher of the moment. Everybody who can watch can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherInfo {
    /// When it came.
    pub since: SystemTime,
    /// What carries it: `rtmp`, `rtmps`, `rtmpt` …; `None` where that is unknown.
    pub transport: Option<Cow<'static, str>>,
    /// What spoke for it, in a word: `key`, `rule`, `webhook` …
    pub proof: Cow<'static, str>,
    /// Where it comes from, if that is to be told.
    pub address: Option<IpAddr>,
    /// Oddities of its encoder that are tolerated, in sentences, each once.
    pub quirks: Vec<String>,
}

/// How one rendition comes to be.
#[derive(Clone, Debug, PartialEq)]
pub struct RenditionInfo {
    /// The rendition's id in the snapshot.
    pub id: String,
    /// Copied from the publisher, or encoded here.
    pub made: Made,
    /// Why, in plain words.
    pub reason: String,
    /// How its encoder does; `None` for what is copied, and while nobody publishes.
    pub encoding: Option<Encoding>,
}

/// How one encoded rendition does now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoding {
    /// It is not encoded now, for this reason, in words; `None` when it is.
    pub shed: Option<Cow<'static, str>>,
    /// The smaller rendition whose pictures stand in for its own.
    pub substitute: Option<String>,
    /// How many times faster than real time it is scaled and encoded, on the CPU it gets.
    pub realtime_factor: Option<f64>,
    /// CPU seconds that a second of it takes.
    pub cpu_seconds: Option<f64>,
}

/// Copied or encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Made {
    /// The publisher's own pictures, untouched.
    Copy,
    /// Encoded by Sluice.
    Encode,
    /// A plain dark picture, since the publisher sends none.
    Blank,
}
