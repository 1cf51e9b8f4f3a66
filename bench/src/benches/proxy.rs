//! Requests to one running machine: through our proxy, through `nginx`, and from the router, where
//! nothing stands between. The visitors are the same, and so is the web server behind.
//!
//! `nginx` listens on the host's loopback and reaches the machine from the router, as our proxy does;
//! both keep their connections to it, and both write a line for each request.

use super::Setting;
use crate::crowd::{Answers, Crowd};
use crate::dormouse::Instance;
use crate::dormouse::api::{HOST, WEB_PORT};
use crate::dormouse::usage::CpuTimes;
use crate::options::Contender;
use crate::peers::nginx::Nginx;
use crate::report::{Report, Row};
use crate::{http, sys, words};
use anyhow::Context as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Public port of the machine.
const PORT: u16 = 10_000;

/// Times that everybody is measured in each setting.
const ROUNDS: u32 = 4;

/// How long each time lasts.
const SLICE: Duration = Duration::from_millis(1500);

/// Before each time, uncounted: connections and caches come to their pace.
const WARM_UP: Duration = Duration::from_millis(200);

/// Bytes of a large answer.
const LARGE_BYTES: u64 = 8 * 1024 * 1024;

/// What is asked for, and by how many visitors at once.
struct Load {
    name: &'static str,
    n_visitors: usize,
    is_large: bool,
}

const LOADS: [Load; 4] = [
    Load { name: "1", n_visitors: 1, is_large: false },
    Load { name: "32", n_visitors: 32, is_large: false },
    Load { name: "256", n_visitors: 256, is_large: false },
    Load { name: "large", n_visitors: 8, is_large: true },
];

/// Somebody who is visited.
struct Way {
    name: &'static str,
    address: SocketAddr,
    /// Network namespace that the visitors come from, if not the host's.
    from: Option<PathBuf>,
    /// What passes the bytes on, with its children.
    process: Option<u32>,
}

/// What came of visits to somebody.
#[derive(Clone, Debug, Default)]
struct Outcome {
    answers: Answers,
    cpu_ms: f64,
}

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let rounds = setting.options.rounds_or(ROUNDS);
    let what = format!(
        "{rounds} times {} ms each; 1, 32 and 256 connections with small answers, 8 with {} MiB; nginx: a \
         worker for each CPU, connections kept on both sides, no buffering on disk, access log",
        SLICE.as_millis(),
        LARGE_BYTES >> 20
    );
    let mut report = setting.report(&what);
    let instance = setting.instance()?;
    let mut api = instance.connect()?;
    let id = api.create_web(PORT)?;
    let machine: SocketAddr = (api.v4(&id)?, WEB_PORT).into();
    instance.wait_for_door(PORT)?;
    http::visit(instance.door(PORT), HOST)?;

    let nginx =
        setting.invite(Contender::Nginx, &mut report, || nginx(setting, &instance, machine));
    let router = instance.router()?;
    let mut ways = vec![
        Way { name: "direct", address: machine, from: Some(router), process: None },
        Way {
            name: "dormouse",
            address: instance.door(PORT),
            from: None,
            process: Some(instance.proxy_pid()?),
        },
    ];
    ways.extend(nginx.as_ref().map(|nginx| Way {
        name: "nginx",
        address: nginx.address(),
        from: None,
        process: Some(nginx.pid()),
    }));
    for load in &LOADS {
        let mut rows = measure(load, &ways, rounds)?;
        compare(load, &mut rows);
        report.rows.extend(rows);
    }
    // The connection from the beginning has been silent for longer than the API keeps one.
    instance.connect()?.stop(&id)?;
    Ok(report)
}

fn nginx(setting: &Setting<'_>, instance: &Instance, machine: SocketAddr) -> anyhow::Result<Nginx> {
    words::tell("starting peers");
    Nginx::up(&setting.scratch, &instance.router()?, machine)
}

