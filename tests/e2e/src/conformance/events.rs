//! Rows about what happens to a stream rather than what is in it.

use super::arena::Arena;
use super::client::{self, Client};
use super::publish::{last_words, start};
use super::record::Record;
use super::sample::{self, Recipe, Sample};
use super::{Row, judge};
use crate::avsync;
use crate::harness::{PATIENCE, Process, Wire, flv, s, segments, until, wait_for};
use crate::hlscheck::{Outcome, Watch};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A copy of a clip by the row's FFmpeg, for ever.
fn endless(arena: &Arena, row: &Row, file: &Path, url: &str, log: &str) -> Result<Process> {
    let mut command = Command::new(arena.program(row.client));
    command.args(["-v", "info", "-nostats", "-nostdin", "-re", "-stream_loop", "-1", "-i"]).arg(file);
    command.args(["-c", "copy", "-f", "flv", url]);
    Process::start("the first publisher", &mut command, &arena.home.path(log))
}

/// The second publication of the clip is whole behind exactly one discontinuity.
fn behind_the_break(
    arena: &Arena,
    row: &Row,
    watch: Watch,
    sample: &Sample,
    record: &mut Record,
) -> Result<()> {
    until(&watch, "the end of all lists", s(u64::from(arena.seconds) + 40), |p| p.over);
    let outcome = watch.finish()?;
    judge::stream(arena, &row.stream(), &outcome, record)?;
    judge::last_piece(&outcome, sample, record)?;
    for rendition in &outcome.renditions {
        if rendition.discontinuities != 1 {
            record.fail(format!("{}: {} discontinuities", rendition.name, rendition.discontinuities));
        }
    }
    let pause = outcome.renditions.iter().map(|r| r.update_gap_max).fold(0.0, f64::max);
    record.note(format!("lists stood still for {pause:.1} s at most; {} gap segments", gaps(&outcome)));
    Ok(())
}

fn gaps(outcome: &Outcome) -> u64 {
    outcome.renditions.iter().map(|r| r.gaps).max().unwrap_or(0)
}

/// `kill -9`, three seconds of nothing, and the encoder is back.
pub(super) fn killed_and_back(arena: &Arena, row: &Row) -> Result<Record> {
    let sample = arena.sample(&Recipe::usual("returns"))?;
    let name = row.stream();
    let url = arena.url(row.transport, &arena.key(&name).secret);
    let mut first = endless(arena, row, &sample.path, &url, &format!("{name}-first.log"))?;
    let watch = Watch::start(arena.options(&name));
    segments(&watch, 3, PATIENCE);
    first.kill();
    std::thread::sleep(s(3));
    let mut second = start(arena, row, &mut client::publish(arena, row.client, &[&sample], &[], &url))?;
    let status = second.wait(s(u64::from(arena.seconds) + 20));
    ensure!(status.success(), "the second ended with {status}: {}", last_words(&second.log()));
    let mut record = Record::of(row);
    behind_the_break(arena, row, watch, &sample, &mut record)?;
    Ok(record)
}

/// Two publishers with the key of one name: the second gets it, the first is told.
pub(super) fn fight(arena: &Arena, row: &Row) -> Result<Record> {
    let sample = arena.sample(&Recipe::usual("returns"))?;
    let name = row.stream();
    let url = arena.url(row.transport, &arena.key(&name).secret);
    let mut first = endless(arena, row, &sample.path, &url, &format!("{name}-first.log"))?;
    let watch = Watch::start(arena.options(&name));
    segments(&watch, 3, PATIENCE);
    let mut second = start(arena, row, &mut client::publish(arena, row.client, &[&sample], &[], &url))?;
    let seen_off = wait_for("the first publisher to be seen off", s(10), || first.ended());
    let status = second.wait(s(u64::from(arena.seconds) + 20));
    ensure!(status.success(), "the second ended with {status}: {}", last_words(&second.log()));
    let mut record = Record::of(row);
    record.note(format!("the first ended with {seen_off}"));
    behind_the_break(arena, row, watch, &sample, &mut record)?;
    Ok(record)
}

/// A key that nobody was given: the client is told, where it shows what it is told.
pub(super) fn wrong_key(arena: &Arena, row: &Row) -> Result<Record> {
    let sample = arena.sample(&Recipe::usual("usual"))?;
    let url = arena.url(row.transport, "neverwasone");
    refused(
        arena,
        row,
        &mut client::publish(arena, row.client, &[&sample], &[], &url),
        &["unknown stream key"],
    )
}

