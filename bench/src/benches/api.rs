//! What calls of the API take while there are a thousand machines: on this disk, and on one that needs
//! longer for each commit.
//!
//! Writes come at their moments whether or not those before them have been answered, and count from
//! these moments: a server that falls behind cannot hide it. Nor can the disk: beside them a page of
//! a file is written over and synced at moments of its own, and counts in the same way.

use super::Setting;
use crate::clock::{ms_between, now_ns};
use crate::dormouse::Instance;
use crate::dormouse::api::{Api, n_listed};
use crate::report::{Report, Row};
use crate::stats::Samples;
use crate::words;
use anyhow::ensure;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

const MACHINES: u32 = 1_000;

/// Lists that are timed.
const LISTS: u32 = 30;

/// Machines that are asked for and timed.
const GETS: u32 = 500;

/// Writes a second: above those that are promised, so that the last second counts whole.
const WRITES_PER_S: u32 = 510;

/// Connections that write: enough for all writes that wait for the same commit.
const WRITERS: usize = 16;

/// Longest time of writing, unless it is asked for: the promise is about seconds.
const WRITE_S: u64 = 10;

/// Pages that are written and synced beside them: one for each commit of the slow disk, about.
const SYNCS_PER_S: u32 = 150;

const PAGE: [u8; 4096] = [0x5a; 4096];

/// How much longer each commit of the slow disk takes.
const SLOW_DISK: (&str, &str) = ("DORMOUSE_DELAY", "store.commit.before:5");

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let n = setting.options.machines_or(MACHINES);
    let seconds = setting.options.seconds.min(WRITE_S);
    let mut report = setting.report(&format!(
        "{n} machines; {WRITES_PER_S} writes of labels a second for {seconds} s, over {WRITERS} \
         connections, beside {SYNCS_PER_S} pages a second that the bare disk syncs; slow_disk: each commit \
         takes 5 ms longer"
    ));
    for (name, variables) in [("dormouse", &[][..]), ("slow_disk", &[SLOW_DISK])] {
        words::tell(&format!("starting {name}"));
        let instance = Instance::up_with(&setting.scratch, &setting.image, name, variables, &[])?;
        report.rows.push(measured(setting, &instance, name, n, seconds)?);
    }
    Ok(report)
}

fn measured(
    setting: &Setting<'_>,
    instance: &Instance,
    name: &str,
    n: u32,
    seconds: u64,
) -> anyhow::Result<Row> {
    words::tell(&format!("creating {n} machines"));
    let mut api = instance.connect()?;
    let machines = (0..n).map(|_| api.create_stopped()).collect::<anyhow::Result<Vec<_>>>()?;

    let mut lists = Samples::default();
    for _ in 0..LISTS {
        setting.pause();
        let asked_ns = now_ns();
        let list = api.list()?;
        lists.push(ms_between(asked_ns, now_ns()));
        ensure!(n_listed(&list)? == machines.len(), "not all machines are listed");
    }
    let mut gets = Samples::default();
    for (_, id) in (0..GETS).zip(machines.iter().cycle()) {
        let asked_ns = now_ns();
        drop(api.show(id)?);
        gets.push(ms_between(asked_ns, now_ns()));
    }
    words::tell("writing labels");
    let Written { writes, syncs, took_s } = write(setting, instance, &machines, seconds)?;
    let n_writes: f64 = (0..writes.len()).map(|_| 1.0).sum();
    Ok(Row {
        name: name.to_owned(),
        figures: vec![
            ("list_ms", lists.percentile(50)),
            ("list_p99_ms", lists.percentile(99)),
            ("get_ms", gets.percentile(50)),
            ("get_p99_ms", gets.percentile(99)),
            ("writes_per_s", n_writes / took_s),
            ("write_p50_ms", writes.percentile(50)),
            ("write_p99_ms", writes.percentile(99)),
            ("disk_p99_ms", syncs.percentile(99)),
        ],
        counts: vec![("machines", machines.len()), ("writes", writes.len())],
        split: Vec::new(),
    })
}

struct Written {
    /// What each write took from its moment on, in milliseconds.
    writes: Samples,
    /// The same of what is synced beside them.
    syncs: Samples,
    /// From the first moment to the last answer, in seconds.
    took_s: f64,
}

/// Writes labels for so many seconds.
fn write(
    setting: &Setting<'_>,
    instance: &Instance,
    machines: &[String],
    seconds: u64,
) -> anyhow::Result<Written> {
    let connections =
        (0..WRITERS).map(|_| instance.connect()).collect::<anyhow::Result<Vec<_>>>()?;
    let page = File::create(setting.scratch.path("page"))?;
    page.write_all_at(&PAGE, 0)?;
    page.sync_all()?;
    let n_writes = u64::from(WRITES_PER_S) * seconds;
    let begin_ns = now_ns();
    std::thread::scope(|scope| {
        let writers: Vec<_> = connections
            .into_iter()
            .zip(0..)
            .map(|(api, first)| {
                let turns = (first..n_writes).step_by(WRITERS);
                scope.spawn(move || write_in_turn(api, machines, turns, begin_ns))
            })
            .collect();
        let disk = scope.spawn(|| sync_in_turn(&page, seconds, begin_ns));
        let mut writes = Samples::default();
        for thread in writers {
            writes.append(joined(thread)?);
        }
        let took_s = ms_between(begin_ns, now_ns()) / 1e3;
        Ok(Written { writes, syncs: joined(disk)?, took_s })
    })
}

fn joined(thread: ScopedJoinHandle<'_, anyhow::Result<Samples>>) -> anyhow::Result<Samples> {
    thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked"))
}

fn sync_in_turn(page: &File, seconds: u64, begin_ns: u64) -> anyhow::Result<Samples> {
    let mut took = Samples::default();
    for turn in 0..u64::from(SYNCS_PER_S) * seconds {
        let due_ns = wait_for_turn(turn, SYNCS_PER_S, begin_ns);
        page.write_all_at(&PAGE, 0)?;
        page.sync_data()?;
        took.push(ms_between(due_ns, now_ns()));
    }
    Ok(took)
}

/// Sleeps until the moment of a turn, unless it has passed; returns it.
fn wait_for_turn(turn: u64, turns_per_s: u32, begin_ns: u64) -> u64 {
    let due_ns = begin_ns + turn * 1_000_000_000 / u64::from(turns_per_s);
    std::thread::sleep(Duration::from_nanos(due_ns.saturating_sub(now_ns())));
    due_ns
}

fn write_in_turn(
    mut api: Api,
    machines: &[String],
    turns: impl Iterator<Item = u64>,
    begin_ns: u64,
) -> anyhow::Result<Samples> {
    let mut took = Samples::default();
    for turn in turns {
        let id = &machines[usize::try_from(turn)? % machines.len()];
        let due_ns = wait_for_turn(turn, WRITES_PER_S, begin_ns);
        api.set_label(id, "turn", &turn.to_string())?;
        took.push(ms_between(due_ns, now_ns()));
    }
    Ok(took)
}
