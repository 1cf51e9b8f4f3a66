//! Machines from images that are not here yet.

use crate::clock::{ms_between, now_ns};
use crate::dormouse::Instance;
use crate::dormouse::api::Api;
use crate::peers::Pulls;
use anyhow::Context as _;
use std::rc::Rc;

/// Pulls images into one instance.
pub(crate) struct Puller {
    _instance: Rc<Instance>,
    api: Api,
    made: Option<String>,
}

impl Puller {
    /// Pulls into `instance`.
    pub(crate) fn new(instance: &Rc<Instance>) -> anyhow::Result<Self> {
        Ok(Self { _instance: Rc::clone(instance), api: instance.connect()?, made: None })
    }
}

impl Pulls for Puller {
    fn name(&self) -> &'static str {
        "dormouse"
    }

    fn pull(&mut self, reference: &str) -> anyhow::Result<f64> {
        let asked_ns = now_ns();
        let id = self.api.create_pulled(reference)?;
        let ready_ns = now_ns();
        self.made = Some(id);
        Ok(ms_between(asked_ns, ready_ns))
    }

    fn discard(&mut self) -> anyhow::Result<()> {
        let id = self.made.take().context("nothing was pulled")?;
        let digest = self.api.image_digest(&id)?;
        self.api.destroy_fully(&id)?;
        self.api.remove_image(&digest)
    }
}
