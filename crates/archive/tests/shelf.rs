//! Rewind windows on disk.

#![allow(clippy::unwrap_used)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use archive::{Board, Shelf, ShelfSettings, Store, StoreSettings};
use bytes::Bytes;
use futures_util::TryStreamExt;
use hls::{Part, Segment};
use media::{Epoch, MediaSequence, MediaSpan, MediaTime};
use object_store::{
    memory::InMemory,
    throttle::{ThrottleConfig, ThrottledStore},
};

/// Of three parts, each byte telling its place.
fn segment(number: u64, size: usize) -> Arc<Segment> {
    let bytes: Bytes = (0..size).map(|at| (at as u64 * 31 + number) as u8).collect();
    let third = size / 3;
    let parts = [0..third, third..2 * third, 2 * third..size].map(|range| Part {
        start: MediaTime::ZERO,
        duration: MediaSpan::ZERO,
        independent: true,
        gap: false,
        bytes: bytes.slice(range),
    });
    Arc::new(Segment { sequence: MediaSequence(number), parts: parts.to_vec(), ..Segment::default() })
}

async fn read(board: &Board, number: u64, range: std::ops::Range<u64>) -> Option<Vec<u8>> {
    let found = board.get("v-720p", MediaSequence(number))?;
    let pieces: Vec<Bytes> = found.read(range).try_collect().await.unwrap();
    Some(pieces.concat())
}

async fn until(what: &str, mut look: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !look() {
        assert!(begin.elapsed() < Duration::from_secs(30), "waited for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn files(dir: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_go_to_disk_and_leave_it() {
    let dir = tempfile::tempdir().unwrap();
    // What an earlier process left.
    let old = dir.path().join("show/7/1700000000000");
    std::fs::create_dir_all(&old).unwrap();
    std::fs::write(old.join("00000000.bin"), "old").unwrap();
    let url = format!("file:{}", dir.path().display());
    let store = Store::open(&StoreSettings { url, ..StoreSettings::default() }).unwrap();
    let shelf =
        Shelf::open(store, ShelfSettings { commit: Duration::from_millis(5), ..ShelfSettings::default() });
    let board = shelf.board(&"show".parse().unwrap(), Epoch(7));
    let size = 30_000;
    for number in 0..20 {
        let one = segment(number, size);
        assert!(board.put("v-720p", &one) && board.put("a-main", &segment(number, 300)));
        assert!(board.put("v-720p", &one), "twice is once");
        let all = one.chunks().flat_map(|chunk| chunk.to_vec()).collect::<Vec<u8>>();
        assert_eq!(read(&board, number, 0..size as u64).await.unwrap(), all, "wherever it is by now");
        until("the disk", || board.is_stored("v-720p", MediaSequence(number)) || number % 3 > 0).await;
        for range in [0..1, 9_000..21_000, 29_999..30_000, 5..5] {
            let want = &all[range.start as usize..range.end as usize];
            assert_eq!(read(&board, number, range.clone()).await.unwrap(), want, "{range:?}");
        }
    }
    until("the last", || board.is_stored("a-main", MediaSequence(19))).await;
    until("the old ones to go", || !old.exists()).await;
    let before = files(dir.path());
    board.trim(MediaSequence(15));
    assert!(read(&board, 14, 0..1).await.is_none() && read(&board, 15, 0..1).await.is_some());
    assert!(!board.put("v-720p", &segment(14, 9)), "it is trimmed");
    until("packs to go", || files(dir.path()) < before).await;
    assert!(read(&board, 19, 0..30_000).await.is_some());
    let gap = Segment::missing(MediaSequence(20), MediaTime::ZERO, MediaSpan::ZERO, false, 0);
    assert!(!board.put("v-720p", &Arc::new(gap)));
    drop(board);
    until("all to go", || files(dir.path()) == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_store_refuses_and_never_blocks() {
    let config =
        ThrottleConfig { wait_put_per_call: Duration::from_millis(300), ..ThrottleConfig::default() };
    let store = Store::over(Arc::new(ThrottledStore::new(InMemory::new(), config)), "a slow place");
    let settings = ShelfSettings { queue_bytes: 100_000, commit: Duration::from_millis(1) };
    let board = Shelf::open(store, settings).board(&"show".parse().unwrap(), Epoch(7));
    let taken: Vec<u64> = (0..10)
        .filter(|number| {
            let begin = Instant::now();
            let taken = board.put("v-720p", &segment(*number, 30_000));
            assert!(begin.elapsed() < Duration::from_millis(50));
            taken
        })
        .collect();
    assert_eq!(taken, [0, 1, 2], "what fits");
    assert!(board.get("v-720p", MediaSequence(3)).is_none());
    until("room", || board.is_stored("v-720p", MediaSequence(2))).await;
    assert!(board.put("v-720p", &segment(10, 30_000)));
    // What waits and is trimmed makes room at once.
    for number in 11..13 {
        assert!(board.put("v-720p", &segment(number, 30_000)));
    }
    board.trim(MediaSequence(13));
    until("room", || board.put("v-720p", &segment(13, 90_000))).await;
    assert_eq!(read(&board, 13, 0..3).await.unwrap().len(), 3);
}
