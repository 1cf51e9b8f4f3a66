//! Freeze until it is frozen, thaw until the API answers.

use super::Setting;
use crate::clock::{ms_between, now_ns};
use crate::report::{Report, Row};
use crate::stats::{Parts, Samples};

const ROUNDS: u32 = 50;

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let rounds = setting.options.rounds_or(ROUNDS);
    let pause_ms = setting.options.pause_ms;
    let mut report = setting.report(&format!("{rounds} rounds, pauses of {pause_ms} ms"));
    let instance = setting.instance()?;
    let mut api = instance.connect()?;
    let id = api.create_started()?;
    let (mut freezes, mut thaws) = (Samples::default(), Samples::default());
    let mut split = Parts::default();
    for _ in 0..rounds {
        setting.pause();
        let asked_ns = now_ns();
        api.freeze(&id)?;
        freezes.push(ms_between(asked_ns, now_ns()));
        setting.pause();
        let asked_ns = now_ns();
        split.add(api.start(&id)?);
        thaws.push(ms_between(asked_ns, now_ns()));
    }
    api.stop(&id)?;
    report.rows.push(Row::timed("freeze", &freezes));
    let mut thaw = Row::timed("thaw", &thaws);
    thaw.split = split.means();
    report.rows.push(thaw);
    Ok(report)
}
