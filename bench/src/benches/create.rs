//! From a cached image to a machine that is started.

use super::Setting;
use crate::options::Contender;
use crate::peers::Creates;
use crate::peers::docker::Docker;
use crate::peers::own::Creator;
use crate::peers::podman::Podman;
use crate::report::{Report, Row};
use crate::stats::Samples;
use crate::words;
use anyhow::Context as _;

const ROUNDS: u32 = 30;

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let rounds = setting.options.rounds_or(ROUNDS);
    let pause_ms = setting.options.pause_ms;
    let mut report =
        setting.report(&format!("{rounds} rounds, pauses of {pause_ms} ms, to `started`"));
    let mut contenders = contenders(setting, &mut report);
    let mut samples = vec![Samples::default(); contenders.len()];
    for contender in &mut contenders {
        one(setting, contender.as_mut())?;
    }
    for round in 0..rounds {
        words::tell(&format!("round {} of {rounds}", round + 1));
        for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
            samples.push(one(setting, contender.as_mut())?);
        }
    }
    let rows = contenders.iter().zip(&samples);
    report.rows = rows.map(|(contender, samples)| Row::timed(contender.name(), samples)).collect();
    report.add_ratios();
    Ok(report)
}

fn contenders(setting: &Setting<'_>, report: &mut Report) -> Vec<Box<dyn Creates>> {
    let Setting { scratch, image, .. } = setting;
    let mut all: Vec<Box<dyn Creates>> = Vec::new();
    let own = setting.invite(Contender::Dormouse, report, || Creator::new(&setting.instance()?));
    all.extend(own.map(|own| Box::new(own) as Box<dyn Creates>));
    let docker = setting.invite(Contender::Docker, report, || Docker::up(scratch, image, 0));
    all.extend(docker.map(|peer| Box::new(peer) as Box<dyn Creates>));
    let podman = setting.invite(Contender::Podman, report, || Podman::up(scratch, image, 0));
    all.extend(podman.map(|peer| Box::new(peer) as Box<dyn Creates>));
    all
}

fn one(setting: &Setting<'_>, contender: &mut dyn Creates) -> anyhow::Result<f64> {
    let name = contender.name();
    setting.pause();
    let ms = contender.create().with_context(|| format!("{name} does not create"))?;
    contender.destroy().with_context(|| format!("{name} does not destroy"))?;
    Ok(ms)
}
