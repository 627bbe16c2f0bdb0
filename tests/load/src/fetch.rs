//! Some addresses over and over: what a request and a gigabyte cost a server.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    cost::Scale,
    wire::{Place, Wire},
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is fetched, in turn; all of one server.
    #[arg(required = true)]
    urls: Vec<String>,
    /// How long.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections at once.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// The server's processes.
    #[arg(long, required = true, value_delimiter = ',')]
    pid: Vec<u32>,
    /// Take compressed answers.
    #[arg(long)]
    gzip: bool,
    /// A name for the line that is printed.
    #[arg(long, default_value = "fetch")]
    name: String,
}

#[derive(Default)]
struct Tally {
    requests: AtomicU64,
    bytes: AtomicU64,
    bad: AtomicU64,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let places: Vec<Place> = arguments.urls.iter().map(|url| Place::parse(url)).collect::<Result<_>>()?;
    ensure!(places.iter().all(|place| place.host == places[0].host), "more than one server");
    let scale = Scale::new(&arguments.pid)?;
    let (tally, places) = (Arc::new(Tally::default()), Arc::new(places));
    let mut wires = Vec::new();
    for _ in 0..arguments.connections {
        wires.push(Wire::connect(&places[0].host, arguments.gzip).await?);
    }
    let (cpu, started) = (scale.cpu()?, Instant::now());
    let until = started + Duration::from_secs(arguments.seconds);
    let tasks: Vec<_> = wires
        .into_iter()
        .enumerate()
        .map(|(nth, mut wire)| {
            let (tally, places) = (Arc::clone(&tally), Arc::clone(&places));
            tokio::spawn(async move {
                let mut at = nth;
                while Instant::now() < until {
                    let answer = wire.get(&places[at % places.len()].path, None).await?;
                    tally.requests.fetch_add(1, Ordering::Relaxed);
                    tally.bytes.fetch_add(answer.length as u64, Ordering::Relaxed);
                    tally.bad.fetch_add(u64::from(answer.status != 200), Ordering::Relaxed);
                    at += 1;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let (cpu, took) = ((scale.cpu()? - cpu).as_secs_f64(), started.elapsed().as_secs_f64());
    let (requests, bytes) = (tally.requests.load(Ordering::Relaxed), tally.bytes.load(Ordering::Relaxed));
    let bad = tally.bad.load(Ordering::Relaxed);
    println!(
        "{}: {requests} requests, {:.0} a second, {:.2} GB, {bad} not answered with 200; CPU {:.1} us a request, \
         {:.3} s a GB ({:.0} % of a core)",
        arguments.name,
        requests as f64 / took,
        bytes as f64 / 1e9,
        cpu * 1e6 / requests as f64,
        cpu * 1e9 / bytes as f64,
        cpu * 100.0 / took,
    );
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
