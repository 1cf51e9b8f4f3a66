//! Containers from images that are not here yet.

use super::Podman;
use crate::clock::{ms_between, now_ns};
use crate::image::Image;
use crate::peers::Pulls;
use crate::process;
use crate::scratch::Scratch;
use anyhow::Context as _;

/// Pulls images into directories of its own.
pub(crate) struct Puller {
    podman: Podman,
    made: Option<Made>,
}

struct Made {
    container: String,
    reference: String,
}

impl Puller {
    /// Prepares the directories.
    pub(crate) fn up(scratch: &Scratch, image: &Image) -> anyhow::Result<Self> {
        Ok(Self { podman: Podman::up(scratch, image, 0)?, made: None })
    }

    fn run(&self, args: &[&str]) -> anyhow::Result<()> {
        process::run(self.podman.home.command().args(args)).map(drop)
    }
}

impl Pulls for Puller {
    fn name(&self) -> &'static str {
        "podman"
    }

    /// One call does both: `create` pulls what is not there.
    fn pull(&mut self, reference: &str) -> anyhow::Result<f64> {
        let asked_ns = now_ns();
        let container = self.podman.create_container(reference, "/bin/true")?;
        let ready_ns = now_ns();
        self.made = Some(Made { container, reference: reference.to_owned() });
        Ok(ms_between(asked_ns, ready_ns))
    }

    fn discard(&mut self) -> anyhow::Result<()> {
        let made = self.made.take().context("nothing was pulled")?;
        self.run(&["rm", "--force", &made.container])?;
        self.run(&["rmi", &made.reference])
    }
}
