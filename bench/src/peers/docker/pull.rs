//! Containers from images that are not here yet.

use super::Docker;
use crate::clock::{ms_between, now_ns};
use crate::image::Image;
use crate::peers::Pulls;
use crate::scratch::Scratch;
use anyhow::{Context as _, bail};

/// Pulls images into a daemon of its own.
pub(crate) struct Puller {
    docker: Docker,
    made: Option<Made>,
}

struct Made {
    container: String,
    reference: String,
}

impl Puller {
    /// Starts the daemon.
    pub(crate) fn up(scratch: &Scratch, image: &Image) -> anyhow::Result<Self> {
        Ok(Self { docker: Docker::up(scratch, image, 0)?, made: None })
    }

    fn delete(&mut self, path: &str) -> anyhow::Result<()> {
        self.docker.http.json("DELETE", path, "")?.good().map(drop)
    }
}

impl Docker {
    /// Pulls what `reference` names. The daemon tells of a failure in the middle of a good answer.
    fn pull(&mut self, reference: &str) -> anyhow::Result<()> {
        let (repository, tag) = reference.rsplit_once(':').context("an image has a tag")?;
        let path = format!("/images/create?fromImage={repository}&tag={tag}");
        for news in self.http.json("POST", &path, "")?.good()?.values() {
            if let Some(error) = news?.get("error") {
                bail!("the pull failed: {error}");
            }
        }
        Ok(())
    }
}

impl Pulls for Puller {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn pull(&mut self, reference: &str) -> anyhow::Result<f64> {
        let asked_ns = now_ns();
        self.docker.pull(reference)?;
        let container = self.docker.create_container(reference, "/bin/true")?;
        let ready_ns = now_ns();
        self.made = Some(Made { container, reference: reference.to_owned() });
        Ok(ms_between(asked_ns, ready_ns))
    }

    fn discard(&mut self) -> anyhow::Result<()> {
        let made = self.made.take().context("nothing was pulled")?;
        self.delete(&format!("/containers/{}?force=true", made.container))?;
        self.delete(&format!("/images/{}", made.reference))
    }
}
