//! Keeps one stream: takes its snapshots, writes its finished segments, and never holds it up.
//!
//! ```text
//!  Feed::update ──watch──▶ intake (what is new, what waits, what finds no room) ──▶ pack ──▶ store: pack, then page
//! ```
//!
//! What the store refuses is tried again, later and later; meanwhile segments wait, up to a bound in bytes, and then are
//! lost. The recording ends with the stream. When the process ends and the stream does not, it stays open, and whoever
//! records the same session again continues it.

mod intake;
mod pack;
mod trouble;

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use hls::snapshot::{Phase, Snapshot};
use media::{Epoch, RecordingId, StreamName};
use metrics::{counter, gauge};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::{debug, info};

use self::{
    intake::{Intake, Item},
    pack::Pack,
    trouble::Trouble,
};
use crate::{
    index::{self, Header, MERGE, Page, VERSION},
    library::Shared,
    recording::{LoadError, Recording},
    store::{Store, StoreError},
};

/// A pack is written when so many bytes wait, however young they are. A larger one is made only of a larger segment.
const PACK_BYTES: u64 = 8 << 20;
/// What waits so long, in packs of this size at most, when the store comes back.
const CATCH_UP_BYTES: u64 = 16 << 20;

/// The stream's end: what it shows is recorded. Dropping it leaves the recording open, unless the last snapshot said that
/// the stream has ended.
#[derive(Debug)]
pub struct Feed {
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
}

impl Feed {
    /// Shows what the stream is like now. Never blocks.
    pub fn update(&self, snapshot: Arc<Snapshot>) {
        self.snapshots.send_replace(Some(snapshot));
    }
}

/// A feed, and the task that keeps what comes through it.
pub(crate) fn start(
    shared: Arc<Shared>,
    stream: StreamName,
) -> (Feed, impl Future<Output = ()> + Send + 'static) {
    let (snapshots, reader) = watch::channel(None);
    (Feed { snapshots }, run(shared, stream, reader))
}

/// Whether more will come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Flowing,
    /// The process ends, or the stream was taken down: the recording may be continued.
    Cut,
    Ended,
}

/// What the store is busy with.
enum Done {
    Opened(Result<Recording, LoadError>),
    Packed(Box<Pack>),
    Written(Result<(), StoreError>),
    Merged(Result<(), StoreError>, Box<Page>, usize),
}

struct Recorder {
    shared: Arc<Shared>,
    stream: StreamName,
    session: Epoch,
    target_duration: u32,
    intake: Intake,
    /// `None` until it is known what the store has of it.
    recording: Option<Recording>,
    /// Handed out, not written yet.
    items: Arc<Vec<Item>>,
    /// The same, ready to be written: it is tried again as it is.
    writing: Option<(Arc<Pack>, Page)>,
    /// Segments lost to this recording that [`Intake::lost`] does not count: those of an earlier process.
    lost_earlier: u64,
    /// What [`Intake::lost`] counted before this recording began.
    lost_before: u64,
    trouble: Trouble,
    /// When the oldest that waits came.
    waiting_since: Option<Instant>,
}

async fn run(shared: Arc<Shared>, stream: StreamName, mut feed: watch::Receiver<Option<Arc<Snapshot>>>) {
    let first = match feed.wait_for(Option::is_some).await {
        Ok(first) => first.clone(),
        Err(_) => return,
    };
    let Some(first) = first else { return };
    feed.mark_changed();
    let mut recorder = Recorder {
        intake: Intake::new(shared.settings.queue_bytes),
        session: first.session(),
        target_duration: first.target_duration(),
        trouble: Trouble::new(stream.clone(), shared.store.shown()),
        shared,
        stream,
        recording: None,
        items: Arc::default(),
        writing: None,
        lost_earlier: 0,
        lost_before: 0,
        waiting_since: None,
    };
    recorder.record(feed).await;
}

