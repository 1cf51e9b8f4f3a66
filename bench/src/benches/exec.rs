//! The round trip of a command that does nothing, inside a running machine.

use super::Setting;
use crate::clock::{ms_between, now_ns};
use crate::report::{Report, Row};
use crate::stats::Samples;

const ROUNDS: u32 = 50;

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let rounds = setting.options.rounds_or(ROUNDS);
    let pause_ms = setting.options.pause_ms;
    let mut report = setting.report(&format!("{rounds} times `true`, pauses of {pause_ms} ms"));
    let instance = setting.instance()?;
    let mut api = instance.connect()?;
    let id = api.create_started()?;
    api.exec(&id, &["/bin/true"])?;
    let mut samples = Samples::default();
    for _ in 0..rounds {
        setting.pause();
        let asked_ns = now_ns();
        api.exec(&id, &["/bin/true"])?;
        samples.push(ms_between(asked_ns, now_ns()));
    }
    api.stop(&id)?;
    report.rows.push(Row::timed("dormouse", &samples));
    Ok(report)
}
