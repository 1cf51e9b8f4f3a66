//! Dormouse through its HTTP API.

pub(crate) mod pull;
pub(crate) mod wake;

use super::{Creates, Starts};
use crate::clock::{ms_between, now_ns};
use crate::dormouse::Instance;
use crate::dormouse::api::Api;
use crate::dormouse::usage::CpuTimes;
use crate::report::Row;
use crate::stamp;
use crate::stats::{Parts, Samples};
use anyhow::Context as _;
use std::rc::Rc;

/// Starts machines of one instance, in turn.
pub(crate) struct Dormouse {
    name: &'static str,
    instance: Rc<Instance>,
    api: Api,
    machines: Vec<String>,
    running: Option<String>,
    details: Details,
}

#[derive(Debug, Default)]
struct Details {
    before: Option<CpuTimes>,
    cpu_ms: Samples,
    reply_ms: Samples,
    split: Parts,
}

impl Dormouse {
    /// Starts the stopped `machines`; its row is called `name`.
    pub(crate) fn new(
        name: &'static str,
        instance: &Rc<Instance>,
        machines: &[String],
    ) -> anyhow::Result<Self> {
        Ok(Self {
            name,
            instance: Rc::clone(instance),
            api: instance.connect()?,
            machines: machines.to_vec(),
            running: None,
            details: Details::default(),
        })
    }

    /// Connects to the control process that serves now.
    pub(crate) fn reconnect(&mut self) -> anyhow::Result<()> {
        self.api = self.instance.connect()?;
        Ok(())
    }
}

impl Starts for Dormouse {
    fn name(&self) -> &'static str {
        self.name
    }

    fn look(&mut self) {
        let now = CpuTimes::of(self.instance.supervisor_pid());
        match self.details.before.take() {
            None => self.details.before = Some(now),
            Some(before) => self.details.cpu_ms.push(now.ms_since(&before)),
        }
    }

    fn start(&mut self, round: usize) -> anyhow::Result<f64> {
        let id = self.machines[round % self.machines.len()].clone();
        let asked_ns = now_ns();
        let split = self.api.start(&id)?;
        let answered_ns = now_ns();
        let log = self.instance.machine_dir(&id).join("log");
        self.running = Some(id);
        self.details.add(split, ms_between(asked_ns, answered_ns));
        Ok(ms_between(asked_ns, stamp::wait_in_log(&log, asked_ns)?))
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.api.stop(&self.running.take().context("no machine runs")?)
    }

    fn add_details(&self, row: &mut Row) {
        self.details.add_to(row);
    }
}

impl Details {
    fn add(&mut self, split: Vec<(String, f64)>, reply_ms: f64) {
        self.reply_ms.push(reply_ms);
        self.split.add(split);
    }

    fn add_to(&self, row: &mut Row) {
        row.figures.push(("reply_p50_ms", self.reply_ms.percentile(50)));
        if self.cpu_ms.len() > 0 {
            row.figures.push(("cpu_ms", self.cpu_ms.mean()));
        }
        row.split = self.split.means();
    }
}

/// Makes machines.
pub(crate) struct Creator {
    _instance: Rc<Instance>,
    api: Api,
    made: Option<String>,
}

impl Creator {
    /// Makes machines of `instance`.
    pub(crate) fn new(instance: &Rc<Instance>) -> anyhow::Result<Self> {
        Ok(Self { _instance: Rc::clone(instance), api: instance.connect()?, made: None })
    }
}

impl Creates for Creator {
    fn name(&self) -> &'static str {
        "dormouse"
    }

    fn create(&mut self) -> anyhow::Result<f64> {
        let asked_ns = now_ns();
        let id = self.api.create_started()?;
        let started_ns = now_ns();
        self.made = Some(id);
        Ok(ms_between(asked_ns, started_ns))
    }

    fn destroy(&mut self) -> anyhow::Result<()> {
        self.api.destroy(&self.made.take().context("nothing was made")?)
    }
}
