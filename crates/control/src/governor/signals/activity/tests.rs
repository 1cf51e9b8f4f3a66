//! Tests of `activity`.

use super::*;
use model::DurationMs;

const START: UnixMs = UnixMs(1_800_000_000_000);

/// Measures every five seconds, as told: bytes so far and microseconds of CPU so far.
struct Bench {
    activity: Activity,
    began: Instant,
    second: u64,
    /// Its connections; `None`: nobody can list them.
    talks: Option<Vec<Talk>>,
}

impl Bench {
    fn new() -> Self {
        Self { activity: Activity::default(), began: Instant::now(), second: 0, talks: None }
    }

    fn now(&self) -> UnixMs {
        START.plus(DurationMs::from_secs(self.second))
    }

    fn measure(&mut self, bytes: u64, cpu_us: u64) {
        let usage = Usage {
            cpu_us,
            rx_bytes: bytes / 2,
            tx_bytes: bytes - bytes / 2,
            ram_bytes: 0,
            ram_limit_bytes: 0,
            pids: 0,
            disk_bytes: 0,
        };
        let at = self.began + Duration::from_secs(self.second);
        self.activity.measured(&usage, self.talks.as_deref(), self.now(), at);
    }

    /// Measures the same for so many seconds.
    fn quiet(&mut self, seconds: u64, bytes: u64, cpu_us: u64) {
        let end = self.second + seconds;
        while self.second < end {
            self.second += 5;
            self.measure(bytes, cpu_us);
        }
    }

    #[track_caller]
    fn check_idle(&self, expected: Option<Idle>) {
        assert_eq!(self.activity.signals().idle, expected, "second {}", self.second);
    }
}

fn since(second: u64) -> Option<Idle> {
    Some(Idle::Since(START.plus(DurationMs::from_secs(second))))
}

#[test]
fn what_was_not_measured_is_unknown() {
    let mut bench = Bench::new();
    assert_eq!(bench.activity.signals(), Measured::default());
    bench.measure(0, 0);
    bench.check_idle(None);
    assert_eq!(bench.activity.signals().cpu_1m, None, "one measurement is no mean");
    bench.quiet(5, 0, 0);
    bench.check_idle(Some(Idle::Busy));
}

#[test]
fn a_machine_is_idle_a_minute_after_its_last_byte_and_has_been_since() {
    let mut bench = Bench::new();
    bench.measure(0, 0);
    bench.quiet(5, 100, 0);
    bench.quiet(55, 100, 0);
    bench.check_idle(Some(Idle::Busy));
    bench.quiet(5, 100, 0);
    bench.check_idle(since(5));
    bench.quiet(600, 100, 0);
    bench.check_idle(since(5));
    bench.quiet(5, 101, 0);
    bench.check_idle(Some(Idle::Busy));
}

/// What the proxy asks of it, health checks mostly, are bytes on its link and no activity.
#[test]
fn where_connections_are_known_they_count_and_not_the_link() {
    let mut bench = Bench::new();
    bench.talks = Some(Vec::new());
    bench.measure(0, 0);
    bench.quiet(5, 100, 0);
    bench.check_idle(since(0));
    let call = |bytes| Talk { id: 1, is_outbound: true, is_open: true, bytes: Some(bytes) };
    bench.talks = Some(vec![call(10)]);
    bench.quiet(5, 200, 0);
    bench.check_idle(Some(Idle::Busy));
    assert_eq!(bench.activity.signals().conns_out, Some(1));
    bench.talks = Some(vec![call(20)]);
    bench.quiet(60, 200, 0);
    bench.check_idle(Some(Idle::Busy));
    bench.quiet(10, 200, 0);
    bench.check_idle(since(15));
    bench.talks = Some(vec![Talk { is_outbound: false, ..call(30) }]);
    bench.quiet(5, 200, 0);
    bench.check_idle(Some(Idle::Busy));
    let now = bench.activity.signals();
    assert_eq!((now.conns_out, now.conns_direct), (Some(0), Some(1)));
    bench.talks = Some(Vec::new());
    bench.quiet(5, 200, 0);
    bench.check_idle(since(85));
}

#[test]
fn a_machine_that_computes_is_busy() {
    let mut bench = Bench::new();
    bench.measure(0, 0);
    bench.quiet(70, 0, 0);
    bench.check_idle(since(0));
    // Three seconds of the last minute.
    bench.quiet(5, 0, 3_000_000);
    assert_eq!(bench.activity.signals().cpu_1m, Some(0.05));
    bench.check_idle(Some(Idle::Busy));
    bench.quiet(60, 0, 3_000_000);
    // The last mean that counted the burst was that of second 130.
    bench.check_idle(since(130));
}

#[test]
fn two_percent_of_a_cpu_is_the_border() {
    for (us_per_5_s, is_busy) in [(95_000, false), (105_000, true)] {
        let mut bench = Bench::new();
        bench.measure(0, 0);
        for n in 1..=20 {
            bench.quiet(5, 0, n * us_per_5_s);
        }
        let idle = bench.activity.signals().idle;
        assert_eq!(idle == Some(Idle::Busy), is_busy, "{us_per_5_s}");
    }
}

#[test]
fn an_open_session_is_activity_and_its_end_begins_idleness() {
    let mut bench = Bench::new();
    bench.measure(0, 0);
    bench.quiet(100, 0, 0);
    assert!(bench.activity.set_sessions(1, bench.now()));
    assert!(!bench.activity.set_sessions(2, bench.now()), "busy already");
    bench.check_idle(Some(Idle::Busy));
    bench.quiet(100, 0, 0);
    assert!(bench.activity.set_sessions(0, bench.now()));
    bench.check_idle(since(200));
}

#[test]
fn a_session_is_known_without_any_measurement() {
    let mut bench = Bench::new();
    bench.activity.set_sessions(1, START);
    bench.check_idle(Some(Idle::Busy));
    bench.activity.set_sessions(0, START);
    bench.check_idle(None);
}

#[test]
fn after_a_jump_of_the_clock_nothing_has_lasted() {
    let mut bench = Bench::new();
    bench.measure(0, 0);
    bench.quiet(100, 0, 0);
    bench.activity.forget_times();
    bench.check_idle(None);
    bench.quiet(60, 0, 0);
    bench.check_idle(Some(Idle::Busy));
    bench.quiet(5, 0, 0);
    bench.check_idle(since(105));
}

#[test]
fn bytes_after_a_pause_are_told_once() {
    let mut bench = Bench::new();
    bench.measure(0, 0);
    bench.quiet(20, 0, 0);
    bench.quiet(5, 1, 0);
    assert!(bench.activity.has_net_resumed());
    bench.quiet(5, 2, 0);
    assert!(!bench.activity.has_net_resumed(), "it goes on");
}

#[test]
fn another_run_begins_to_count_at_zero() {
    let mut bench = Bench::new();
    bench.measure(0, 50_000_000);
    bench.quiet(5, 0, 50_000_000);
    bench.quiet(5, 0, 10);
    assert_eq!(bench.activity.signals().cpu_1m, None);
    bench.quiet(5, 0, 10);
    assert_eq!(bench.activity.signals().cpu_1m, Some(0.0));
}
