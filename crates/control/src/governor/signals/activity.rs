//! What the measurements of one machine say. Pure.
//!
//! No command in it, no connection of its own with bytes in the last minute, less than 2 % of a CPU:
//! then it is idle, and has been since the last moment at which one of these was not so. Who comes in
//! by the proxy is counted there. Source: design, section 6.
//!
//! Where the kernel cannot list connections, any byte on the link keeps it busy for a minute.

use super::Measured;
use super::traffic::{Talk, Traffic};
use govern::view::Idle;
use model::UnixMs;
use shim_proto::message::Usage;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes on the link keep a machine busy for this long.
const NET_QUIET: Duration = Duration::from_secs(60);

/// A machine that uses more of a CPU is busy.
const CPU_IDLE: f64 = 0.02;

/// The time over which the use of CPU is taken.
const CPU_WINDOW: Duration = Duration::from_secs(60);

/// The use of CPU is given in thousandths, so that noise is no news.
const CPU_STEPS: f64 = 1000.0;

/// What is known of one machine's activity in this time up.
#[derive(Debug, Default)]
pub(super) struct Activity {
    n_sessions: u32,
    /// When the last session ended.
    sessions_until: Option<UnixMs>,
    net: Option<Net>,
    /// `None` also where connections cannot be listed.
    traffic: Option<Traffic>,
    cpu: Cpu,
}

#[derive(Debug)]
struct Net {
    bytes: u64,
    /// When the last byte was seen. The first measurement counts as one: nobody knows better.
    last: UnixMs,
    last_mono: Instant,
    is_quiet_for_a_minute: bool,
    /// There were none for a while, and now there are.
    has_resumed: bool,
}

#[derive(Debug, Default)]
struct Cpu {
    /// Time of CPU used since the run began, oldest measurement first.
    used: VecDeque<(Instant, u64)>,
    mean: Option<f64>,
    /// When it was last above [`CPU_IDLE`].
    busy_until: Option<UnixMs>,
}

impl Activity {
    /// So many sessions are open; whether that is the first, or none any more.
    pub(super) fn set_sessions(&mut self, n: u32, now: UnixMs) -> bool {
        let was_busy = self.n_sessions > 0;
        self.n_sessions = n;
        let is_busy = n > 0;
        if was_busy && !is_busy {
            self.sessions_until = Some(now);
        }
        was_busy != is_busy
    }

    pub(super) fn n_sessions(&self) -> u32 {
        self.n_sessions
    }

    /// Takes a measurement made at `now`, `at` on the monotonic clock; `talks` are its connections,
    /// if anybody knows.
    pub(super) fn measured(
        &mut self,
        usage: &Usage,
        talks: Option<&[Talk]>,
        now: UnixMs,
        at: Instant,
    ) {
        let traffic = self.traffic.take().unwrap_or_else(|| Traffic::begin(now));
        self.traffic = talks.map(|talks| traffic.looked(talks, now, at));
        let bytes = usage.rx_bytes.saturating_add(usage.tx_bytes);
        self.net = Some(match self.net.take() {
            Some(net) => net.measured(bytes, now, at),
            None => Net::begin(bytes, now, at),
        });
        self.cpu.measured(usage.cpu_us, now, at);
    }

    /// What was measured says nothing of what comes; commands may go on, as through a freeze.
    pub(super) fn begin_anew(&mut self) {
        *self = Self { n_sessions: self.n_sessions, ..Self::default() };
    }

    /// Nobody knows how long anything has lasted.
    pub(super) fn forget_times(&mut self) {
        self.net = None;
        self.traffic = None;
        self.cpu = Cpu::default();
        self.sessions_until = None;
    }

    /// Whether bytes have begun to pass with the last measurement.
    pub(super) fn has_net_resumed(&self) -> bool {
        self.net.as_ref().is_some_and(|net| net.has_resumed)
    }

    /// What is known.
    pub(super) fn signals(&self) -> Measured {
        Measured {
            idle: self.idle(),
            n_sessions: self.n_sessions,
            sessions_until: self.sessions_until,
            conns_out: self.traffic.as_ref().map(|traffic| traffic.n_out),
            conns_direct: self.traffic.as_ref().map(|traffic| traffic.n_in),
            net_idle_since: self.net.as_ref().map(|net| net.last),
            cpu_1m: self.cpu.mean,
            ..Measured::default()
        }
    }

    fn idle(&self) -> Option<Idle> {
        let speaks = self.traffic.as_ref().is_some_and(|traffic| traffic.n_out + traffic.n_in > 0);
        if self.n_sessions > 0 || speaks {
            return Some(Idle::Busy);
        }
        let (quiet_since, mean) = (self.quiet_since()?, self.cpu.mean?);
        let Some(quiet_since) = quiet_since.filter(|_| mean < CPU_IDLE) else {
            return Some(Idle::Busy);
        };
        let others = [self.sessions_until, self.cpu.busy_until];
        Some(Idle::Since(others.into_iter().flatten().fold(quiet_since, UnixMs::max)))
    }

    /// Since when nothing has been heard of it, but for what it may be saying now; `Some(None)` while
    /// its link is not quiet.
    fn quiet_since(&self) -> Option<Option<UnixMs>> {
        match (&self.traffic, &self.net) {
            (Some(traffic), _) => Some(Some(traffic.last)),
            (None, Some(net)) => Some(net.is_quiet_for_a_minute.then_some(net.last)),
            (None, None) => None,
        }
    }
}

impl Net {
    fn begin(bytes: u64, now: UnixMs, at: Instant) -> Self {
        Self { bytes, last: now, last_mono: at, is_quiet_for_a_minute: false, has_resumed: false }
    }

    fn measured(self, bytes: u64, now: UnixMs, at: Instant) -> Self {
        let quiet = at.saturating_duration_since(self.last_mono);
        if bytes != self.bytes {
            let has_resumed = quiet > super::EVERY * 2;
            return Self { has_resumed, ..Self::begin(bytes, now, at) };
        }
        Self { is_quiet_for_a_minute: quiet >= NET_QUIET, has_resumed: false, ..self }
    }
}

impl Cpu {
    fn measured(&mut self, used_us: u64, now: UnixMs, at: Instant) {
        if self.used.back().is_some_and(|(_, last)| used_us < *last) {
            // Another run: its time begins at zero.
            self.used.clear();
        }
        self.used.push_back((at, used_us));
        while let Some((second, _)) = self.used.get(1)
            && at.saturating_duration_since(*second) >= CPU_WINDOW
        {
            self.used.pop_front();
        }
        self.mean = self.used.front().and_then(|(first, used_then)| {
            let seconds = at.saturating_duration_since(*first).as_secs_f64();
            let used = Duration::from_micros(used_us - used_then).as_secs_f64();
            (seconds > 0.0).then(|| (used / seconds * CPU_STEPS).round() / CPU_STEPS)
        });
        if self.mean.is_none_or(|mean| mean >= CPU_IDLE) {
            self.busy_until = Some(now);
        }
    }
}

#[cfg(test)]
mod tests;
