//! RAM of virtual machines whose programs wait: one of them, and many.
//!
//! What all share counts for each as its part of it, so the more there are, the less each has.

use super::Setting;
use crate::dormouse::Instance;
use crate::dormouse::usage::{CpuTimes, pss_mib_of};
use crate::process;
use crate::report::{Report, Row};
use crate::words;
use anyhow::ensure;
use std::time::{Duration, Instant};

/// So many at once.
const CROWDS: [u32; 3] = [1, 10, 30];

/// How long the CPU of all our processes is watched at a time.
const WATCH: Duration = Duration::from_secs(2);

/// All is quiet below so much CPU, in percent of one and for each virtual machine: what is left are the
/// ticks of guests that wait.
const QUIET_CPU_PCT_EACH: f64 = 2.0;

/// Longest wait for that.
const QUIET_WITHIN: Duration = Duration::from_mins(1);

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let most = setting.options.machines_or(CROWDS[CROWDS.len() - 1]);
    let mut report = setting.report(&format!("up to {most} virtual machines that wait"));
    let instance = setting.instance_with_vms("dormouse", "0,0")?;
    let mut api = instance.connect()?;
    let mut n_machines = 0;
    for n in CROWDS.into_iter().filter(|n| *n < most).chain([most]) {
        words::tell(&format!("{n} virtual machines"));
        while n_machines < n {
            let id = api.create_on("microvm")?;
            api.start(&id)?;
            n_machines += 1;
        }
        let cpu_pct_each = wait_until_quiet(&instance, n)?;
        report.rows.push(row(&instance, n, cpu_pct_each)?);
    }
    Ok(report)
}

fn row(instance: &Instance, n: u32, cpu_pct_each: f64) -> anyhow::Result<Row> {
    let monitors = process::running(instance.supervisor_pid(), vmm::QEMU);
    let found = monitors.len();
    ensure!(found == usize::try_from(n)?, "{found} virtual machines run, not {n}");
    let mut shims: Vec<u32> = monitors.iter().filter_map(|pid| process::parent_of(*pid)).collect();
    shims.sort_unstable();
    shims.dedup();
    ensure!(shims.len() == found, "{found} virtual machines have {} shims", shims.len());
    let qemu_mib = pss_mib_of(&monitors)? / f64::from(n);
    let shim_mib = pss_mib_of(&shims)? / f64::from(n);
    Ok(Row {
        name: format!("vms_{n}"),
        figures: vec![
            ("pss_mib_each", qemu_mib + shim_mib),
            ("qemu_mib_each", qemu_mib),
            ("shim_mib_each", shim_mib),
            ("cpu_pct_each", cpu_pct_each),
        ],
        counts: vec![("machines", found)],
        split: Vec::new(),
    })
}

/// Waits until nobody has much to do; what each virtual machine then costs in percent of a CPU.
fn wait_until_quiet(instance: &Instance, n: u32) -> anyhow::Result<f64> {
    let supervisor = instance.supervisor_pid();
    let deadline = Instant::now() + QUIET_WITHIN;
    loop {
        let before = CpuTimes::of(supervisor);
        std::thread::sleep(WATCH);
        let used_ms = CpuTimes::of(supervisor).ms_since(&before);
        let pct_each = used_ms / (WATCH.as_secs_f64() * 1e3) * 100.0 / f64::from(n);
        if pct_each < QUIET_CPU_PCT_EACH {
            return Ok(pct_each);
        }
        ensure!(Instant::now() < deadline, "it stays busy: {pct_each:.1} % for each");
    }
}
