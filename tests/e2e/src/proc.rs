//! Processes as /proc shows them: children, resident memory, CPU time.

use crate::hlscheck::Meter;
use std::collections::BTreeMap;
use std::fs;

struct Stat {
    parent: u32,
    state: char,
    /// Clock ticks: its own, and those of children it has waited for.
    own: u64,
    waited: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces: what counts stands behind the last one.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        state: fields.first()?.chars().next()?,
        own: ticks(11)? + ticks(12)?,
        waited: ticks(13)? + ticks(14)?,
    })
}

/// Whether the process exists and is no zombie.
pub fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|s| s.state != 'Z')
}

/// The process and all that descend from it, itself first.
pub fn tree(pid: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(child) = entry.file_name().to_str().and_then(|n| n.parse().ok())
            && let Some(stat) = stat(child)
        {
            children.entry(stat.parent).or_default().push(child);
        }
    }
    let mut out = vec![pid];
    let mut at = 0;
    while let Some(&next) = out.get(at) {
        out.extend(children.remove(&next).unwrap_or_default());
        at += 1;
    }
    out
}

/// The words of its command line.
pub fn command(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes
        .split(|b| *b == 0)
        .filter(|w| !w.is_empty())
        .map(|w| String::from_utf8_lossy(w).into_owned())
        .collect()
}

/// Resident memory of one process, KiB.
pub fn rss_kib(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Resident memory of the process and its descendants, KiB.
pub fn tree_rss_kib(pid: u32) -> u64 {
    tree(pid).into_iter().filter_map(rss_kib).sum()
}

/// The memory of the process and its descendants, for a watch.
pub fn meter(pid: u32) -> Meter {
    Meter::new(move || tree_rss_kib(pid))
}

/// CPU seconds of the process, its descendants, and the children they have waited for.
pub fn tree_cpu_seconds(pid: u32) -> f64 {
    let ticks: u64 = tree(pid).into_iter().filter_map(stat).map(|s| s.own + s.waited).sum();
    // USER_HZ is 100 on every Linux this runs on.
    ticks as f64 / 100.0
}
