//! Many starts at once, each over a connection of its own; all must succeed.

use super::Setting;
use crate::clock::{ms_between, now_ns};
use crate::dormouse::api::Api;
use crate::report::{Report, Row};
use crate::stats::Samples;
use crate::{stamp, words};
use anyhow::Context as _;
use std::path::Path;
use std::sync::Barrier;

const MACHINES: u32 = 100;

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let n = setting.options.machines_or(MACHINES);
    let mut report = setting.report(&format!("{n} starts at once, to the first instruction"));
    let instance = setting.instance()?;
    words::tell(&format!("creating {n} machines"));
    let mut api = instance.connect()?;
    let machines = (0..n).map(|_| api.create_stopped()).collect::<anyhow::Result<Vec<_>>>()?;
    let connections =
        machines.iter().map(|_| instance.connect()).collect::<anyhow::Result<Vec<_>>>()?;

    let logs: Vec<_> = machines.iter().map(|id| instance.machine_dir(id).join("log")).collect();
    let barrier = Barrier::new(machines.len());
    let outcomes: Vec<anyhow::Result<Started>> = std::thread::scope(|scope| {
        let barrier = &barrier;
        let starts: Vec<_> = connections
            .into_iter()
            .zip(machines.iter().zip(&logs))
            .map(|(api, (id, log))| scope.spawn(move || start(api, id, log, barrier)))
            .collect();
        starts
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
            .collect()
    });
    let n_failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    let started = outcomes
        .into_iter()
        .collect::<anyhow::Result<Vec<_>>>()
        .with_context(|| format!("{n_failed} of {n} starts failed, the first"))?;
    report.rows.push(row(&started));
    for id in &machines {
        api.stop(id)?;
    }
    Ok(report)
}

/// Milliseconds from the request on.
struct Started {
    stamp_ms: f64,
    reply_ms: f64,
}

fn start(mut api: Api, id: &str, log: &Path, barrier: &Barrier) -> anyhow::Result<Started> {
    barrier.wait();
    let asked_ns = now_ns();
    api.start(id)?;
    let reply_ms = ms_between(asked_ns, now_ns());
    Ok(Started { stamp_ms: ms_between(asked_ns, stamp::wait_in_log(log, asked_ns)?), reply_ms })
}

fn row(started: &[Started]) -> Row {
    let stamps: Samples = started.iter().map(|one| one.stamp_ms).collect();
    let replies: Samples = started.iter().map(|one| one.reply_ms).collect();
    let mut row = Row::timed("dormouse", &stamps);
    row.figures.push(("last_ms", stamps.max()));
    row.figures.push(("last_reply_ms", replies.max()));
    row
}
