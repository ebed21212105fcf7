//! What a process uses, as the kernel counts it.

use std::time::Duration;

/// `USER_HZ`, in which Linux tells processor time on every architecture of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process under measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched(pub(crate) u32);

impl Watched {
    /// Processor time of all its threads, those that ended included.
    pub(crate) fn cpu(self) -> Duration {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{}/stat", self.0)) else {
            return Duration::ZERO;
        };
        // The name of the program stands in brackets, and may hold anything.
        let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = |n: usize| {
            after_name
                .split_whitespace()
                .nth(n)
                .and_then(|t| t.parse::<u64>().ok())
        };
        let (user, system) = (ticks(11).unwrap_or(0), ticks(12).unwrap_or(0));
        Duration::from_secs_f64((user + system) as f64 / TICKS_PER_SECOND)
    }

    /// Resident memory now, and the most since the last [`Watched::forget_peak`], in MiB.
    pub(crate) fn resident_mib(self) -> (f64, f64) {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let mib = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
            kib.map_or(f64::NAN, |kib| kib / 1024.0)
        };
        (mib("VmRSS:"), mib("VmHWM:"))
    }

    /// Begins to look for the most anew.
    pub(crate) fn forget_peak(self) {
        let _as_before = std::fs::write(format!("/proc/{}/clear_refs", self.0), "5");
    }

    /// The processes that it started, and theirs.
    pub(crate) fn descendants(self) -> Vec<(u32, String)> {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.0));
        let mut all = children.unwrap_or_default();
        // Any thread may have started one.
        for task in std::fs::read_dir(format!("/proc/{}/task", self.0))
            .into_iter()
            .flatten()
            .flatten()
        {
            if task.file_name().to_string_lossy() != self.0.to_string() {
                all.push_str(&std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
            }
        }
        let mut found = Vec::new();
        for pid in all.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            found.push((pid, String::from_utf8_lossy(&line).replace('\0', " ")));
            found.extend(Self(pid).descendants());
        }
        found
    }
}
