//! Counters since the process began, in the form in which Prometheus reads them.

use proxy_proto::message::KnockTiming;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Most apps that are counted apart; the rest counts as `other`. With 22 samples of each they fit into
/// one answer to control.
const APPS_MAX: usize = 500;

/// Most reasons that are counted apart.
const REASONS_MAX: usize = 100;

/// Name under which the rest counts.
const OTHER: &str = "other";

/// Bounds of the histogram of waits: microseconds, and the same as a label in seconds.
const HELD_BOUNDS: [(u64, &str); 8] = [
    (5_000, "0.005"),
    (10_000, "0.01"),
    (20_000, "0.02"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (2_000_000, "2"),
    (10_000_000, "10"),
];

/// Parts of a wake, in the order of [`parts_of`].
const WAKE_PARTS: [&str; 6] = ["admission", "commit", "net", "disk", "engine", "listen"];

/// Bounds of the histograms of these, as above.
const PART_BOUNDS: [(u64, &str); 8] = [
    (100, "0.0001"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_000, "0.002"),
    (5_000, "0.005"),
    (20_000, "0.02"),
    (100_000, "0.1"),
    (1_000_000, "1"),
];

/// All counters.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    apps: Mutex<BTreeMap<String, Arc<AppMeter>>>,
    turned: Mutex<BTreeMap<String, u64>>,
    wake_parts: [Waits; WAKE_PARTS.len()],
    doors: AtomicU64,
    doors_left_off: AtomicU64,
    n_tls_failed: AtomicU64,
    n_too_many: AtomicU64,
}

/// Counters of one app.
#[derive(Debug, Default)]
pub(crate) struct AppMeter {
    n_requests: [AtomicU64; 6],
    n_connections: AtomicU64,
    n_closed: AtomicU64,
    held: Waits,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
}

/// A histogram of eight bounds.
#[derive(Debug, Default)]
struct Waits {
    n: AtomicU64,
    sum_us: AtomicU64,
    by_bound: [AtomicU64; 8],
}

