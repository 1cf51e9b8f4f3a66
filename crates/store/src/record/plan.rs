//! Durable plans: a named list of steps, and how far it has come.
//!
//! ```text
//! begin ─► running ── step, step, … ──► finish ─► done
//!             │  ▲ attempt failed
//!             │  └────┘
//!             └────────── fail ──────────────► failed
//! ```
//!
//! The names of the steps are stored when the plan begins, so an executor of another release sees
//! when it does not know one. A step can only be completed in its turn; the database itself allows
//! one running plan per machine.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column, json_text, word_text};
use model::{MachineId, UnixMs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// Number of a plan, unique on this host and never given out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanId(pub i64);

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// Make a machine's disk and record.
    Create,
    /// Put a new version in place.
    Update,
    /// Remove everything of a machine.
    Destroy,
    /// Write its RAM to disk.
    Suspend,
    /// Keep a copy of its disk.
    Checkpoint,
    /// Make a machine from another's disk.
    Fork,
    /// Make a machine from a file.
    Import,
    /// Write a machine to a file.
    Export,
}

/// How a plan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanState {
    /// Steps are left.
    Running,
    /// All steps are done.
    Done,
    /// Given up; `error` says why.
    Failed,
}

/// A plan about to begin.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPlan {
    /// The machine it works on; has no other plan running.
    pub machine: MachineId,
    /// What for.
    pub kind: PlanKind,
    /// Version of the plan's text: grows when the meaning of its steps changes.
    pub version: u32,
    /// Names of the steps, in order.
    pub steps: Vec<String>,
    /// What the steps work from.
    pub input: Value,
}

/// A plan and how far it has come.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanRecord {
    /// Its number.
    pub id: PlanId,
    /// The machine it works on.
    pub machine: MachineId,
    /// What for.
    pub kind: PlanKind,
    /// Version of the plan's text.
    pub version: u32,
    /// Names of the steps, in order.
    pub steps: Vec<String>,
    /// Steps that are done: the next one is `steps[done]`.
    pub done: u32,
    /// Failed attempts at the next step.
    pub attempts: u32,
    /// What the steps work from.
    pub input: Value,
    /// What each step that is done has left for later ones.
    pub outputs: BTreeMap<String, Value>,
    /// The last failure, if the next step has failed or the plan was given up.
    pub error: Option<String>,
    /// How it stands.
    pub state: PlanState,
    /// When it began.
    pub created_at: UnixMs,
    /// When it last changed.
    pub updated_at: UnixMs,
}

impl PlanRecord {
    /// The step that comes next; `None` when all are done or the plan has ended.
    #[must_use]
    pub fn next_step(&self) -> Option<&str> {
        let index = usize::try_from(self.done).ok()?;
        let step = self.steps.get(index)?;
        (self.state == PlanState::Running).then_some(step.as_str())
    }

    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: PlanId(row.plain("id")?),
            machine: row.parsed("machine")?,
            kind: row.word("kind")?,
            version: row.plain("version")?,
            steps: row.json("steps")?,
            done: row.plain("done")?,
            attempts: row.plain("attempts")?,
            input: row.json("input")?,
            outputs: row.json("outputs")?,
            error: row.plain("error")?,
            state: row.word("state")?,
            created_at: row.at("created_at")?,
            updated_at: row.at("updated_at")?,
        })
    }
}

impl Reader<'_> {
    /// A plan by its number, ended or not. `None` means it never was or its retention has passed
    /// ([`crate::PLAN_RETENTION`]), never that it succeeded.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn plan(&self, id: PlanId) -> Result<Option<PlanRecord>, StoreError> {
        self.one("plans", "SELECT * FROM plans WHERE id = ?1", [id.0], PlanRecord::from_row)
    }

    /// All plans that have not ended, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn active_plans(&self) -> Result<Vec<PlanRecord>, StoreError> {
        let sql = "SELECT * FROM plans WHERE state = 'running' ORDER BY id";
        self.all("plans", sql, [], PlanRecord::from_row)
    }

    /// The plan of this machine that has not ended.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn active_plan(&self, machine: &MachineId) -> Result<Option<PlanRecord>, StoreError> {
        let sql = "SELECT * FROM plans WHERE machine = ?1 AND state = 'running'";
        self.one("plans", sql, [machine.as_str()], PlanRecord::from_row)
    }

    /// The plans of a machine that are kept, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn plans_of(&self, machine: &MachineId) -> Result<Vec<PlanRecord>, StoreError> {
        let sql = "SELECT * FROM plans WHERE machine = ?1 ORDER BY id DESC";
        self.all("plans", sql, [machine.as_str()], PlanRecord::from_row)
    }
}

