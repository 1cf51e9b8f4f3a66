//! What an export must keep to: the chain shows edits of the trace, not of the record.

use super::{Export, ExportedMessage, ImportError};
use crate::limits::{
    ALARMS_MAX, COUNT_MAX, HOLDS_MAX, HOPS_MAX, INBOX_BYTES_MAX, INBOX_DEPTH_MAX, INTENT_BYTES_MAX,
    MESSAGE_BYTES_MAX, MESSAGE_ID_BYTES_MAX, RECORD_BYTES_MAX,
};
use crate::selfhood::{Inbox, Oldest, Selfhood};
use crate::write::MessageRow;
use policy::check_fact;
use policy::limits::{KEYS_MAX, MEMORY_BYTES_MAX};
use policy::write::fact_bytes;
use serde_json::Value as Json;

/// Whether everything that was brought is within the limits.
pub(super) fn check(export: &Export) -> Result<(), ImportError> {
    let own = &export.selfhood;
    for (key, fact) in own.facts.iter() {
        check_fact(key, &fact.value).map_err(|error| ImportError::Fact(Box::new(error)))?;
    }
    let n_memory: usize = own.facts.iter().map(|(key, fact)| fact_bytes(key, &fact.value)).sum();
    let last = export.inbox.iter().map(|message| message.row.seq).max().unwrap_or(0);
    let n_intent = own.intent.objective.len() + own.intent.phase.len();
    for (is_beyond, what) in [
        (own.facts.len() > KEYS_MAX, "its memory has more than 128 keys"),
        (n_memory > MEMORY_BYTES_MAX, "its memory has more than 64 KiB"),
        (n_intent > INTENT_BYTES_MAX, "its intent has more than 4 KiB"),
        (own.holds.len() > HOLDS_MAX, "it has more than 16 holds"),
        (own.alarms.len() > ALARMS_MAX, "it has more than 32 alarms"),
        (own.inbox.next_seq <= last, "its next message has the number of one that waits"),
        (!are_messages(&export.inbox), "its messages are out of order, or larger than they may be"),
        (has_large_number(own), "a counter or moment is above 2^53"),
        (own.to_text().len() > RECORD_BYTES_MAX, "its record has more than 256 KiB"),
    ] {
        if is_beyond {
            return Err(ImportError::Beyond { what });
        }
    }
    Ok(())
}

/// Whether an inbox can hold these.
fn are_messages(inbox: &[ExportedMessage]) -> bool {
    let is_one = |message: &ExportedMessage| {
        let row = &message.row;
        let n_id = row.id.as_ref().map_or(0, String::len);
        u64::try_from(message.body.len()) == Ok(row.bytes)
            && message.body.len() <= MESSAGE_BYTES_MAX
            && n_id <= MESSAGE_ID_BYTES_MAX
            && row.hops <= HOPS_MAX
            && (1..=COUNT_MAX).contains(&row.seq)
    };
    inbox.iter().all(is_one)
        && inbox.is_sorted_by(|one, next| one.row.seq < next.row.seq)
        && u32::try_from(inbox.len()).is_ok_and(|n| n <= INBOX_DEPTH_MAX)
        && inbox.iter().map(|message| message.row.bytes).sum::<u64>() <= INBOX_BYTES_MAX
}

/// Whether a number of the record, the values of facts aside, is above [`COUNT_MAX`].
fn has_large_number(own: &Selfhood) -> bool {
    let mut json = serde_json::to_value(own).expect("the record has text keys and finite numbers");
    let facts = json.get_mut("facts").and_then(Json::as_object_mut);
    for fact in facts.into_iter().flat_map(serde_json::Map::values_mut) {
        fact["value"] = Json::Null;
    }
    is_large(&json)
}

/// Recursion is bounded: without the values of facts a record has a few levels.
fn is_large(json: &Json) -> bool {
    match json {
        Json::Number(number) => number.as_u64().is_some_and(|n| n > COUNT_MAX),
        Json::Array(items) => items.iter().any(is_large),
        Json::Object(fields) => fields.values().any(is_large),
        Json::Null | Json::Bool(_) | Json::String(_) => false,
    }
}

/// Counts the messages that wait again, oldest first.
pub(crate) fn recount<'a>(inbox: &mut Inbox, rows: impl Iterator<Item = &'a MessageRow> + Clone) {
    let n = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    inbox.depth = n(rows.clone().count());
    inbox.bytes = rows.clone().map(|row| row.bytes).sum();
    inbox.wakes = n(rows.clone().filter(|row| row.wake).count());
    inbox.oldest = rows.clone().next().map(|row| Oldest { seq: row.seq, at: row.at });
}
