//! How much CPU is there, and how much of it nobody uses: of the cores this process may run on, and within the quota of
//! its control groups where there is one (containers).

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

const CGROUPS: &str = "/sys/fs/cgroup";

/// Reads the CPU's counters now and then.
#[derive(Debug)]
pub(super) struct Cpu {
    cores: f64,
    allowed: Vec<usize>,
    quota: Option<Quota>,
    before: Option<Counters>,
}

/// What one core's time went into.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ticks {
    idle: u64,
    low: u64,
    all: u64,
}

/// A control group's limit, and where its use is counted.
#[derive(Debug)]
struct Quota {
    cores: f64,
    usage: PathBuf,
}

/// What could be had of the CPU, in cores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spare {
    /// Nobody used it.
    pub(super) idle: f64,
    /// Processes of low priority used it, our own workers among them.
    pub(super) low: f64,
}

#[derive(Debug, Clone, PartialEq)]
struct Counters {
    at: Instant,
    cores: Vec<Ticks>,
    /// Used within the quota, in microseconds.
    used_micros: Option<u64>,
}

impl Cpu {
    /// Finds out what this process may use.
    pub(super) fn new() -> Self {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let quota = fs::read_to_string("/proc/self/cgroup").ok().and_then(|groups| tightest(&groups));
        let cores = quota.as_ref().map_or(f64::INFINITY, |quota| quota.cores).min(count as f64);
        Self { cores, allowed: allowed(), quota, before: None }
    }

    /// Cores that it may use; a quota may make it less than one.
    pub(super) fn cores(&self) -> f64 {
        self.cores
    }

    /// What nobody needed since the last call; `None` at the first call, and where the system does not tell.
    pub(super) fn spare(&mut self) -> Option<Spare> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let used = |quota: &Quota| usage(&fs::read_to_string(&quota.usage).ok()?);
        let now = Counters {
            at: Instant::now(),
            cores: ticks(&stat, &self.allowed),
            used_micros: self.quota.as_ref().and_then(used),
        };
        let quota = self.quota.as_ref().map(|quota| quota.cores);
        let before = self.before.replace(now.clone())?;
        spare(&before, &now, quota)
    }
}

fn spare(before: &Counters, now: &Counters, quota: Option<f64>) -> Option<Spare> {
    if now.cores.is_empty() || now.cores.len() != before.cores.len() {
        return None;
    }
    let share = |of: fn(&Ticks) -> u64| -> f64 {
        let one = |(before, now): (&Ticks, &Ticks)| {
            let all = now.all.saturating_sub(before.all);
            if all == 0 { 0.0 } else { (of(now).saturating_sub(of(before)) as f64 / all as f64).min(1.0) }
        };
        before.cores.iter().zip(&now.cores).map(one).sum()
    };
    let span = now.at.duration_since(before.at).as_secs_f64();
    let within = match (quota, before.used_micros, now.used_micros) {
        (Some(quota), Some(before), Some(now)) if span > 0.0 => {
            (quota - now.saturating_sub(before) as f64 / 1e6 / span).max(0.0)
        }
        _ => f64::INFINITY,
    };
    let idle = share(|ticks| ticks.idle).min(within);
    Some(Spare { idle, low: share(|ticks| ticks.low).min((within - idle).max(0.0)) })
}

/// What the time of each of the `allowed` cores went into, from `/proc/stat` (proc_stat(5)); waiting for a disk is idle,
/// time that a hypervisor took away is not.
fn ticks(stat: &str, allowed: &[usize]) -> Vec<Ticks> {
    let core = |line: &str| {
        let mut words = line.split_whitespace();
        let core: usize = words.next()?.strip_prefix("cpu")?.parse().ok()?;
        // user nice system idle iowait irq softirq steal; guest time is within user time
        let ticks: Vec<u64> = words.take(8).map(|word| word.parse().unwrap_or(0)).collect();
        let idle = ticks.get(3)? + ticks.get(4).copied().unwrap_or(0);
        let all = ticks.iter().sum();
        allowed.contains(&core).then(|| Ticks { idle, low: ticks[1], all })
    };
    stat.lines().filter_map(core).collect()
}

/// The tightest quota of the process's control group and those above it (version 2).
fn tightest(groups: &str) -> Option<Quota> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let own = Path::new(CGROUPS).join(own.trim_start_matches('/'));
    let levels = own.ancestors().take_while(|level| level.starts_with(CGROUPS));
    let quota = |level: &Path| {
        let cores = quota(&fs::read_to_string(level.join("cpu.max")).ok()?)?;
        Some(Quota { cores, usage: level.join("cpu.stat") })
    };
    levels.filter_map(quota).min_by(|a, b| a.cores.total_cmp(&b.cores))
}

/// `cpu.max`: microseconds in a period of microseconds, or `max`.
fn quota(text: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    let (quota, period) = (words.next()?.parse::<f64>().ok()?, words.next()?.parse::<f64>().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

/// `usage_usec` of `cpu.stat`.
fn usage(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("usage_usec "))?.trim().parse().ok()
}

#[cfg(target_os = "linux")]
fn allowed() -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect(),
        Err(_) => (0..CpuSet::MAX_CPU).collect(),
    }
}

#[cfg(not(target_os = "linux"))]
fn allowed() -> Vec<usize> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const STAT: &str =
        "cpu  30 0 0 60 10 0 0 0 0 0\ncpu0 7 3 0 20 5 0 0 0 0 0\ncpu1 20 0 0 40 5 0 0 5 9 0\nintr 1\n";

    #[test]
    fn counters_are_read() {
        let (first, second) = (Ticks { idle: 25, low: 3, all: 35 }, Ticks { idle: 45, low: 0, all: 70 });
        assert_eq!(ticks(STAT, &[0, 1]), [first, second]);
        assert_eq!(ticks(STAT, &[1]), [second]);
        assert_eq!(ticks("cpu0\ncpux 1 2\n", &[0]), []);
        for (text, want) in
            [("max 100000\n", None), ("150000 100000\n", Some(1.5)), ("", None), ("0 0", None)]
        {
            assert_eq!(quota(text), want, "{text:?}");
        }
        assert_eq!(usage("usage_usec 5000\nuser_usec 1\n"), Some(5000));
    }

    #[test]
    fn what_is_idle_counts_within_the_quota() {
        let at = Instant::now();
        let counters = |seconds: u64, cores: &[(u64, u64)], used_micros| Counters {
            at: at + Duration::from_secs(seconds),
            cores: cores
                .iter()
                .map(|(idle, all)| Ticks { idle: *idle, low: (all - idle) / 2, all: *all })
                .collect(),
            used_micros,
        };
        let before = counters(0, &[(0, 0), (100, 100)], Some(0));
        let now = counters(2, &[(100, 200), (300, 300)], Some(1_000_000));
        let spare =
            |now: &Counters, quota| super::spare(&before, now, quota).map(|spare| (spare.idle, spare.low));
        assert_eq!(spare(&now, None), Some((1.5, 0.25)));
        assert_eq!(spare(&now, Some(0.75)), Some((0.25, 0.0)));
        assert_eq!(spare(&now, Some(0.25)), Some((0.0, 0.0)));
        assert_eq!(spare(&counters(2, &[(1, 1)], None), None), None, "a core went");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_tells() {
        let mut cpu = Cpu::new();
        assert!(cpu.cores() > 0.0);
        assert_eq!(cpu.spare(), None);
        std::thread::sleep(Duration::from_millis(30));
        let spare = cpu.spare().unwrap();
        assert!((0.0..=cpu.allowed.len() as f64).contains(&(spare.idle + spare.low)), "{spare:?}");
    }
}
