//! From the reference of an image that is not here to a machine that could be started: pull, unpack
//! (or derive), create.
//!
//! Everybody in turn, and each pull is followed by the removal of machine and image, so that the
//! next one begins from nothing; the registry's log proves it. Before each pull all that is dirty
//! goes to the disk, so that nobody pays for the removal before. The registry's files and the
//! programs of all contenders are in the page cache after the first round, which is not counted.

mod herd;

use super::Setting;
use crate::options::Contender;
use crate::peers::Pulls;
use crate::peers::docker::pull::Puller as Docker;
use crate::peers::own::pull::Puller as Dormouse;
use crate::peers::podman::pull::Puller as Podman;
use crate::pulled::{PulledImage, PulledImages};
use crate::registry::Registry;
use crate::report::{Report, Row};
use crate::stats::Samples;
use crate::words;
use anyhow::{Context as _, ensure};

const ROUNDS: u32 = 10;

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let rounds = setting.options.rounds_or(ROUNDS);
    let n_herd = setting.options.machines_or(herd::MACHINES);
    let mut report = setting.report(&format!(
        "{rounds} rounds of pull and create from a registry on loopback, warm page cache, \
         everything removed in between; herd: {n_herd} creates of one absent image at once"
    ));
    words::tell("starting a registry");
    let mut registry = Registry::up(&setting.scratch)?;
    let images = PulledImages::push(&setting.scratch, &setting.image, &registry)?;
    let own = setting.invite(Contender::Dormouse, &mut report, || setting.instance());
    let mut contenders: Vec<Box<dyn Pulls>> = Vec::new();
    if let Some(instance) = &own {
        contenders.push(Box::new(Dormouse::new(instance)?));
    }
    contenders.extend(peers(setting, &mut report));

    let pairs = [&images.debian, &images.layers];
    report.rows = measure(setting, &mut registry, &pairs, &mut contenders, rounds)?;
    drop(contenders);
    if let Some(instance) = &own {
        let row = herd::measure(setting, &mut registry, &images.debian, instance, n_herd)?;
        report.rows.push(row);
    }
    for image in pairs {
        let [docker, podman] = ["docker", "podman"].map(|peer| row_name(peer, image));
        report.add_ratios_to(&row_name("dormouse", image), &[&docker, &podman]);
    }
    Ok(report)
}

fn peers(setting: &Setting<'_>, report: &mut Report) -> Vec<Box<dyn Pulls>> {
    let Setting { scratch, image, .. } = setting;
    words::tell("starting peers");
    let mut all: Vec<Box<dyn Pulls>> = Vec::new();
    let docker = setting.invite(Contender::Docker, report, || Docker::up(scratch, image));
    all.extend(docker.map(|peer| Box::new(peer) as Box<dyn Pulls>));
    let podman = setting.invite(Contender::Podman, report, || Podman::up(scratch, image));
    all.extend(podman.map(|peer| Box::new(peer) as Box<dyn Pulls>));
    all
}

/// Everybody once with each image in each round; one round before that is not counted.
fn measure(
    setting: &Setting<'_>,
    registry: &mut Registry,
    images: &[&PulledImage],
    contenders: &mut [Box<dyn Pulls>],
    rounds: u32,
) -> anyhow::Result<Vec<Row>> {
    let mut samples = vec![vec![Samples::default(); contenders.len()]; images.len()];
    for round in 0..=rounds {
        words::tell(&format!("round {round} of {rounds}"));
        for (image, samples) in images.iter().zip(&mut samples) {
            for (contender, samples) in contenders.iter_mut().zip(samples) {
                let ms = one(setting, registry, image, contender.as_mut())?;
                if round > 0 {
                    samples.push(ms);
                }
            }
        }
    }
    let mut rows = Vec::new();
    for (image, samples) in images.iter().zip(&samples) {
        for (contender, samples) in contenders.iter().zip(samples) {
            rows.push(Row::timed(&row_name(contender.name(), image), samples));
        }
    }
    Ok(rows)
}

fn one(
    setting: &Setting<'_>,
    registry: &mut Registry,
    image: &PulledImage,
    contender: &mut dyn Pulls,
) -> anyhow::Result<f64> {
    let name = contender.name();
    come_to_rest(setting, registry)?;
    let ms = contender
        .pull(&image.reference)
        .with_context(|| format!("{name} does not pull {}", image.reference))?;
    contender.discard().with_context(|| format!("{name} does not remove {}", image.reference))?;
    let n_blobs = registry.take_downloads()?.len();
    ensure!(
        n_blobs >= image.n_layers,
        "{name} took {n_blobs} blobs of {} from the registry, which has {} layers: it had the rest",
        image.name,
        image.n_layers
    );
    Ok(ms)
}

/// What was done before is written and forgotten.
fn come_to_rest(setting: &Setting<'_>, registry: &mut Registry) -> anyhow::Result<()> {
    rustix::fs::sync();
    setting.pause();
    registry.take_downloads().map(drop)
}

fn row_name(contender: &str, image: &PulledImage) -> String {
    format!("{contender}_{}", image.name)
}
