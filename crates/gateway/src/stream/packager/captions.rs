//! Which closed captions a presentation declares: promised by the operator, or seen in the pictures.
//!
//! What was declared stays: a source that returns without its captions may bring them again at any time.

use std::sync::Arc;

use hls::playlist::ClosedCaptions;
use media::{Packet, TrackKind, VideoConfig, captions::Services};
use transcode::source::VideoSource;

use crate::config::Captions as Wish;

/// The captions of one presentation; none are declared before [`Self::wish`].
#[derive(Debug)]
pub(super) struct Captions {
    wish: Wish,
    seen: Services,
    /// What the leading track is coded in.
    coding: Option<Arc<VideoConfig>>,
}

impl Captions {
    pub(super) fn new() -> Self {
        Self { wish: Wish::Off, seen: Services::NONE, coding: None }
    }

    /// What the operator wants.
    pub(super) fn wish(&mut self, wish: Wish) {
        self.wish = wish;
    }

    /// A publication begins; this is its leading track.
    pub(super) fn begin(&mut self, lead: Option<&VideoSource>) {
        self.coding = lead.map(|lead| Arc::clone(&lead.config));
        self.also(lead.map_or(Services::NONE, |lead| lead.captions));
    }

    /// These were seen before.
    pub(super) fn also(&mut self, services: Services) {
        self.seen = self.seen.union(services);
    }

    /// Looks at a picture of the leading track; true when it shows captions that were not seen before.
    pub(super) fn see(&mut self, packet: &Packet) -> bool {
        let Some(coding) = self.coding.as_ref().filter(|_| packet.kind == TrackKind::Video) else {
            return false;
        };
        let all = self.seen.union(Services::of(coding, &packet.data));
        let new = all != self.seen;
        self.seen = all;
        new
    }

    /// All that were seen since the presentation began.
    pub(super) fn seen(&self) -> Services {
        self.seen
    }

    /// What the multivariant playlist declares.
    pub(super) fn declared(&self) -> Vec<ClosedCaptions> {
        match &self.wish {
            Wish::Off => Vec::new(),
            Wish::Auto => self
                .seen
                .iter()
                .map(|service| ClosedCaptions { service, name: service.to_string(), language: None })
                .collect(),
            Wish::Promised(promises) => promises
                .iter()
                .map(|promise| ClosedCaptions {
                    service: promise.service,
                    name: promise.label(),
                    language: Some(promise.language.clone()),
                })
                .collect(),
        }
    }
}
