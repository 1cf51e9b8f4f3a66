//! Durable plans: slow work as named lists of small idempotent steps.
//!
//! The plan and its step names are stored in the transaction that decides it; each completed step
//! is stored before the next begins. After a crash the plan goes on at the first step that is not
//! stored as done, so a step may run twice. An unknown step stops the plan loudly.

mod kinds;
mod steps;

pub(crate) use kinds::plan_of;

use crate::blocking::off_runtime;
use crate::error::ControlError;
use crate::inner::Inner;
use crate::machine::{Command, PlanEnd};
use crate::pulls;
use failpoint::StepFault;
use kinds::{end_of, steps_of, word};
use model::{MachineId, UnixMs};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use store::{NewPlan, PlanKind, PlanRecord, PlanState, StoreError, Tx};

/// Version of the step lists below; stored with each plan.
const PLAN_VERSION: u32 = 2;

/// Attempts of one step before the plan fails: long enough for a disk that is briefly full.
const ATTEMPTS_MAX: u32 = 5;

/// Wait before the second attempt; doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// Stores a new plan of the machine. One that has not ended goes on if it is of the same kind, and
/// is given up if it is not: a destroy does not wait for a create.
pub(crate) fn begin(
    tx: &Tx<'_>,
    machine: &MachineId,
    kind: PlanKind,
    now: UnixMs,
) -> Result<(), StoreError> {
    match tx.active_plan(machine)? {
        Some(active) if active.kind == kind => Ok(()),
        _ => begin_anew(tx, machine, kind, now),
    }
}

/// As [`begin`], for a machine whose version has changed: steps that were done are not done for it.
pub(crate) fn begin_anew(
    tx: &Tx<'_>,
    machine: &MachineId,
    kind: PlanKind,
    now: UnixMs,
) -> Result<(), StoreError> {
    if let Some(active) = tx.active_plan(machine)? {
        tx.fail_plan(active.id, "given up for another plan", now)?;
    }
    tx.begin_plan(
        &NewPlan {
            machine: machine.clone(),
            kind,
            version: PLAN_VERSION,
            steps: steps_of(kind),
            input: serde_json::Value::Null,
        },
        now,
    )?;
    Ok(())
}

/// Carries the machine's active plan on in the background and tells the machine's task its end.
///
/// At most one plan of a machine runs: a second call waits for the first, and then finds that there
/// is nothing left to do, or the plan that took its place.
pub(crate) fn go_on(inner: &Arc<Inner>, machine: &MachineId) {
    let inner = Arc::clone(inner);
    let machine = machine.clone();
    tokio::spawn(async move {
        let lock = lock_of(&inner, &machine);
        let end = {
            let _running = lock.lock().await;
            run(&inner, &machine).await
        };
        forget_lock(&inner, &machine, lock);
        let Some(end) = end else { return };
        inner.pulls.forget(&machine);
        if let Err(error) = inner.tell(&machine, Command::PlanEnded(end)) {
            // The plan's end is in the store: the machine's stuck timer looks again.
            tracing::warn!(%machine, %error, "the end of a plan was not heard");
        }
    });
}

fn lock_of(inner: &Inner, machine: &MachineId) -> Arc<tokio::sync::Mutex<()>> {
    let mut locks = inner.plan_locks.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(locks.entry(machine.clone()).or_default())
}

/// Drops the machine's lock unless somebody else waits for it.
fn forget_lock(inner: &Inner, machine: &MachineId, lock: Arc<tokio::sync::Mutex<()>>) {
    let mut locks = inner.plan_locks.lock().unwrap_or_else(PoisonError::into_inner);
    drop(lock);
    if locks.get(machine).is_some_and(|lock| Arc::strong_count(lock) == 1) {
        locks.remove(machine);
    }
}

async fn run(inner: &Arc<Inner>, machine: &MachineId) -> Option<PlanEnd> {
    let plan = match inner.store.read(|reader| reader.active_plan(machine)) {
        Ok(Some(plan)) => plan,
        Ok(None) => match last_of(inner, machine)? {
            Last::Heard(end) => return Some(end),
            Last::Again(plan) => begin_again(inner, &plan).await?,
        },
        Err(error) => {
            tracing::error!(%machine, %error, "the machine's plan cannot be read");
            return None;
        }
    };
    let kind = plan.kind;
    match run_steps(inner, &plan).await {
        Ok(()) => Some(end_of(kind)),
        Err(Stop::Superseded) => None,
        Err(Stop::Failed(error)) => {
            let (code, message) = crate::machine::words_of(&error);
            tracing::error!(%machine, plan = %plan.id, message, "a plan failed");
            fail(inner, &plan, &message).await;
            failpoint::hit("plan.failed");
            matches!(kind, PlanKind::Create | PlanKind::Update)
                .then_some(PlanEnd::PrepareFailed { code, message })
        }
    }
}

/// What the end of a machine's last plan asks for.
enum Last {
    /// Its end has not been heard yet.
    Heard(PlanEnd),
    /// It failed, and giving up is no choice.
    Again(PlanRecord),
}

/// No plan is active: the last one has ended, but its end may not have been heard.
fn last_of(inner: &Inner, machine: &MachineId) -> Option<Last> {
    let plans = inner.store.read(|reader| reader.plans_of(machine)).ok()?;
    let last = plans.into_iter().next()?;
    match (last.state, last.kind) {
        (PlanState::Done, kind) => Some(Last::Heard(end_of(kind))),
        (PlanState::Failed, PlanKind::Create | PlanKind::Update) => {
            let code = "prepare_failed".to_owned();
            let message = last.error.unwrap_or_default();
            Some(Last::Heard(PlanEnd::PrepareFailed { code, message }))
        }
        (PlanState::Failed, PlanKind::Destroy) => Some(Last::Again(last)),
        (PlanState::Failed | PlanState::Running, _) => None,
    }
}

