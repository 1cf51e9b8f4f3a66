//! `GET /metrics`: counters for Prometheus.
//!
//! * `exposition`: the text format.
//!
//! What the proxy counts comes from the proxy; while it does not answer, `dormouse_proxy_up` is 0 and
//! the rest of it is absent. Labels are words of ours and names of apps, the latter bounded in number
//! by the proxy.

mod exposition;

use super::Answer;
use super::extract::Caller;
use crate::auth::{Need, Target};
use crate::problem::Problem;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse as _;
use control::{Control, Histogram, METER_BOUNDS_S, Metered, WarmStats};
use exposition::{Exposition, Kind};
use std::collections::BTreeMap;

/// Type of the answer. Source: the text format of Prometheus, version 0.0.4.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`.
pub(super) async fn metrics(State(control): State<Control>, who: Caller) -> Answer {
    who.0.check(Need::Read, Target::Host)?;
    let states = control.machines_by_state().map_err(|e| Problem::from_control(&e, None))?;
    let proxy = control.proxy_description(None).await;
    let mut text = Exposition::default();
    of_control(&mut text, &states, &control.meters());
    of_proxy(&mut text, proxy.map(|description| description.metrics));
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text.to_string()).into_response())
}

fn of_control(text: &mut Exposition, states: &BTreeMap<String, u64>, metered: &Metered) {
    let version = &[("version", env!("CARGO_PKG_VERSION"))];
    text.family("dormouse_build_info", Kind::Gauge, "The build that answers.");
    text.sample("dormouse_build_info", version, 1.0);
    text.family("dormouse_machines", Kind::Gauge, "Machines by state.");
    for (state, n) in states {
        text.sample("dormouse_machines", &[("state", state)], as_f64(*n));
    }
    let starts = "dormouse_starts_total";
    text.family(starts, Kind::Counter, "Starts and wakes by cause and outcome.");
    for (outcome, counts) in [("up", &metered.ups), ("failed", &metered.failed)] {
        for (cause, n) in counts {
            text.sample(starts, &[("cause", cause), ("outcome", outcome)], as_f64(*n));
        }
    }
    let rests = "dormouse_rests_total";
    text.family(rests, Kind::Counter, "Rests by cause and depth.");
    for ((cause, depth), n) in &metered.rests {
        text.sample(rests, &[("cause", cause), ("depth", depth)], as_f64(*n));
    }
    warm_vms(text, &metered.warm_vms);
    let whole = "From the wish for a start to its answer.";
    histograms(text, "dormouse_start_seconds", "cause", whole, &metered.starts);
    let part = "Parts of these starts; some of them overlap.";
    histograms(text, "dormouse_start_part_seconds", "part", part, &metered.parts);
}

fn warm_vms(text: &mut Exposition, warm: &WarmStats) {
    text.family("dormouse_warm_vms", Kind::Gauge, "Virtual machines that wait for a start.");
    text.sample("dormouse_warm_vms", &[], as_f64(warm.n_waiting));
    let starts = "dormouse_warm_vm_starts_total";
    text.family(starts, Kind::Counter, "Starts that found one, and those that found none.");
    for (outcome, n) in [("hit", warm.hits), ("miss", warm.misses)] {
        text.sample(starts, &[("outcome", outcome)], as_f64(n));
    }
    let warmed = "dormouse_warm_vm_rehearsals_total";
    text.family(warmed, Kind::Counter, "Virtual machines that were warmed, or could not be.");
    for (outcome, n) in [("warm", warm.warmed), ("failed", warm.failed)] {
        text.sample(warmed, &[("outcome", outcome)], as_f64(n));
    }
    let seconds = "dormouse_warm_vm_rehearsal_seconds_total";
    text.family(seconds, Kind::Counter, "What warming them took.");
    text.sample(seconds, &[], warm.warmed_for.as_secs_f64());
}

fn histograms(
    text: &mut Exposition,
    name: &str,
    label: &str,
    help: &str,
    histograms: &BTreeMap<&'static str, Histogram>,
) {
    text.family(name, Kind::Histogram, help);
    for (value, histogram) in histograms {
        let bucket = format!("{name}_bucket");
        for (bound, n) in METER_BOUNDS_S.iter().zip(histogram.by_bound) {
            let le = bound.to_string();
            text.sample(&bucket, &[(label, value), ("le", &le)], as_f64(n));
        }
        text.sample(&bucket, &[(label, value), ("le", "+Inf")], as_f64(histogram.n));
        text.sample(&format!("{name}_sum"), &[(label, value)], histogram.sum_s);
        text.sample(&format!("{name}_count"), &[(label, value)], as_f64(histogram.n));
    }
}

/// What the proxy counts: samples with their labels, as it writes them.
fn of_proxy(text: &mut Exposition, samples: Option<Vec<(String, f64)>>) {
    text.family("dormouse_proxy_up", Kind::Gauge, "Whether the proxy answers.");
    text.sample("dormouse_proxy_up", &[], f64::from(u8::from(samples.is_some())));
    let mut families: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for (sample, value) in samples.unwrap_or_default() {
        families.entry(family_of(&sample).to_owned()).or_default().push((sample, value));
    }
    for (family, samples) in families {
        let (kind, help) = meaning(&family);
        text.family(&family, kind, help);
        for (sample, value) in samples {
            text.written(&sample, value);
        }
    }
}

/// The family of a sample: its name without labels, and without the parts of a histogram.
fn family_of(sample: &str) -> &str {
    let name = sample.split_once('{').map_or(sample, |(name, _)| name);
    let parts = ["_bucket", "_sum", "_count"];
    parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
}

fn meaning(family: &str) -> (Kind, &'static str) {
    match family {
        "dormouse_proxy_doors_open" => (Kind::Gauge, "Ports on which visitors are awaited."),
        "dormouse_proxy_doors_left_off" => (Kind::Gauge, "Ports that are wanted and too many."),
        "dormouse_proxy_held" => (Kind::Gauge, "Visitors that wait for a machine."),
        "dormouse_proxy_requests_total" => (Kind::Counter, "Requests by class of answer."),
        "dormouse_proxy_connections_total" => (Kind::Counter, "Connections let through."),
        "dormouse_proxy_connections_closed_total" => (Kind::Counter, "Connections that ended."),
        "dormouse_proxy_connections_refused_total" => (Kind::Counter, "Connections too many."),
        "dormouse_proxy_tls_failed_total" => (Kind::Counter, "TLS handshakes that failed."),
        "dormouse_proxy_turned_total" => (Kind::Counter, "Visitors turned away, by reason."),
        "dormouse_proxy_received_bytes_total" => (Kind::Counter, "Bytes from visitors."),
        "dormouse_proxy_sent_bytes_total" => (Kind::Counter, "Bytes to visitors."),
        "dormouse_proxy_held_seconds" => (Kind::Histogram, "Visitors held for a wake, let in."),
        "dormouse_proxy_wake_part_seconds" => {
            (Kind::Histogram, "Where the time of wakes went; some parts overlap.")
        }
        name if name.ends_with("_total") => (Kind::Counter, "Of the proxy."),
        _ => (Kind::Gauge, "Of the proxy."),
    }
}

#[allow(clippy::cast_precision_loss, reason = "counters that large are not read to the last digit")]
const fn as_f64(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests;
