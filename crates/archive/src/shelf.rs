//! What a rewind window keeps out of memory: segments that have left memory and are still listed.
//!
//! ```text
//!  put ──▶ waiting, bounded by bytes ──pack──▶ store        get ◀── waiting, or a range of a pack
//!  trim ──▶ packs in which nothing is left are removed
//! ```
//!
//! Unlike a recording it is nobody's but this process's: its index is in memory, and what an earlier process left is
//! removed when a shelf is opened. Nothing here waits for the store but whoever reads what is `get`.
//!
//! Queue: segments on their way to the store, [`ShelfSettings::queue_bytes`] a stream. When it is full, `put` says so, and
//! the caller keeps the segment in memory or lets it go; it is counted in `sluice_rewind_refused_segments_total`.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use hls::Segment;
use media::{Epoch, MediaSequence, StreamName};
use metrics::{counter, gauge};
use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep, timeout_at},
};
use tracing::{debug, info, warn};

use crate::store::{Store, StoreError};

/// A pack is written when so many bytes wait, however young they are.
const PACK_BYTES: u64 = 8 << 20;
/// The largest read.
const LARGEST_READ: u64 = 4 << 20;
/// Between attempts to write, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// A line in the log at most so often.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// How a shelf behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShelfSettings {
    /// Bytes of one stream that may wait for the store, or be on their way.
    pub queue_bytes: u64,
    /// A pack is written at least so often.
    pub commit: Duration,
}

impl Default for ShelfSettings {
    fn default() -> Self {
        Self { queue_bytes: 64 << 20, commit: Duration::from_secs(4) }
    }
}

/// A place for the rewind windows of all streams. A clone shares.
#[derive(Clone, Debug)]
pub struct Shelf {
    store: Store,
    settings: ShelfSettings,
    runtime: Handle,
}

/// One stream's rewind window. Dropping the last clone removes what is in the store.
#[derive(Clone, Debug)]
pub struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: String,
    store: Store,
    settings: ShelfSettings,
    state: Mutex<State>,
    /// Something waits, or something is to be removed.
    work: Arc<Notify>,
    runtime: Handle,
}

#[derive(Debug, Default)]
struct State {
    /// By rendition and number.
    places: HashMap<String, BTreeMap<u64, Place>>,
    /// In the order in which they came.
    waiting: VecDeque<(String, u64)>,
    waiting_bytes: u64,
    /// On their way to the store.
    writing_bytes: u64,
    next_pack: u32,
    /// The highest number in each pack.
    packs: BTreeMap<u32, u64>,
    removals: Vec<String>,
    /// Everything below has been trimmed.
    floor: u64,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<Segment>),
    Stored { pack: u32, offset: u64, length: u64 },
}

/// A segment on the shelf.
#[derive(Clone, Debug)]
pub struct Found {
    store: Store,
    place: Place,
    key: String,
}

impl Shelf {
    /// Opens a shelf in a place that is its own: what an earlier process left there is removed, in the background. Called
    /// within the runtime that its tasks are to run on.
    pub fn open(store: Store, settings: ShelfSettings) -> Self {
        let shelf = Self { store: store.clone(), settings, runtime: Handle::current() };
        tokio::spawn(async move {
            let begun =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            match sweep(&store, begun.as_millis() as u64).await {
                Ok(0) => {}
                Ok(objects) => {
                    info!(objects, place = store.shown(), "rewind windows of an earlier process are removed")
                }
                Err(error) => warn!(%error, "what an earlier process left of rewind windows stays"),
            }
        });
        shelf
    }

    /// A place for one publication's segments.
    pub fn board(&self, stream: &StreamName, session: Epoch) -> Board {
        // A session that goes on after a restart must not find its own folder swept away: each board has its own.
        let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let work = Arc::new(Notify::new());
        let inner = Arc::new(Inner {
            folder: format!("{stream}/{session}/{}", begun.as_millis()),
            store: self.store.clone(),
            settings: self.settings,
            state: Mutex::default(),
            work: work.clone(),
            runtime: self.runtime.clone(),
        });
        self.runtime.spawn(write(Arc::downgrade(&inner), work, self.settings.commit));
        Board(inner)
    }
}

