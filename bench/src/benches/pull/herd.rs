//! Many creates of one absent image at once, each over a connection of its own: one download serves
//! them all.

use super::{Setting, come_to_rest};
use crate::clock::{ms_between, now_ns};
use crate::dormouse::Instance;
use crate::dormouse::api::Api;
use crate::pulled::PulledImage;
use crate::registry::{Downloads, Registry};
use crate::report::Row;
use crate::stats::Samples;
use crate::words;
use anyhow::Context as _;
use std::sync::Barrier;

/// Machines of a herd.
pub(super) const MACHINES: u32 = 20;

/// Herds, unless fewer rounds are asked for.
const ROUNDS: u32 = 5;

/// Milliseconds until the last machine of a herd is ready, and the most often that one blob was
/// asked for in any herd.
pub(super) fn measure(
    setting: &Setting<'_>,
    registry: &mut Registry,
    image: &PulledImage,
    instance: &Instance,
    n_machines: u32,
) -> anyhow::Result<Row> {
    let rounds = setting.options.rounds_or(ROUNDS).min(ROUNDS);
    let mut last_ms = Samples::default();
    let mut downloads = Samples::default();
    for round in 1..=rounds {
        words::tell(&format!("herd {round} of {rounds}"));
        come_to_rest(setting, registry)?;
        let herd = create(instance, &image.reference, n_machines)?;
        last_ms.push(herd.last_ms);
        remove(&mut instance.connect()?, &herd.machines)?;
        downloads.push(most_often(&registry.take_downloads()?));
    }
    let mut row = Row::timed("herd", &last_ms);
    row.figures.push(("downloads", downloads.max()));
    row.counts.push(("machines", usize::try_from(n_machines)?));
    Ok(row)
}

struct Herd {
    machines: Vec<String>,
    last_ms: f64,
}

fn create(instance: &Instance, image: &str, n_machines: u32) -> anyhow::Result<Herd> {
    let connections =
        (0..n_machines).map(|_| instance.connect()).collect::<anyhow::Result<Vec<_>>>()?;
    let barrier = Barrier::new(connections.len());
    let outcomes: Vec<anyhow::Result<(String, f64)>> = std::thread::scope(|scope| {
        let barrier = &barrier;
        let creates: Vec<_> = connections
            .into_iter()
            .map(|api| scope.spawn(move || create_one(api, image, barrier)))
            .collect();
        creates
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
            .collect()
    });
    let n_failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    let made = outcomes
        .into_iter()
        .collect::<anyhow::Result<Vec<_>>>()
        .with_context(|| format!("{n_failed} of {n_machines} creates failed, the first"))?;
    let last_ms = made.iter().map(|(_, ms)| *ms).fold(0.0, f64::max);
    Ok(Herd { machines: made.into_iter().map(|(id, _)| id).collect(), last_ms })
}

fn create_one(mut api: Api, image: &str, barrier: &Barrier) -> anyhow::Result<(String, f64)> {
    barrier.wait();
    let asked_ns = now_ns();
    let id = api.create_pulled(image)?;
    Ok((id, ms_between(asked_ns, now_ns())))
}

/// Removes the machines, then the image that they share.
fn remove(api: &mut Api, machines: &[String]) -> anyhow::Result<()> {
    let digest = api.image_digest(machines.first().context("a herd has machines")?)?;
    for id in machines {
        api.destroy_fully(id)?;
    }
    api.remove_image(&digest)
}

fn most_often(downloads: &Downloads) -> f64 {
    f64::from(downloads.values().copied().max().unwrap_or_default())
}
