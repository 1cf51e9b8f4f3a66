//! Machines that govern their own sleep.
//!
//! * `rules`: what an evaluation costs, inside this process.
//! * `wake`: from a write to the first instruction of the program, beside a plain start.
//! * `sleepers`: what many of them cost while nothing happens, and what a write to one of them takes.
//! * `storms`: a thousand alarms in one second, hundreds of messages a second.

mod rules;
mod sleepers;
mod storms;
mod wake;

use super::Setting;
use crate::dormouse::Instance;
use crate::dormouse::api::Api;
use crate::report::Report;
use crate::words;
use std::rc::Rc;

/// A policy of five rules, one of each kind that a governed machine usually has. Its `go` wakes.
const POLICY: &str = include_str!("governor/policy.json");

/// Connections over which many machines are made or written to.
const CONNECTIONS: usize = 8;

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let n_rounds = setting.options.rounds_or(wake::ROUNDS);
    let n_sleepers = setting.options.machines_or(sleepers::MACHINES);
    let seconds = setting.options.seconds;
    let what = format!(
        "{n_rounds} wakes of containers; {n_sleepers} sleepers of the fake engine with 5 rules each, watched for \
         {seconds} s; pauses of {} ms",
        setting.options.pause_ms
    );
    let mut report = setting.report(&what);
    words::tell("evaluating rules");
    report.rows.push(rules::measure()?);
    let instance = setting.instance()?;
    report.rows.extend(wake::measure(setting, &instance, n_rounds)?);
    let machines = sleepers::make(&instance, n_sleepers)?;
    report.rows.push(sleepers::watch(setting, &instance, machines.len())?);
    report.rows.push(sleepers::write(setting, &instance, &machines)?);
    let (alarmed, others) = machines.split_at(machines.len() / 2);
    report.rows.push(storms::alarms(&instance, alarmed)?);
    report.rows.push(storms::posts(&instance, others)?);
    Ok(report)
}

/// Does `work` for each item of `items`, over [`CONNECTIONS`] connections at once.
fn for_all<T: Sync, R: Send>(
    instance: &Rc<Instance>,
    items: &[T],
    work: impl Fn(&mut Api, &T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let share = items.len().div_ceil(CONNECTIONS).max(1);
    let apis =
        items.chunks(share).map(|_| instance.connect()).collect::<anyhow::Result<Vec<_>>>()?;
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks(share)
            .zip(apis)
            .map(|(items, mut api)| {
                scope.spawn(move || {
                    items
                        .iter()
                        .map(|item| work(&mut api, item))
                        .collect::<anyhow::Result<Vec<_>>>()
                })
            })
            .collect();
        let mut done = Vec::with_capacity(items.len());
        for thread in threads {
            done.extend(thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked"))?);
        }
        Ok(done)
    })
}
