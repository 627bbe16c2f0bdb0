//! The live streams by name: the owner's end ([`Listing`]) and the reader's end ([`Library`]).
//!
//! A name may stand for more than one session for a while: an ended one is kept by its owner so that viewers can play
//! out what they have seen listed, while a new one has begun. The newest answers for the name; each answers for its own
//! session's URLs. How long an ended session is kept is its owner's choice: as long as it holds the [`Listing`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hls::snapshot::Snapshot;
use media::{Epoch, StreamName};
use tokio::sync::watch;

use crate::{audience::Audience, beats::Beats, info::StreamInfo, pictures::Pictures};

/// All streams that can be watched. Clones share one list.
#[derive(Clone, Default)]
pub struct Library {
    shared: Arc<Mutex<Shelf>>,
}

#[derive(Default)]
struct Shelf {
    /// Per name its listed sessions, oldest first. No name stands here without one.
    streams: BTreeMap<StreamName, Vec<Slot>>,
    next_ticket: u64,
}

struct Slot {
    ticket: u64,
    face: watch::Receiver<Face>,
}

/// What readers see of a stream at one moment.
#[derive(Clone)]
pub(crate) struct Face {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) info: Arc<StreamInfo>,
    pub(crate) audience: Arc<Audience>,
    pub(crate) pictures: Arc<Pictures>,
    pub(crate) beats: Arc<Beats>,
}

/// The right to say what a stream is like now. Dropping it takes the stream off the list.
#[must_use = "dropping the listing takes the stream off the list"]
pub struct Listing {
    library: Library,
    name: StreamName,
    ticket: u64,
    face: watch::Sender<Face>,
}

impl Library {
    /// A library with no stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lists a stream, usually with a snapshot in phase `Starting`. A session of the same name that is still listed
    /// steps back: its own URLs go on working, the name now means this one.
    pub fn open(&self, name: StreamName, first: Arc<Snapshot>) -> Listing {
        let (face, reader) = watch::channel(Face {
            snapshot: first,
            info: Arc::default(),
            audience: Arc::default(),
            pictures: Arc::default(),
            beats: Arc::new(Beats::new()),
        });
        let mut shelf = self.shelf();
        let ticket = shelf.next_ticket;
        shelf.next_ticket += 1;
        shelf.streams.entry(name.clone()).or_default().push(Slot { ticket, face: reader });
        drop(shelf);
        Listing { library: self.clone(), name, ticket, face }
    }

    /// How many names are listed.
    pub fn len(&self) -> usize {
        self.shelf().streams.len()
    }

    /// Whether no stream is listed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What viewers of `name` see now.
    pub fn snapshot(&self, name: &StreamName) -> Option<Arc<Snapshot>> {
        self.newest(name.as_str()).map(|face| face.borrow().snapshot.clone())
    }

    /// The newest session of `name`.
    pub(crate) fn newest(&self, name: &str) -> Option<watch::Receiver<Face>> {
        self.find(name, |_| true)
    }

    /// One session of `name`.
    pub(crate) fn session(&self, name: &str, session: Epoch) -> Option<watch::Receiver<Face>> {
        self.find(name, |face| face.snapshot.session() == session)
    }

    /// The newest session of each name, in the order of names.
    pub(crate) fn all(&self) -> Vec<Face> {
        let readers: Vec<_> =
            self.shelf().streams.values().filter_map(|slots| Some(slots.last()?.face.clone())).collect();
        readers.iter().map(|reader| reader.borrow().clone()).collect()
    }

    fn find(&self, name: &str, fits: impl Fn(&Face) -> bool) -> Option<watch::Receiver<Face>> {
        let name: StreamName = name.parse().ok()?;
        let shelf = self.shelf();
        let slots = shelf.streams.get(&name)?;
        slots.iter().rev().find(|slot| fits(&slot.face.borrow())).map(|slot| slot.face.clone())
    }

    /// The list is whole between any two of its statements, so a panic elsewhere leaves nothing half done in it.
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listing {
    /// The stream's public name.
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// Shows a new snapshot and wakes the requests that wait for it. Never blocks on readers.
    pub fn update(&self, snapshot: Arc<Snapshot>) {
        let before = self.face.borrow().snapshot.clone();
        self.face.send_modify(|face| face.snapshot = snapshot.clone());
        // After the snapshot is there to be read.
        let beats = self.face.borrow().beats.clone();
        beats.moved(&before, &snapshot);
    }

    /// Replaces the story told by the API.
    pub fn set_info(&self, info: StreamInfo) {
        let info = Arc::new(info);
        // Players wait for snapshots, not for words: nobody is woken.
        self.face.send_if_modified(|face| {
            face.info = info;
            false
        });
    }

    /// Shows other pictures. Wakes nobody: no request waits for one.
    pub fn set_pictures(&self, pictures: Pictures) {
        let pictures = Arc::new(pictures);
        self.face.send_if_modified(|face| {
            face.pictures = pictures;
            false
        });
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        let beats = self.face.borrow().beats.clone();
        let mut shelf = self.library.shelf();
        if let Some(slots) = shelf.streams.get_mut(&self.name) {
            slots.retain(|slot| slot.ticket != self.ticket);
            if slots.is_empty() {
                shelf.streams.remove(&self.name);
            }
        }
        drop(shelf);
        beats.stop();
    }
}
