//! What machines cost while they sleep.

use super::Setting;
use crate::clock::{ms_between, now_ns};
use crate::dormouse::api::n_listed;
use crate::dormouse::usage::{CpuTimes, disk_mib, pss_mib};
use crate::report::{Report, Row};
use crate::stats::Samples;
use crate::words;
use anyhow::ensure;
use std::time::Duration;

const MACHINES: u32 = 1000;

/// Lists that are timed.
const LISTS: usize = 30;

/// Time for pools and caches to come to rest after the last create.
const SETTLE: Duration = Duration::from_secs(5);

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let n = setting.options.machines_or(MACHINES);
    let seconds = setting.options.seconds;
    let mut report = setting.report(&format!("{n} stopped machines, watched for {seconds} s"));
    let instance = setting.instance()?;
    let mut api = instance.connect()?;
    let mut disks_mib = 0.0;
    for number in 1..=n {
        if number % 100 == 0 {
            words::tell(&format!("{number} of {n} machines created"));
        }
        let id = api.create_stopped()?;
        disks_mib += disk_mib(&instance.machine_dir(&id))?;
    }
    drop(api);

    std::thread::sleep(SETTLE);
    let supervisor = instance.supervisor_pid();
    let watch = Duration::from_secs(seconds);
    let before = CpuTimes::of(supervisor);
    std::thread::sleep(watch);
    let cpu_ms = CpuTimes::of(supervisor).ms_since(&before);
    let pss_mib = pss_mib(supervisor)?;

    let mut lists = Samples::default();
    let mut api = instance.connect()?;
    let mut listed = 0;
    for _ in 0..LISTS {
        setting.pause();
        let asked_ns = now_ns();
        let list = api.list()?;
        lists.push(ms_between(asked_ns, now_ns()));
        listed = n_listed(&list)?;
    }
    ensure!(listed == usize::try_from(n)?, "{listed} machines are listed, not {n}");
    report.rows.push(Row {
        name: "dormouse".to_owned(),
        figures: vec![
            ("pss_mib", pss_mib),
            ("cpu_pct", cpu_ms / (watch.as_secs_f64() * 1e3) * 100.0),
            ("list_ms", lists.percentile(50)),
            ("disk_mib_each", disks_mib / f64::from(n)),
        ],
        counts: vec![("machines", listed)],
        split: Vec::new(),
    });
    Ok(report)
}
