//! Low-latency sessions: each follows one rendition of the picture and one of the sound by blocking reloads, and fetches
//! every part that these list, as players do.

use std::{
    cell::RefCell,
    collections::HashMap,
    process::ExitCode,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::task::LocalSet;

use crate::{
    cost::Scale,
    figures::{Shown, Times},
    wire::{Place, Wire},
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A multivariant playlist of low-latency HLS.
    url: String,
    /// How many.
    #[arg(long, default_value_t = 2000)]
    sessions: usize,
    /// How long, once all have begun.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// In which time they begin.
    #[arg(long, default_value_t = 10)]
    ramp: u64,
    /// The server's processes.
    #[arg(long, required = true, value_delimiter = ',')]
    pid: Vec<u32>,
    /// Take compressed lists.
    #[arg(long)]
    gzip: bool,
}

/// What all sessions together saw.
#[derive(Default)]
struct Tally {
    lists: u64,
    parts: u64,
    bytes: u64,
    errors: HashMap<String, u64>,
    /// When each part of each rendition was first told to anybody, and how much later to each of the others.
    first: HashMap<(usize, u64, u32), Instant>,
    wakes: Times,
    /// From asking for a part to having it.
    fetches: Times,
}

/// One list that sessions follow.
struct Track {
    list: Place,
    nth: usize,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    raise_file_limit()?;
    let place = Place::parse(&arguments.url)?;
    let (pictures, sounds) = renditions(&place).await?;
    let scale = Scale::new(&arguments.pid)?;
    let idle = {
        let (cpu, started) = (scale.cpu()?, Instant::now());
        tokio::time::sleep(Duration::from_secs(5)).await;
        (scale.cpu()? - cpu).as_secs_f64() / started.elapsed().as_secs_f64()
    };
    let memory = scale.memory()?;
    println!(
        "{} renditions of the picture, {} of the sound; without viewers the server takes {:.1} % of a core, {:.1} MiB",
        pictures.len(),
        sounds.len(),
        idle * 100.0,
        memory as f64 / 1048576.0
    );
    let tally = Rc::new(RefCell::new(Tally::default()));
    let local = LocalSet::new();
    let counting = Instant::now() + Duration::from_secs(arguments.ramp + 2);
    let until = counting + Duration::from_secs(arguments.seconds);
    let tracks: Vec<Rc<Track>> = pictures
        .iter()
        .chain(&sounds)
        .enumerate()
        .map(|(nth, list)| Rc::new(Track { list: list.clone(), nth }))
        .collect();
    for session in 0..arguments.sessions {
        let mut own = vec![tracks[session % pictures.len()].clone()];
        if !sounds.is_empty() {
            own.push(tracks[pictures.len() + session % sounds.len()].clone());
        }
        let start = Duration::from_secs(arguments.ramp).mul_f64(session as f64 / arguments.sessions as f64);
        for track in own {
            let (tally, gzip) = (Rc::clone(&tally), arguments.gzip);
            local.spawn_local(async move {
                tokio::time::sleep(start).await;
                if let Err(error) = follow(&track, gzip, counting, until, &tally).await {
                    *tally.borrow_mut().errors.entry(format!("{error:#}")).or_default() += 1;
                }
            });
        }
    }
    let measured = local
        .run_until(async {
            tokio::time::sleep_until(counting.into()).await;
            let (cpu, began) = (scale.cpu()?, Instant::now());
            tokio::time::sleep_until((until - Duration::from_millis(100)).into()).await;
            let (spent, took) = ((scale.cpu()? - cpu).as_secs_f64(), began.elapsed().as_secs_f64());
            anyhow::Ok((spent, took, scale.memory()?))
        })
        .await;
    local.await;
    let (cpu, took, now) = measured?;
    let mut tally = tally.borrow_mut();
    let requests = tally.lists + tally.parts;
    let own = (cpu - idle * took).max(0.0);
    println!(
        "{} sessions for {took:.0} s: {} lists, {} parts, {:.2} GB, {:.0} requests a second",
        arguments.sessions,
        tally.lists,
        tally.parts,
        tally.bytes as f64 / 1e9,
        requests as f64 / took
    );
    println!(
        "CPU beyond the stream's own: {:.1} us a request, {:.2} s per 1,000 requests, {:.3} s a GB; {:.0} % of a core",
        own * 1e6 / requests as f64,
        own * 1e3 / requests as f64,
        own * 1e9 / tally.bytes as f64,
        own * 100.0 / took
    );
    let viewers = now.saturating_sub(memory) as f64 / 1024.0 / arguments.sessions as f64;
    println!("memory beyond the stream's own: {viewers:.1} KiB a session (two connections each)");
    let (woken, fetched) = (tally.wakes.len(), tally.fetches.len());
    println!(
        "a part is told to one after it was told to the first: {} ({woken})",
        Shown::from(&mut tally.wakes)
    );
    println!("a part is had after it was asked for: {} ({fetched})", Shown::from(&mut tally.fetches));
    for (error, count) in &tally.errors {
        println!("error, {count} times: {error}");
    }
    Ok(if tally.errors.is_empty() && tally.lists > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The lists of pictures and of sounds that a multivariant playlist names.
async fn renditions(place: &Place) -> Result<(Vec<Place>, Vec<Place>)> {
    let mut body = Vec::new();
    let answer = Wire::connect(&place.host, false).await?.get(&place.path, Some(&mut body)).await?;
    ensure!(answer.status == 200, "{}: {}", place.path, answer.status);
    let text = String::from_utf8(body)?;
    let mut lines = text.lines();
    let (mut pictures, mut sounds) = (Vec::new(), Vec::new());
    while let Some(line) = lines.next() {
        if line.starts_with("#EXT-X-STREAM-INF:") {
            pictures.push(place.join(lines.next().context("a variant without an address")?));
        } else if line.starts_with("#EXT-X-MEDIA:TYPE=AUDIO")
            && let Some(uri) = attribute(line, "URI=\"")
        {
            sounds.push(place.join(uri));
        }
    }
    ensure!(!pictures.is_empty(), "no variants in {}", place.path);
    Ok((pictures, sounds))
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let from = line.find(name)? + name.len();
    let rest = &line[from..];
    Some(&rest[..rest.find('"')?])
}

/// Follows one list to the end.
async fn follow(
    track: &Track,
    gzip: bool,
    counting: Instant,
    until: Instant,
    tally: &RefCell<Tally>,
) -> Result<()> {
    let mut wire = Wire::connect(&track.list.host, false).await?;
    let mut list = Vec::new();
    // Compressed lists are asked for, as players do, beside plain ones that tell this program what comes next.
    let mut compressed = if gzip { Some(Wire::connect(&track.list.host, true).await?) } else { None };
    wire.get(&track.list.path, Some(&mut list)).await?;
    let mut next = after(&list).context("a list without parts")?;
    while Instant::now() < until {
        let path = format!("{}?_HLS_msn={}&_HLS_part={}", track.list.path, next.0, next.1);
        let answer = wire.get(&path, Some(&mut list)).await?;
        let told = Instant::now();
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        let counts = told >= counting;
        if counts {
            let mut tally = tally.borrow_mut();
            tally.lists += 1;
            tally.bytes += answer.length as u64;
            let first = *tally.first.entry((track.nth, next.0, next.1)).or_insert(told);
            tally.wakes.add(micros(told - first));
        }
        if let Some(compressed) = &mut compressed {
            let answer = compressed.get(&path, None).await?;
            let mut tally = tally.borrow_mut();
            tally.lists += u64::from(counts);
            tally.bytes += if counts { answer.length as u64 } else { 0 };
        }
        let listed = after(&list).context("a list without parts")?;
        ensure!(listed > next || ends(&list), "{path} was answered without the part that was asked for");
        let part = newest(&list).context("a list without parts")?;
        let asked = Instant::now();
        let answer = wire.get(&track.list.join(part).path, None).await?;
        ensure!(answer.status == 200, "{part}: {}", answer.status);
        if counts {
            let mut tally = tally.borrow_mut();
            tally.parts += 1;
            tally.bytes += answer.length as u64;
            tally.fetches.add(micros(asked.elapsed()));
        }
        if ends(&list) {
            break;
        }
        next = listed;
    }
    Ok(())
}

fn micros(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX)
}

fn ends(list: &[u8]) -> bool {
    list.ends_with(b"#EXT-X-ENDLIST\n")
}

/// Address of the newest part.
fn newest(list: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(list).ok()?;
    attribute(&text[text.rfind("#EXT-X-PART:")?..], "URI=\"")
}

/// Number of the part that will be listed next: what the preload hint says, `{segment}.{part}.m4s`.
fn after(list: &[u8]) -> Option<(u64, u32)> {
    let text = std::str::from_utf8(list).ok()?;
    let hint = text.rfind("#EXT-X-PRELOAD-HINT:TYPE=PART");
    let (name, step) = match hint {
        Some(at) => (attribute(&text[at..], "URI=\"")?, 0),
        None => (newest(list)?, 1),
    };
    let (segment, part) = name.strip_suffix(".m4s")?.split_once('.')?;
    Some((segment.parse().ok()?, part.parse::<u32>().ok()? + step))
}

/// Two sockets a session, and some.
fn raise_file_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(())
}
