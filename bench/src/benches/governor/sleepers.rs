//! What many governed machines cost while they sleep, and what a write to one of them takes.

use super::{POLICY, Setting, for_all};
use crate::clock::{ms_between, now_ns};
use crate::dormouse::Instance;
use crate::dormouse::usage::{CpuTimes, pss_mib};
use crate::report::Row;
use crate::stats::Samples;
use crate::words;
use anyhow::ensure;
use serde_json::json;
use std::rc::Rc;
use std::time::Duration;

/// Source: design, section 9.
pub(super) const MACHINES: u32 = 10_000;

/// Writes that are timed.
const WRITES: usize = 500;

/// Machines between two of these: neighbours in the store would share its pages.
const STRIDE: usize = 7;

/// Time for pools and caches to come to rest after the last create.
const SETTLE: Duration = Duration::from_secs(5);

/// Makes stopped machines of the fake engine: they have everything but a disk.
pub(super) fn make(instance: &Rc<Instance>, n: u32) -> anyhow::Result<Vec<String>> {
    words::tell(&format!("creating {n} sleepers"));
    let numbers: Vec<u32> = (0..n).collect();
    let machines = for_all(instance, &numbers, |api, _| api.create_sleeper(POLICY))?;
    ensure!(machines.len() == numbers.len(), "not all sleepers were made");
    Ok(machines)
}

/// What they cost while nothing happens.
pub(super) fn watch(
    setting: &Setting<'_>,
    instance: &Rc<Instance>,
    n: usize,
) -> anyhow::Result<Row> {
    let watch = Duration::from_secs(setting.options.seconds);
    words::tell(&format!("watching {n} sleepers for {} s", watch.as_secs()));
    std::thread::sleep(SETTLE);
    let supervisor = instance.supervisor_pid();
    let before = CpuTimes::of(supervisor);
    std::thread::sleep(watch);
    let cpu_ms = CpuTimes::of(supervisor).ms_since(&before);
    Ok(Row {
        name: "sleepers".to_owned(),
        figures: vec![
            ("pss_mib", pss_mib(supervisor)?),
            ("cpu_pct", cpu_ms / (watch.as_secs_f64() * 1e3) * 100.0),
        ],
        counts: vec![("machines", n)],
        split: Vec::new(),
    })
}

/// A write that is evaluated and changes nothing about the sleep.
pub(super) fn write(
    setting: &Setting<'_>,
    instance: &Rc<Instance>,
    machines: &[String],
) -> anyhow::Result<Row> {
    words::tell(&format!("{WRITES} writes"));
    let mut api = instance.connect()?;
    let mut samples = Samples::default();
    for id in machines.iter().cycle().step_by(STRIDE).take(WRITES) {
        setting.pause();
        let asked_ns = now_ns();
        api.write_memory(id, &json!({"progress": fraction(samples.len())}))?;
        samples.push(ms_between(asked_ns, now_ns()));
    }
    Ok(Row::timed("memory", &samples))
}

/// Another value between 0 and 1 each time.
fn fraction(n: usize) -> f64 {
    u32::try_from(n).map_or(0.5, |n| 1.0 / (f64::from(n) + 2.0))
}
