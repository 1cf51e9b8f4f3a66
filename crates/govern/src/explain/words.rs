//! Decisions in words: for explanations, and for the events of a machine.

use crate::verdict::{Source, Stance, Verdict};
use model::{Cause, Want};
use policy::{Condition, Outcome, Policy, Read};

/// Longest text of [`wish_words`], in bytes: a line on a terminal, or a few.
const WISH_BYTES_MAX: usize = 512;

/// Why an evaluation wishes what it wishes: who wants it, on what condition, with which values.
///
/// `rule `takeover`: `peer.primary.age_s > 20` (now 25)`. At most 512 bytes.
#[must_use]
pub fn wish_words(verdict: &Verdict, policy: &Policy) -> Option<String> {
    let (want, cause) = verdict.wish.as_ref()?;
    let (Stance::Up { by } | Stance::Owed { by, .. } | Stance::Down { by, .. }) = &verdict.stance
    else {
        return None;
    };
    let words = match by {
        Source::Rule(id) => {
            format!("{}{}", cause.words(), condition(policy, id, verdict).unwrap_or_default())
        }
        Source::RestUntil(_) => own_words(*want, policy, verdict),
        Source::Alarm(_)
        | Source::Message
        | Source::Hold(_)
        | Source::Autostop(_)
        | Source::Excess(_)
        | Source::Age(_) => cause.words(),
    };
    Some(shortened(super::one_line(&words)))
}

fn condition(policy: &Policy, id: &str, verdict: &Verdict) -> Option<String> {
    let rule = policy.rules().iter().find(|rule| &*rule.id == id)?;
    Some(with_values(&rule.when, verdict))
}

fn own_words(want: Want, policy: &Policy, verdict: &Verdict) -> String {
    let own = Cause::RestUntil.words();
    let Some(text) = verdict.next.rest.as_ref().and_then(|rest| rest.until.as_ref()) else {
        return own;
    };
    match (want, policy.compile_rest_until(text)) {
        (Want::Up, Ok(condition)) => format!("{own}{}", with_values(&condition, verdict)),
        _ => format!("{own} until `{text}`"),
    }
}

fn with_values(condition: &Condition, verdict: &Verdict) -> String {
    let names: Vec<String> = condition.names().map(ToString::to_string).collect();
    let is_its = |read: &&Read| names.iter().any(|name| **name == *read.name);
    let reads: Vec<&Read> = verdict.reads.iter().filter(is_its).collect();
    format!(": `{}`{}", condition.text(), values_text(&reads))
}

/// " (now 0)", or with names when there are several values.
pub(super) fn now_text(outcome: &Outcome) -> String {
    values_text(&outcome.reads.iter().collect::<Vec<_>>())
}

fn values_text(reads: &[&Read]) -> String {
    match reads {
        [] => String::new(),
        [read] => format!(" (now {})", read.value),
        reads => {
            let told = |read: &&Read| format!("{} = {}", read.name, read.value);
            format!(" (now {})", reads.iter().map(told).collect::<Vec<_>>().join(", "))
        }
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > WISH_BYTES_MAX {
        text.truncate(text.floor_char_boundary(WISH_BYTES_MAX - '…'.len_utf8()));
        text.push('…');
    }
    text
}