/// A coding that nothing here decodes.
pub(super) fn unknown_coding(arena: &Arena, row: &Row, recipe: &Recipe, words: &[&str]) -> Result<Record> {
    let sample = sample::unknown(arena, recipe, arena.seconds)?;
    let url = arena.url(row.transport, &arena.key(&row.stream()).secret);
    refused(arena, row, &mut client::publish(arena, row.client, &[&sample], &[], &url), words)
}

/// The client ends, says one of these words, and nothing comes of its publication.
fn refused(arena: &Arena, row: &Row, command: &mut Command, words: &[&str]) -> Result<Record> {
    let mut process = start(arena, row, command)?;
    let status = process.wait(s(20));
    let said = process.log();
    let mut record = Record::of(row);
    if status.success() {
        record.fail("the client was let in");
    }
    // FFmpeg marks what it was told; the sinks have no more to show than an error.
    let ffmpeg = matches!(row.client, Client::Ffmpeg | Client::FfmpegStatic);
    let mut lines = said.lines().filter(|l| !ffmpeg || l.contains("Server error: "));
    let told = lines.find(|l| words.iter().any(|w| l.to_lowercase().contains(w)));
    match told {
        Some(line) => record.note(format!("told: {}", line.rsplit("] ").next().unwrap_or(line))),
        None => record.fail(format!("not told any of {words:?}: {}", last_words(&said))),
    }
    judge::absent(arena, &row.stream(), &mut record)?;
    Ok(record)
}

/// Sends tags with times of their own by the tests' own sender, and judges what comes of `sample`.
pub(super) fn fed(
    arena: &Arena,
    row: &Row,
    sample: &Sample,
    tags: Vec<flv::Tag>,
    due: Vec<u64>,
    breaks: u64,
) -> Result<Record> {
    let name = row.stream();
    let (address, secret) = (arena.gateway.rtmp.clone(), arena.key(&name).secret);
    let watch = Watch::start(arena.options(&name));
    let sender = std::thread::spawn(move || -> Result<()> {
        let mut wire = Wire::publish(&address, &secret)?;
        wire.send(&tags, |index, _| due[index])?;
        wire.finish()
    });
    let outcome = crate::harness::to_the_end(watch, s(u64::from(arena.seconds) + 40));
    sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
    let mut record = Record::of(row);
    judge::stream(arena, &name, &outcome, &mut record)?;
    judge::media(&outcome, sample, breaks, None, &mut record)?;
    for rendition in &outcome.renditions {
        if rendition.discontinuities != breaks {
            record.fail(format!("{}: {} discontinuities", rendition.name, rendition.discontinuities));
        }
    }
    Ok(record)
}

/// Times that start `before` milliseconds under 2^32 (or any other start) and go over it.
pub(super) fn wraps(arena: &Arena, row: &Row, start: u32) -> Result<Record> {
    let sample = arena.sample(&Recipe::usual("wraps"))?;
    let mut tags = flv::read(&sample.path)?;
    let due = tags.iter().map(|t| u64::from(t.time)).collect();
    for tag in &mut tags {
        tag.time = tag.time.wrapping_add(start);
    }
    fed(arena, row, &sample, tags, due, 0)
}

/// Half a clip of one size, half of another, in one connection.
pub(super) fn resized(arena: &Arena, row: &Row) -> Result<Record> {
    let first = arena.sample(&Recipe::usual("resized-before").size("640x360"))?;
    let second = arena.sample(&Recipe::usual("resized-after").size("480x270"))?;
    let half = arena.seconds / 2 * 1000;
    // Whole GOPs of 2 s: what is cut off is no part of what stays.
    let half = half - half % 2000;
    let part = |sample: &Sample| -> Result<Vec<flv::Tag>> {
        Ok(flv::read(&sample.path)?.into_iter().filter(|t| t.time < half).collect())
    };
    let (a, b) = (part(&first)?, part(&second)?);
    let is_picture = |t: &&flv::Tag| t.kind == 9 && !t.is_header();
    let pictures = a.iter().chain(&b).filter(is_picture).count() as u64;
    let tags = flv::join(&a, &b, 33);
    let due = tags.iter().map(|t| u64::from(t.time)).collect();
    let sample = Sample { frames: Some(pictures), ..first };
    fed(arena, row, &sample, tags, due, 1)
}

