//! `sluice ladder`: shows which ladder a file or a live stream gets, and why.
//!
//! ```text
//!  a file, a URL ─▶ a process of its own, limited in memory and time: demuxed, looked at, planned, printed
//!  a stream's name ─▶ the running gateway's API: the plan that it runs by
//! ```

use std::{
    path::Path,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use media::StreamName;
use serde_json::{Value, json};
use transcode::ladder::{self, Estimate, Plan};

use crate::{cli::LadderFlags, config::Config, ready, serve};

/// How long a live source is looked at; most are known after two keyframes.
const LOOK: Duration = Duration::from_secs(8);
/// How long the look may take in all, connecting and a source that sends nothing included.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Runs the command.
///
/// # Errors
/// When the configuration is wrong or the input cannot be read.
pub(crate) fn run(flags: &LadderFlags) -> anyhow::Result<ExitCode> {
    let config = flags.data.load(&flags.set)?;
    if flags.inside {
        return look(flags, &config);
    }
    if flags.input.contains("://") || Path::new(&flags.input).exists() {
        return look_apart(&flags.input);
    }
    match flags.input.parse::<StreamName>() {
        Ok(name) => running(&name, flags.json, &config),
        Err(_) => bail!("there is no file {}", flags.input),
    }
}

/// Looks in a process of its own: strangers' files have crashed demuxers before, and a server may never answer.
fn look_apart(input: &str) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("this program's own path is unknown")?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .arg("--inside")
        .stdin(Stdio::null())
        .spawn()
        .context("the process that looks cannot be started")?;
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait()? {
            Some(status) => {
                let code = status.code().with_context(|| {
                    format!("{input} crashed the process that looked at it ({status}); a gateway goes on in such a case")
                })?;
                return Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from));
            }
            None if Instant::now() < until => thread::sleep(POLL),
            None => {
                child.kill()?;
                child.wait()?;
                bail!("gave up on {input}: nothing to tell after {} s", PATIENCE.as_secs());
            }
        }
    }
}

/// Inside that process.
fn look(flags: &LadderFlags, config: &Config) -> anyhow::Result<ExitCode> {
    transcode::limit_memory(config.worker_memory).context("memory cannot be limited")?;
    let own = flags.stream.as_deref().map(|name| config.of_stream(name));
    let wishes = serve::wishes(own.as_ref().unwrap_or(config));
    let source = transcode::file::probe_live(&flags.input, &wishes, LOOK)
        .with_context(|| format!("cannot look at {}", flags.input))?;
    let plan = ladder::plan(&source, &wishes);
    let cost = ladder::estimate(&plan, &source);
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&as_json(&plan, &source.describe(), cost)?)?);
    } else {
        println!("{}\n\n{plan}\n{}", source.describe(), in_words(cost));
    }
    Ok(ExitCode::SUCCESS)
}

/// The plan's own fields, and beside them what it was made for and what it will cost.
fn as_json(plan: &Plan, source: &str, cost: Estimate) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(plan)?;
    let fields = value.as_object_mut().context("a plan is an object")?;
    fields.insert("source".to_owned(), json!(source));
    fields.insert("cpu_estimate".to_owned(), serde_json::to_value(cost)?);
    Ok(value)
}

fn in_words(cost: Estimate) -> String {
    if cost.total() == 0.0 {
        return "nothing is encoded: next to no CPU".to_owned();
    }
    format!(
        "about {:.2} CPU cores (decoding {:.2}, scaling {:.2}, encoding {:.2}, sound {:.2})",
        cost.total(),
        cost.decode,
        cost.scale,
        cost.encode,
        cost.sound
    )
}

/// The ladder that the gateway on this machine makes of a live stream.
fn running(name: &StreamName, json: bool, config: &Config) -> anyhow::Result<ExitCode> {
    let address = ready::reachable(config.http_listen);
    let (status, body) = ready::ask(address, &format!("/api/v1/streams/{name}")).with_context(|| {
        format!("{name} is no file, and no gateway answers at {address} that could know a stream")
    })?;
    match status {
        200 => {}
        404 => bail!("{name} is no file, and the gateway at {address} has no stream of that name"),
        status => bail!("the gateway at {address} answers with status {status}"),
    }
    let stream: Value =
        serde_json::from_str(&body).with_context(|| format!("the gateway at {address} answers oddly"))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&stream)?);
    } else {
        print!("{}", table(&stream).ok_or_else(|| anyhow!("the gateway at {address} answers oddly"))?);
    }
    Ok(ExitCode::SUCCESS)
}

/// The API's answer about a stream, as [`Plan`]'s table.
fn table(stream: &Value) -> Option<String> {
    let text = |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    let mut out = format!("{} is {}", text(stream, "name")?, text(stream, "state")?);
    if let Some(source) = text(stream, "source").filter(|source| !source.is_empty()) {
        out.push_str(&format!(": {source}"));
    }
    out.push_str("\n\n");
    for rung in stream["renditions"].as_array()? {
        let size = match (rung["width"].as_u64(), rung["height"].as_u64()) {
            (Some(width), Some(height)) => format!("{width}x{height}"),
            _ => "sound".to_owned(),
        };
        let rate = rung["frame_rate"].as_f64().map_or_else(String::new, |rate| format!("{rate:.2} fps"));
        let bps = rung["measured_average_bps"].as_u64().or_else(|| rung["declared_average_bps"].as_u64());
        let bps = bps.map_or_else(String::new, |bps| format!("{} kbit/s", bps / 1000));
        let reason = text(rung, "reason").unwrap_or_default();
        out.push_str(&format!("{:<8} {size:>9} {rate:>10} {bps:>12}  {reason}\n", text(rung, "id")?));
    }
    for note in stream["notes"].as_array()?.iter().filter_map(Value::as_str) {
        out.push_str(&format!("note: {note}\n"));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_stream_is_shown_as_a_table() {
        let stream = json!({
            "name": "show", "state": "live", "source": "1280x720 at 30 fps",
            "renditions": [
                {"id": "720p", "width": 1280, "height": 720, "frame_rate": 29.97, "measured_average_bps": 2_500_000,
                 "reason": "copied: keyframes every 2.0 s"},
                {"id": "audio", "width": null, "height": null, "frame_rate": null, "declared_average_bps": 128_000,
                 "reason": null},
            ],
            "notes": ["there is no sound"],
        });
        let table = table(&stream).unwrap();
        for want in [
            "show is live: 1280x720",
            "720p",
            "1280x720  29.97 fps  2500 kbit/s  copied",
            "sound",
            "note: there",
        ] {
            assert!(table.contains(want), "{want}: {table}");
        }
        assert_eq!(super::table(&json!({"name": "show"})), None);
    }
}
