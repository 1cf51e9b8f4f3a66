//! Who is measured beside our virtual machines.

use super::super::Setting;
use crate::dormouse::Instance;
use crate::dormouse::api::MACHINE_RAM_MIB;
use crate::options::Contender;
use crate::peers::docker::Docker;
use crate::peers::qemu::QemuAlone;
use crate::peers::{Creates as _, Starts};
use crate::qemu::Base;
use crate::report::{Report, Row};
use crate::stats::Samples;
use crate::words;
use anyhow::Context as _;
use std::rc::Rc;

/// Names of rows.
const FLOOR: &str = "floor";
pub(super) const COLD_BOOT: &str = "cold_boot";
pub(super) const DOCKER_RUN: &str = "docker_run";

/// Rounds in which a kernel is booted: each takes seconds.
const BOOT_ROUNDS: usize = 10;

/// Somebody who takes part in the first rounds.
pub(super) struct Peer {
    starts: Box<dyn Starts>,
    rounds: usize,
    samples: Samples,
}

/// All that can be had, each started once before; QEMU alone begins from the template of `instance`.
pub(super) fn all(
    setting: &Setting<'_>,
    report: &mut Report,
    instance: &Instance,
) -> anyhow::Result<Vec<Peer>> {
    words::tell("preparing peers");
    let Setting { scratch, image, .. } = setting;
    let mut all = Vec::new();
    let base = setting.invite(Contender::Floor, report, || {
        Base::of(instance, scratch, MACHINE_RAM_MIB).map(Rc::new)
    });
    if let Some(base) = base {
        all.push(Peer::new(QemuAlone::taking_up(FLOOR, &base), usize::MAX)?);
        all.push(Peer::new(QemuAlone::booting(COLD_BOOT, &base), BOOT_ROUNDS)?);
    }
    let docker = setting.invite(Contender::Docker, report, || Docker::up(scratch, image, 0));
    if let Some(docker) = docker {
        all.push(Peer::new(DockerRun(docker), usize::MAX)?);
    }
    Ok(all)
}

impl Peer {
    fn new(starts: impl Starts + 'static, rounds: usize) -> anyhow::Result<Self> {
        let mut peer = Self { starts: Box::new(starts), rounds, samples: Samples::default() };
        // As all of ours have been.
        peer.once(0)?;
        Ok(peer)
    }

    pub(super) fn start(&mut self, setting: &Setting<'_>, round: usize) -> anyhow::Result<()> {
        if round < self.rounds {
            setting.pause();
            let ms = self.once(round)?;
            self.samples.push(ms);
            setting.pause();
        }
        Ok(())
    }

    /// Starts and stops.
    fn once(&mut self, round: usize) -> anyhow::Result<f64> {
        let name = self.starts.name();
        let ms = self.starts.start(round).with_context(|| format!("{name} does not start"))?;
        self.starts.stop().with_context(|| format!("{name} does not stop"))?;
        Ok(ms)
    }

    pub(super) fn row(&self) -> Row {
        let mut row = Row::timed(self.starts.name(), &self.samples);
        self.starts.add_details(&mut row);
        row
    }
}

/// A new container for each start, as `docker run` has it, until it is said to run.
struct DockerRun(Docker);

impl Starts for DockerRun {
    fn name(&self) -> &'static str {
        DOCKER_RUN
    }

    fn start(&mut self, _round: usize) -> anyhow::Result<f64> {
        self.0.create()
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.0.destroy()
    }
}
