//! Recordings as the gateway has them: which streams, for viewers and the API (`origin::vod`), and `sluice recordings`.

use std::{ops::Range, process::ExitCode, sync::Arc};

use anyhow::{Context, ensure};
use archive::{
    Archive, Feed, Keep, Store as Place,
    index::Extent,
    library::{Mp4Error, RemoveError},
    mp4::{LayoutError, Piece},
    recording::{LoadError, Recording},
    vod::Lists,
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use hls::snapshot::Document;
use media::{RecordingId, StreamName};
use origin::vod::{Found, Media, ReadRange, RecordingRow, Refusal, Wanted};
use tokio::runtime::Handle;

use crate::{
    cli::{DataFlags, RecordingAction},
    config::Config,
    keys::ago,
    store::Store,
};

/// Pieces of a file that are read before they are taken.
const AHEAD: usize = 1;
/// Largest single read of a segment; a longer one is read in several.
const READ: u64 = 4 << 20;

/// All recordings, and which streams make one.
#[derive(Clone)]
pub(crate) struct Recordings {
    archive: Archive,
    config: Arc<Config>,
    runtime: Handle,
}

impl std::fmt::Debug for Recordings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recordings").field("place", &self.archive.place()).finish()
    }
}

impl Recordings {
    /// Opens the place that the configuration names. Called within the runtime that is to serve it.
    ///
    /// # Errors
    /// When a folder cannot be made, or the settings do not go together.
    pub(crate) fn open(config: &Config, store: &Store) -> anyhow::Result<Self> {
        let place = Place::open(&config.recording_store()).map_err(anyhow::Error::msg)?;
        let config = Arc::new(config.clone());
        let own = config.clone();
        let settings = archive::Settings {
            queue_bytes: config.recording.queue,
            commit: config.recording.commit,
            longest: config.recording.longest,
            grace: config.grace / 2,
            abandon: config.hold + std::time::Duration::from_secs(60),
            keep: Keep(Arc::new(move |name| {
                Some(own.of_stream(name.as_str()).recording.keep).filter(|keep| !keep.is_zero())
            })),
            max_bytes: Some(config.recording.max_size).filter(|size| *size > 0),
            ..archive::Settings::default()
        };
        let archive = Archive::new(place, settings, Arc::new(store.clone()));
        Ok(Self { archive, config, runtime: Handle::current() })
    }

    /// What a stream that is recorded shows itself to; `None` for one that is not.
    pub(crate) fn feed(&self, name: &StreamName) -> Option<Feed> {
        let wanted = self.config.of_stream(name.as_str()).recording.enabled;
        wanted.then(|| self.archive.record_on(&self.runtime, name.clone()))
    }

    /// Waits until what was shown is written, for some seconds.
    pub(crate) async fn finish(&self) {
        self.archive.finish().await;
    }
}

/// One of a recording's lists; `None` is the multivariant one.
struct List(Arc<Lists>, Option<usize>);

impl AsRef<Document> for List {
    fn as_ref(&self) -> &Document {
        // Both were there when this was made.
        let media = self.1.and_then(|nth| self.0.media.get(nth));
        media.or(self.0.multivariant.as_ref()).expect("this list was looked up")
    }
}

fn unreadable(id: &RecordingId, error: &LoadError) -> Refusal {
    if error.is_missing() {
        return Refusal::Missing(format!("There is no recording {id}."));
    }
    tracing::warn!(recording = %id, error = error as &dyn std::error::Error, "a recording cannot be read");
    Refusal::Later(format!("The recording {id} cannot be read now; try again in a moment."))
}

