//! Looks at a publication's first seconds and says, as early as it safely can, what it is.

use media::MediaEvent;

use super::{Hints, Source, Unsupported};
use crate::ladder::Wishes;

/// Looks at events until it knows the source. Bounded: it keeps figures, not packets.
#[derive(Debug)]
pub struct Probe {
    hints: Hints,
}

impl Probe {
    /// A probe that calls a GOP too long when it is longer than the wishes let a segment be.
    pub fn new(_wishes: &Wishes) -> Self {
        Self { hints: Hints::default() }
    }

    /// Takes what the publisher says of itself; may come at any time, the last one counts.
    pub fn metadata(&mut self, hints: Hints) {
        self.hints = hints;
    }

    /// Takes the next event, in order.
    pub fn see(&mut self, _event: &MediaEvent) {}

    /// What the source is; `None` while more must be seen.
    ///
    /// # Errors
    /// When it can never be served, with a sentence for the streamer.
    pub fn verdict(&self) -> Option<Result<Source, Unsupported>> {
        None
    }
}
