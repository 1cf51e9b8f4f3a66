//! Many knocks at once: all on one stopped machine, which is started once for all of them, and one on
//! each of many. Every visitor has a connection of its own, made before; all must be answered.

use super::Setting;
use crate::crowd::{Answers, Crowd};
use crate::dormouse::Instance;
use crate::dormouse::api::HOST;
use crate::peers::own::wake::{WebMachine, prepare};
use crate::report::{Report, Row};
use crate::stats::Samples;
use crate::words;
use anyhow::Context as _;

/// Knocks on one machine.
const KNOCKS: usize = 200;

/// Machines of which each gets one knock.
const MACHINES: u32 = 100;

/// Herds of each kind.
const ROUNDS: u32 = 5;

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let rounds = setting.options.rounds_or(ROUNDS);
    let n_machines = setting.options.machines_or(MACHINES);
    let what =
        format!("{rounds} times {KNOCKS} knocks on one machine, then one on each of {n_machines}");
    let mut report = setting.report(&what);
    let instance = setting.instance()?;
    words::tell(&format!("creating {n_machines} machines"));
    let machines = prepare(&instance, usize::try_from(n_machines)?)?;
    report.rows.push(on_one(setting, &instance, &machines, rounds)?);
    report.rows.push(on_each(setting, &instance, &machines, rounds)?);
    Ok(report)
}

/// All on one machine, another one each time.
fn on_one(
    setting: &Setting<'_>,
    instance: &Instance,
    machines: &[WebMachine],
    rounds: u32,
) -> anyhow::Result<Row> {
    let mut api = instance.connect()?;
    let mut starts = Samples::default();
    let mut machines = machines.iter().cycle();
    let mut row = herds("one_sleeper", rounds, || {
        let machine = machines.next().context("there are no machines")?;
        let before = api.n_starts(&machine.id)?;
        let answers = knock(setting, instance, &[machine; KNOCKS])?;
        let n_starts = u32::try_from(api.n_starts(&machine.id)?.saturating_sub(before))?;
        starts.push(f64::from(n_starts));
        api.stop(&machine.id)?;
        Ok(answers)
    })?;
    row.figures.push(("starts", starts.max()));
    Ok(row)
}

/// One on each.
fn on_each(
    setting: &Setting<'_>,
    instance: &Instance,
    machines: &[WebMachine],
    rounds: u32,
) -> anyhow::Result<Row> {
    let mut api = instance.connect()?;
    let all: Vec<&WebMachine> = machines.iter().collect();
    herds("each_sleeper", rounds, || {
        let answers = knock(setting, instance, &all)?;
        machines.iter().try_for_each(|machine| api.stop(&machine.id))?;
        Ok(answers)
    })
}

/// Times of all herds, and of the last answer in each. `herd` is one of them, and leaves its machines
/// stopped.
fn herds(
    name: &str,
    rounds: u32,
    mut herd: impl FnMut() -> anyhow::Result<Answers>,
) -> anyhow::Result<Row> {
    let (mut took_ms, mut last_ms) = (Samples::default(), Samples::default());
    for round in 1..=rounds {
        words::tell(&format!("{name}: herd {round} of {rounds}"));
        let answers = herd()?;
        last_ms.push(answers.took_ms.max());
        took_ms.append(answers.took_ms);
    }
    let mut row = Row::timed(name, &took_ms);
    row.figures.push(("last_ms", last_ms.percentile(50)));
    Ok(row)
}

fn knock(
    setting: &Setting<'_>,
    instance: &Instance,
    on: &[&WebMachine],
) -> anyhow::Result<Answers> {
    let doors: Vec<_> = on.iter().map(|machine| instance.door(machine.port)).collect();
    let mut crowd = Crowd::connect(&doors, HOST, "/")?;
    setting.pause();
    crowd.ask_once().context("a knock was not answered")
}
