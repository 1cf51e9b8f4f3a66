//! Start of a virtual machine beside a container's, from the request until its program runs.
//!
//! Both are measured by the reply: a virtual machine's own clock is not the host's. Every start takes up
//! the template anew, so all of them are what a pool would call misses.

use super::Setting;
use crate::clock::{ms_between, now_ns};
use crate::dormouse::Instance;
use crate::dormouse::api::Api;
use crate::report::{Report, Row};
use crate::stats::{Parts, Samples};
use crate::words;
use anyhow::Context as _;

/// Rounds, over so many machines of each engine.
const ROUNDS: u32 = 30;
const N_MACHINES: u32 = 4;

/// Engines, and the names of their rows.
const ENGINES: [(&str, &str); 2] = [("microvm", "dormouse_miss"), ("container", "container")];

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let rounds = setting.options.rounds_or(ROUNDS);
    let n_machines = setting.options.machines_or(N_MACHINES);
    let pause_ms = setting.options.pause_ms;
    let kernel = setting.options.guest_kernel.as_ref();
    let kernel = kernel.context("virtual machines need a kernel: `--guest-kernel DIR`")?;
    let what = format!("{rounds} rounds over {n_machines} machines each, pauses of {pause_ms} ms");
    let mut report = setting.report(&what);
    let arg = format!("--guest-kernel={}", kernel.display());
    words::tell("starting dormouse");
    let instance = Instance::up_with(&setting.scratch, &setting.image, "data", &[], &[&arg])?;
    let mut api = instance.connect()?;
    let mut contenders = Vec::new();
    for (engine, name) in ENGINES {
        let mut machines = Vec::new();
        for n in 0..n_machines {
            let asked_ns = now_ns();
            let id = api.create_on(engine)?;
            let ms = ms_between(asked_ns, now_ns());
            if n == 0 {
                report.notes.push(format!("{engine}: the first create took {ms:.0} ms"));
            }
            api.start(&id)?;
            api.stop(&id)?;
            machines.push(id);
        }
        contenders.push(Contender {
            name,
            machines,
            samples: Samples::default(),
            split: Parts::default(),
        });
    }
    for round in 0..usize::try_from(rounds)? {
        words::tell(&format!("round {} of {rounds}", round + 1));
        for contender in &mut contenders {
            contender.start(setting, &mut api, round)?;
        }
    }
    report.rows = contenders.iter().map(Contender::row).collect();
    Ok(report)
}

/// Machines of one engine.
struct Contender {
    name: &'static str,
    machines: Vec<String>,
    samples: Samples,
    split: Parts,
}

impl Contender {
    fn start(&mut self, setting: &Setting<'_>, api: &mut Api, round: usize) -> anyhow::Result<()> {
        let id = &self.machines[round % self.machines.len()];
        setting.pause();
        let asked_ns = now_ns();
        let split = api.start(id)?;
        self.samples.push(ms_between(asked_ns, now_ns()));
        self.split.add(split);
        setting.pause();
        api.stop(id)
    }

    fn row(&self) -> Row {
        let mut row = Row::timed(self.name, &self.samples);
        row.split = self.split.means();
        row
    }
}