async fn begin_again(inner: &Inner, failed: &PlanRecord) -> Option<PlanRecord> {
    let (machine, kind, now) = (failed.machine.clone(), failed.kind, model::clock::now());
    let begun = write(inner, kind, "plan.again", move |tx| {
        begin(tx, &machine, kind, now)?;
        tx.active_plan(&machine)
    })
    .await;
    begun.unwrap_or_else(|error| {
        tracing::error!(machine = %failed.machine, %error, "a failed plan cannot begin again");
        None
    })
}

/// Why a plan does not go on.
enum Stop {
    /// Another plan took its place.
    Superseded,
    /// A step failed for good.
    Failed(ControlError),
}

async fn run_steps(inner: &Arc<Inner>, plan: &PlanRecord) -> Result<(), Stop> {
    for name in plan.steps.iter().skip(plan.done as usize) {
        run_step(inner, plan, name).await?;
        failpoint::hit("plan.step.ran");
        let (id, step) = (plan.id, name.clone());
        let now = model::clock::now();
        let completed = write(inner, plan.kind, "plan.step", move |tx| {
            tx.complete_step(id, &step, &serde_json::Value::Null, now).map(drop)
        })
        .await;
        match completed {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) => return Err(Stop::Superseded),
            Err(error) => return Err(Stop::Failed(error.into())),
        }
    }
    let id = plan.id;
    let now = model::clock::now();
    let finished = write(inner, plan.kind, "plan.finish", move |tx| tx.finish_plan(id, now)).await;
    match finished {
        Ok(()) => Ok(()),
        Err(StoreError::Conflict { .. }) => Err(Stop::Superseded),
        Err(error) => Err(Stop::Failed(error.into())),
    }
}

/// Runs one step until it succeeds, at most [`ATTEMPTS_MAX`] times.
async fn run_step(inner: &Arc<Inner>, plan: &PlanRecord, name: &str) -> Result<(), Stop> {
    let mut wait = RETRY_FIRST;
    let mut attempt = 1;
    loop {
        let error = match try_step(inner, plan, name).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if attempt == ATTEMPTS_MAX || !error.is_retryable() {
            return Err(Stop::Failed(error));
        }
        tracing::warn!(plan = %plan.id, step = name, attempt, %error, "a step failed; once more");
        tokio::time::sleep(wait).await;
        wait *= 2;
        attempt += 1;
        if is_superseded(inner, plan) {
            return Err(Stop::Superseded);
        }
    }
}

/// Whether another plan has taken this one's place. When the store does not answer, the next write
/// finds out.
fn is_superseded(inner: &Inner, plan: &PlanRecord) -> bool {
    let now = inner.store.read(|reader| reader.plan(plan.id));
    now.is_ok_and(|now| now.is_none_or(|now| now.state != PlanState::Running))
}

async fn try_step(inner: &Arc<Inner>, plan: &PlanRecord, name: &str) -> Result<(), ControlError> {
    let step_name = format!("{}.{name}", word(plan.kind));
    let fault = failpoint::step(&step_name);
    if fault == StepFault::Fail {
        return Err(ControlError::Planted { step: step_name });
    }
    let times = if fault == StepFault::RunTwice { 2 } else { 1 };
    for _ in 0..times {
        run_once(inner, plan, name).await?;
    }
    Ok(())
}

async fn run_once(inner: &Arc<Inner>, plan: &PlanRecord, name: &str) -> Result<(), ControlError> {
    if let (PlanKind::Create | PlanKind::Update, "image") = (plan.kind, name) {
        return pulls::prepare(inner, &plan.machine).await;
    }
    if let Some((pause, fails)) = steps::played(inner, &plan.machine, plan.kind, name)? {
        tokio::time::sleep(pause).await;
        if fails {
            let message = "the fake was told to fail".to_owned();
            return Err(ControlError::Unfit { code: "fake", message, hint: String::new() });
        }
    }
    let (inner, machine) = (Arc::clone(inner), plan.machine.clone());
    let (kind, name) = (plan.kind, name.to_owned());
    off_runtime(move || steps::run(&inner, &machine, kind, &name)).await
}

/// Stores how far a plan has come; one that destroys finds room also on a full disk.
async fn write<T: Send + 'static>(
    inner: &Inner,
    kind: PlanKind,
    name: &'static str,
    change: impl Fn(&Tx<'_>) -> Result<T, StoreError> + Clone + Send + 'static,
) -> Result<T, StoreError> {
    match kind {
        PlanKind::Destroy => inner.write_freeing(name, change).await,
        PlanKind::Create
        | PlanKind::Update
        | PlanKind::Suspend
        | PlanKind::Checkpoint
        | PlanKind::Fork
        | PlanKind::Import
        | PlanKind::Export => inner.store.write(name, change).await,
    }
}

async fn fail(inner: &Inner, plan: &PlanRecord, message: &str) {
    let (id, message) = (plan.id, message.to_owned());
    let now = model::clock::now();
    let stored =
        write(inner, plan.kind, "plan.fail", move |tx| tx.fail_plan(id, &message, now)).await;
    if let Err(error) = stored {
        tracing::error!(plan = %id, %error, "the failure of a plan could not be stored");
    }
}
