//! May this be written into the memory?
//!
//! Order of the checks: key, writer, size, type and bounds, transition, guard, room. The first that
//! fails is the answer.

use crate::document::{FactSchema, Transition};
use crate::fact_type::FactType;
use crate::limits::{KEYS_MAX, MEMORY_BYTES_MAX, NAME_BYTES_MAX, VALUE_BYTES_MAX, VALUE_DEPTH_MAX};
use crate::names::Name;
use crate::policy::Policy;
use crate::reading::{Absence, Outcome, Reading, Truth, Values};
use crate::shape::{WrongValue, is_key, is_same, wrong_size, wrong_value};
use crate::text::did_you_mean;
use crate::value::Value;
use crate::writer::{Writer, WriterPattern, default_writers};
use model::UnixMs;
use serde_json::Value as Json;

/// A write of one fact.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Its key, without `memory.`.
    pub key: &'a str,
    /// Its value now; `None` when it has none or that has expired.
    pub old: Option<&'a Json>,
    /// Its value to be; `None` deletes it.
    pub new: Option<&'a Json>,
    /// Who writes.
    pub writer: &'a Writer,
    /// What all the other facts of the memory take.
    pub others: MemorySize,
}

/// How much is in a memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemorySize {
    /// Keys.
    pub keys: usize,
    /// Keys and values as compact JSON, in bytes.
    pub bytes: usize,
}

/// A write that may be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The value to be stored, in its canonical spelling; `None`: delete it.
    pub value: Option<Json>,
    /// When it expires.
    pub expires_at: Option<UnixMs>,
    /// Whether readers must not see it.
    pub is_secret: bool,
    /// How much is in the memory afterwards.
    pub size: MemorySize,
}

/// Why a write may not be made; nothing has changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteRefused {
    /// The key cannot be one.
    #[error("`{key}` is no key of a fact")]
    Key {
        /// The key, cut to a readable length.
        key: String,
    },
    /// No such fact is declared.
    #[error("no fact `{key}` is declared")]
    Undeclared {
        /// The key.
        key: String,
        /// A declared one it may have been.
        hint: Option<String>,
    },
    /// Somebody else writes this fact.
    #[error("`{writer}` may not write `{key}`")]
    Writer {
        /// The key.
        key: String,
        /// Who tried.
        writer: Writer,
        /// Who may.
        writers: String,
    },
    /// The value is too long.
    #[error("the value of `{key}` has more than {VALUE_BYTES_MAX} bytes of JSON")]
    TooLong {
        /// The key.
        key: String,
    },
    /// The value is of another type, or outside `enum`, `min`, `max`.
    #[error("the value of `{key}` does not fit: {reason}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The change is none of `transitions`.
    #[error("`{key}` may not change from {from} to {to}{}", if *is_for_others { " by this writer" } else { "" })]
    Transition {
        /// The key.
        key: String,
        /// Its value now, as JSON; `null` for none.
        from: String,
        /// The value to be.
        to: String,
        /// Others may make this change.
        is_for_others: bool,
        /// Where it may go from here.
        allowed: String,
    },
    /// The guard is not true.
    #[error("the guard of `{key}` is {}", match &outcome.truth { Truth::Unknown(_) => "unknown", _ => "false" })]
    Guard {
        /// The key.
        key: String,
        /// The guard.
        guard: String,
        /// Its answer, and what was read.
        outcome: Box<Outcome>,
    },
    /// The memory is full.
    #[error(
        "the memory would have {keys} keys and {bytes} bytes; at most {KEYS_MAX} and {MEMORY_BYTES_MAX}"
    )]
    Full {
        /// Keys it would have.
        keys: usize,
        /// Bytes it would have.
        bytes: usize,
    },
}

