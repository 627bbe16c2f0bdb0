//! The keeper: what happens to recordings that nobody is making.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use media::RecordingId;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{Open, Row, Shared, lock, row, unix_ms};
use crate::{
    index::{self, Object},
    recording::{LoadError, Recording},
};

/// Between attempts to take stock of a store that fails.
const AGAIN: Duration = Duration::from_secs(20);

/// Takes stock, then looks after what there is, until the archive is finished.
pub(super) async fn run(shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let work = async {
        while let Err(error) = take_stock(&shared).await {
            warn!(%error, place = shared.store.shown(), "recordings cannot be looked through now; it is tried again");
            sleep(AGAIN).await;
        }
        loop {
            complete_abandoned(&shared).await;
            retain(&shared).await;
            sleep(shared.settings.look).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// What the store has of a recording.
#[derive(Default)]
struct Found {
    pages: Vec<(u32, u32)>,
    packs: Vec<u32>,
}

/// Makes the catalogue say what the store has, and sweeps what a killed process left. Streams that are being recorded are left
/// alone: their recorders do that themselves.
async fn take_stock(shared: &Arc<Shared>) -> Result<(), LoadError> {
    let store = shared.store.clone();
    let busy =
        |id: &RecordingId| lock(&shared.busy).contains_key(&id.stream) || lock(&shared.open).contains_key(id);
    if lock(&shared.busy).is_empty() {
        // Nobody writes yet: whatever is half written is nobody's.
        let swept = tokio::task::spawn_blocking(move || store.sweep_folder()).await.unwrap_or(0);
        if swept > 0 {
            info!(files = swept, "files that were cut off while they were written are removed");
        }
    }
    let mut found: BTreeMap<RecordingId, Found> = BTreeMap::new();
    for listed in shared.store.list("").await? {
        match index::read_key(&listed.key) {
            Some((id, Object::Page(packs))) => found.entry(id).or_default().pages.push(packs),
            Some((id, Object::Pack(pack))) => found.entry(id).or_default().packs.push(pack),
            None => {}
        }
    }
    let known: BTreeSet<RecordingId> = shared.catalog.rows().into_iter().map(|row| row.id).collect();
    for id in known.iter().filter(|id| !found.contains_key(id) && !busy(id)) {
        shared.catalog.remove(id);
    }
    for (id, Found { pages, packs }) in found {
        if busy(&id) {
            continue;
        }
        if pages.is_empty() {
            info!(recording = %id, packs = packs.len(), "packs that no index names are removed");
            let keys = packs.into_iter().map(|pack| index::pack_key(&id, pack)).collect();
            shared.store.delete(keys).await?;
            shared.catalog.remove(&id);
            continue;
        }
        let current = index::current(pages.clone());
        let named =
            packs.iter().all(|pack| current.iter().any(|(first, last)| (first..=last).contains(&pack)));
        if named && current.len() == pages.len() && known.contains(&id) && current.len() == 1 {
            continue; // as it was left
        }
        match Recording::load(&shared.store, &id).await {
            Ok((recording, leftovers)) => {
                if busy(&id) {
                    continue;
                }
                shared.store.delete(leftovers.keys).await?;
                shared.catalog.put(&row(&recording));
                if !recording.is_complete() {
                    let open = Open { recording: Arc::new(recording), left: Some(Instant::now()) };
                    lock(&shared.open).entry(id).or_insert(open);
                }
            }
            Err(error @ LoadError::Store(_)) => return Err(error),
            Err(error) => warn!(recording = %id, %error, "a recording cannot be read"),
        }
    }
    // Rows of those that were going on when the process ended, and have one page.
    for row in shared.catalog.rows().into_iter().filter(|row| row.ended_unix_ms.is_none()) {
        if busy(&row.id) {
            continue;
        }
        if let Ok((recording, _)) = Recording::load(&shared.store, &row.id).await {
            if recording.is_complete() {
                shared.catalog.put(&super::row(&recording));
            } else {
                let open = Open { recording: Arc::new(recording), left: Some(Instant::now()) };
                lock(&shared.open).entry(row.id).or_insert(open);
            }
        }
    }
    Ok(())
}

/// Completes those that were left, and that nobody came back to.
async fn complete_abandoned(shared: &Arc<Shared>) {
    let due: Vec<Arc<Recording>> = lock(&shared.open)
        .values()
        .filter(|open| open.left.is_some_and(|left| left.elapsed() >= shared.settings.abandon))
        .filter(|open| !lock(&shared.busy).contains_key(&open.recording.id().stream))
        .map(|open| open.recording.clone())
        .collect();
    for recording in due {
        shared.complete((*recording).clone()).await;
    }
}

/// Removes what is too old, then the oldest of what is too much.
async fn retain(shared: &Arc<Shared>) {
    let rows = shared.catalog.rows();
    shared.tell(&rows);
    for id in
        too_many(&rows, unix_ms(), |row| (shared.settings.keep.0)(&row.id.stream), shared.settings.max_bytes)
    {
        match shared.remove(&id).await {
            Ok(()) => {
                info!(recording = %id, "the recording is removed: it is too old, or all of them are too large")
            }
            Err(error) => warn!(recording = %id, %error, "a recording that is too old cannot be removed now"),
        }
    }
}

/// Which have to go. Those that go on stay, whatever they weigh.
fn too_many(
    rows: &[Row],
    now_unix_ms: u64,
    keep: impl Fn(&Row) -> Option<Duration>,
    max_bytes: Option<u64>,
) -> Vec<RecordingId> {
    let mut ended: Vec<(&Row, u64)> = rows.iter().filter_map(|row| Some((row, row.ended_unix_ms?))).collect();
    ended.sort_by_key(|(row, end)| (*end, row.id.clone()));
    let old = |row: &Row, end: u64| {
        keep(row).is_some_and(|keep| now_unix_ms.saturating_sub(end) > keep.as_millis() as u64)
    };
    let mut total: u64 = rows.iter().map(|row| row.bytes).sum();
    let mut going = Vec::new();
    for (row, end) in ended {
        if old(row, end) || max_bytes.is_some_and(|most| total > most) {
            total -= row.bytes.min(total);
            going.push(row.id.clone());
        }
    }
    going
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_and_the_too_many_go() {
        let row = |id: &str, end: Option<u64>, bytes: u64| Row {
            id: id.parse().unwrap(),
            ended_unix_ms: end,
            duration_ms: 0,
            bytes,
            lost_segments: 0,
        };
        let rows = [
            row("a-1", Some(10_000), 5),
            row("b-2", Some(30_000), 5),
            row("a-3", Some(20_000), 5),
            row("c-4", None, 90),
        ];
        let all = |keep: Option<u64>, most| {
            let keep =
                |row: &Row| if row.id.stream.as_str() == "b" { None } else { keep.map(Duration::from_secs) };
            let going = too_many(&rows, 40_000, keep, most);
            going.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(all(None, None), Vec::<String>::new());
        assert_eq!(all(Some(25), None), ["a-1"]);
        assert_eq!(all(Some(5), None), ["a-1", "a-3"], "b keeps its own");
        assert_eq!(all(None, Some(100)), ["a-1"], "the oldest first, and no more than needed");
        assert_eq!(all(None, Some(10)), ["a-1", "a-3", "b-2"], "never one that goes on");
        assert_eq!(all(Some(25), Some(100)), ["a-1"]);
    }
}