impl Recordings {
    async fn look(&self, id: &RecordingId, wanted: Wanted<'_>) -> Result<Found, Refusal> {
        let unreadable = |error: LoadError| unreadable(id, &error);
        let no_rendition =
            |rendition: &str| Refusal::Missing(format!("{id} has no rendition {rendition:?}."));
        match wanted {
            Wanted::Multivariant => {
                let (_, lists) = self.archive.lists(id).await.map_err(unreadable)?;
                if lists.multivariant.is_none() {
                    return Err(Refusal::Missing(format!("There is nothing in the recording {id} yet.")));
                }
                Ok(Found::List(Box::new(List(lists, None))))
            }
            Wanted::Playlist(rendition) => {
                let (recording, lists) = self.archive.lists(id).await.map_err(unreadable)?;
                let nth =
                    recording.rendition(rendition).map(usize::from).filter(|nth| *nth < lists.media.len());
                let nth = nth.ok_or_else(|| no_rendition(rendition))?;
                Ok(Found::List(Box::new(List(lists, Some(nth)))))
            }
            Wanted::Init(rendition, name) => {
                let recording = self.archive.find(id).await.map_err(unreadable)?;
                let nth = recording.rendition(rendition).ok_or_else(|| no_rendition(rendition))?;
                let init = recording.inits.iter().find(|init| init.name == name);
                let init = init.ok_or_else(|| Refusal::Missing(format!("{id} has no header {name:?}.")))?;
                Ok(Found::Media(self.stored(&recording, nth, init.at, init.name.clone())))
            }
            Wanted::Segment(rendition, sequence, kind) => {
                let recording = self.archive.find(id).await.map_err(unreadable)?;
                let nth = recording.rendition(rendition).ok_or_else(|| no_rendition(rendition))?;
                let entry =
                    recording.segment(nth, sequence).filter(|entry| entry.init.is_some() == (kind == "m4s"));
                let missing =
                    || Refusal::Missing(format!("{id} has no segment {sequence} of {rendition:?}."));
                let entry = entry.ok_or_else(missing)?;
                Ok(Found::Media(self.stored(&recording, nth, entry.at, entry.hash.to_string())))
            }
            Wanted::Mp4 { rendition, sound } => {
                let (recording, layout) =
                    self.archive.mp4(id, rendition, sound).await.map_err(|error| match error {
                        Mp4Error::Load(error) => unreadable(error),
                        Mp4Error::Store(error) => unreadable(error.into()),
                        Mp4Error::Layout(error @ LayoutError::NotFragmented) => {
                            Refusal::Conflict(format!("There is no MP4 of {id}: {error}."))
                        }
                        Mp4Error::Layout(error) => {
                            Refusal::Missing(format!("There is no MP4 of {id}: {error}."))
                        }
                    })?;
                let chosen = [rendition, sound].map(|one| one.unwrap_or("-")).join(" ");
                let tag = format!("{}-{}", recording.revision(), tag_of(&chosen));
                let (archive, length) = (self.archive.clone(), layout.length());
                let read: ReadRange = Box::new(move |range| {
                    let id = recording.id().clone();
                    let pieces = stream::iter(layout.pieces(range));
                    let read = pieces.map(move |piece| piece_of(archive.clone(), id.clone(), piece));
                    read.buffered(AHEAD + 1)
                        .map_ok(|parts| stream::iter(parts.into_iter().map(Ok)))
                        .try_flatten()
                        .boxed()
                });
                let file_name = Some(format!("{id}.mp4"));
                Ok(Found::Media(Media { mime: "video/mp4", tag, length, immutable: false, file_name, read }))
            }
        }
    }

    /// Bytes as they are in the store; `tag` is what they are.
    fn stored(&self, recording: &Arc<Recording>, rendition: u16, at: Extent, tag: String) -> Media {
        let told = recording.header.renditions.get(usize::from(rendition));
        let mime = match told {
            Some(told) if told.container == archive::index::Container::Ts => "video/mp2t",
            Some(told) if told.size.is_none() => "audio/mp4",
            _ => "video/mp4",
        };
        let (archive, id) = (self.archive.clone(), recording.id().clone());
        let read: ReadRange = Box::new(move |range: Range<u64>| {
            let starts = (range.start..range.end).step_by(READ as usize);
            let reads = starts.map(move |start| {
                let (archive, id) = (archive.clone(), id.clone());
                let length = READ.min(range.end - start);
                let at = Extent { offset: at.offset + start, length, ..at };
                async move { archive.read(&id, at).await.map_err(std::io::Error::other) }
            });
            stream::iter(reads).buffered(AHEAD + 1).boxed()
        });
        Media { mime, tag, length: at.length, immutable: true, file_name: None, read }
    }
}

