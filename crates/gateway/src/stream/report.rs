//! What a stream tells about itself: counters, gauges, and the words of the API.

use std::{borrow::Cow, time::SystemTime};

use hls::snapshot::Snapshot;
use ingest::Stats;
use media::{MediaSpan, StreamName};
use origin::{Encoding, Made, PublisherInfo, RenditionInfo, StreamInfo};
use transcode::{
    ladder::{Alternate, AudioPlan, Plan, Treatment},
    source::Source,
};

use super::{Publisher, encoder::Encoder, packager::ALONE};

/// Everything that is repaired, dropped or restarted in one stream. Only ever grows.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    /// Breaks in the publisher's timeline that became discontinuities.
    pub(super) breaks: u64,
    /// Configuration changes in the middle of a publication.
    pub(super) reconfigurations: u64,
    /// Times that a connected publisher went silent.
    pub(super) stalls: u64,
    /// Gap segments listed while nobody sent.
    pub(super) gaps: u64,
    /// Segments of encoded rungs that were skipped.
    pub(super) segments_lost: u64,
    /// Encoder restarts of publications that are over.
    pub(super) encoder_restarts: u64,
    /// Counters of the connection that publishes now.
    now: Stats,
    /// Counters of those before it.
    past: Stats,
}

impl Counters {
    /// Takes a connection's counters.
    pub(super) fn connection(&mut self, stats: &Stats) {
        self.now = *stats;
    }

    /// Another connection publishes from here on.
    pub(super) fn next_connection(&mut self) {
        self.past = self.connections();
        self.now = Stats::default();
    }

    /// Of all connections together.
    fn connections(&self) -> Stats {
        let mut all = self.past;
        all.bytes_in += self.now.bytes_in;
        all.messages += self.now.messages;
        all.packets += self.now.packets;
        all.media_dropped += self.now.media_dropped;
        all.nal_repairs += self.now.nal_repairs;
        all.timeline += self.now.timeline;
        all
    }

    fn rows(&self, restarts: u64) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let all = self.connections();
        let own = [
            ("timeline_breaks", self.breaks),
            ("reconfigurations", self.reconfigurations),
            ("publisher_stalls", self.stalls),
            ("gap_segments", self.gaps),
            ("encoded_segments_lost", self.segments_lost),
            ("encoder_restarts", self.encoder_restarts + restarts),
            ("media_dropped", all.media_dropped),
            ("nal_repairs", all.nal_repairs),
        ];
        own.into_iter().chain(all.timeline.rows())
    }

    /// Writes the stream's gauges and counters for `/metrics`.
    pub(super) fn export(&self, name: &StreamName, backlog: MediaSpan, snapshot: &Snapshot, restarts: u64) {
        let stream = name.to_string();
        for (row, value) in self.rows(restarts) {
            metrics::counter!(format!("sluice_stream_{row}_total"), "stream" => stream.clone())
                .absolute(value);
        }
        metrics::counter!("sluice_stream_received_bytes_total", "stream" => stream.clone())
            .absolute(self.connections().bytes_in);
        metrics::gauge!("sluice_stream_encoder_backlog_seconds", "stream" => stream.clone())
            .set(backlog.as_secs_f64());
        for view in snapshot.renditions() {
            let labels = [("stream", stream.clone()), ("rendition", view.id().to_owned())];
            metrics::gauge!("sluice_rendition_bytes_held", &labels).set(view.bytes_held() as f64);
            metrics::gauge!("sluice_rendition_peak_bps", &labels).set(view.measured_peak_bps() as f64);
            metrics::gauge!("sluice_rendition_average_bps", &labels).set(view.measured_average_bps() as f64);
        }
    }

    /// Takes the stream's gauges back when it is forgotten.
    pub(super) fn retire(name: &StreamName, snapshot: &Snapshot) {
        let stream = name.to_string();
        metrics::gauge!("sluice_stream_encoder_backlog_seconds", "stream" => stream.clone()).set(0.0);
        for view in snapshot.renditions() {
            let labels = [("stream", stream.clone()), ("rendition", view.id().to_owned())];
            metrics::gauge!("sluice_rendition_bytes_held", &labels).set(0.0);
        }
    }
}

