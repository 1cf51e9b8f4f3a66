//! What a `notify` rule sends, from the verdict in which it began to stand.

use super::backoff::GIVE_UP_AFTER;
use crate::facade::WaitingLetter;
use govern::Verdict;
use model::{AppName, MachineId, UnixMs};
use policy::reading::{Observed, Read};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use store::{OutboxRecord, StoreError, Tx};

/// Letters of one machine that wait; then the oldest go. A receiver that was away for a day learns
/// the last hundred, and reads the machine's memory for the rest.
const OUTBOX_MAX: u32 = 100;

/// Longest body, in bytes: a handful of facts. Values that do not fit are left out.
const BODY_MAX_BYTES: usize = 4 * 1024;

/// The letters of a verdict on `machine`: one for each rule that began to stand and says where to.
#[must_use]
pub(crate) fn letters(
    machine: &MachineId,
    app: &AppName,
    verdict: &Verdict,
    at: UnixMs,
) -> Vec<OutboxRecord> {
    let revision = verdict.next.revision;
    let hops = verdict.next.inbox.passed(at);
    let sent = verdict.notify.iter().filter_map(|notify| Some((&notify.rule, notify.to.as_ref()?)));
    sent.map(|(rule, to)| OutboxRecord {
        seq: 0,
        machine: machine.clone(),
        app: app.clone(),
        rule: rule.clone(),
        url: to.clone(),
        body: body(&About { machine, app, rule, at, revision, hops }, &verdict.reads),
        created_at: at,
        attempts: 0,
        next_at: at,
        last_code: None,
        last_error: None,
    })
    .collect()
}

/// Puts letters into the outbox, in the transaction of their verdict. When that is committed, ring
/// [`super::Outbox::ring`].
///
/// # Errors
/// What the store says.
pub(crate) fn put(tx: &Tx<'_>, letters: &[OutboxRecord]) -> Result<(), StoreError> {
    let Some(first) = letters.first() else { return Ok(()) };
    let waiting = tx.outbox_of(&first.machine)?.len().saturating_add(letters.len());
    let n_dropped = waiting.saturating_sub(usize::try_from(OUTBOX_MAX).unwrap_or(usize::MAX));
    if n_dropped > 0 {
        let machine = &first.machine;
        tracing::warn!(%machine, n_dropped, "its outbox is full: the oldest notifications go");
    }
    for letter in letters {
        tx.put_outbox(letter, OUTBOX_MAX)?;
    }
    Ok(())
}

/// The name of a letter: the same however often it is sent, so that its receiver can tell.
pub(super) fn id_of(letter: &OutboxRecord) -> String {
    id(&letter.machine, &letter.rule, letter.created_at)
}

/// A letter for whoever may look at the machine.
pub(crate) fn waiting(letter: OutboxRecord) -> WaitingLetter {
    WaitingLetter {
        id: id_of(&letter),
        rule: letter.rule,
        to: letter.url,
        at: letter.created_at,
        attempts: letter.attempts,
        next_at: letter.next_at,
        until: letter.created_at.plus(GIVE_UP_AFTER),
        last_code: letter.last_code,
        last_error: letter.last_error,
    }
}

/// A rule begins to stand at most once in a millisecond.
fn id(machine: &MachineId, rule: &str, at: UnixMs) -> String {
    format!("{machine}-{}-{rule}", at.0)
}

struct About<'a> {
    machine: &'a MachineId,
    app: &'a AppName,
    rule: &'a str,
    at: UnixMs,
    revision: u64,
    hops: u8,
}

/// As much of a letter's body as its way needs.
#[derive(Debug, Deserialize)]
struct Waybill {
    app: AppName,
    hops: u8,
}

/// From which app a letter with this body is, and how many machines it has passed. What is no letter
/// of ours has no such thing.
pub(crate) fn waybill(body: &str) -> Option<(AppName, u8)> {
    if body.len() > BODY_MAX_BYTES {
        return None;
    }
    let Waybill { app, hops } = serde_json::from_str(body).ok()?;
    Some((app, hops))
}

/// `{id, machine, app, rule, at, revision, hops, reads}`; `at` in Unix milliseconds, `hops` the machines
/// that it has passed, so that machines which tell each other come to an end. A secret or a value
/// that nobody knows is `null`.
fn body(about: &About<'_>, reads: &[Read]) -> String {
    let mut body = json!({
        "id": id(about.machine, about.rule, about.at),
        "machine": about.machine,
        "app": about.app,
        "rule": about.rule,
        "at": about.at,
        "revision": about.revision,
        "hops": about.hops,
        "reads": reads.iter().map(shown).collect::<Map<_, _>>(),
    });
    let text = body.to_string();
    if text.len() <= BODY_MAX_BYTES {
        return text;
    }
    body["reads"] = Json::Null;
    body.to_string()
}

fn shown(read: &Read) -> (String, Json) {
    let value = match &read.value {
        Observed::Value(value) => value.to_json(),
        Observed::Secret | Observed::Unknown(_) => Json::Null,
    };
    (read.name.to_string(), value)
}

#[cfg(test)]
mod tests {
    use super::{About, BODY_MAX_BYTES, body};
    use model::UnixMs;
    use policy::Value;
    use policy::reading::{Observed, Read};
    use serde_json::{Value as Json, json};

    fn body_of(reads: &[Read]) -> Json {
        let (machine, app) = ("0123456789abcd".parse().unwrap(), "web".parse().unwrap());
        let at = UnixMs(1_700_000_000_123);
        let about = About { machine: &machine, app: &app, rule: "done", at, revision: 7, hops: 2 };
        let text = body(&about, reads);
        assert!(text.len() <= BODY_MAX_BYTES, "{}", text.len());
        serde_json::from_str(&text).unwrap()
    }

    fn read(name: &str, value: Observed) -> Read {
        Read { name: name.into(), value }
    }

    #[test]
    fn a_body_says_who_why_and_with_which_values() {
        let value = |value| Observed::Value(value);
        let reads = [
            read("memory.progress", value(Value::Double(1.0))),
            read("memory.key", Observed::Secret),
            read("now", value(Value::Timestamp(0))),
        ];
        assert_eq!(
            body_of(&reads),
            json!({
                "id": "0123456789abcd-1700000000123-done",
                "machine": "0123456789abcd",
                "app": "web",
                "rule": "done",
                "at": 1_700_000_000_123_u64,
                "revision": 7,
                "hops": 2,
                "reads": {
                    "memory.progress": 1.0,
                    "memory.key": null,
                    "now": "1970-01-01T00:00:00Z",
                },
            })
        );
    }

    #[test]
    fn values_that_do_not_fit_are_left_out() {
        let long = Value::from("x".repeat(BODY_MAX_BYTES).as_str());
        let body = body_of(&[read("memory.a", Observed::Value(long))]);
        assert_eq!((&body["reads"], &body["rule"]), (&Json::Null, &json!("done")));
    }

    #[test]
    fn a_letter_knows_its_way() {
        let text = body_of(&[]).to_string();
        assert_eq!(super::waybill(&text), Some(("web".parse().unwrap(), 2)));
        for other in ["", "{}", "[1]", r#"{"app": "web"}"#, r#"{"app": "web", "hops": 300}"#] {
            assert_eq!(super::waybill(other), None, "{other}");
        }
    }
}
