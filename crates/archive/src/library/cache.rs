//! What was read or made for viewers lately: few things, each for all of them, the oldest leaving first.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use media::RecordingId;

use super::lock;
use crate::{mp4::Layout, recording::Recording, vod::Lists};

/// Recordings, and lists of recordings, kept at once. A day of a large ladder has some 20 MiB of either.
const RECORDINGS: usize = 8;
/// Bytes of MP4 layouts kept at once; one that is larger is kept alone.
const LAYOUT_BYTES: usize = 64 << 20;

#[derive(Default)]
pub(super) struct Cache {
    recordings: Mutex<VecDeque<Arc<Recording>>>,
    lists: Mutex<VecDeque<(String, Arc<Lists>)>>,
    layouts: Mutex<VecDeque<(String, Arc<Layout>)>>,
}

impl Cache {
    pub(super) fn recording(&self, id: &RecordingId) -> Option<Arc<Recording>> {
        take(&mut lock(&self.recordings), |kept| kept.id() == id)
    }

    pub(super) fn keep_recording(&self, recording: Arc<Recording>) {
        let mut kept = lock(&self.recordings);
        kept.retain(|other| other.id() != recording.id());
        kept.push_back(recording);
        while kept.len() > RECORDINGS {
            kept.pop_front();
        }
    }

    pub(super) fn forget(&self, id: &RecordingId) {
        lock(&self.recordings).retain(|other| other.id() != id);
    }

    pub(super) fn lists(&self, key: &str) -> Option<Arc<Lists>> {
        take(&mut lock(&self.lists), |(other, _)| other == key).map(|(_, lists)| lists)
    }

    pub(super) fn keep_lists(&self, key: String, lists: Arc<Lists>) {
        let mut kept = lock(&self.lists);
        kept.push_back((key, lists));
        while kept.len() > RECORDINGS {
            kept.pop_front();
        }
    }

    pub(super) fn layout(&self, key: &str) -> Option<Arc<Layout>> {
        take(&mut lock(&self.layouts), |(other, _)| other == key).map(|(_, layout)| layout)
    }

    pub(super) fn keep_layout(&self, key: String, layout: Arc<Layout>) {
        let mut kept = lock(&self.layouts);
        kept.push_back((key, layout));
        while kept.len() > 1 && kept.iter().map(|(_, layout)| layout.weight()).sum::<usize>() > LAYOUT_BYTES {
            kept.pop_front();
        }
    }
}

/// Finds one and makes it the newest.
fn take<T: Clone>(kept: &mut VecDeque<T>, fits: impl Fn(&T) -> bool) -> Option<T> {
    let at = kept.iter().position(fits)?;
    let found = kept.remove(at)?;
    kept.push_back(found.clone());
    Some(found)
}
