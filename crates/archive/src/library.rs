//! All recordings of a process: those that are being made, those that are kept, and what becomes of them.
//!
//! The store is the truth. The catalogue ([`Catalog`], the gateway's database) is what is asked for lists; it is made anew
//! from the store for what it does not know. A keeper task sweeps what a killed process left, completes recordings that
//! nobody continues, and removes what is too old or too much.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use media::{RecordingId, StreamName};
use metrics::{counter, gauge};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use crate::{
    index::{self, Extent, Header, Object},
    mp4::{Layout, LayoutError},
    recorder::{self, Feed},
    recording::{LoadError, Recording},
    store::{Store, StoreError},
    vod::Lists,
};

mod cache;
mod keeper;
mod tables;

use cache::Cache;

/// How recordings are made and kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of one stream that may wait for the store, or be on their way.
    pub queue_bytes: u64,
    /// A pack is written at least so often: what a killed process loses, and what S3 counts as requests.
    pub commit: Duration,
    /// A recording that is longer goes on as another.
    pub longest: Duration,
    /// How long a stream's end waits for a store that fails.
    pub linger: Duration,
    /// The same when the process ends.
    pub grace: Duration,
    /// A recording that was cut off is completed when nobody has continued it for so long.
    pub abandon: Duration,
    /// How long recordings of a stream are kept after their end.
    pub keep: Keep,
    /// The oldest are removed when all of them have more bytes; `None` sets no limit.
    pub max_bytes: Option<u64>,
    /// How often the keeper looks.
    pub look: Duration,
}

/// For a stream, how long its recordings are kept after their end; `None` for ever.
#[derive(Clone)]
pub struct Keep(pub Arc<KeepOf>);

/// What [`Keep`] asks.
pub type KeepOf = dyn Fn(&StreamName) -> Option<Duration> + Send + Sync;

impl Default for Keep {
    /// All are kept.
    fn default() -> Self {
        Self(Arc::new(|_| None))
    }
}

impl std::fmt::Debug for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keep")
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queue_bytes: 64 << 20,
            commit: Duration::from_secs(10),
            longest: Duration::from_secs(12 * 3600),
            linger: Duration::from_secs(60),
            grace: Duration::from_secs(4),
            abandon: Duration::from_secs(300),
            keep: Keep::default(),
            max_bytes: None,
            look: Duration::from_secs(30),
        }
    }
}

/// A recording as the catalogue has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Which.
    pub id: RecordingId,
    /// Milliseconds since 1970; `None` while it goes on.
    pub ended_unix_ms: Option<u64>,
    /// From its beginning to its end, holes included.
    pub duration_ms: u64,
    /// In the store.
    pub bytes: u64,
    /// Segments that could not be kept.
    pub lost_segments: u64,
}

/// Where rows are kept. Calls are short and may block for a disk write; failures are the implementor's to tell.
pub trait Catalog: Send + Sync + 'static {
    /// All rows.
    fn rows(&self) -> Vec<Row>;
    /// Adds a row, or replaces that of the same id.
    fn put(&self, row: &Row);
    /// Removes one.
    fn remove(&self, id: &RecordingId);
}

/// Why a recording cannot be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// It is still being made.
    #[error("the recording {0} is still being made")]
    Active(RecordingId),
    /// The store failed; what is left of it is removed later.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All recordings. A clone shares.
#[derive(Clone)]
pub struct Archive {
    shared: Arc<Shared>,
}

/// What the archive and its tasks share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    catalog: Arc<dyn Catalog>,
    /// Those that are being made, or were in this process and may be continued.
    open: Mutex<BTreeMap<RecordingId, Open>>,
    /// How many recorders a stream has: an old one may still be finishing.
    busy: Mutex<BTreeMap<StreamName, usize>>,
    cache: Cache,
}

struct Open {
    recording: Arc<Recording>,
    /// When its recorder left it; `None` while it is at work.
    left: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one statement: a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

impl Archive {
    /// An archive over a store. Must be called within a tokio runtime: its tasks run there.
    pub fn new(store: Store, settings: Settings, catalog: Arc<dyn Catalog>) -> Self {
        let shared = Arc::new(Shared {
            store,
            settings,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            catalog,
            open: Mutex::default(),
            busy: Mutex::default(),
            cache: Cache::default(),
        });
        shared.tasks.spawn(keeper::run(shared.clone()));
        Self { shared }
    }

