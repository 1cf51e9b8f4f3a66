//! What a machine remembers: one record, loaded, changed and stored as a whole.
//!
//! Messages and trace entries are rows beside it; the record keeps their counts and heads. It is a
//! value: [`crate::apply`] and [`crate::evaluate()`] return the next one.
//!
//! * `inbox`: the index of the messages. `usage`: what is counted by day and month.
//! * `alarms`, `rest`: what the machine waits for. `ledger`: wakes, breaker, mutes.

mod alarms;
mod inbox;
mod ledger;
mod rest;
mod usage;

pub use alarms::{AlarmEntry, AlarmOrigin, DueAlarm};
pub use inbox::{Inbox, Oldest};
pub use ledger::{Breaker, LastRest, LastWake, Ledger, Mute, Mutes};
pub use rest::{RestPhase, RestUntil};
pub use usage::{Tally, Usage};

use crate::limits::HOLD_MAX;
use crate::trace::TraceHead;
use crate::verdict::{Decision, Stance};
use crate::view::View;
use model::admit::Gate;
use model::{Digest, UnixMs};
use policy::{RuleState, Writer};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The version of the record that this program writes.
pub const VERSION: u32 = 1;

/// Everything a machine remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selfhood {
    /// Version of the record: [`VERSION`].
    pub v: u32,
    /// Grows with each change that anybody can see; a reader may wait for it.
    pub revision: u64,
    /// What it is for.
    #[serde(default)]
    pub intent: Intent,
    /// Its facts, by key; also those whose time is over.
    #[serde(default)]
    pub facts: Arc<BTreeMap<String, Fact>>,
    /// What keeps it awake, by name.
    #[serde(default)]
    pub holds: BTreeMap<String, Hold>,
    /// Its alarms, by name; those of its policy too.
    #[serde(default)]
    pub alarms: BTreeMap<String, AlarmEntry>,
    /// The index of its inbox.
    #[serde(default)]
    pub inbox: Inbox,
    /// What the platform noticed.
    #[serde(default)]
    pub signals: Signals,
    /// What it has used.
    #[serde(default)]
    pub usage: Usage,
    /// How often it came up.
    #[serde(default)]
    pub ups: u64,
    /// Its policy; the text is a row of its own, shared by all machines that have it.
    #[serde(default)]
    pub policy: Option<PolicyRef>,
    /// The states of its rules; one that was never up is left out.
    #[serde(default)]
    pub rules: BTreeMap<String, RuleState>,
    /// Its own `rest until`.
    #[serde(default)]
    pub rest: Option<RestUntil>,
    /// Why it was last woken.
    #[serde(default)]
    pub wake: Option<LastWake>,
    /// Who put it to rest, while it rests; `None` when it ended by itself, and in records of old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rested: Option<LastRest>,
    /// Budgets and back-offs.
    #[serde(default)]
    pub ledger: Ledger,
    /// Causes that a stop has silenced.
    #[serde(default)]
    pub mutes: Mutes,
    /// The last decision, and since when it stands.
    #[serde(default)]
    pub decision: Option<Decision>,
    /// The end of its trace.
    #[serde(default)]
    pub trace: TraceHead,
}

/// What a machine is for, and how far it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// As its owner says.
    #[serde(default)]
    pub objective: String,
    /// What it is busy with, as it says itself.
    #[serde(default)]
    pub phase: String,
    /// Its objective is reached.
    #[serde(default)]
    pub done: bool,
    /// Revision of the last change.
    #[serde(default)]
    pub rev: u64,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Its value, as JSON of its type.
    pub value: Json,
    /// Who wrote it.
    pub writer: Writer,
    /// At which revision.
    pub rev: u64,
    /// When.
    pub at: UnixMs,
    /// Until when it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixMs>,
    /// Its value is shown nowhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

impl Fact {
    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: UnixMs) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// Something that keeps a machine awake for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// When it ends by itself.
    pub expires_at: UnixMs,
    /// Why.
    pub reason: String,
    /// Who put it.
    pub writer: Writer,
    /// When.
    pub at: UnixMs,
}

/// What the platform noticed about a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signals {
    /// Exit code of the last run, 128 + n for signal n.
    #[serde(default)]
    pub last_exit: Option<i32>,
    /// The last run ended for want of RAM.
    #[serde(default)]
    pub oom: bool,
    /// Wakes in a row that did not reach `started`.
    #[serde(default)]
    pub wake_failures: u32,
    /// Governed wakes in a row that ended without ack, fact or request.
    #[serde(default)]
    pub wakes_without_progress: u32,
    /// The last resume had to start from nothing.
    #[serde(default)]
    pub resumed_cold: bool,
}

