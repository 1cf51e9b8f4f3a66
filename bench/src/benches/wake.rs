//! A knock on a stopped machine until the answer of its web server, beside the same request to a
//! machine that runs, and beside `docker` with the least of a proxy that wakes containers.
//!
//! Every visitor comes with a new connection. Every machine has been started once before.

use super::Setting;
use crate::options::Contender;
use crate::peers::Wakes;
use crate::peers::docker::wake::DockerWake;
use crate::peers::own::wake::{Caller, Knocker, prepare};
use crate::report::{Report, Row};
use crate::stats::Samples;
use crate::words;
use anyhow::Context as _;

/// Rounds, and machines that they go over.
const ROUNDS: u32 = 50;

/// Prepared containers of the peer.
const PEER_CONTAINERS: usize = 4;

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let rounds = setting.options.rounds_or(ROUNDS);
    let n_machines = setting.options.machines_or(ROUNDS);
    let pause_ms = setting.options.pause_ms;
    let what = format!(
        "{rounds} rounds over {n_machines} machines, pauses of {pause_ms} ms, from before the connection to \
         the answer; docker: containers in the host's network"
    );
    let mut report = setting.report(&what);
    let mut contenders = contenders(setting, &mut report, usize::try_from(n_machines)?)?;
    report.rows = measure(setting, &mut contenders, usize::try_from(rounds)?)?;
    report.add_ratios_to("dormouse", &["docker_wake", "always_on"]);
    Ok(report)
}

fn contenders(
    setting: &Setting<'_>,
    report: &mut Report,
    n_machines: usize,
) -> anyhow::Result<Vec<Box<dyn Wakes>>> {
    let mut all: Vec<Box<dyn Wakes>> = Vec::new();
    let own = setting.invite(Contender::Dormouse, report, || {
        let instance = setting.instance()?;
        words::tell(&format!("creating {n_machines} machines"));
        // One more, which is never stopped.
        let machines = prepare(&instance, n_machines + 1)?;
        Ok((instance, machines))
    });
    if let Some((instance, machines)) = own {
        let (running, stopped) = machines.split_first().context("there is one machine more")?;
        all.push(Box::new(Knocker::new(&instance, stopped)?));
        all.push(Box::new(Caller::new(&instance, running)?));
    }
    words::tell("starting peers");
    let Setting { scratch, image, .. } = setting;
    let docker = setting
        .invite(Contender::Docker, report, || DockerWake::up(scratch, image, PEER_CONTAINERS));
    all.extend(docker.map(|peer| Box::new(peer) as Box<dyn Wakes>));
    Ok(all)
}

/// Everybody once in each round; one round before that is not counted.
fn measure(
    setting: &Setting<'_>,
    contenders: &mut [Box<dyn Wakes>],
    rounds: usize,
) -> anyhow::Result<Vec<Row>> {
    let mut samples = vec![Samples::default(); contenders.len()];
    for round in 0..=rounds {
        words::tell(&format!("round {round} of {rounds}"));
        for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
            let ms = one(setting, contender.as_mut(), round)?;
            if round > 0 {
                samples.push(ms);
            }
        }
    }
    Ok(contenders
        .iter()
        .zip(&samples)
        .map(|(contender, samples)| row(contender.as_ref(), samples))
        .collect())
}

fn row(contender: &dyn Wakes, samples: &Samples) -> Row {
    let mut row = Row::timed(contender.name(), samples);
    contender.add_details(&mut row);
    row
}

fn one(setting: &Setting<'_>, contender: &mut dyn Wakes, round: usize) -> anyhow::Result<f64> {
    let name = contender.name();
    setting.pause();
    let ms = contender.knock(round).with_context(|| format!("{name} does not let visitors in"))?;
    setting.pause();
    contender.rest().with_context(|| format!("{name} does not stop"))?;
    Ok(ms)
}
