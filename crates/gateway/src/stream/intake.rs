//! The first moments of a publication: its events are kept until it is known what it is.

use media::{MediaEvent, MediaSpan, MediaTime, TrackId, TrackKind};
use transcode::source::{Probe, Source};

/// Most bytes kept while looking. A source that has not shown what it is by then is judged by what it showed.
const MOST_BYTES: usize = 48 << 20;

/// Looks at a publication's first events and keeps them.
pub(super) struct Intake {
    probe: Probe,
    events: Vec<MediaEvent>,
    bytes: usize,
}

impl Intake {
    pub(super) fn new(probe: Probe) -> Self {
        Self { probe, events: Vec::new(), bytes: 0 }
    }

    pub(super) fn probe(&mut self) -> &mut Probe {
        &mut self.probe
    }

    /// Takes one event; a verdict comes as soon as the source is known.
    pub(super) fn take(&mut self, event: MediaEvent) -> Option<Result<Source, String>> {
        self.probe.see(&event);
        if let MediaEvent::Packet(packet) = &event {
            self.bytes += packet.data.len();
        }
        self.events.push(event);
        let verdict =
            self.probe.verdict().map(|verdict| verdict.map_err(|unsupported| unsupported.to_string()));
        if verdict.is_none() && self.bytes > MOST_BYTES {
            return Some(
                Err("the stream showed no complete picture or sound in its first 48 MiB".to_owned()),
            );
        }
        verdict
    }

    /// What was kept, in order.
    pub(super) fn into_events(self) -> Vec<MediaEvent> {
        self.events
    }
}

/// Where the packaged part of a publication begins: the first keyframe's time of the track that leads.
pub(super) fn first_time(events: &[MediaEvent], kind: TrackKind, track: TrackId) -> Option<MediaTime> {
    events.iter().find_map(|event| match event {
        MediaEvent::Packet(packet) if packet.kind == kind && packet.track == track && packet.keyframe => {
            Some(packet.pts)
        }
        _ => None,
    })
}

/// How much media was kept.
pub(super) fn span(events: &[MediaEvent]) -> MediaSpan {
    let mut times = events.iter().filter_map(|event| match event {
        MediaEvent::Packet(packet) => Some(packet.pts),
        _ => None,
    });
    let Some(first) = times.next() else { return MediaSpan::ZERO };
    times.fold(first, MediaTime::max) - first
}
