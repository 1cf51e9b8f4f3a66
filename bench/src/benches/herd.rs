//! Many knocks at once: all on one stopped machine, which is started once for all of them, and one on
//! each of many. Every visitor has a connection of its own, made before; all must be answered.

use super::Setting;
use crate::crowd::{Answers, Crowd};
use crate::dormouse::Instance;
use crate::dormouse::api::{Api, HOST};
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
    let mut herds = Herds::default();
    let mut starts = Samples::default();
    for (round, machine) in (1..=rounds).zip(machines.iter().cycle()) {
        words::tell(&format!("herd {round} of {rounds} on one machine"));
        let before = api.n_starts(&machine.id)?;
        herds.add(knock(setting, instance, &vec![machine; KNOCKS])?);
        let n_starts = u32::try_from(api.n_starts(&machine.id)?.saturating_sub(before))?;
        starts.push(f64::from(n_starts));
        api.stop(&machine.id)?;
    }
    let mut row = herds.row("one_sleeper");
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
    let mut herds = Herds::default();
    for round in 1..=rounds {
        words::tell(&format!("herd {round} of {rounds} on {} machines", all.len()));
        herds.add(knock(setting, instance, &all)?);
        stop_all(&mut api, machines)?;
    }
    Ok(herds.row("each_sleeper"))
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

fn stop_all(api: &mut Api, machines: &[WebMachine]) -> anyhow::Result<()> {
    machines.iter().try_for_each(|machine| api.stop(&machine.id))
}

/// Times of all herds, and of the last answer in each.
#[derive(Debug, Default)]
struct Herds {
    took_ms: Samples,
    last_ms: Samples,
}

impl Herds {
    fn add(&mut self, herd: Answers) {
        self.last_ms.push(herd.took_ms.max());
        self.took_ms.append(herd.took_ms);
    }

    fn row(&self, name: &str) -> Row {
        let mut row = Row::timed(name, &self.took_ms);
        row.figures.push(("last_ms", self.last_ms.percentile(50)));
        row
    }
}
