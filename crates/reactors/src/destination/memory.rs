//! How much memory an evaluation may fill. A few words of an expression make much of little: a text of a hostile body beside
//! each of its hundred thousand items. No library here counts what it allocates, so the process is looked at as a whole.
//!
//! Never here: a single call that makes too much at once; it is over before anybody looks.

use std::time::{Duration, Instant};

/// How much the process may grow while an expression is evaluated, in bytes.
pub(crate) const MEMORY_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(5);

/// Watches the process grow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    bytes_max: u64,
    /// Known from the first look on: most evaluations are over before.
    limit: Option<u64>,
    next: Instant,
}

impl Growth {
    /// Watches from now on.
    pub(crate) fn of(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            limit: None,
            next: Instant::now() + INTERVAL,
        }
    }

    /// Whether the process has grown too much. Cheap to ask often.
    pub(crate) fn is_over(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + INTERVAL;
        let Some(bytes) = resident_bytes() else {
            return false;
        };
        bytes > *self.limit.get_or_insert(bytes.saturating_add(self.bytes_max))
    }
}

/// What the process has in memory; none where the system does not say.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn growth_is_seen_and_seldom_looked_at() {
        let (mut growth, now) = (Growth::of(64 << 20), Instant::now());
        assert!(
            !growth.is_over(now + INTERVAL),
            "the first look is what growth is counted from"
        );
        let filled = vec![1_u8; 128 << 20];
        assert!(
            !growth.is_over(now + INTERVAL),
            "it is not looked at again at once"
        );
        assert!(growth.is_over(now + INTERVAL * 3));
        assert_eq!(
            filled
                .iter()
                .step_by(4096)
                .map(|b| usize::from(*b))
                .sum::<usize>(),
            32768
        );
    }
}
