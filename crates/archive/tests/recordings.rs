//! Streams recorded to a folder, and judged by FFmpeg.

#![allow(clippy::unwrap_used)]

mod support;

use std::{sync::Arc, time::Duration};

use archive::{Archive, Store, StoreSettings};
use support::{
    Rows, SEGMENT_MS, Show, Stream, complete, decoded, film, flashes_and_beeps, mp4, quick, unpack, until,
};

fn folder(dir: &tempfile::TempDir) -> Store {
    Store::open(&StoreSettings { url: format!("file:{}", dir.path().display()), ..StoreSettings::default() })
        .unwrap()
}

/// The file's path as text.
fn put(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_becomes_vod_and_mp4() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let rows = Arc::new(Rows::default());
    let archive = Archive::new(folder(&dir), quick(), rows.clone());
    let mut stream = Stream::begin(&archive, "show");
    let id = Stream::id("show");
    for nth in 0..8 {
        stream.show(Show::Film);
        if nth == 3 {
            let (_, lists) = until("what was shown so far", async || archive.lists(&id).await.ok()).await;
            let text = String::from_utf8(lists.media[0].body().to_vec()).unwrap();
            assert!(text.contains("#EXT-X-PLAYLIST-TYPE:EVENT\n") && !text.contains("ENDLIST"), "{text}");
        }
    }
    stream.end();
    let recording = complete(&archive, &id).await;
    assert_eq!((recording.all().count(), recording.header.lost, recording.pages.len()), (16, 0, 1));

    let (_, lists) = archive.lists(&id).await.unwrap();
    let text = String::from_utf8(lists.media[0].body().to_vec()).unwrap();
    let head = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:0\n\
                #EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-MAP:URI=\"init-0000000000000001.mp4\"\n\
                #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:00.000Z\n#EXTINF:2.00000,\n897674400.m4s\n";
    assert!(text.starts_with(head) && text.ends_with("897674407.m4s\n#EXT-X-ENDLIST\n"), "{text}");
    for list in &lists.media {
        let (rest, read) = m3u8_rs::parse_media_playlist(list.body()).unwrap();
        assert_eq!((rest.len(), read.segments.len(), read.end_list), (0, 8, true));
    }
    let master = String::from_utf8(lists.multivariant.as_ref().unwrap().body().to_vec()).unwrap();
    assert!(master.contains("TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"Main\",LANGUAGE=\"en\""), "{master}");
    assert!(
        master.contains("CODECS=\"avc1.") && master.contains(",mp4a.40.2\",RESOLUTION=320x180"),
        "{master}"
    );

    let index = unpack(&archive, &id, out.path()).await.display().to_string();
    let frames = 8 * SEGMENT_MS as u64 / 1000 * u64::from(support::FPS);
    let (pictures, sound) = decoded(&index);
    assert_eq!(pictures, frames);
    assert!(sound.abs_diff(16 * 48_000) <= 2 * 1024, "{sound}");

    let whole = mp4(&archive, &id, None).await;
    let (_, layout) = archive.mp4(&id, None, None).await.unwrap();
    assert_eq!(whole.len() as u64, layout.length());
    let file = put(&out, "show.mp4", &whole);
    let (pictures, sound) = decoded(&file);
    assert_eq!(pictures, frames);
    assert!(sound.abs_diff(16 * 48_000) <= 2 * 1024, "{sound}");
    let length = support::says(
        "ffprobe",
        &["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", &file],
    );
    assert!((length.trim().parse::<f64>().unwrap() - 16.0).abs() < 0.05, "{length}");
    let (flashes, beeps) = flashes_and_beeps(&file);
    // Silence begins the sound's file with a beep: the first one ends no silence.
    assert_eq!((flashes.len(), beeps.len()), (16, 15), "{flashes:?} {beeps:?}");
    for (flash, beep) in flashes[1..].iter().zip(&beeps) {
        assert!((flash - beep).abs() < 0.06, "{flash} {beep}");
    }
    // Any range is the same part of the whole: in the head, over its end, in the media, past the end.
    let length = whole.len() as u64;
    for range in [0..100, 900..9000, 40_000..40_001, length - 5000..length, length - 1..length + 9, 7..7] {
        let end = range.end.min(length) as usize;
        assert!(
            mp4(&archive, &id, Some(range.clone())).await == whole[range.start as usize..end],
            "{range:?}"
        );
    }
    // Seeking lands on the asked picture.
    let args = ["-v", "error", "-ss", "9.04", "-i", &file, "-frames:v", "1", "-f", "framemd5", "-"];
    let sought = support::says("ffmpeg", &args);
    let all = support::says("ffmpeg", &["-v", "error", "-i", &file, "-map", "0:v", "-f", "framemd5", "-"]);
    let hash = |line: &str| line.rsplit(',').next().unwrap().trim().to_owned();
    let wanted = all.lines().filter(|line| line.starts_with("0,")).nth(226).map(hash).unwrap();
    assert_eq!(sought.lines().rfind(|line| line.starts_with("0,")).map(hash), Some(wanted));

    let listed = archive.rows();
    assert_eq!((listed.len(), listed[0].duration_ms / 100, listed[0].lost_segments), (1, 160, 0));
    assert!(listed[0].ended_unix_ms.is_some() && listed[0].bytes > 10_000);
    archive.remove(&id).await.unwrap();
    assert!(archive.rows().is_empty() && archive.find(&id).await.unwrap_err().is_missing());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
    archive.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gaps_and_jumps_keep_pictures_and_sound_together() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let archive = Archive::new(folder(&dir), quick(), Arc::new(Rows::default()));
    let mut stream = Stream::begin(&archive, "show");
    let id = Stream::id("show");
    use Show::{Film, Gap, Jump, NoPicture};
    for what in [Film, Film, Film, Gap, Gap, Jump, Film, NoPicture, Film, Film, Gap] {
        stream.show(what);
    }
    stream.end();
    let recording = complete(&archive, &id).await;
    assert_eq!(recording.all().count(), 15);
    let (_, lists) = archive.lists(&id).await.unwrap();
    let shape = |nth: usize| {
        let text = String::from_utf8(lists.media[nth].body().to_vec()).unwrap();
        let marks = text.lines().filter_map(|line| match line {
            "#EXT-X-DISCONTINUITY" => Some('j'),
            "#EXT-X-GAP" => Some('g'),
            line if line.starts_with("#EXTINF") => Some('s'),
            line if line.starts_with("#EXT-X-MAP") => Some('m'),
            _ => None,
        });
        marks.collect::<String>()
    };
    // The jump stands where the hole begins, in all lists alike; what follows the end is not listed.
    assert_eq!((shape(0).as_str(), shape(1).as_str()), ("msssjgsgsssgsss", "msssjgsgssssss"));

    let index = unpack(&archive, &id, out.path()).await.display().to_string();
    assert_eq!(decoded(&index).0, 7 * 50);
    let file = put(&out, "show.mp4", &mp4(&archive, &id, None).await);
    let (pictures, _) = decoded(&file);
    assert_eq!(pictures, 7 * 50);
    let (flashes, beeps) = flashes_and_beeps(&file);
    // 16 s: the hole that both have is left out; where only pictures are missing, the last one stands.
    assert_eq!((flashes.len(), beeps.len()), (14, 15), "{flashes:?} {beeps:?}");
    for flash in &flashes[1..] {
        assert!(beeps.iter().any(|beep| (flash - beep).abs() < 0.06), "{flash} {beeps:?}");
    }
    assert!((flashes[13] - 15.0).abs() < 0.05, "{flashes:?}");
    archive.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_leaves_is_whole_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let id = Stream::id("show");
    {
        let archive = Archive::new(folder(&dir), quick(), Arc::new(Rows::default()));
        let mut stream = Stream::begin(&archive, "show");
        for _ in 0..3 {
            stream.show(Show::Film);
        }
        until("three segments", async || {
            archive.find(&id).await.ok().filter(|recording| recording.all().count() == 6)
        })
        .await;
        // The process is killed: no end, and no goodbye. Here its tasks end by themselves, as they find nobody.
        stream.feed = None;
        archive.finish().await;
    }
    // A pack without a page, a page that a wider one has replaced, a file that was being written, a recording of packs alone.
    let recording = dir.path().join(format!("show/{}", support::SESSION));
    let pages = std::fs::read_dir(recording.join("index")).unwrap().count();
    for name in ["pack/00000077.bin", "pack/00000005.bin#1"] {
        std::fs::write(recording.join(name), "half").unwrap();
    }
    let orphan = dir.path().join("other/1795348800001/pack");
    std::fs::create_dir_all(&orphan).unwrap();
    std::fs::write(orphan.join("00000000.bin"), "half").unwrap();

    // Nobody comes back to it: it is completed.
    let copy = tempfile::tempdir().unwrap();
    let copied =
        std::process::Command::new("cp").arg("-r").arg(dir.path().join(".")).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    let settings = archive::Settings { abandon: Duration::from_millis(300), ..quick() };
    let rows = Arc::new(Rows::default());
    let archive = Archive::new(folder(&copy), settings, rows.clone());
    let alone = complete(&archive, &id).await;
    assert_eq!((alone.all().count(), archive.rows().len()), (6, 1));
    until("the sweep", async || (std::fs::read_dir(copy.path()).unwrap().count() == 1).then_some(())).await;
    let left: Vec<_> =
        std::fs::read_dir(copy.path().join(format!("show/{}/pack", support::SESSION))).unwrap().collect();
    assert_eq!(left.len() as u32, alone.next_pack(), "{left:?}");
    archive.finish().await;

    // The same session comes back: it goes on.
    let archive = Archive::new(folder(&dir), quick(), Arc::new(Rows::default()));
    let mut stream = Stream::resume(&archive, "show", 3);
    stream.show(Show::Jump);
    stream.show(Show::Film);
    stream.end();
    let whole = complete(&archive, &id).await;
    assert_eq!(whole.all().count(), 10);
    assert!(pages > 0 && whole.next_pack() as usize > pages);
    let counts: Vec<u64> =
        whole.all().filter(|one| one.rendition == 0).map(|one| one.discontinuities).collect();
    assert_eq!(counts, [0, 0, 0, 1, 1]);
    assert!(!recording.join("pack/00000077.bin").exists());
    let out = tempfile::tempdir().unwrap();
    let index = unpack(&archive, &id, out.path()).await.display().to_string();
    assert_eq!(decoded(&index).0, 5 * 50);
    archive.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_pages_become_few() {
    let dir = tempfile::tempdir().unwrap();
    let settings = archive::Settings { commit: Duration::ZERO, ..quick() };
    let archive = Archive::new(folder(&dir), settings, Arc::new(Rows::default()));
    let mut stream = Stream::begin(&archive, "show");
    let id = Stream::id("show");
    // The film shown again and again, each time as what it is: something else.
    for nth in 0..75 {
        let (what, film) = (nth % 14, film().video.segments.len());
        assert!(film >= 14);
        if what == 0 {
            stream.rewind();
        }
        stream.show(if what == 0 { Show::Jump } else { Show::Film });
        let both = 2 * (nth + 1);
        until("a pack for it", async || archive.find(&id).await.ok().filter(|one| one.all().count() == both))
            .await;
    }
    let before = archive.find(&id).await.unwrap();
    assert!(before.next_pack() >= 75 && before.pages.len() < 64, "{:?}", before.pages);
    assert_eq!(before.pages[0].0, 0);
    stream.end();
    let whole = complete(&archive, &id).await;
    assert_eq!((whole.all().count(), whole.pages.len()), (150, 1));
    archive.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_stream_becomes_several_recordings() {
    let dir = tempfile::tempdir().unwrap();
    let settings = archive::Settings { longest: Duration::from_secs(6), max_bytes: None, ..quick() };
    let archive = Archive::new(folder(&dir), settings, Arc::new(Rows::default()));
    let mut stream = Stream::begin(&archive, "show");
    for nth in 1..=8 {
        stream.show(Show::Film);
        let shown = nth * 2;
        until("it is kept", async || {
            let mut kept = 0;
            for row in archive.rows() {
                kept += archive.find(&row.id).await.unwrap().all().count();
            }
            (kept == shown).then_some(())
        })
        .await;
    }
    stream.end();
    until("all are complete", async || {
        let rows = archive.rows();
        (rows.len() >= 2 && rows.iter().all(|row| row.ended_unix_ms.is_some())).then_some(())
    })
    .await;
    let rows = archive.rows();
    let total: u64 = rows.iter().map(|row| row.duration_ms).sum();
    assert!(total.abs_diff(16_000) < 60, "{rows:?}");
    let second = rows.iter().rev().nth(1).unwrap();
    let out = tempfile::tempdir().unwrap();
    let file = unpack(&archive, &second.id, out.path()).await.display().to_string();
    assert!((decoded(&file).0 * 40).abs_diff(second.duration_ms) < 30, "{second:?}");
    archive.finish().await;
}