impl Recorder {
    async fn record(&mut self, mut feed: watch::Receiver<Option<Arc<Snapshot>>>) {
        let mut source = Source::Flowing;
        let mut give_up_at: Option<Instant> = None;
        let mut busy: Option<BoxFuture<'static, Done>> = None;
        let stop = self.shared.stop.clone();
        loop {
            if busy.is_none() && self.trouble.may_try() {
                busy = self.next_work(source != Source::Flowing);
            }
            if busy.is_none() && source != Source::Flowing && self.intake.is_empty() && self.items.is_empty()
            {
                break;
            }
            let due = match busy {
                Some(_) => None,
                None => self.trouble.retry_at().or_else(|| self.commit_at()),
            };
            let working = async {
                match busy.as_mut() {
                    Some(work) => work.await,
                    None => std::future::pending().await,
                }
            };
            let wake = [give_up_at, due].into_iter().flatten().min();
            let wake = wake.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                changed = feed.changed(), if source == Source::Flowing => {
                    let snapshot = feed.borrow_and_update().clone();
                    if let Some(snapshot) = snapshot {
                        self.take(&snapshot);
                        if snapshot.phase() == Phase::Ended {
                            source = Source::Ended;
                        }
                    }
                    if changed.is_err() && source == Source::Flowing {
                        source = Source::Cut;
                    }
                    if source != Source::Flowing {
                        give_up_at = Some(Instant::now() + self.shared.settings.linger);
                        self.trouble.hurry();
                    }
                }
                done = working => {
                    busy = None;
                    self.settle(done);
                }
                () = stop.cancelled(), if give_up_at.is_none_or(|at| at > Instant::now() + self.shared.settings.grace) => {
                    source = if source == Source::Flowing { Source::Cut } else { source };
                    give_up_at = Some(Instant::now() + self.shared.settings.grace);
                    self.trouble.hurry();
                }
                () = sleep_until(wake) => {
                    if give_up_at.is_some_and(|at| at <= Instant::now()) {
                        self.abandon();
                        break;
                    }
                }
            }
        }
        drop(busy);
        self.finish(source).await;
    }

    fn take(&mut self, snapshot: &Snapshot) {
        self.intake.take(snapshot);
        if !self.intake.is_empty() {
            self.waiting_since.get_or_insert_with(Instant::now);
        }
        let (lost, waiting) = (self.intake.lost(), self.intake.waiting_bytes());
        self.trouble.lost(lost);
        gauge!("sluice_recording_queue_bytes", "stream" => self.stream.to_string()).set(waiting as f64);
    }

    /// When what waits is old enough to be written.
    fn commit_at(&self) -> Option<Instant> {
        let since = self.waiting_since.filter(|_| !self.intake.is_empty())?;
        Some(since + self.shared.settings.commit)
    }

    /// What is to be done next, if anything is.
    fn next_work(&mut self, last: bool) -> Option<BoxFuture<'static, Done>> {
        let store = self.shared.store.clone();
        let Some(recording) = &self.recording else {
            if last && self.intake.is_empty() {
                return None;
            }
            let header = self.header(RecordingId { stream: self.stream.clone(), start: self.session });
            return Some(open(store, header).map(Done::Opened).boxed());
        };
        if let Some((pack, page)) = &self.writing {
            return Some(
                write(store, page.header.id.clone(), pack.clone(), page.to_bytes())
                    .map(Done::Written)
                    .boxed(),
            );
        }
        let narrow = recording.pages.iter().rev().take_while(|(first, last)| first == last).count();
        if narrow >= MERGE {
            let from = recording.pages.len() - narrow;
            let page = recording.merged(from)?;
            let old = recording.pages[from..].to_vec();
            return Some(merge(store, page, old, from).boxed());
        }
        let due = self.waiting_since.is_some_and(|since| since.elapsed() >= self.shared.settings.commit);
        if self.intake.is_empty() || !(due || last || self.intake.waiting_bytes() >= PACK_BYTES) {
            return None;
        }
        if recording.span_ms() >= self.shared.settings.longest.as_millis() as u64 {
            self.split();
        }
        let recording = self.recording.as_ref()?;
        self.items = Arc::new(self.intake.hand_out(CATCH_UP_BYTES));
        self.waiting_since = self.waiting_since.filter(|_| !self.intake.is_empty());
        let (number, items, inits) = (recording.next_pack(), self.items.clone(), recording.inits.clone());
        let build = tokio::task::spawn_blocking(move || Pack::build(number, &items, &inits));
        Some(async { Done::Packed(Box::new(build.await.expect("laying out a pack does not panic"))) }.boxed())
    }

    fn header(&self, id: RecordingId) -> Header {
        Header {
            version: VERSION,
            id,
            session: self.session,
            target_duration: self.target_duration,
            renditions: self.intake.renditions().to_vec(),
            lost: self.lost(),
            ended_unix_ms: None,
        }
    }

    /// Segments lost to this recording.
    fn lost(&self) -> u64 {
        self.lost_earlier + self.intake.lost().segments - self.lost_before
    }

    fn settle(&mut self, done: Done) {
        match done {
            Done::Opened(Ok(recording)) => {
                self.trouble.over();
                if recording.next_pack() > 0 {
                    info!(recording = %recording.id(), "the recording goes on");
                }
                self.intake.resume(&recording);
                self.lost_earlier = recording.header.lost;
                self.shared.show(&recording);
                self.recording = Some(recording);
            }
            Done::Opened(Err(error)) => self.trouble.failed(&error, self.intake.waiting_bytes(), false),
            Done::Packed(pack) => {
                let Some(recording) = &self.recording else { return };
                let page = Page {
                    header: self.header(recording.id().clone()),
                    packs: (pack.number, pack.number),
                    inits: pack.inits.clone(),
                    entries: pack.entries.clone(),
                };
                self.writing = Some((Arc::new(*pack), page));
            }
            Done::Written(Ok(())) => {
                let Some((pack, page)) = self.writing.take() else { return };
                self.intake.settle(&std::mem::take(&mut self.items), true);
                let bytes: u64 = pack.chunks.iter().map(|chunk| chunk.len() as u64).sum();
                counter!("sluice_recording_written_bytes_total").increment(bytes);
                self.trouble.over();
                if let Some(recording) = &mut self.recording {
                    recording.append(page);
                    debug!(recording = %recording.id(), pack = pack.number, bytes, "written");
                    self.shared.show(recording);
                }
            }
            Done::Written(Err(error)) => {
                counter!("sluice_recording_write_failures_total").increment(1);
                let full = error.is_full();
                self.trouble.failed(&error, self.intake.waiting_bytes(), full);
            }
            Done::Merged(Ok(()), page, from) => {
                if let Some(recording) = &mut self.recording {
                    recording.replace(from, *page);
                }
            }
            Done::Merged(Err(error), ..) => {
                self.trouble.failed(&error, self.intake.waiting_bytes(), error.is_full())
            }
        }
    }

    /// A recording that is long enough is completed in the background, and another begins where it ends.
    fn split(&mut self) {
        let Some(old) = self.recording.take() else { return };
        let begins = self.intake.oldest_unix_micros().unwrap_or(0) / 1000;
        let start = u64::try_from(begins).unwrap_or(0).max(old.id().start.0 + 1);
        info!(recording = %old.id(), "the recording is as long as one may be; another begins");
        (self.lost_earlier, self.lost_before) = (0, self.intake.lost().segments);
        let new =
            Recording::new(self.header(RecordingId { stream: self.stream.clone(), start: Epoch(start) }));
        self.shared.show(&new);
        self.recording = Some(new);
        let shared = self.shared.clone();
        self.shared.tasks.spawn(async move { shared.complete(old).await });
    }

    /// Time is up: what is not written is lost.
    fn abandon(&mut self) {
        self.intake.settle(&std::mem::take(&mut self.items), false);
        if let (Some((pack, page)), Some(recording)) = (self.writing.take(), &mut self.recording) {
            // Its page may yet come to stand there; the last page then covers it, and says that nothing is in it.
            let packs = (pack.number, pack.number);
            recording.append(Page { packs, inits: Vec::new(), entries: Vec::new(), ..page });
        }
        self.intake.give_up();
        self.trouble.lost(self.intake.lost());
    }

    async fn finish(&mut self, source: Source) {
        self.trouble.tell_end(self.intake.lost());
        gauge!("sluice_recording_queue_bytes", "stream" => self.stream.to_string()).set(0.0);
        let Some(mut recording) = self.recording.take() else { return };
        if source == Source::Ended && recording.next_pack() > 0 {
            recording.header = Arc::new(Header { lost: self.lost(), ..(*recording.header).clone() });
            self.shared.complete(recording).await;
        } else {
            self.shared.rest(&recording);
        }
    }
}

