//! Reads what the layout of an MP4 needs: headers, and sample tables, which lie together at the end of each pack.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use super::Mp4Error;
use crate::{
    index::{self, Entry},
    mp4::{Described, Layout, LayoutError, Source, choose},
    recording::Recording,
    samples::Table,
    store::{Store, StoreError},
};

/// Packs read at once.
const READS: usize = 16;
/// Tables of one pack that lie farther apart than this are not read at once. They never do in packs of ours.
const MOST: u64 = 64 << 20;

/// Lays out one MP4. A segment whose table is missing or broken is left out, as a hole.
pub(super) async fn lay_out(
    store: &Store,
    recording: &Recording,
    pictures: Option<&str>,
    sound: Option<&str>,
) -> Result<Layout, Mp4Error> {
    let chosen = choose(recording, pictures, sound)?;
    let mut used: BTreeMap<u32, Option<Described>> = BTreeMap::new();
    let mut packs: BTreeMap<u32, Range<u64>> = BTreeMap::new();
    let of = |entry: &Entry| chosen.contains(&entry.rendition);
    for entry in recording.all().filter(|entry| of(entry)) {
        used.extend(entry.init.map(|init| (init, None)));
        if let Some((offset, length)) = entry.samples {
            let range = packs.entry(entry.at.pack).or_insert(offset..offset);
            range.start = range.start.min(offset);
            range.end = range.end.max(offset + u64::from(length)).min(range.start + MOST);
        }
    }
    for (init, described) in &mut used {
        if let Some(known) = recording.inits.get(*init as usize) {
            let range = known.at.offset..known.at.offset + known.at.length;
            let bytes = store.range(&index::pack_key(recording.id(), known.at.pack), range).await?;
            *described = Described::read(&bytes);
        }
    }
    let reads = packs.into_iter().map(|(pack, range)| async move {
        let bytes = store.range(&index::pack_key(recording.id(), pack), range.clone()).await?;
        Ok::<_, StoreError>((pack, (range.start, bytes)))
    });
    let tables: BTreeMap<u32, (u64, Bytes)> =
        futures_util::stream::iter(reads).buffer_unordered(READS).try_collect().await?;

    let recording = recording.clone();
    let build = tokio::task::spawn_blocking(move || {
        let (numbers, inits): (Vec<u32>, Vec<Option<Described>>) = used.into_iter().unzip();
        let tracks = chosen.iter().map(|rendition| {
            let own = recording.all().filter(|entry| entry.rendition == *rendition);
            own.filter_map(|entry| {
                let (offset, length) = entry.samples?;
                let (begin, bytes) = tables.get(&entry.at.pack)?;
                let from = usize::try_from(offset.checked_sub(*begin)?).ok()?;
                let table = Table::from_bytes(bytes.get(from..from.checked_add(length as usize)?)?)?;
                let last = table.chunks.last()?;
                let init = numbers.binary_search(&entry.init?).ok()?;
                (last.offset.checked_add(last.length())? <= entry.at.length).then_some(Source {
                    entry,
                    table,
                    init,
                })
            })
            .collect()
        });
        Layout::build(&inits, tracks.collect())
    });
    Ok(build.await.unwrap_or(Err(LayoutError::Empty))?)
}