/// Everybody in turn.
fn measure(load: &Load, ways: &[Way], rounds: u32) -> anyhow::Result<Vec<Row>> {
    let mut outcomes = vec![Outcome::default(); ways.len()];
    for round in 1..=rounds {
        words::tell(&format!("{}: round {round} of {rounds}", load.name));
        for (way, outcome) in ways.iter().zip(&mut outcomes) {
            let more = one(load, way).with_context(|| format!("{} does not answer", way.name))?;
            outcome.add(more);
        }
    }
    let lasted = SLICE * rounds;
    ways.iter().zip(&outcomes).map(|(way, outcome)| row(load, way, outcome, lasted)).collect()
}

fn one(load: &Load, way: &Way) -> anyhow::Result<Outcome> {
    let ask = || {
        let path = if load.is_large { format!("/bytes/{LARGE_BYTES}") } else { "/".to_owned() };
        let mut crowd = Crowd::connect(&vec![way.address; load.n_visitors], HOST, &path)?;
        crowd.ask_for(WARM_UP)?;
        let cpu = || CpuTimes::of(way.process.unwrap_or_else(std::process::id));
        let before = cpu();
        let answers = crowd.ask_for(SLICE)?;
        Ok(Outcome { answers, cpu_ms: cpu().ms_since(&before) })
    };
    match &way.from {
        None => ask(),
        Some(namespace) => within(namespace, ask),
    }
}

/// Does `work` on a thread in another network namespace.
fn within<T: Send>(
    namespace: &Path,
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            sys::enter_network(namespace)?;
            work()
        });
        thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked"))
    })
}

fn row(load: &Load, way: &Way, outcome: &Outcome, lasted: Duration) -> anyhow::Result<Row> {
    let Outcome { answers, cpu_ms } = outcome;
    let mut row = Row::timed(&load.row_name(way.name), &answers.took_ms);
    let count = if load.is_large { answers.n_bytes >> 20 } else { answers.took_ms.len() as u64 };
    let count = f64::from(u32::try_from(count)?);
    row.figures.push((load.pace(), count / lasted.as_secs_f64()));
    if way.process.is_some() {
        row.figures.push(("cpu_us_each", cpu_ms * 1e3 / count));
    }
    Ok(row)
}

impl Outcome {
    fn add(&mut self, more: Self) {
        self.answers.took_ms.append(more.answers.took_ms);
        self.answers.n_bytes += more.answers.n_bytes;
        self.cpu_ms += more.cpu_ms;
    }
}

impl Load {
    fn row_name(&self, way: &str) -> String {
        format!("{way}_{}", self.name)
    }

    /// The figure that says how much gets through.
    const fn pace(&self) -> &'static str {
        if self.is_large { "mib_per_s" } else { "requests_per_s" }
    }
}

/// Adds how our pace stands to that of `nginx`, and what each proxy adds to a request that meets no
/// other.
fn compare(load: &Load, rows: &mut [Row]) {
    let figure = |rows: &[Row], way: &str, name: &str| {
        rows.iter().find(|row| row.name == load.row_name(way))?.figure(name)
    };
    let nginx = figure(rows, "nginx", load.pace()).filter(|pace| *pace > 0.0);
    let direct_ms = figure(rows, "direct", "p50_ms").filter(|_| load.n_visitors == 1);
    for way in ["dormouse", "nginx"] {
        let added_ms =
            figure(rows, way, "p50_ms").zip(direct_ms).map(|(with, without)| with - without);
        let pace = figure(rows, way, load.pace()).filter(|_| way == "dormouse");
        let of_nginx = pace.zip(nginx).map(|(own, nginx)| own / nginx * 100.0);
        let Some(row) = rows.iter_mut().find(|row| row.name == load.row_name(way)) else {
            continue;
        };
        row.figures.extend(added_ms.map(|ms| ("added_p50_ms", ms)));
        row.figures.extend(of_nginx.map(|percent| ("of_nginx_pct", percent)));
    }
}
