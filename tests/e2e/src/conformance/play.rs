//! Rows in which a client plays over RTMP, from somewhere in the stream to its end.
//!
//! Every decoded picture has its own hash, so a player's file tells exactly where it came in and whether anything is
//! missing behind that.

use super::arena::Arena;
use super::client::{self, Client, Transport};
use super::publish::last_words;
use super::record::Record;
use super::sample::Recipe;
use super::{Row, judge};
use crate::harness::Process;
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A player may come in this long behind the stream's start: the gateway looks at the source, the program starts.
const LATE_S: u64 = 4;

/// Publishes with FFmpeg over RTMP, plays as the row says, compares.
pub(super) fn run(arena: &Arena, row: &Row) -> Result<Record> {
    let sample = arena.sample(&Recipe::usual("play"))?;
    let name = row.stream();
    let key = arena.key(&name);
    let url = arena.url(Transport::Rtmp, &key.secret);
    let mut command = client::publish(arena, Client::Ffmpeg, &[&sample], &[], &url);
    let log = arena.home.path(&format!("{name}-publisher.log"));
    let mut publisher = Process::start("the publisher", &mut command, &log)?;
    arena.gateway.wait_live(&name, Duration::from_secs(15));
    let file = arena.home.path(&format!("{name}.flv"));
    let url = arena.url(row.transport, &name);
    let mut player = super::publish::start(arena, row, &mut player(arena, row.client, &url, &file))?;
    let mut record = Record::of(row);
    let limit = Duration::from_secs(u64::from(arena.seconds) + 30);
    let status = publisher.wait(limit);
    ensure!(status.success(), "the publisher ended with {status}: {}", last_words(&publisher.log()));
    ended(&mut player, &mut record);
    let said = judge::decoder(&file.to_string_lossy())?;
    record.messages = Some(said.len());
    if let Some(first) = said.first() {
        record.fail(format!("the decoder said {first}; the player said {}", last_words(&player.log())));
    }
    let (all, got) = (judge::hashes(&sample.path)?, judge::hashes(&file)?);
    ensure!(!got.is_empty(), "no picture was got; the player said {}", last_words(&player.log()));
    // White pictures are all alike, so the first one alone does not tell where the player came in.
    let alike = |from: &usize| got.iter().zip(&all[*from..]).take_while(|(a, b)| a == b).count();
    let from = (0..all.len()).rev().max_by_key(alike).filter(|from| alike(from) > 0);
    let from = from.context("the first pictures are none of the source's")?;
    let sent = (all.len() - from) as u64;
    judge::counted(got.len() as u64, sent..=sent, &mut record);
    if let Some(at) = got.iter().zip(&all[from..]).position(|(a, b)| a != b) {
        record.fail(format!("picture {at} of the player is not picture {} of the source", from + at));
    }
    record.note(format!("came in at picture {from} of {}", all.len()));
    if from as u64 > LATE_S * 30 {
        record.fail("came in too late");
    }
    if let Some(reference) = sample.offset_ms {
        judge::offset(std::slice::from_ref(&file), reference, &mut record)?;
    }
    Ok(record)
}

fn player(arena: &Arena, client: Client, url: &str, file: &Path) -> Command {
    let mut command = Command::new(arena.program(client));
    if client == Client::Rtmpdump {
        command.args(["-v", "-r", url, "--timeout", "15", "-o"]).arg(file);
    } else {
        command.args(["-v", "info", "-nostats", "-nostdin", "-y"]);
        client::trust(arena, client, &mut command);
        command.args(["-rtmp_live", "live", "-i", url, "-c", "copy", "-f", "flv"]).arg(file);
    }
    command
}

/// A player ends when its stream does.
fn ended(player: &mut Process, record: &mut Record) {
    let started = Instant::now();
    while player.ended().is_none() && started.elapsed() < Duration::from_secs(12) {
        std::thread::sleep(Duration::from_millis(50));
    }
    match player.ended() {
        Some(status) => record.note(format!("the player ended by itself, {status}")),
        None => {
            record.fail("the player was not told that the stream is over");
            player.signal(Signal::INT);
            player.wait(Duration::from_secs(10));
        }
    }
}