/// Removes all that was made before `begun`, in milliseconds since 1970.
async fn sweep(store: &Store, begun: u64) -> Result<usize, StoreError> {
    let made = |key: &str| key.split('/').nth(2).and_then(|made| made.parse::<u64>().ok());
    let keys: Vec<String> = store
        .list("")
        .await?
        .into_iter()
        .map(|object| object.key)
        .filter(|key| made(key).is_some_and(|made| made < begun))
        .collect();
    let count = keys.len();
    store.delete(keys).await?;
    Ok(count)
}

impl Board {
    /// Takes a segment; false when it finds no room, when it is a gap, and when it is trimmed already. Never waits. One
    /// that is there already is not taken twice.
    pub fn put(&self, rendition: &str, segment: &Arc<Segment>) -> bool {
        let (size, number) = (segment.size(), segment.sequence.0);
        let mut state = self.0.state();
        if segment.gap || size == 0 || number < state.floor {
            return false;
        }
        if state.places.get(rendition).is_some_and(|places| places.contains_key(&number)) {
            return true;
        }
        if state.waiting_bytes + state.writing_bytes + size > self.0.settings.queue_bytes {
            drop(state);
            counter!("sluice_rewind_refused_segments_total").increment(1);
            return false;
        }
        let places = state.places.entry(rendition.to_owned()).or_default();
        places.insert(number, Place::Memory(segment.clone()));
        state.waiting.push_back((rendition.to_owned(), number));
        state.waiting_bytes += size;
        drop(state);
        self.0.work.notify_one();
        true
    }

    /// A segment that was put and not trimmed.
    pub fn get(&self, rendition: &str, sequence: MediaSequence) -> Option<Found> {
        let place = self.0.state().places.get(rendition)?.get(&sequence.0)?.clone();
        let key = match place {
            Place::Memory(_) => String::new(),
            Place::Stored { pack, .. } => self.0.key(pack),
        };
        Some(Found { store: self.0.store.clone(), place, key })
    }

    /// Whether a segment is out of memory: in the store, whole.
    pub fn is_stored(&self, rendition: &str, sequence: MediaSequence) -> bool {
        let state = self.0.state();
        let place = state.places.get(rendition).and_then(|places| places.get(&sequence.0));
        matches!(place, Some(Place::Stored { .. }))
    }

    /// Forgets all segments below a number, in all renditions.
    pub fn trim(&self, below: MediaSequence) {
        let mut state = self.0.state();
        state.floor = state.floor.max(below.0);
        for places in state.places.values_mut() {
            *places = places.split_off(&below.0);
        }
        let mut left = 0;
        let State { waiting, places, packs, removals, .. } = &mut *state;
        // What was put and not written yet is gone with its place.
        waiting.retain(|(rendition, number)| {
            *number >= below.0 && places.get(rendition).is_some_and(|places| places.contains_key(number))
        });
        for (rendition, number) in waiting.iter() {
            if let Some(Place::Memory(segment)) = places.get(rendition).and_then(|places| places.get(number))
            {
                left += segment.size();
            }
        }
        let empty: Vec<u32> =
            packs.iter().filter(|(_, newest)| **newest < below.0).map(|(pack, _)| *pack).collect();
        for pack in empty {
            packs.remove(&pack);
            removals.push(self.0.key(pack));
        }
        state.waiting_bytes = left;
        let any = !state.removals.is_empty();
        drop(state);
        if any {
            self.0.work.notify_one();
        }
    }
}

impl Found {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        match &self.place {
            Place::Memory(segment) => segment.size(),
            Place::Stored { length, .. } => *length,
        }
    }

    /// Reads a range of it, which must lie within [`Self::size`], as fast as it is taken.
    pub fn read(self, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
        match self.place {
            Place::Memory(segment) => {
                let mut at = 0;
                let mut pieces = Vec::new();
                for chunk in segment.chunks() {
                    let own = at..at + chunk.len() as u64;
                    let (from, to) = (range.start.max(own.start), range.end.min(own.end));
                    if from < to {
                        pieces.push(Ok(chunk.slice((from - at) as usize..(to - at) as usize)));
                    }
                    at = own.end;
                }
                stream::iter(pieces).boxed()
            }
            Place::Stored { offset, .. } => {
                let (store, key) = (self.store, self.key);
                let reads =
                    (range.start..range.end).step_by(LARGEST_READ as usize).map(move |start| {
                        let (store, key) = (store.clone(), key.clone());
                        let end = range.end.min(start + LARGEST_READ);
                        async move {
                            store.range(&key, offset + start..offset + end).await.map_err(io::Error::other)
                        }
                    });
                stream::iter(reads).buffered(2).boxed()
            }
        }
    }
}