    /// Begins to record a stream. The recording ends with its feed.
    pub fn record(&self, stream: StreamName) -> Feed {
        let (feed, work) = recorder::start(self.shared.clone(), stream.clone());
        let shared = self.shared.clone();
        *lock(&shared.busy).entry(stream.clone()).or_default() += 1;
        self.shared.tasks.spawn_on(
            async move {
                work.await;
                let mut busy = lock(&shared.busy);
                let left = busy.get(&stream).map_or(0, |count| count - 1);
                if left > 0 {
                    busy.insert(stream, left)
                } else {
                    busy.remove(&stream)
                };
            },
            &tokio::runtime::Handle::current(),
        );
        feed
    }

    /// The same, from a thread of another runtime.
    pub fn record_on(&self, runtime: &tokio::runtime::Handle, stream: StreamName) -> Feed {
        let _within = runtime.enter();
        self.record(stream)
    }

    /// All recordings, the newest first.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = self.shared.catalog.rows();
        rows.sort_by(|a, b| b.id.start.cmp(&a.id.start).then_with(|| a.id.cmp(&b.id)));
        rows
    }

    /// A recording, as far as it is committed.
    ///
    /// # Errors
    /// When there is none, or it cannot be read now.
    pub async fn find(&self, id: &RecordingId) -> Result<Arc<Recording>, LoadError> {
        self.shared.find(id).await
    }

    /// Its lists.
    ///
    /// # Errors
    /// When there is none, or it cannot be read now.
    pub async fn lists(&self, id: &RecordingId) -> Result<(Arc<Recording>, Arc<Lists>), LoadError> {
        let recording = self.shared.find(id).await?;
        let key = recording.revision();
        if let Some(lists) = self.shared.cache.lists(&key) {
            return Ok((recording, lists));
        }
        let source = recording.clone();
        let lists = tokio::task::spawn_blocking(move || Lists::render(&source)).await;
        let lists = Arc::new(lists.expect("rendering does not panic"));
        self.shared.cache.keep_lists(key, lists.clone());
        Ok((recording, lists))
    }

