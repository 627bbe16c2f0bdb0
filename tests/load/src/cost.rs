//! What a server's processes take: CPU time and memory, as the kernel counts them.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// Processes that are weighed, their children of the same name with them.
pub(crate) struct Scale {
    pids: Vec<u32>,
}

impl Scale {
    /// The processes of `pids`, and of those the children that run the same program, as nginx's workers do.
    pub(crate) fn new(pids: &[u32]) -> Result<Self> {
        let mut all = pids.to_vec();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let Ok(fields) = stat(pid) else { continue }; // it ended meanwhile
            let parent = fields.parent;
            let same =
                pids.contains(&parent) && stat(parent).is_ok_and(|parent| parent.program == fields.program);
            if same && !same_command(pid, parent) {
                continue;
            }
            if same && !all.contains(&pid) {
                all.push(pid);
            }
        }
        Ok(Self { pids: all })
    }

    /// User and system time of all together.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let ticks = rustix::param::clock_ticks_per_second();
        let mut total = 0;
        for pid in &self.pids {
            total += stat(*pid)?.ticks;
        }
        Ok(Duration::from_secs_f64(total as f64 / ticks as f64))
    }

    /// Memory of their own, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let mut total = 0;
        for pid in &self.pids {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
            total += line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024;
        }
        Ok(total)
    }
}

struct Stat {
    program: String,
    parent: u32,
    ticks: u64,
}

fn stat(pid: u32) -> Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (front, back) = text.rsplit_once(") ").context("an odd line of /proc")?;
    let program = front.split_once('(').map_or("", |(_, name)| name).to_owned();
    let fields: Vec<&str> = back.split(' ').collect();
    let number =
        |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).context("an odd line of /proc");
    Ok(Stat { program, parent: u32::try_from(number(1)?)?, ticks: number(11)? + number(12)? })
}

/// A gateway's encoders run its own program for another purpose.
fn same_command(pid: u32, parent: u32) -> bool {
    let line = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let worker = line(pid);
    !worker.split(|byte| *byte == 0).any(|word| word == b"worker") || line(parent) == worker
}