impl Inner {
    /// Every change is made under one lock, and none can panic half way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, pack: u32) -> String {
        format!("{}/{pack:08}.bin", self.folder)
    }

    /// The oldest that wait, as one pack.
    fn next(&self) -> Option<Batch> {
        let mut state = self.state();
        let mut batch = Batch { pack: state.next_pack, segments: Vec::new(), bytes: 0 };
        while let Some((rendition, number)) = state.waiting.front().cloned() {
            let place = state.places.get(&rendition).and_then(|places| places.get(&number));
            let Some(Place::Memory(segment)) = place.cloned() else {
                state.waiting.pop_front();
                continue;
            };
            if batch.bytes > 0 && batch.bytes + segment.size() > PACK_BYTES {
                break;
            }
            batch.bytes += segment.size();
            batch.segments.push((rendition, segment));
            state.waiting.pop_front();
        }
        state.waiting_bytes = state.waiting_bytes.saturating_sub(batch.bytes);
        state.writing_bytes = batch.bytes;
        gauge!("sluice_rewind_queue_bytes").set((state.waiting_bytes + state.writing_bytes) as f64);
        if batch.segments.is_empty() {
            return None;
        }
        state.next_pack += 1;
        Some(batch)
    }

    /// A pack is in the store.
    fn written(&self, batch: Batch) {
        let mut state = self.state();
        state.writing_bytes = 0;
        let (mut offset, mut newest) = (0, None);
        for (rendition, segment) in batch.segments {
            let (number, length) = (segment.sequence.0, segment.size());
            let place = state.places.get_mut(&rendition).and_then(|places| places.get_mut(&number));
            if let Some(place) = place {
                *place = Place::Stored { pack: batch.pack, offset, length };
                newest = newest.max(Some(number));
            }
            offset += length;
        }
        match newest {
            Some(newest) => drop(state.packs.insert(batch.pack, newest)),
            // All of it was trimmed meanwhile.
            None => state.removals.push(self.key(batch.pack)),
        }
    }
}

/// Segments on their way.
struct Batch {
    pack: u32,
    segments: Vec<(String, Arc<Segment>)>,
    bytes: u64,
}

/// Writes what waits and removes what is trimmed, until the board is dropped.
async fn write(board: Weak<Inner>, work: Arc<Notify>, commit: Duration) {
    let mut told: Option<Instant> = None;
    loop {
        work.notified().await;
        // Those that come together are written together.
        let due = Instant::now() + commit;
        loop {
            let enough = board.upgrade().is_none_or(|board| board.state().waiting_bytes >= PACK_BYTES);
            if enough || timeout_at(due, work.notified()).await.is_err() {
                break;
            }
        }
        let mut wait = RETRY.0;
        loop {
            let Some(own) = board.upgrade() else { return };
            let removals = std::mem::take(&mut own.state().removals);
            if let Err(error) = own.store.delete(removals).await {
                debug!(%error, "packs of a rewind window that nobody needs stay until the next start");
            }
            let Some(batch) = own.next() else { break };
            let (store, key) = (own.store.clone(), own.key(batch.pack));
            drop(own);
            let chunks: Vec<Bytes> =
                batch.segments.iter().flat_map(|(_, one)| one.chunks().cloned()).collect();
            while let Err(error) = store.put(&key, chunks.clone()).await {
                if board.strong_count() == 0 {
                    return;
                }
                if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
                    told = Some(Instant::now());
                    warn!(%error, bytes = batch.bytes, "a rewind window cannot be written; its segments stay in memory, it is tried again");
                }
                sleep(wait).await;
                wait = (wait * 2).min(RETRY.1);
            }
            wait = RETRY.0;
            match board.upgrade() {
                Some(own) => own.written(batch),
                None => {
                    let _ = store.delete(vec![key]).await; // what stays is swept at the next start
                    return;
                }
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let (store, folder) = (self.store.clone(), std::mem::take(&mut self.folder));
        self.work.notify_one();
        self.runtime.spawn(async move {
            let remove = async {
                let listed = store.list(&folder).await?;
                store.delete(listed.into_iter().map(|object| object.key).collect()).await
            };
            if let Err(error) = remove.await {
                debug!(%error, "a rewind window that is over stays until the next start");
            }
        });
    }
}