impl WriteRefused {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Key { .. } => "memory_key_invalid",
            Self::Undeclared { .. } => "memory_undeclared",
            Self::Writer { .. } => "memory_writer",
            Self::TooLong { .. } => "memory_value_too_long",
            Self::Value { .. } => "memory_value_invalid",
            Self::Transition { .. } => "memory_transition",
            Self::Guard { .. } => "memory_guard",
            Self::Full { .. } => "memory_full",
        }
    }

    /// What the writer can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Key { .. } => {
                format!(
                    "at most {NAME_BYTES_MAX} letters, digits, `_`, `-`, in parts joined by points"
                )
            }
            Self::Undeclared { hint, key } => hint
                .clone()
                .unwrap_or_else(|| format!("declare it in the policy, or write `scratch.{key}`")),
            Self::Writer { writers, .. } => format!("it is written by {writers}"),
            Self::TooLong { .. } => "keep a reference to it, and the rest on the disk".to_owned(),
            Self::Value { hint, .. } => return hint.clone(),
            Self::Transition { allowed, .. } if allowed.is_empty() => {
                "no change leads on from here".to_owned()
            }
            Self::Transition { allowed, .. } => format!("from here it may become {allowed}"),
            Self::Guard { guard, outcome, .. } => {
                let reads: Vec<_> =
                    outcome.reads.iter().map(|r| format!("{} = {}", r.name, r.value)).collect();
                format!("`{guard}` with {}", reads.join(", "))
            }
            Self::Full { .. } => "delete facts that are no longer needed".to_owned(),
        })
    }
}

/// Whether `write` may be made at `now`; `values` answers for the names of a guard.
///
/// # Errors
/// [`WriteRefused`] says why not.
pub fn check_write(
    policy: &Policy,
    write: &Write<'_>,
    values: &dyn Values,
    now: UnixMs,
) -> Result<Accepted, WriteRefused> {
    if !is_key(write.key) {
        let key = write.key.chars().take(NAME_BYTES_MAX).collect();
        return Err(WriteRefused::Key { key });
    }
    let Some(schema) = policy.fact(write.key) else { return check_scratch(policy, write) };
    check_writer(schema.writers.as_deref(), write)?;
    if let Some(new) = write.new {
        check_value(schema, write.key, new)?;
    }
    check_transition(schema, write)?;
    check_guard(policy, schema, write, values, now)?;
    let value = write.new.map(|new| canonical(schema.ty, new));
    Ok(Accepted {
        size: check_room(write, value.as_ref())?,
        expires_at: schema.ttl.filter(|_| value.is_some()).map(|ttl| now.plus(ttl.0)),
        is_secret: schema.secret,
        value,
    })
}

/// Undeclared facts: `scratch.*`, of any shape, by the machine itself and its owner.
fn check_scratch(policy: &Policy, write: &Write<'_>) -> Result<Accepted, WriteRefused> {
    let key = write.key.to_owned();
    if !key.starts_with("scratch.") {
        let known = policy.document().facts.keys();
        let hint = did_you_mean(&key, known.map(String::as_str));
        return Err(WriteRefused::Undeclared { key, hint });
    }
    check_writer(None, write)?;
    if let Some(wrong) = write.new.and_then(wrong_size) {
        return Err(refused(&key, wrong));
    }
    let size = check_room(write, write.new)?;
    Ok(Accepted { value: write.new.cloned(), expires_at: None, is_secret: false, size })
}

fn check_writer(writers: Option<&[WriterPattern]>, write: &Write<'_>) -> Result<(), WriteRefused> {
    let default = default_writers();
    let writers = writers.unwrap_or(&default);
    let is_anybody = cfg!(feature = "planted-wrong-writer");
    if is_anybody || writers.iter().any(|pattern| pattern.matches(write.writer)) {
        return Ok(());
    }
    let writers: Vec<_> = writers.iter().map(|w| format!("`{w}`")).collect();
    Err(WriteRefused::Writer {
        key: write.key.to_owned(),
        writer: write.writer.clone(),
        writers: if writers.is_empty() { "nobody".to_owned() } else { writers.join(", ") },
    })
}

fn check_value(schema: &FactSchema, key: &str, new: &Json) -> Result<(), WriteRefused> {
    wrong_value(schema, new).map_or(Ok(()), |wrong| Err(refused(key, wrong)))
}

fn refused(key: &str, wrong: WrongValue) -> WriteRefused {
    let key = key.to_owned();
    match wrong {
        WrongValue::TooLong => WriteRefused::TooLong { key },
        WrongValue::TooDeep => WriteRefused::Value {
            key,
            reason: wrong.to_string(),
            hint: Some(format!(
                "at most {VALUE_DEPTH_MAX}; keep what is nested deeper as a text, or on the disk"
            )),
        },
        wrong => WriteRefused::Value { key, reason: wrong.to_string(), hint: None },
    }
}