/// Which renditions, as part of a tag.
fn tag_of(chosen: &str) -> String {
    chosen.replace(' ', "+")
}

async fn piece_of(archive: Archive, id: RecordingId, piece: Piece) -> std::io::Result<Vec<Bytes>> {
    match piece {
        Piece::Bytes(bytes) => Ok(vec![bytes]),
        Piece::Stored { pack, range, parts } => {
            let read = archive.part(&id, pack, range).await.map_err(std::io::Error::other)?;
            let parts = parts.into_iter().map(|part| read.slice(part.start as usize..part.end as usize));
            Ok(parts.collect())
        }
    }
}

impl origin::vod::Recordings for Recordings {
    fn find<'a>(&'a self, id: &'a RecordingId, wanted: Wanted<'a>) -> BoxFuture<'a, Result<Found, Refusal>> {
        self.look(id, wanted).boxed()
    }

    fn rows(&self) -> Vec<RecordingRow> {
        let rows = self.archive.rows().into_iter();
        rows.map(|row| RecordingRow {
            id: row.id,
            ended_unix_ms: row.ended_unix_ms,
            duration_ms: row.duration_ms,
            bytes: row.bytes,
            lost_segments: row.lost_segments,
        })
        .collect()
    }

    fn remove<'a>(&'a self, id: &'a RecordingId) -> BoxFuture<'a, Result<(), Refusal>> {
        async move {
            if !self.archive.rows().iter().any(|row| row.id == *id) {
                return Err(Refusal::Missing(format!("There is no recording {id}.")));
            }
            self.archive.remove(id).await.map_err(|error| match error {
                RemoveError::Active(_) => Refusal::Conflict(format!("The recording {id} is still being made.")),
                RemoveError::Store(error) => {
                    tracing::warn!(recording = %id, error = &error as &dyn std::error::Error, "a recording cannot be removed");
                    Refusal::Later(format!("The recording {id} cannot be removed now; try again in a moment."))
                }
            })
        }
        .boxed()
    }
}

/// Runs `sluice recordings`.
///
/// # Errors
/// When the configuration or a name is wrong, or the database or the store fails.
pub(crate) fn run(action: &RecordingAction, data: &DataFlags) -> anyhow::Result<ExitCode> {
    let config = data.load(&[])?;
    let store = Store::open(&config.data_dir)?;
    let rows = store.recordings()?;
    let known = |id: &str| -> anyhow::Result<&archive::Row> {
        let id: RecordingId = id.parse()?;
        let found = rows.iter().find(|row| row.id == id);
        found.with_context(|| format!("there is no recording {id}; `sluice recordings list` shows them"))
    };
    match action {
        RecordingAction::List if rows.is_empty() => {
            println!("No recordings yet. To make some: recording.enabled = true");
        }
        RecordingAction::List => {
            println!(
                "{:<40} {:<18} {:>10} {:>10} {:>6}  STATE",
                "RECORDING", "BEGUN", "LENGTH", "SIZE", "LOST"
            );
            for row in rows.iter().rev() {
                let begun = ago(i64::try_from(row.id.start.0 / 1000).ok());
                let seconds = row.duration_ms / 1000;
                let length = format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
                let size = format!("{:.1} MB", row.bytes as f64 / 1e6);
                let state = if row.ended_unix_ms.is_some() { "complete" } else { "recording" };
                println!(
                    "{:<40} {begun:<18} {length:>10} {size:>10} {:>6}  {state}",
                    row.id.to_string(),
                    row.lost_segments
                );
            }
        }
        RecordingAction::Path { id } => {
            let id = &known(id)?.id;
            let place = Place::open(&config.recording_store()).map_err(anyhow::Error::msg)?;
            println!("{}/{}", place.shown().trim_end_matches('/'), archive::index::folder(id));
        }
        RecordingAction::Delete { id } => {
            let row = known(id)?;
            ensure!(row.ended_unix_ms.is_some(), "the recording {id} is still being made");
            let place = Place::open(&config.recording_store()).map_err(anyhow::Error::msg)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(archive::library::erase(&place, &store, &row.id))?;
            println!("The recording {id} is removed.");
        }
    }
    Ok(ExitCode::SUCCESS)
}
