//! What would be, if a policy were set or something written.

use super::on::{Pen, shown};
use super::rest::{holding, rest};
use super::{holds, show};
use crate::contract::selfhood::{
    Answer as Said, DRY_WRITES_MAX, DryRun, DryRunRequest, DryWrite, IntentChange, Moment,
    Notification, RuleSays, ValueRead,
};
use crate::problem::Problem;
use crate::v1::Answer;
use crate::v1::body::JsonBody;
use ::policy::{Outcome, RuleReport, Truth};
use axum::extract::State;
use control::Control;
use govern::{Verdict, Write, Writer};
use serde_json::Value;

/// `POST self/policy/dry-run`.
pub(super) async fn dry_run(State(control): State<Control>, pen: Pen, body: JsonBody) -> Answer {
    let wish: DryRunRequest = body.to()?;
    let writer = writer(&pen, wish.writer.as_deref())?;
    let writes = writes(wish)?;
    let run = control.self_dry_run(pen.id(), writes, writer).await;
    let run = shape(&run.map_err(|e| pen.problem(&e))?);
    shown(run.revision, &run)
}

/// Who would write: only the owner may ask what would be if somebody else did.
fn writer(pen: &Pen, wish: Option<&str>) -> Result<Writer, Problem> {
    let Some(text) = wish.filter(|text| !text.is_empty()) else { return Ok(pen.writer.clone()) };
    let writer: Writer = text.parse().map_err(|error| {
        Problem::invalid("invalid_writer", format!("`as`: {error}"))
            .hint("use `self`, `owner`, `token:NAME`, `peer:NAME`, or leave `as` out")
    })?;
    if writer == pen.writer || pen.writer == Writer::Owner {
        return Ok(writer);
    }
    Err(Problem::forbidden("only the owner may ask for others", "leave `as` out"))
}

fn writes(wish: DryRunRequest) -> Result<Vec<Write>, Problem> {
    let mut writes = Vec::new();
    writes.extend(wish.policy.map(|policy| set(&policy)));
    writes.extend(wish.memory.map(|patch| Write::Memory { patch, if_match: None }));
    for write in wish.writes.unwrap_or_default() {
        writes.extend(of(write)?);
        if writes.len() > DRY_WRITES_MAX {
            let message = format!("a dry run makes at most {DRY_WRITES_MAX} writes");
            return Err(Problem::invalid("too_many_writes", message)
                .hint("facts go into one `memory`; try fewer at once"));
        }
    }
    Ok(writes)
}

fn of(write: DryWrite) -> Result<Vec<Write>, Problem> {
    Ok(vec![match write {
        DryWrite::Memory(patch) => Write::Memory { patch, if_match: None },
        DryWrite::Intent(IntentChange { objective, phase, done }) => {
            Write::Intent { objective, phase, done }
        }
        DryWrite::Hold(holds) => {
            return holds.into_iter().map(|(name, put)| holds::hold(name, put)).collect();
        }
        DryWrite::DropHold(name) => Write::DropHold { name },
        DryWrite::Alarm(alarms) => {
            let alarms = alarms.into_iter();
            return Ok(alarms
                .map(|(name, put)| Write::Alarm { name, alarm: put.into() })
                .collect());
        }
        DryWrite::DropAlarm(name) => Write::DropAlarm { name },
        DryWrite::AckAlarm(name) => Write::AckAlarm { name },
        DryWrite::Post(post) => Write::Post(post.into_message()),
        DryWrite::Rest(put) => rest(put),
        DryWrite::ClearRest => Write::ClearRest,
        DryWrite::Policy(policy) => set(&policy),
        DryWrite::HoldDown(put) => Write::HoldDown(put.map(holding)),
        DryWrite::Stop => Write::Stop,
    }])
}

fn set(policy: &Value) -> Write {
    Write::Policy { text: policy.to_string(), hash: None, if_match: None }
}

fn shape(run: &govern::DryRun) -> DryRun {
    let verdict = &run.verdict;
    DryRun {
        revision: verdict.next.revision,
        decision: show::decision(&verdict.stance, None),
        wish: verdict.wish.clone(),
        next_at: verdict.next_at.map(Moment),
        rules: run.rules.iter().map(|rule| says(rule, verdict)).collect(),
        candidates: verdict.candidates.iter().map(show::candidate).collect(),
        happened: verdict.happened.iter().map(ToString::to_string).collect(),
        notify: verdict
            .notify
            .iter()
            .map(|notify| Notification { rule: notify.rule.clone(), to: notify.to.clone() })
            .collect(),
        retire: verdict.retire.clone(),
    }
}

fn says(rule: &RuleReport, verdict: &Verdict) -> RuleSays {
    let result = verdict.results.iter().find(|result| *result.rule == *rule.id);
    RuleSays {
        id: rule.id.to_string(),
        effect: rule.effect.to_string(),
        stands: result.is_some_and(|result| result.stands),
        when: said(&rule.when),
        until: rule.until.as_ref().map(said),
        next: rule.next.map(Moment),
    }
}

fn said(outcome: &Outcome) -> Said {
    let (is, why) = match &outcome.truth {
        Truth::True => ("true", None),
        Truth::False => ("false", None),
        Truth::Unknown(why) => ("unknown", Some(why.to_string())),
    };
    let reads = outcome
        .reads
        .iter()
        .map(|read| ValueRead { name: read.name.to_string(), value: read.value.to_string() });
    Said { is: is.to_owned(), why, reads: reads.collect() }
}