    /// Some bytes of a recording.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read(&self, id: &RecordingId, at: Extent) -> Result<Bytes, StoreError> {
        self.part(id, at.pack, at.offset..at.offset + at.length).await
    }

    /// Some bytes of a pack.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn part(&self, id: &RecordingId, pack: u32, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.shared.store.range(&index::pack_key(id, pack), range).await
    }

    /// A recording as one MP4, of the pictures and the sound named; the largest and the first where none is named.
    ///
    /// # Errors
    /// When there is no such recording, nothing in it, or it cannot be read now.
    pub async fn mp4(
        &self,
        id: &RecordingId,
        pictures: Option<&str>,
        sound: Option<&str>,
    ) -> Result<(Arc<Recording>, Arc<Layout>), Mp4Error> {
        let recording = self.shared.find(id).await?;
        let key = format!("{} {} {}", recording.revision(), pictures.unwrap_or("-"), sound.unwrap_or("-"));
        if let Some(layout) = self.shared.cache.layout(&key) {
            return Ok((recording, layout));
        }
        let layout = Arc::new(tables::lay_out(&self.shared.store, &recording, pictures, sound).await?);
        self.shared.cache.keep_layout(key, layout.clone());
        Ok((recording, layout))
    }

    /// Removes a recording.
    ///
    /// # Errors
    /// When it is being made, or the store fails.
    pub async fn remove(&self, id: &RecordingId) -> Result<(), RemoveError> {
        self.shared.remove(id).await
    }

    /// Where recordings are, for people.
    pub fn place(&self) -> &str {
        self.shared.store.shown()
    }

    /// Waits until recorders have written what they have, for as long as [`Settings::grace`] lets them.
    pub async fn finish(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

/// Why there is no MP4.
#[derive(Debug, thiserror::Error)]
pub enum Mp4Error {
    /// The recording cannot be had.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It can be had, and makes none.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl Shared {
    async fn find(&self, id: &RecordingId) -> Result<Arc<Recording>, LoadError> {
        if let Some(open) = lock(&self.open).get(id) {
            return Ok(open.recording.clone());
        }
        if let Some(kept) = self.cache.recording(id) {
            return Ok(kept);
        }
        let (recording, _) = Recording::load(&self.store, id).await?;
        let recording = Arc::new(recording);
        // One that may go on is not kept: its next reader shall see more.
        if recording.is_complete() {
            self.cache.keep_recording(recording.clone());
        }
        Ok(recording)
    }

    /// A recorder has committed more.
    pub(crate) fn show(&self, recording: &Recording) {
        if recording.next_pack() == 0 {
            return;
        }
        let shown = Open { recording: Arc::new(recording.clone()), left: None };
        lock(&self.open).insert(recording.id().clone(), shown);
        self.catalog.put(&row(recording));
    }

    /// A recorder has left a recording that somebody may continue.
    pub(crate) fn rest(&self, recording: &Recording) {
        if let Some(open) = lock(&self.open).get_mut(recording.id()) {
            open.left = Some(Instant::now());
        }
    }

    /// Nothing will follow: one page for all, then what it replaces is removed. When the store fails, the keeper comes back to
    /// it.
    pub(crate) async fn complete(&self, mut recording: Recording) {
        let id = recording.id().clone();
        recording.header =
            Arc::new(Header { ended_unix_ms: Some(end_unix_ms(&recording)), ..(*recording.header).clone() });
        let Some(page) = recording.merged(0) else { return };
        let written = self.store.put(&index::page_key(&id, page.packs), vec![page.to_bytes()]).await;
        if let Err(error) = written {
            warn!(recording = %id, %error, "the recording cannot be completed now; it is tried again");
            self.rest(&recording);
            return;
        }
        recording.replace(0, page);
        let row = row(&recording);
        info!(
            recording = %id, seconds = row.duration_ms / 1000, bytes = row.bytes, lost_segments = row.lost_segments,
            "the recording is complete: /vod/{id}/index.m3u8"
        );
        self.catalog.put(&row);
        self.cache.keep_recording(Arc::new(recording));
        lock(&self.open).remove(&id);
        if let Err(error) = self.sweep(&id).await {
            debug!(recording = %id, %error, "what is left over stays for now");
        }
    }

    /// Removes what does not belong to a recording that nobody writes to.
    async fn sweep(&self, id: &RecordingId) -> Result<(), LoadError> {
        let (_, leftovers) = Recording::load(&self.store, id).await?;
        if !leftovers.keys.is_empty() {
            debug!(recording = %id, objects = leftovers.keys.len(), "what is left over is removed");
            self.store.delete(leftovers.keys).await?;
        }
        Ok(())
    }

    async fn remove(&self, id: &RecordingId) -> Result<(), RemoveError> {
        if lock(&self.open).get(id).is_some_and(|open| open.left.is_none()) {
            return Err(RemoveError::Active(id.clone()));
        }
        lock(&self.open).remove(id);
        self.cache.forget(id);
        erase(&self.store, &*self.catalog, id).await?;
        counter!("sluice_recordings_removed_total").increment(1);
        Ok(())
    }

    fn tell(&self, rows: &[Row]) {
        gauge!("sluice_recordings").set(rows.len() as f64);
        gauge!("sluice_recordings_bytes").set(rows.iter().map(|row| row.bytes).sum::<u64>() as f64);
    }
}

/// Removes a recording that nobody makes, and its row. Pages go first: from then on there is no such recording, and packs
/// without a page are swept if need be.
///
/// # Errors
/// When the store fails; what is left is removed at the next start.
pub async fn erase(store: &Store, catalog: &dyn Catalog, id: &RecordingId) -> Result<(), StoreError> {
    let listed = store.list(&index::folder(id)).await?;
    let (pages, rest): (Vec<_>, Vec<_>) = listed
        .into_iter()
        .filter_map(|object| Some((index::read_key(&object.key)?.1, object.key)))
        .partition(|(object, _)| matches!(object, Object::Page(_)));
    let names = |objects: Vec<(Object, String)>| objects.into_iter().map(|(_, key)| key).collect();
    store.delete(names(pages)).await?;
    catalog.remove(id);
    store.delete(names(rest)).await
}

/// When the last of it was shown; now, where a clock says nonsense.
fn end_unix_ms(recording: &Recording) -> u64 {
    let begin = recording.all().map(|entry| entry.unix_micros / 1000).min().unwrap_or(0);
    let end = u64::try_from(begin).unwrap_or(0) + recording.span_ms();
    end.min(unix_ms())
}

fn row(recording: &Recording) -> Row {
    Row {
        id: recording.id().clone(),
        ended_unix_ms: recording.header.ended_unix_ms,
        duration_ms: recording.span_ms(),
        bytes: recording.bytes(),
        lost_segments: recording.header.lost,
    }
}