/// What the store has of a session's recording, with what does not belong there removed; a new one when there is none, or
/// when it is complete.
async fn open(store: Store, header: Header) -> Result<Recording, LoadError> {
    let stream = header.id.stream.clone();
    let mut starts = store.folders(stream.as_str()).await?;
    starts.retain(|start| *start >= header.session.0);
    starts.sort_unstable();
    let Some(newest) = starts.pop() else { return Ok(Recording::new(header)) };
    let id = RecordingId { stream: stream.clone(), start: Epoch(newest) };
    match Recording::load(&store, &id).await {
        Ok((recording, leftovers))
            if recording.header.session == header.session && !recording.is_complete() =>
        {
            store.delete(leftovers.keys).await?;
            Ok(recording)
        }
        Err(error) if error.is_missing() && newest == header.id.start.0 => Ok(Recording::new(header)),
        Ok(_) | Err(LoadError::Broken { .. } | LoadError::Missing(_)) => {
            // Another one's, or over: ours gets a name of its own.
            Ok(Recording::new(Header { id: RecordingId { stream, start: Epoch(newest + 1) }, ..header }))
        }
        Err(error) => Err(error),
    }
}

/// The object first, then the page that names it.
async fn write(store: Store, id: RecordingId, pack: Arc<Pack>, page: bytes::Bytes) -> Result<(), StoreError> {
    store.put(&index::pack_key(&id, pack.number), pack.chunks.clone()).await?;
    store.put(&index::page_key(&id, (pack.number, pack.number)), vec![page]).await
}

/// The wider page first, then those it replaces are removed; one that stays does no harm, and is swept at the next start.
async fn merge(store: Store, page: Page, old: Vec<(u32, u32)>, from: usize) -> Done {
    let id = page.header.id.clone();
    let written = store.put(&index::page_key(&id, page.packs), vec![page.to_bytes()]).await;
    if written.is_ok() {
        let keys =
            old.into_iter().filter(|packs| *packs != page.packs).map(|packs| index::page_key(&id, packs));
        if let Err(error) = store.delete(keys.collect()).await {
            debug!(%error, "replaced pages stay for now");
        }
    }
    Done::Merged(written, Box::new(page), from)
}