impl Waits {
    fn add(&self, took_us: u64, bounds: &[(u64, &str); 8]) {
        self.n.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(took_us, Ordering::Relaxed);
        for ((bound_us, _), n) in bounds.iter().zip(&self.by_bound) {
            if took_us <= *bound_us {
                n.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn put(&self, name: &str, label: &str, bounds: &[(u64, &str); 8], out: &mut Samples) {
        let n = as_f64(self.n.load(Ordering::Relaxed));
        for ((_, le), at_most) in bounds.iter().zip(&self.by_bound) {
            let sample = format!("{name}_bucket{{{label},le=\"{le}\"}}");
            out.push((sample, as_f64(at_most.load(Ordering::Relaxed))));
        }
        out.push((format!("{name}_bucket{{{label},le=\"+Inf\"}}"), n));
        let sum_us = as_f64(self.sum_us.load(Ordering::Relaxed));
        out.push((format!("{name}_sum{{{label}}}"), sum_us / 1e6));
        out.push((format!("{name}_count{{{label}}}"), n));
    }
}

/// Samples: name with labels, value.
type Samples = Vec<(String, f64)>;

/// In the order of [`WAKE_PARTS`].
const fn parts_of(timing: &KnockTiming) -> [u64; WAKE_PARTS.len()] {
    let KnockTiming { admission_us, commit_us, net_us, disk_us, engine_us, listen_us } = *timing;
    [admission_us, commit_us, net_us, disk_us, engine_us, listen_us]
}

impl Metrics {
    /// A visitor was let through after a wake whose time went there.
    pub(crate) fn split(&self, timing: &KnockTiming) {
        for (part, us) in self.wake_parts.iter().zip(parts_of(timing)) {
            part.add(us, &PART_BOUNDS);
        }
    }

    /// The counters of an app.
    pub(crate) fn of_app(&self, app: &str) -> Arc<AppMeter> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = apps.get(app) {
            return Arc::clone(meter);
        }
        let app = if apps.len() < APPS_MAX { app } else { OTHER };
        Arc::clone(apps.entry(app.to_owned()).or_default())
    }

    /// A visitor was turned away.
    pub(crate) fn turned(&self, code: &str) {
        let mut turned = self.turned.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !turned.contains_key(code);
        let code = if is_new && turned.len() >= REASONS_MAX { OTHER } else { code };
        *turned.entry(code.to_owned()).or_default() += 1;
    }

    /// So many doors are open, and so many are wanted that are too many.
    pub(crate) fn doors(&self, n_open: usize, n_left_off: usize) {
        self.doors.store(n_open as u64, Ordering::Relaxed);
        self.doors_left_off.store(n_left_off as u64, Ordering::Relaxed);
    }

    /// A TLS handshake failed.
    pub(crate) fn tls_failed(&self) {
        self.n_tls_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was closed because there are too many.
    pub(crate) fn too_many(&self) {
        self.n_too_many.fetch_add(1, Ordering::Relaxed);
    }

    /// All of it: name with labels, value.
    pub(crate) fn all(&self) -> Samples {
        let mut out = Samples::new();
        let mut put = |name: String, counter: &AtomicU64| {
            out.push((name, as_f64(counter.load(Ordering::Relaxed))));
        };
        put("dormouse_proxy_doors_open".to_owned(), &self.doors);
        put("dormouse_proxy_doors_left_off".to_owned(), &self.doors_left_off);
        put("dormouse_proxy_tls_failed_total".to_owned(), &self.n_tls_failed);
        put("dormouse_proxy_connections_refused_total".to_owned(), &self.n_too_many);
        let apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        for (app, meter) in apps.iter() {
            meter.put_all(app, &mut out);
        }
        drop(apps);
        let turned = self.turned.lock().unwrap_or_else(PoisonError::into_inner);
        for (code, n) in turned.iter() {
            let name = format!("dormouse_proxy_turned_total{{code=\"{}\"}}", escaped(code));
            out.push((name, as_f64(*n)));
        }
        drop(turned);
        for (part, waits) in WAKE_PARTS.iter().zip(&self.wake_parts) {
            let label = format!("part=\"{part}\"");
            waits.put("dormouse_proxy_wake_part_seconds", &label, &PART_BOUNDS, &mut out);
        }
        out
    }
}

impl AppMeter {
    /// A request was answered.
    pub(crate) fn answered(&self, status: u16) {
        let class = usize::from(status / 100).min(self.n_requests.len() - 1);
        self.n_requests[class].fetch_add(1, Ordering::Relaxed);
    }

    /// A visitor was let through who counts as a connection.
    pub(crate) fn opened(&self) {
        self.n_connections.fetch_add(1, Ordering::Relaxed);
    }

    /// It has gone.
    pub(crate) fn closed(&self) {
        self.n_closed.fetch_add(1, Ordering::Relaxed);
    }

    /// A visitor was held for a wake, and let through.
    pub(crate) fn woken(&self, held: Duration) {
        self.held.add(u64::try_from(held.as_micros()).unwrap_or(u64::MAX), &HELD_BOUNDS);
    }

    /// Bytes from and to visitors.
    pub(crate) fn passed(&self, received_bytes: u64, sent_bytes: u64) {
        self.received_bytes.fetch_add(received_bytes, Ordering::Relaxed);
        self.sent_bytes.fetch_add(sent_bytes, Ordering::Relaxed);
    }

    fn put_all(&self, app: &str, out: &mut Samples) {
        let label = format!("app=\"{}\"", escaped(app));
        for (class, n) in self.n_requests.iter().enumerate() {
            let n = n.load(Ordering::Relaxed);
            if n > 0 {
                let sample =
                    format!("dormouse_proxy_requests_total{{{label},class=\"{class}xx\"}}");
                out.push((sample, as_f64(n)));
            }
        }
        let counters = [
            ("connections", &self.n_connections),
            ("connections_closed", &self.n_closed),
            ("received_bytes", &self.received_bytes),
            ("sent_bytes", &self.sent_bytes),
        ];
        for (what, counter) in counters {
            let sample = format!("dormouse_proxy_{what}_total{{{label}}}");
            out.push((sample, as_f64(counter.load(Ordering::Relaxed))));
        }
        self.held.put("dormouse_proxy_held_seconds", &label, &HELD_BOUNDS, out);
    }
}

#[allow(clippy::cast_precision_loss, reason = "counters that large are not read to the last digit")]
const fn as_f64(n: u64) -> f64 {
    n as f64
}

/// As a label's value. Source: Prometheus' text format.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '"' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => drop(write!(out, "{}", c.escape_unicode())),
            c => out.push(c),
        }
    }
    out
}
