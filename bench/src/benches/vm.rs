//! Start of a virtual machine beside a container's, from the request until its program runs.
//!
//! All are measured by the reply: a virtual machine's own clock is not the host's. `dormouse` starts in a
//! virtual machine that waits for it, warmed; `dormouse_miss` belongs to an instance that keeps none, so
//! every start takes up the template anew.
//!
//! Beside them, in the same rounds: what QEMU alone asks for the same virtual machine, and Docker.

use super::Setting;
use crate::clock::{ms_between, now_ns};
use crate::dormouse::Instance;
use crate::dormouse::api::Api;
use crate::report::{Report, Row};
use crate::stats::{Parts, Samples};
use crate::words;
use anyhow::Context as _;
use peers::Peer;
use std::rc::Rc;

mod peers;

/// Rounds, over so many machines of each kind.
const ROUNDS: u32 = 30;
const N_MACHINES: u32 = 4;

/// The row whose starts find a virtual machine that waits.
const WARM: &str = "dormouse";

/// The instances: what they keep warm, and who runs there: names of rows, and engines.
const INSTANCES: [(&str, &[(&str, &str)]); 2] = [
    ("1,1", &[(WARM, "microvm"), ("container", "container")]),
    ("0,0", &[("dormouse_miss", "microvm")]),
];

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let rounds = setting.options.rounds_or(ROUNDS);
    let n_machines = setting.options.machines_or(N_MACHINES);
    let pause_ms = setting.options.pause_ms;
    let what = format!("{rounds} rounds over {n_machines} machines each, pauses of {pause_ms} ms");
    let mut report = setting.report(&what);
    let mut contenders = Vec::new();
    for (warm, rows) in INSTANCES {
        words::tell(&format!("starting dormouse with --vms-ready={warm}"));
        let instance = setting.instance_with_vms(rows[0].0, warm)?;
        for (name, engine) in rows {
            contenders.push(Contender::new(&instance, name, engine, n_machines, &mut report)?);
        }
    }
    let cold = contenders.last().context("there are no contenders")?;
    let mut peers = peers::all(setting, &mut report, &cold.instance)?;
    for round in 0..usize::try_from(rounds)? {
        words::tell(&format!("round {} of {rounds}", round + 1));
        for contender in &mut contenders {
            contender.start(setting, round)?;
        }
        for peer in &mut peers {
            peer.start(setting, round)?;
        }
    }
    let own = contenders.iter().map(Contender::row);
    report.rows = own.chain(peers.iter().map(Peer::row)).collect();
    report.add_ratios_to(WARM, &[peers::COLD_BOOT, peers::DOCKER_RUN]);
    Ok(report)
}

/// Machines of one engine in one instance.
struct Contender {
    name: &'static str,
    api: Api,
    /// Ends with the last one in it.
    instance: Rc<Instance>,
    machines: Vec<String>,
    samples: Samples,
    split: Parts,
}

impl Contender {
    fn new(
        instance: &Rc<Instance>,
        name: &'static str,
        engine: &str,
        n_machines: u32,
        report: &mut Report,
    ) -> anyhow::Result<Self> {
        let mut api = instance.connect()?;
        let mut machines = Vec::new();
        for n in 0..n_machines {
            let asked_ns = now_ns();
            let id = api.create_on(engine)?;
            let ms = ms_between(asked_ns, now_ns());
            if n == 0 {
                report.notes.push(format!("{name}: the first create took {ms:.0} ms"));
            }
            api.start(&id)?;
            api.stop(&id)?;
            machines.push(id);
        }
        if name == WARM {
            api.wait_for_warm_vm()?;
        }
        let (samples, split) = (Samples::default(), Parts::default());
        Ok(Self { name, api, instance: Rc::clone(instance), machines, samples, split })
    }

    fn start(&mut self, setting: &Setting<'_>, round: usize) -> anyhow::Result<()> {
        let (api, id) = (&mut self.api, &self.machines[round % self.machines.len()]);
        setting.pause();
        let asked_ns = now_ns();
        let split = api.start(id)?;
        self.samples.push(ms_between(asked_ns, now_ns()));
        self.split.add(split);
        setting.pause();
        api.stop(id)?;
        // The next one is warmed beside nobody.
        if self.name == WARM { api.wait_for_warm_vm() } else { Ok(()) }
    }

    fn row(&self) -> Row {
        let mut row = Row::timed(self.name, &self.samples);
        row.split = self.split.means();
        row
    }
}