/// Which policy a machine has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRef {
    /// Name of its content.
    pub hash: Digest,
    /// When it was set.
    pub at: UnixMs,
    /// By whom.
    pub by: Writer,
    /// At which revision.
    pub rev: u64,
}

/// Why a stored record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It was written by a later release.
    #[error("the record has version {found}, newer than {VERSION}")]
    Newer {
        /// Its version.
        found: u32,
    },
    /// It is damaged.
    #[error("the record cannot be read")]
    Damaged(#[source] serde_json::Error),
}

impl Default for Selfhood {
    fn default() -> Self {
        Self {
            v: VERSION,
            revision: 0,
            intent: Intent::default(),
            facts: Arc::default(),
            holds: BTreeMap::new(),
            alarms: BTreeMap::new(),
            inbox: Inbox::default(),
            signals: Signals::default(),
            usage: Usage::default(),
            ups: 0,
            policy: None,
            rules: BTreeMap::new(),
            rest: None,
            wake: None,
            rested: None,
            ledger: Ledger::default(),
            mutes: Mutes::default(),
            decision: None,
            trace: TraceHead::default(),
        }
    }
}

impl Selfhood {
    /// Reads a stored record.
    ///
    /// # Errors
    /// [`RecordError`]: a record of a later release is refused, not guessed at.
    pub fn read(text: &str) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }
        let Versioned { v } = serde_json::from_str(text).map_err(RecordError::Damaged)?;
        if v > VERSION {
            return Err(RecordError::Newer { found: v });
        }
        serde_json::from_str(text).map_err(RecordError::Damaged)
    }

    /// The record as it is stored.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("the record has text keys and finite numbers")
    }

    /// The facts that count at `now` and may be shown, by key: what peers and readers see.
    pub fn published(&self, now: UnixMs) -> impl Iterator<Item = (&str, &Fact)> {
        let facts = self.facts.iter().map(|(key, fact)| (key.as_str(), fact));
        facts.filter(move |(_, fact)| !fact.secret && !fact.is_expired(now))
    }

    /// The name of the alarm that the `schedule` of its configuration made: the platform's own.
    #[must_use]
    pub fn schedule(&self) -> Option<&str> {
        let mut alarms = self.alarms.iter();
        alarms.find(|(_, alarm)| alarm.is_schedule()).map(|(name, _)| name.as_str())
    }

    /// Whether its app has refused it a rest, when it was last decided about.
    #[must_use]
    pub fn is_needed_by_its_app(&self) -> bool {
        let stance = self.decision.as_ref().map(|decision| &decision.stance);
        matches!(stance, Some(Stance::Kept { gate: Gate::RestPermit, .. }))
    }

    /// The names of the alarms that are due.
    pub fn due(&self) -> impl Iterator<Item = &str> {
        self.alarms.iter().filter(|(_, a)| a.due.is_some()).map(|(name, _)| name.as_str())
    }

    /// Makes moments of the past that lie ahead, because the clock was set back, begin now.
    pub(crate) fn rebase(&mut self, now: UnixMs) {
        for hold in self.holds.values_mut() {
            hold.expires_at = hold.expires_at.min(now.plus(HOLD_MAX));
        }
        for due in self.alarms.values_mut().filter_map(|alarm| alarm.due.as_mut()) {
            due.since = due.since.min(now);
        }
        self.usage.up_since = self.usage.up_since.map(|at| at.min(now));
        self.inbox.wake_at = self.inbox.wake_at.min(now);
        self.inbox.touched_at = self.inbox.touched_at.min(now);
        self.inbox.posted_at = self.inbox.posted_at.min(now);
        if let Some(rested) = &mut self.rested {
            rested.at = rested.at.min(now);
        }
        if let Some(RestUntil { phase: RestPhase::Asked { since, .. }, .. }) = &mut self.rest {
            *since = (*since).min(now);
        }
        self.ledger.rebase(now);
    }

    /// Since when it is up, if it is.
    pub(crate) fn up_since(&self, view: &View<'_>) -> Option<UnixMs> {
        view.is_up().then(|| self.usage.up_since.unwrap_or(UnixMs(0)))
    }

    /// The number of this time up, which lasts until the machine has come to rest.
    pub(crate) fn up_number(&self) -> Option<u64> {
        self.usage.up_since.map(|_| self.ups)
    }

    /// Holds that have ended, by name; they are removed.
    pub(crate) fn end_holds(&mut self, now: UnixMs) -> Vec<String> {
        let is_over = |_: &String, hold: &mut Hold| hold.expires_at <= now;
        self.holds.extract_if(.., is_over).map(|(name, _)| name).collect()
    }
}
