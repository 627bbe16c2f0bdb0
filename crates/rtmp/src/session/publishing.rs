//! A running publication: its media, its metadata, its own clock for being alive.

use std::time::{Duration, Instant};

use super::{Call, Connected, Event, Phase, Publication, Session, State, Stats};
use crate::{
    amf0::decode_all,
    limits::{AGGREGATE_PARTS_MAX, Timeouts},
    message::{Message, kind, split_aggregate},
    metadata::Metadata,
    quirk::Quirk,
    tracks::Tracks,
};

/// Status of a stream whose codings are not taken; OBS stops on it and shows the description.
const REJECTED: &str = "NetStream.Publish.Rejected";

/// What exists while a publisher publishes.
pub(super) struct Publishing {
    pub(super) call: Call,
    pub(super) tracks: Tracks,
    since: Instant,
    /// When the last audio or video message came.
    last_media: Option<Instant>,
    last_ping: Instant,
}

impl Publishing {
    pub(super) fn new(now: Instant, call: Call) -> Self {
        Self { call, tracks: Tracks::new(), since: now, last_media: None, last_ping: now }
    }

    /// Liveness is media alone: several encoders never answer a ping.
    fn media_due(&self, timeouts: &Timeouts) -> (Instant, Phase, Duration) {
        match self.last_media {
            Some(last) => (last + timeouts.media_idle, Phase::Media, timeouts.media_idle),
            None => (self.since + timeouts.first_media, Phase::FirstMedia, timeouts.first_media),
        }
    }

    pub(super) fn deadline(&self, timeouts: &Timeouts) -> Instant {
        self.media_due(timeouts).0.min(self.last_ping + timeouts.ping)
    }

    pub(super) fn overdue(&self, now: Instant, timeouts: &Timeouts) -> Option<(Phase, Duration)> {
        let (due, phase, limit) = self.media_due(timeouts);
        (now >= due).then_some((phase, limit))
    }

    /// Whether it is time for a ping; one is taken as sent.
    pub(super) fn ping_due(&mut self, now: Instant, timeouts: &Timeouts) -> bool {
        let due = now >= self.last_ping + timeouts.ping;
        if due {
            self.last_ping = now;
        }
        due
    }

    /// `past` and this publication together.
    pub(super) fn stats(&self, past: Stats) -> Stats {
        let (counters, repairs) = (self.tracks.counters(), self.tracks.repairs());
        let mut stats = past;
        stats.packets += counters.packets;
        stats.media_dropped += counters.dropped;
        stats.nal_repairs += counters.nal_repairs;
        stats.timeline += repairs;
        stats
    }
}

impl Session {
    /// Audio or video. Outside a publication it is nobody's.
    pub(super) fn on_media(&mut self, message: &Message) {
        let State::Connected(Connected { phase: Publication::Publishing(publishing), .. }) = &mut self.state
        else {
            self.past.media_dropped += 1;
            return;
        };
        publishing.last_media = Some(self.now);
        let stream = publishing.call.stream;
        if message.stream != stream {
            // One connection publishes one stream, so it can be no other; some senders write 0 or swap the bytes.
            self.quirks.note(Quirk::WrongMessageStream);
        }
        let taken = match message.kind {
            kind::VIDEO => publishing.tracks.video(message.timestamp, &message.payload, &mut self.sink),
            _ => publishing.tracks.audio(message.timestamp, &message.payload, &mut self.sink),
        };
        self.events.extend(self.sink.drain(..).map(Event::Media));
        if let Err(unsupported) = taken {
            self.events.push_back(Event::Note(unsupported.0.clone()));
            self.refuse(stream, REJECTED, &unsupported.0);
        }
    }

    pub(super) fn on_aggregate(&mut self, message: &Message) {
        for part in split_aggregate(message, AGGREGATE_PARTS_MAX) {
            match part.kind {
                kind::AUDIO | kind::VIDEO => self.on_media(&part),
                kind::DATA | kind::DATA_AMF3 => self.on_data(&part),
                _ => {}
            }
        }
    }

    /// Data: onMetaData counts, the rest is for nobody yet.
    pub(super) fn on_data(&mut self, message: &Message) {
        let State::Connected(Connected { phase: Publication::Publishing(publishing), .. }) = &mut self.state
        else {
            return;
        };
        let (values, error) = decode_all(&message.amf_body());
        if let Some(error) = error {
            self.quirks.note_with(Quirk::BadAmf, || error.to_string());
            return;
        }
        if let Some(metadata) = Metadata::from_values(&values) {
            publishing.tracks.metadata(&metadata);
            self.events.push_back(Event::Metadata(metadata));
        }
    }

    /// The peer sends no more: packets that waited for those of other tracks become events.
    pub fn release_media(&mut self) {
        let State::Connected(Connected { phase: Publication::Publishing(publishing), .. }) = &mut self.state
        else {
            return;
        };
        publishing.tracks.flush(&mut self.sink);
        self.events.extend(self.sink.drain(..).map(Event::Media));
    }

    /// Ends a publication that was accepted; otherwise without effect. True if there was one.
    pub(super) fn end_publication(&mut self, clean: bool) -> bool {
        self.release_media();
        let State::Connected(connected) = &mut self.state else { return false };
        let Publication::Publishing(publishing) = &mut connected.phase else { return false };
        self.past = publishing.stats(self.past);
        self.events.extend(publishing.tracks.quirks.take().into_iter().map(Event::Note));
        let until = self.now + self.settings.timeouts.publish;
        connected.phase = Publication::Idle { until, ended_one: true };
        self.events.push_back(Event::PublishEnded { clean });
        true
    }
}
