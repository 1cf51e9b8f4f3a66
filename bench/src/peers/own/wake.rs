//! Visits to web servers in machines, through our proxy.

use crate::dormouse::Instance;
use crate::dormouse::api::{Api, HOST, server_timing};
use crate::http;
use crate::peers::Wakes;
use crate::report::Row;
use crate::stats::Parts;
use anyhow::Context as _;
use std::rc::Rc;

/// A machine with a web server.
#[derive(Clone, Debug)]
pub(crate) struct WebMachine {
    /// Its id.
    pub(crate) id: String,
    /// Its public port.
    pub(crate) port: u16,
}

/// Makes `n` machines with a web server, each behind a port of its own, and visits each once: what
/// the first start of a machine costs is not the point. They are stopped then.
pub(crate) fn prepare(instance: &Instance, n: usize) -> anyhow::Result<Vec<WebMachine>> {
    /// The first public port; the address is the instance's own.
    const PORT_FIRST: u16 = 10_000;
    let mut api = instance.connect()?;
    let mut machines = Vec::with_capacity(n);
    for port in (PORT_FIRST..).take(n) {
        let id = api.create_web(port)?;
        instance.wait_for_door(port)?;
        http::visit(instance.door(port), HOST)?;
        api.stop(&id)?;
        machines.push(WebMachine { id, port });
    }
    Ok(machines)
}

/// Knocks on stopped machines, in turn.
pub(crate) struct Knocker {
    instance: Rc<Instance>,
    api: Api,
    machines: Vec<WebMachine>,
    running: Option<String>,
    split: Parts,
}

impl Knocker {
    /// Knocks on the stopped `machines`.
    pub(crate) fn new(instance: &Rc<Instance>, machines: &[WebMachine]) -> anyhow::Result<Self> {
        Ok(Self {
            instance: Rc::clone(instance),
            api: instance.connect()?,
            machines: machines.to_vec(),
            running: None,
            split: Parts::default(),
        })
    }
}

impl Wakes for Knocker {
    fn name(&self) -> &'static str {
        "dormouse"
    }

    fn knock(&mut self, round: usize) -> anyhow::Result<f64> {
        let WebMachine { id, port } = self.machines[round % self.machines.len()].clone();
        let (ms, reply) = http::visit(self.instance.door(port), HOST)?;
        self.running = Some(id);
        let timing = reply.header("server-timing").context("the answer does not tell of a wake")?;
        self.split.add(server_timing(timing));
        Ok(ms)
    }

    fn rest(&mut self) -> anyhow::Result<()> {
        self.api.stop(&self.running.take().context("no machine runs")?)
    }

    fn add_details(&self, row: &mut Row) {
        row.split = self.split.means();
    }
}

/// Visits a machine that runs all the time.
pub(crate) struct Caller {
    instance: Rc<Instance>,
    machine: WebMachine,
}

impl Caller {
    /// Wakes the stopped machine.
    pub(crate) fn new(instance: &Rc<Instance>, machine: &WebMachine) -> anyhow::Result<Self> {
        http::visit(instance.door(machine.port), HOST)?;
        Ok(Self { instance: Rc::clone(instance), machine: machine.clone() })
    }
}

impl Wakes for Caller {
    fn name(&self) -> &'static str {
        "always_on"
    }

    fn knock(&mut self, _round: usize) -> anyhow::Result<f64> {
        Ok(http::visit(self.instance.door(self.machine.port), HOST)?.0)
    }

    fn rest(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}
