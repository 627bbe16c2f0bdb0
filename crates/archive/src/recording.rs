//! One recording as it is read: its header, and all that its index names. A value that never changes; while the recording
//! goes on, a new one takes its place with each pack. A clone shares.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use media::{RecordingId, TICKS_PER_SECOND};

use crate::{
    index::{self, Entry, Header, InitEntry, Object, Page},
    store::{Store, StoreError},
};

/// Pages read at once.
const READS: usize = 16;

/// A recording, or as much of it as is committed.
#[derive(Clone, Debug)]
pub struct Recording {
    /// As of its last page.
    pub header: Arc<Header>,
    /// Headers of fragmented MP4, by [`InitEntry::id`].
    pub inits: Arc<Vec<InitEntry>>,
    /// What the pages name, page by page.
    pub entries: Vec<Arc<Vec<Entry>>>,
    /// The packs that each of `entries` speaks of.
    pub pages: Vec<(u32, u32)>,
}

/// What is left to do in the folder of a recording that was cut off.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Leftovers {
    /// Packs that no page names, and pages that wider ones have replaced.
    pub keys: Vec<String>,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store failed, or something is missing there.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A page is not what it should be.
    #[error("page {key} of the index is broken: {what}")]
    Broken {
        /// Its name.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// Nothing was ever committed.
    #[error("there is no recording {0}")]
    Missing(RecordingId),
}

impl LoadError {
    /// There is no such recording, as opposed to one that cannot be read now.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Missing(_) => true,
            Self::Store(error) => error.is_missing(),
            Self::Broken { .. } => false,
        }
    }
}

impl Recording {
    /// One in which nothing is.
    pub fn new(header: Header) -> Self {
        Self { header: Arc::new(header), inits: Arc::default(), entries: Vec::new(), pages: Vec::new() }
    }

    /// Reads what is committed, and finds what is not.
    ///
    /// # Errors
    /// When the store fails, a page is broken, or there is none.
    pub async fn load(store: &Store, id: &RecordingId) -> Result<(Self, Leftovers), LoadError> {
        let listed = store.list(&index::folder(id)).await?;
        let objects: Vec<Object> = listed
            .iter()
            .filter_map(|object| index::read_key(&object.key))
            .filter_map(|(found, object)| (found == *id).then_some(object))
            .collect();
        let all: Vec<_> = objects
            .iter()
            .filter_map(|object| match object {
                Object::Page(packs) => Some(*packs),
                Object::Pack(_) => None,
            })
            .collect();
        let current = index::current(all.clone());
        let reads = current.clone().into_iter().map(|packs| read_page(store, id, packs));
        let pages: Vec<Page> = futures_util::stream::iter(reads).buffered(READS).try_collect().await?;
        let keys = objects
            .iter()
            .filter_map(|object| match object {
                Object::Pack(pack) => {
                    let named = current.iter().any(|(first, last)| (first..=last).contains(&pack));
                    (!named).then(|| index::pack_key(id, *pack))
                }
                Object::Page(packs) => (!current.contains(packs)).then(|| index::page_key(id, *packs)),
            })
            .collect();
        let mut recording = match pages.last() {
            Some(last) => Self::new(last.header.clone()),
            None => return Err(LoadError::Missing(id.clone())),
        };
        for page in pages {
            recording.append(page);
        }
        Ok((recording, Leftovers { keys }))
    }

    /// Adds a page that follows.
    pub fn append(&mut self, page: Page) {
        self.header = Arc::new(page.header);
        if !page.inits.is_empty() {
            Arc::make_mut(&mut self.inits).extend(page.inits);
        }
        self.entries.push(Arc::new(page.entries));
        self.pages.push(page.packs);
    }

    /// The pages from `from` on as one.
    pub fn merged(&self, from: usize) -> Option<Page> {
        let packs = (self.pages.get(from)?.0, self.pages.last()?.1);
        let inits = self.inits.iter().filter(|init| (packs.0..=packs.1).contains(&init.at.pack));
        Some(Page {
            header: (*self.header).clone(),
            packs,
            inits: inits.cloned().collect(),
            entries: self.entries.get(from..)?.iter().flat_map(|page| page.iter().cloned()).collect(),
        })
    }

    /// Puts one page in the place of those from `from` on.
    pub fn replace(&mut self, from: usize, page: Page) {
        self.entries.truncate(from);
        self.pages.truncate(from);
        self.header = Arc::new(page.header);
        self.entries.push(Arc::new(page.entries));
        self.pages.push(page.packs);
    }

    /// Which one.
    pub fn id(&self) -> &RecordingId {
        &self.header.id
    }

    /// The number of the next pack.
    pub fn next_pack(&self) -> u32 {
        self.pages.last().map_or(0, |(_, last)| last + 1)
    }

    /// All segments, in the order in which they were kept.
    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flat_map(|page| page.iter())
    }

    /// The newest segments of each rendition come last; the highest number of all.
    pub fn newest(&self) -> Option<u64> {
        self.all().map(|entry| entry.sequence).max()
    }

    /// Nothing will follow.
    pub fn is_complete(&self) -> bool {
        self.header.ended_unix_ms.is_some()
    }

    /// Bytes of all segments and what goes with them.
    pub fn bytes(&self) -> u64 {
        let samples = |entry: &Entry| entry.samples.map_or(0, |(_, length)| u64::from(length));
        self.all().map(|entry| entry.at.length + samples(entry)).sum()
    }

    /// From the first beginning to the last end, in milliseconds of wall clock.
    pub fn span_ms(&self) -> u64 {
        let begin = self.all().map(|entry| entry.unix_micros).min().unwrap_or(0);
        let end = self
            .all()
            .map(|entry| entry.unix_micros.saturating_add(micros(entry.duration)))
            .max()
            .unwrap_or(begin);
        u64::try_from(end.saturating_sub(begin) / 1000).unwrap_or(0)
    }

    /// The rendition of that id.
    pub fn rendition(&self, id: &str) -> Option<u16> {
        let at = self.header.renditions.iter().position(|rendition| rendition.id == id)?;
        u16::try_from(at).ok()
    }

    /// A segment of a rendition by its number.
    pub fn segment(&self, rendition: u16, sequence: u64) -> Option<&Entry> {
        let fits = |entry: &&Entry| entry.rendition == rendition && entry.sequence == sequence;
        // The newest are asked for most while a recording goes on, and any other as often as that one.
        self.entries.iter().rev().find_map(|page| page.iter().rev().find(fits))
    }

    /// A name for what is committed now: it changes with each pack.
    pub fn revision(&self) -> String {
        let end = if self.is_complete() { "e" } else { "" };
        format!("{}-{}{end}", self.id(), self.next_pack())
    }
}

/// Ticks of 90 kHz as microseconds.
pub(crate) fn micros(ticks: i64) -> i64 {
    i64::try_from(i128::from(ticks) * 1_000_000 / i128::from(TICKS_PER_SECOND)).unwrap_or(i64::MAX)
}

async fn read_page(store: &Store, id: &RecordingId, packs: (u32, u32)) -> Result<Page, LoadError> {
    let key = index::page_key(id, packs);
    let bytes = store.get(&key).await?;
    let read = || {
        if bytes.len() as u64 > index::MAX_PAGE {
            return Err("it is too large".to_owned());
        }
        let page = Page::read(&bytes)?;
        if page.header.id == *id && page.packs == packs {
            Ok(page)
        } else {
            Err("it is another's".to_owned())
        }
    };
    read().map_err(|what| LoadError::Broken { key, what })
}