/// Whether a memory can hold this fact at all, whatever its policy says: its key, length and depth.
///
/// # Errors
/// [`WriteRefused`] says why not.
pub fn check_fact(key: &str, value: &Json) -> Result<(), WriteRefused> {
    if !is_key(key) {
        return Err(WriteRefused::Key { key: key.chars().take(NAME_BYTES_MAX).collect() });
    }
    wrong_size(value).map_or(Ok(()), |wrong| Err(refused(key, wrong)))
}

/// The value that a fact counts as having: its default, while nobody has written it.
fn held<'a>(schema: &'a FactSchema, old: Option<&'a Json>) -> &'a Json {
    old.or(schema.default.as_ref()).unwrap_or(&Json::Null)
}

fn check_transition(schema: &FactSchema, write: &Write<'_>) -> Result<(), WriteRefused> {
    let Some(transitions) = &schema.transitions else { return Ok(()) };
    let (from, to) = (held(schema, write.old), write.new.unwrap_or(&Json::Null));
    if is_same(schema.ty, from, to) {
        return Ok(());
    }
    let from_here: Vec<&Transition> =
        transitions.iter().filter(|t| is_same(schema.ty, &t.from, from)).collect();
    let may = |t: &&&Transition| t.by.iter().flatten().any(|by| by.matches(write.writer));
    let is_mine = |t: &&&Transition| t.by.is_none() || may(t);
    let leads_there = |t: &&&Transition| is_same(schema.ty, &t.to, to);
    if from_here.iter().filter(leads_there).any(|t| is_mine(&t)) {
        return Ok(());
    }
    let allowed: Vec<_> = from_here.iter().filter(is_mine).map(|t| format!("`{}`", t.to)).collect();
    let secret = |json: &Json| if schema.secret { "(secret)".to_owned() } else { json.to_string() };
    Err(WriteRefused::Transition {
        key: write.key.to_owned(),
        from: secret(from),
        to: secret(to),
        is_for_others: from_here.iter().any(|t| leads_there(&t)),
        allowed: if schema.secret { String::new() } else { allowed.join(", ") },
    })
}

fn check_guard(
    policy: &Policy,
    schema: &FactSchema,
    write: &Write<'_>,
    values: &dyn Values,
    now: UnixMs,
) -> Result<(), WriteRefused> {
    let Some(guard) = policy.guard(write.key) else { return Ok(()) };
    let outcome = guard.evaluate(&GuardValues { schema, write, values }, now);
    if outcome.truth.is_true() {
        return Ok(());
    }
    Err(WriteRefused::Guard {
        key: write.key.to_owned(),
        guard: guard.text().to_owned(),
        outcome: Box::new(outcome),
    })
}

/// What a guard sees: the write, and the memory as it is before it.
struct GuardValues<'a> {
    schema: &'a FactSchema,
    write: &'a Write<'a>,
    values: &'a dyn Values,
}

impl Values for GuardValues<'_> {
    fn read(&self, name: &Name) -> Reading {
        let json = match name {
            Name::Old => self.write.old.or(self.schema.default.as_ref()),
            Name::New => self.write.new,
            Name::Writer => return Reading::known(Value::from(&*self.write.writer.to_string())),
            Name::Memory(_)
            | Name::Platform(_)
            | Name::Due(_)
            | Name::PeerFact { .. }
            | Name::PeerState(_)
            | Name::PeerAge(_) => return self.values.read(name),
        };
        let value = json.and_then(|json| self.schema.ty.read(json));
        value.map_or(Reading::absent(Absence::Missing), Reading::known)
    }
}

fn canonical(ty: FactType, json: &Json) -> Json {
    ty.read(json).map_or_else(|| json.clone(), |value| value.to_json())
}

fn check_room(write: &Write<'_>, value: Option<&Json>) -> Result<MemorySize, WriteRefused> {
    let Some(value) = value else { return Ok(write.others) };
    let keys = write.others.keys + 1;
    let bytes = write.others.bytes + fact_bytes(write.key, value);
    if keys > KEYS_MAX || bytes > MEMORY_BYTES_MAX {
        return Err(WriteRefused::Full { keys, bytes });
    }
    Ok(MemorySize { keys, bytes })
}

/// What a fact takes of a memory, in bytes.
#[must_use]
pub fn fact_bytes(key: &str, value: &Json) -> usize {
    key.len() + value.to_string().len()
}
