//! Bytes over the guest's link, as the kernel counts them in its network namespace.

/// Bytes received and sent by all links but the loopback in the network namespace of `pid`; zeros
/// when the process is gone. Source: `/proc/pid/net/dev`, proc_pid_net(5).
pub(super) fn of_process(pid: u32) -> (u64, u64) {
    std::fs::read_to_string(format!("/proc/{pid}/net/dev")).map_or((0, 0), |text| parse(&text))
}

fn parse(text: &str) -> (u64, u64) {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(name, _)| name.trim() != "lo").fold((0, 0), |(rx, tx), (_, numbers)| {
        let at = |n| numbers.split_whitespace().nth(n).and_then(|n| n.parse().ok()).unwrap_or(0);
        (rx + at(0), tx + at(8))
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_loopback_does_not_count() {
        let text = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs
    lo:     500       5    0    0    0     0          0         0      500       5    0
  eth0:    1500      15    0    0    0     0          0         0      700       7    0
";
        assert_eq!(parse(text), (1500, 700));
    }
}