/// OBS Studio with keyframes 2 s apart, stopped as its user would. What it sent stands in its log.
pub(super) fn obs(arena: &Arena, row: &Row) -> Result<Record> {
    let name = row.stream();
    let secret = arena.key(&name).secret;
    let server = format!("{}://{}/live", row.transport.scheme(), arena.gateway.rtmp);
    let dir = arena.home.path(&format!("{name}-obs"));
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../obs/publish.sh"));
    let seconds = arena.seconds.to_string();
    command.args([&server, &secret, "--keyint", "2", "--seconds", &seconds, "--record", "--dir"]);
    command.arg(&dir);
    let watch = Watch::start(arena.options(&name));
    let mut process = start(arena, row, &mut command)?;
    let limit = Duration::from_secs(u64::from(arena.seconds) + 60);
    let outcome = super::publish::to_the_end(watch, &mut process, limit)?;
    let log = std::fs::read_to_string(dir.join("obs.log"))?;
    let sent = log
        .lines()
        .rev()
        .find_map(|l| l.split_once("Total frames output: ")?.1.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("OBS does not tell what it sent: {}", last_words(&log)))?;
    let mut record = Record::of(row);
    judge::stream(arena, &name, &outcome, &mut record)?;
    // A busy machine's OBS moves sound and picture itself: its recording of what it streamed is the source.
    let sample = Sample { path: log.into(), frames: Some(sent), offset_ms: None, seconds: 0.0 };
    judge::media(&outcome, &sample, 0, None, &mut record)?;
    let recordings = std::fs::read_dir(dir.join("recording"))?.flatten().next();
    let recording = recordings.context("OBS recorded nothing")?.path();
    let top = judge::top(&outcome).and_then(|r| r.joined.first()).context("no rendition")?;
    let (source, came) = (avsync::offsets(&recording)?, avsync::offsets(top)?);
    // Streaming and recording do not begin at one picture: the flashes are laid over each other as they fit best.
    let worst = (0..source.len().min(3))
        .flat_map(|skip| (0..came.len().min(3)).map(move |other| (skip, other)))
        .map(|(a, b)| source[a..].iter().zip(&came[b..]).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max))
        .min_by(f64::total_cmp);
    record.av_ms = worst;
    match worst {
        Some(ms) if ms < judge::AV_LIMIT_MS => {}
        other => record.fail(format!("sound moved by {other:?} ms against OBS's recording of the stream")),
    }
    let own = avsync::summary(&source).map_or(0.0, |(median, _)| median);
    record.note(format!("OBS itself had sound {own:.0} ms behind picture"));
    Ok(record)
}

/// Who says so in the dialogue that Adobe's servers have, and what should come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    /// Name and password as they were given out.
    Right,
    /// A known user, another password.
    WrongPassword,
    /// A user that was never made.
    UnknownUser,
}

/// A client with a user's name and password where its user would enter them.
pub(super) fn login(arena: &Arena, row: &Row, login: Login) -> Result<Record> {
    let name = row.stream();
    let (given, secret) = arena.user(&name)?;
    let (user, password) = match login {
        Login::Right => (given.as_str(), secret.as_str()),
        Login::WrongPassword => (given.as_str(), "notthepassword"),
        Login::UnknownUser => ("nobody", secret.as_str()),
    };
    // Encoders ask for a login only where a server demands one: the application `auth` does.
    let plain = arena.url(row.transport, &name).replacen("/live/", "/auth/", 1);
    let url = match row.client {
        // librtmp's options stand behind the URL.
        Client::Rtmpsink => format!("{plain} pubUser={user} pubPasswd={password}"),
        Client::Rtmp2sink => plain,
        _ => plain.replacen("://", &format!("://{user}:{password}@"), 1),
    };
    let sample = arena.sample(&Recipe::usual("usual"))?;
    let mut command = client::publish(arena, row.client, &[&sample], &[], &url);
    if row.client == Client::Rtmp2sink {
        command.args(["authmod=adobe", &format!("username={user}"), &format!("password={password}")]);
    }
    if login != Login::Right {
        let words: &[&str] = match row.client {
            // FFmpeg alone tells its user the words; the sinks say that they were not let in. A user that is none
            // is told what a wrong password is told: who guesses names learns nothing.
            Client::Ffmpeg | Client::FfmpegStatic => &["authfailed"],
            _ => &["authentication failed", "not authorized", "could not connect", "error"],
        };
        return refused(arena, row, &mut command, words);
    }
    let watch = Watch::start(arena.options(&name));
    let mut process = start(arena, row, &mut command)?;
    let limit = s(u64::from(arena.seconds) + 30);
    let outcome = super::publish::to_the_end(watch, &mut process, limit)?;
    let mut record = Record::of(row);
    judge::stream(arena, &name, &outcome, &mut record)?;
    judge::media(&outcome, &sample, 0, None, &mut record)?;
    Ok(record)
}
