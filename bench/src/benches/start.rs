//! From the request to the first instruction of the program, all contenders in turn.
//!
//! Every machine has been started once before: formatting, first mounts and caches are what
//! `create` pays for. Between any two steps lies the same pause. The cold rounds come last, because
//! dropped caches would slow down whoever is measured next.

use super::Setting;
use crate::dormouse::Instance;
use crate::options::Contender;
use crate::peers::Starts;
use crate::peers::docker::Docker;
use crate::peers::floor::Floor;
use crate::peers::own::Dormouse;
use crate::peers::podman::Podman;
use crate::peers::runc::Runc;
use crate::report::{Report, Row};
use crate::stats::Samples;
use crate::words;
use anyhow::Context as _;
use std::rc::Rc;

/// Rounds, and machines that they go over.
const ROUNDS: u32 = 50;

/// Prepared containers of each peer.
const PEER_CONTAINERS: usize = 4;

/// Largest disks that are prepared for the floor program: they go round.
const FLOOR_DISKS_MAX: usize = 50;

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let rounds = setting.options.rounds_or(ROUNDS);
    let n_machines = usize::try_from(setting.options.machines_or(ROUNDS))?;
    let pause_ms = setting.options.pause_ms;
    let what = format!("{rounds} rounds over {n_machines} machines, pauses of {pause_ms} ms");
    let mut report = setting.report(&what);

    let own = setting.invite(Contender::Dormouse, &mut report, || prepare(setting, n_machines));
    let mut contenders = contenders(setting, &mut report, own.as_ref(), n_machines)?;
    report.rows = measure(setting, &mut contenders, usize::try_from(rounds)?)?;
    drop(contenders);
    if let Some((instance, machines)) = own {
        report.rows.extend(cold(setting, &instance, &machines)?);
    }
    report.add_ratios();
    Ok(report)
}

/// An instance with stopped machines that have been started once.
fn prepare(setting: &Setting<'_>, n: usize) -> anyhow::Result<(Rc<Instance>, Vec<String>)> {
    let instance = setting.instance()?;
    words::tell(&format!("creating {n} machines"));
    let mut api = instance.connect()?;
    let machines = (0..n).map(|_| api.create_stopped()).collect::<anyhow::Result<Vec<_>>>()?;
    for id in &machines {
        api.start(id)?;
        api.stop(id)?;
    }
    Ok((instance, machines))
}

fn contenders(
    setting: &Setting<'_>,
    report: &mut Report,
    own: Option<&(Rc<Instance>, Vec<String>)>,
    n_machines: usize,
) -> anyhow::Result<Vec<Box<dyn Starts>>> {
    words::tell("starting peers");
    let Setting { scratch, image, .. } = setting;
    let n_disks = n_machines.min(FLOOR_DISKS_MAX);
    let mut all: Vec<Box<dyn Starts>> = Vec::new();
    let floor = setting.invite(Contender::Floor, report, || Floor::up(scratch, image, n_disks));
    all.extend(floor.map(|peer| Box::new(peer) as Box<dyn Starts>));
    if let Some((instance, machines)) = own {
        all.push(Box::new(Dormouse::new("dormouse", instance, machines)?));
    }
    let docker =
        setting.invite(Contender::Docker, report, || Docker::up(scratch, image, PEER_CONTAINERS));
    all.extend(docker.map(|peer| Box::new(peer) as Box<dyn Starts>));
    let runc = setting.invite(Contender::Runc, report, || Runc::up(scratch, image));
    all.extend(runc.map(|peer| Box::new(peer) as Box<dyn Starts>));
    let podman =
        setting.invite(Contender::Podman, report, || Podman::up(scratch, image, PEER_CONTAINERS));
    all.extend(podman.map(|peer| Box::new(peer) as Box<dyn Starts>));
    Ok(all)
}

/// Everybody once in each round; one round before that is not counted.
fn measure(
    setting: &Setting<'_>,
    contenders: &mut [Box<dyn Starts>],
    rounds: usize,
) -> anyhow::Result<Vec<Row>> {
    for contender in contenders.iter_mut() {
        one(setting, contender.as_mut(), 0, false)?;
    }
    let mut samples = vec![Samples::default(); contenders.len()];
    for round in 0..rounds {
        words::tell(&format!("round {} of {rounds}", round + 1));
        for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
            samples.push(one(setting, contender.as_mut(), round, true)?);
        }
    }
    Ok(contenders
        .iter()
        .zip(&samples)
        .map(|(contender, samples)| row(contender.as_ref(), samples))
        .collect())
}

fn one(
    setting: &Setting<'_>,
    contender: &mut dyn Starts,
    round: usize,
    is_counted: bool,
) -> anyhow::Result<f64> {
    let name = contender.name();
    let look = |contender: &mut dyn Starts| {
        if is_counted {
            contender.look();
        }
    };
    look(contender);
    setting.pause();
    let ms = contender.start(round).with_context(|| format!("{name} does not start"))?;
    setting.pause();
    look(contender);
    contender.stop().with_context(|| format!("{name} does not stop"))?;
    Ok(ms)
}

fn row(contender: &dyn Starts, samples: &Samples) -> Row {
    let mut row = Row::timed(contender.name(), samples);
    contender.add_details(&mut row);
    row
}

/// Control killed and all caches dropped before each start.
fn cold(
    setting: &Setting<'_>,
    instance: &Rc<Instance>,
    machines: &[String],
) -> anyhow::Result<Option<Row>> {
    let rounds = usize::try_from(setting.options.cold_rounds)?;
    let mut samples = Samples::default();
    let mut dormouse = Dormouse::new("dormouse_cold", instance, machines)?;
    for round in 0..rounds {
        words::tell(&format!("cold round {} of {rounds}", round + 1));
        instance.kill_control()?;
        drop_caches()?;
        dormouse.reconnect()?;
        samples.push(one(setting, &mut dormouse, round, false)?);
    }
    Ok((rounds > 0).then(|| row(&dormouse, &samples)))
}

fn drop_caches() -> anyhow::Result<()> {
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop caches")
}
