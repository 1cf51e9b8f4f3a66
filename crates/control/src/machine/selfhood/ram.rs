//! Whether the host's RAM is short.

use std::fs;

/// Below so many thousandths of the host's RAM, what sleeps gives its RAM back. Frozen programs keep
/// theirs, and what is asked for next has to come from somewhere.
const AVAILABLE_MIN_PER_MILLE: u64 = 100;

/// Whether little of the host's RAM is available. What cannot be read is not short.
pub(super) fn is_short() -> bool {
    fs::read_to_string("/proc/meminfo").is_ok_and(|text| is_short_by(&text))
}

fn is_short_by(meminfo: &str) -> bool {
    let kib = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let (Some(total), Some(available)) = (kib("MemTotal"), kib("MemAvailable")) else {
        return false;
    };
    available.saturating_mul(1000) < total.saturating_mul(AVAILABLE_MIN_PER_MILLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_a_tenth_is_little() {
        let text = |available: u64| {
            format!("MemTotal:       16000000 kB\nMemFree:  1 kB\nMemAvailable:   {available} kB\n")
        };
        assert!(is_short_by(&text(1_599_999)));
        assert!(!is_short_by(&text(1_600_000)));
        assert!(!is_short_by("MemTotal: 5 kB\n"));
        assert!(!is_short_by("MemTotal: x\nMemAvailable: 1 kB"));
    }
}