impl Tx<'_> {
    /// Stores a plan before its first step.
    ///
    /// # Errors
    /// [`StoreError::PlanActive`] while another plan of the machine has not ended.
    pub fn begin_plan(&self, plan: &NewPlan, at: UnixMs) -> Result<PlanId, StoreError> {
        if let Some(active) = self.active_plan(&plan.machine)? {
            return Err(StoreError::PlanActive { machine: active.machine, plan: active.id });
        }
        let sql = "INSERT INTO plans (machine, kind, version, state, steps, done, attempts,
                                      created_at, updated_at, input, outputs)
                   VALUES (?1, ?2, ?3, 'running', ?4, 0, 0, ?5, ?5, ?6, '{}')";
        let row = (
            plan.machine.as_str(),
            word_text(plan.kind)?,
            plan.version,
            json_text(&plan.steps)?,
            at_column(at),
            json_text(&plan.input)?,
        );
        self.execute(sql, row)?;
        Ok(PlanId(self.last_row_id()))
    }

    /// Stores that `step` is done, with what it leaves for later steps; answers the plan as it
    /// stands now. The plan goes on running until [`Tx::finish_plan`].
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when `step` is not the next step of a running plan: the caller must
    /// not go on. [`StoreError::NotFound`].
    pub fn complete_step(
        &self,
        id: PlanId,
        step: &str,
        output: &Value,
        at: UnixMs,
    ) -> Result<PlanRecord, StoreError> {
        let mut plan = self.running_plan(id)?;
        if plan.next_step() != Some(step) {
            let next = plan.next_step().unwrap_or("no step left");
            return Err(StoreError::conflict("plan", id, format!("next step {step}"), next));
        }
        plan.outputs.insert(step.to_owned(), output.clone());
        plan.done += 1;
        plan.attempts = 0;
        plan.error = None;
        self.put_plan(plan, at)
    }

    /// Stores that an attempt at the next step has failed and will be repeated.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the plan has ended, [`StoreError::NotFound`].
    pub fn record_attempt(
        &self,
        id: PlanId,
        error: &str,
        at: UnixMs,
    ) -> Result<PlanRecord, StoreError> {
        let mut plan = self.running_plan(id)?;
        plan.attempts = plan.attempts.saturating_add(1);
        plan.error = Some(error.to_owned());
        self.put_plan(plan, at)
    }

    /// Gives a running plan up.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the plan has ended, [`StoreError::NotFound`].
    pub fn fail_plan(&self, id: PlanId, error: &str, at: UnixMs) -> Result<(), StoreError> {
        let mut plan = self.running_plan(id)?;
        plan.error = Some(error.to_owned());
        plan.state = PlanState::Failed;
        self.put_plan(plan, at).map(drop)
    }

    /// Ends a plan whose steps are all done.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a step is left or the plan has ended,
    /// [`StoreError::NotFound`].
    pub fn finish_plan(&self, id: PlanId, at: UnixMs) -> Result<(), StoreError> {
        let mut plan = self.running_plan(id)?;
        if let Some(left) = plan.next_step() {
            return Err(StoreError::conflict("plan", id, "no step left", left));
        }
        plan.state = PlanState::Done;
        self.put_plan(plan, at).map(drop)
    }

    fn running_plan(&self, id: PlanId) -> Result<PlanRecord, StoreError> {
        let plan = self.plan(id)?.ok_or_else(|| StoreError::not_found("plan", id))?;
        match plan.state {
            PlanState::Running => Ok(plan),
            PlanState::Done => Err(StoreError::conflict("plan", id, "running", "done")),
            PlanState::Failed => Err(StoreError::conflict("plan", id, "running", "failed")),
        }
    }

    fn put_plan(&self, mut plan: PlanRecord, at: UnixMs) -> Result<PlanRecord, StoreError> {
        plan.updated_at = at;
        let sql = "UPDATE plans SET done = ?2, attempts = ?3, error = ?4, state = ?5, outputs = ?6,
                   updated_at = ?7 WHERE id = ?1";
        let row = (
            plan.id.0,
            plan.done,
            plan.attempts,
            &plan.error,
            word_text(plan.state)?,
            json_text(&plan.outputs)?,
            at_column(at),
        );
        self.execute(sql, row)?;
        Ok(plan)
    }
}