/// The ladder in one line of the log: `720p copy, 480p, 360p`.
pub(super) fn ladder_line(plan: &Plan) -> String {
    let rung = |rung: &transcode::ladder::Rung| match rung.treatment {
        Treatment::Copy => format!("{} copy", rung.name),
        Treatment::Encode(_) => rung.name.clone(),
        Treatment::Blank(_) => format!("{} dark", rung.name),
    };
    let rungs: Vec<_> = plan.rungs.iter().map(rung).collect();
    if rungs.is_empty() { "sound only".to_owned() } else { rungs.join(", ") }
}

/// Quirks told of one publisher at most; there are not so many kinds.
const QUIRKS_MAX: usize = 64;
/// Longest quirk told, in characters.
const QUIRK_MAX: usize = 240;

/// Adds a quirk to those of a publisher.
pub(super) fn note_quirk(quirks: &mut Vec<String>, quirk: &str) {
    if quirks.len() < QUIRKS_MAX {
        quirks.push(quirk.chars().take(QUIRK_MAX).collect());
    }
}

fn publisher_info(publisher: &Publisher, show_address: bool) -> PublisherInfo {
    PublisherInfo {
        since: publisher.since,
        transport: Some(publisher.transport.as_str().into()),
        proof: publisher.publication.proof().into(),
        address: show_address.then(|| publisher.peer.ip().to_canonical()),
        quirks: publisher.quirks.clone(),
    }
}

/// The stream in words, for the API and the page. `encoding` tells how each encoded rung does, by its place among them. With the publisher comes whether its address is told.
pub(super) fn info(
    since: SystemTime,
    publisher: Option<(&Publisher, bool)>,
    source: Option<&Source>,
    plan: Option<&Plan>,
    counters: &Counters,
    encoder: Option<&Encoder>,
    encoding: impl Fn(usize) -> Option<Encoding>,
) -> StreamInfo {
    let renditions = plan.map_or_else(Vec::new, |plan| {
        let mut encoded = 0..;
        let mut row = |rung: &transcode::ladder::Rung| RenditionInfo {
            id: rung.name.clone(),
            made: match rung.treatment {
                Treatment::Copy => Made::Copy,
                Treatment::Encode(_) => Made::Encode,
                Treatment::Blank(_) => Made::Blank,
            },
            reason: rung.reason.clone(),
            encoding: if rung.is_encoded() { encoded.next().and_then(&encoding) } else { None },
        };
        let sound = |alternate: &Alternate| RenditionInfo {
            id: alternate.id.clone(),
            made: if alternate.audio == AudioPlan::Copy { Made::Copy } else { Made::Encode },
            reason: format!("a further sound: {}", alternate.sound.name),
            encoding: None,
        };
        let alone = plan.audio_only.then(|| RenditionInfo {
            id: ALONE.to_owned(),
            made: if plan.audio == AudioPlan::Copy { Made::Copy } else { Made::Encode },
            reason: "the sound alone, for viewers with less bandwidth than pictures need".to_owned(),
            encoding: None,
        });
        plan.rungs.iter().map(&mut row).chain(plan.alternates.iter().map(sound)).chain(alone).collect()
    });
    StreamInfo {
        since: Some(since),
        source: source.map(Source::describe).unwrap_or_default(),
        // What the encoder calls itself in its metadata says more than its RTMP library's name.
        encoder: source
            .and_then(|source| source.encoder.clone())
            .or_else(|| publisher.and_then(|(publisher, _)| publisher.encoder.clone())),
        publisher: publisher.map(|(publisher, show_address)| publisher_info(publisher, show_address)),
        renditions,
        notes: plan
            .map(|plan| plan.notes.clone())
            .into_iter()
            .flatten()
            .chain(encoder.and_then(Encoder::fallback).map(str::to_owned))
            .collect(),
        counters: counters
            .rows(encoder.map_or(0, Encoder::restarts))
            .map(|(row, value)| (Cow::Borrowed(row), value))
            .collect(),
    }
}
