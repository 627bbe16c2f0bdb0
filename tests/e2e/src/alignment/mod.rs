//! Whether all renditions of a stream are cut alike, and hold what is declared of their rates, whatever comes in.
//!
//!   sources (GOPs of 10 s, open GOPs, scene cuts, uneven rates, noise, reconnects …), all at once, in real time
//!      ══RTMP══▶ one gateway ══HTTP══▶ a `Watch` each, over all renditions for the whole time ─▶ judge ─▶ Row ─▶ table
//!
//! | column | holds when |
//! |---|---|
//! | numbers | every rendition has each number of the common span, as media or as gap alike; spans differ by 2 at most |
//! | PTS | the first pictures of equal numbers are 0 ticks apart: by tscheck for each, by ffprobe for samples |
//! | EXTINF, discontinuities | equal for equal numbers |
//! | peak, average | encoded: ≤ 100 % of BANDWIDTH, < 110 % of AVERAGE-BANDWIDTH; copied: ≤ 125 % and < 110 % (Apple 1.28, 1.29) |
//! | rules | none of `hlscheck` and `tscheck` is broken, but for those about when a list changes: they are notes here |

mod judge;
mod sources;

pub use judge::{Row, table};
pub use sources::{Source, all};

use crate::harness::{Gateway, Home, Key, Publisher};
use crate::hlscheck::{Options, Watch};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Small rungs below small sources, so that many fit on one machine; noise reaches each one's cap.
const SETTINGS: [(&str, &str); 3] =
    [("ladder.rungs", "270:500k,180:250k,120:120k"), ("hls.window", "30s"), ("publish.hold", "60s")];
/// Between the starts of two sources, so that they are not all cut at the same moments.
const STAGGER: Duration = Duration::from_millis(370);

/// Publishes all sources at once for so many seconds each, and judges what became of them.
///
/// # Errors
/// When the gateway, a clip or an encoder fails; what is wrong with a stream stands in its row.
pub fn run(sources: &[Source], seconds: u64, settings: &[(&str, &str)]) -> Result<Vec<Row>> {
    let clips = sources.iter().map(Source::clip).collect::<Result<Vec<_>>>()?;
    let home = Home::new();
    let keys: Vec<Key> = (0..sources.len()).map(|nth| home.key(&format!("source-{nth}"))).collect();
    let all: Vec<_> = SETTINGS.iter().chain(settings).copied().collect();
    let gateway = home.gateway(&all);
    let rows = thread::scope(|scope| {
        let running: Vec<_> = sources
            .iter()
            .zip(&clips)
            .zip(&keys)
            .enumerate()
            .map(|(nth, ((source, clip), key))| {
                let (home, gateway) = (&home, &gateway);
                scope.spawn(move || {
                    thread::sleep(STAGGER * nth as u32);
                    follow(home, gateway, source, clip, key, Duration::from_secs(seconds))
                })
            })
            .collect();
        let joined =
            running.into_iter().map(|one| one.join().map_err(|_| anyhow::anyhow!("a watch panicked")));
        joined.map(|row| row.and_then(|row| row)).collect::<Result<Vec<_>>>()
    });
    let log = gateway.log();
    ensure!(!log.contains("panicked"), "the gateway panicked:\n{log}");
    rows
}

/// One source from its first packet to the verdict.
fn follow(
    home: &Home,
    gateway: &Gateway,
    source: &Source,
    clip: &Path,
    key: &Key,
    span: Duration,
) -> Result<Row> {
    let mut options = Options::new(gateway.live_url(&key.name), home.path(&format!("watch-{}", key.name)));
    // All streams' pictures once more would take longer than they play.
    options.decode = false;
    let publish = || Publisher::copy(home, clip, 0, &gateway.publish_url(key));
    let mut publisher = publish();
    let watch = Watch::start(options);
    let started = Instant::now();
    let mut returns = 0;
    let mut next = source.stays.map(Duration::from_secs);
    while started.elapsed() < span {
        ensure!(!watch.progress().over, "{}: the lists ended", source.name);
        if publisher.ended().is_some() {
            anyhow::bail!("{}: the encoder ended: {}", source.name, publisher.log());
        }
        if let (Some(at), Some(stays)) = (next, source.stays)
            && started.elapsed() >= at
            && started.elapsed() + Duration::from_secs(stays) < span
        {
            publisher.kill();
            // At once, and after some gap segments, in turn.
            thread::sleep(Duration::from_secs(returns % 3 * 3));
            publisher = publish();
            returns += 1;
            next = Some(started.elapsed() + Duration::from_secs(stays));
        }
        thread::sleep(Duration::from_millis(100));
    }
    let story = gateway.stream(&key.name).context("the stream is not there")?;
    let outcome = watch.finish().with_context(|| source.name.to_owned())?;
    judge::row(source, &outcome, &story, returns)
}
