//! Finding out whether programs are well, also while control is away. Source: machines-api 2.7, 4.5.

mod probe;

use crate::desk::Desk;
use model::MachineId;
use model::spec::service::Check;
use probe::Prober;
use proxy_proto::message::Health;
use proxy_proto::{MachineRoute, RouteState};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Most probes under way at a time.
const PROBES_MAX: usize = 256;

/// First pause before a program that has never passed is asked again: visitors may wait for it.
const EAGER_FIRST: Duration = Duration::from_millis(20);

/// Shortest pause, whatever is configured.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Most checks of one machine that are made.
const CHECKS_PER_MACHINE_MAX: usize = 32;

/// A check that is being made.
#[derive(Debug)]
struct Running {
    run: String,
    check: Check,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One machine's run and where it is reached.
#[derive(Clone, Debug)]
struct Subject {
    machine: MachineId,
    run: String,
    up_for: Duration,
    addresses: (SocketAddr, SocketAddr),
}

/// Begins and ends checks as records change, for as long as the process lives.
pub(crate) async fn keep(desk: Desk) {
    let prober = Arc::new(Prober::new());
    let room = Arc::new(Semaphore::new(PROBES_MAX));
    let mut running: HashMap<MachineId, HashMap<String, Running>> = HashMap::new();
    loop {
        desk.bells().checks.notified().await;
        for machine in desk.take_to_check() {
            let route = desk.read(|book| book.table.machine(&machine).cloned());
            let wanted = route.as_deref().map_or_else(Vec::new, wanted);
            let of_machine = running.entry(machine.clone()).or_default();
            of_machine.retain(|name, one| {
                wanted.iter().any(|(subject, check)| {
                    check.name == *name && subject.run == one.run && *check == one.check
                })
            });
            for (subject, check) in wanted {
                if !of_machine.contains_key(&check.name) {
                    let begun = begin(&desk, &prober, &room, subject, check);
                    of_machine.insert(begun.check.name.clone(), begun);
                }
            }
            if of_machine.is_empty() {
                running.remove(&machine);
            }
        }
    }
}

/// The checks to be made of a machine: all while it is up.
fn wanted(route: &MachineRoute) -> Vec<(Subject, Check)> {
    let RouteState::Up { run, since } = &route.state else { return Vec::new() };
    let up_for = model::clock::now().since(*since).to_std();
    let of_services = route.services.iter().flat_map(|service| &service.checks);
    let all = route.checks.iter().chain(of_services).take(CHECKS_PER_MACHINE_MAX);
    let each = all.map(|check| {
        let addresses = ((route.v4, check.port).into(), (route.v6, check.port).into());
        let (machine, run) = (route.machine.clone(), run.clone());
        (Subject { machine, run, up_for, addresses }, check.clone())
    });
    each.collect()
}

fn begin(
    desk: &Desk,
    prober: &Arc<Prober>,
    room: &Arc<Semaphore>,
    subject: Subject,
    check: Check,
) -> Running {
    let run = subject.run.clone();
    let (desk, prober, room) = (desk.clone(), Arc::clone(prober), Arc::clone(room));
    let own = check.clone();
    let task = tokio::spawn(async move { go_on(&desk, &prober, &room, &subject, &own).await });
    Running { run, check, task: task.abort_handle() }
}

/// Asks again and again. Until it passes for the first time the pauses are short.
async fn go_on(desk: &Desk, prober: &Prober, room: &Semaphore, subject: &Subject, check: &Check) {
    let since = Instant::now();
    let grace = check.grace_period.to_std().saturating_sub(subject.up_for);
    let interval = check.interval.to_std().max(INTERVAL_MIN);
    let mut pause = EAGER_FIRST;
    let mut has_passed = false;
    loop {
        let Ok(_room) = room.acquire().await else { return };
        let asked_at = Instant::now();
        let probe = prober.probe(subject.addresses, check);
        let result = tokio::time::timeout(check.timeout.to_std(), probe).await;
        let result = result.unwrap_or_else(|_elapsed| Err("no answer in time".to_owned()));
        drop(_room);
        let is_grace = !has_passed && since.elapsed() < grace;
        let (health, output) = match result {
            Ok(output) => (Health::Passing, output),
            Err(output) if is_grace => (Health::Warning, output),
            Err(output) => (Health::Critical, output),
        };
        has_passed |= health == Health::Passing;
        let Subject { machine, run, .. } = subject;
        desk.with(|book, now| {
            book.checked(machine, run, &check.name, (health, output), (asked_at, now));
        });
        tokio::time::sleep(if has_passed { interval } else { pause }).await;
        pause = (pause * 2).min(interval);
    }
}
