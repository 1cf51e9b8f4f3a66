//! `dormouse trace`: what was written, refused and decided.

use crate::args::MachineArg;
use crate::context::{Context, Found};
use crate::output::one_line;
use api::contract::moment::rfc3339;
use api::contract::selfhood::{Replays, TraceCheck, TraceEntry};
use clap::{Args, ValueEnum};
use govern::Stance;
use serde::Serialize;
use std::process::ExitCode;

/// Of which machine, and what to do with it.
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Check it instead of printing it
    check: Option<Check>,
    /// Go on with new entries
    #[arg(long, short, conflicts_with = "check")]
    follow: bool,
    /// How many entries, the newest, at most 1000
    #[arg(long, short = 'n', default_value_t = 20, conflicts_with = "check")]
    tail: u32,
    /// Only this entry, with `replay`
    #[arg(long, value_name = "N", requires = "check")]
    seq: Option<u64>,
}

/// How a trace is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Check {
    /// Whether every entry is as it was written
    Verify,
    /// Whether every decision comes out the same once more
    Replay,
}

pub(super) async fn trace(context: &Context, args: &TraceArgs) -> anyhow::Result<ExitCode> {
    let found = context.find(&args.machine).await?;
    match args.check {
        Some(Check::Verify) => verify(context, &found).await,
        Some(Check::Replay) => replay(context, &found, args.seq).await,
        None if args.follow => follow(context, &found, args.tail).await,
        None => {
            let page = context.client.trace_tail(&found.app, &found.id, args.tail).await?;
            for entry in &page.entries {
                print(context, entry)?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn follow(context: &Context, found: &Found, tail: u32) -> anyhow::Result<ExitCode> {
    let mut entries = context.client.follow_trace(&found.app, &found.id, tail).await?;
    while let Some(entry) = entries.next().await? {
        print(context, &entry)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(context: &Context, entry: &TraceEntry) -> anyhow::Result<()> {
    context.show(entry, line)
}

/// An entry in a line: number, time, who, what, revision, outcome.
fn line(entry: &TraceEntry) -> String {
    let body = &entry.body;
    let (actor, action) = (body.actor.to_string(), word(&body.action));
    let mut what = Vec::new();
    what.extend(body.refused.as_ref().map(|code| format!("refused ({code})")));
    what.extend(body.changes.iter().map(|change| one_line(change)));
    what.extend(body.decision.as_ref().map(stance));
    let what = what.join("; ");
    let (seq, at, revision) = (entry.seq, rfc3339(entry.at), body.rev_after);
    format!("{seq:>5}  {at}  {actor:9} {action:9} r{revision}  {what}").trim_end().to_owned()
}

/// A decision in words.
fn stance(stance: &Stance) -> String {
    let behind = |by: &Option<String>| {
        by.as_ref().map(|by| format!(" (`{}`)", one_line(by))).unwrap_or_default()
    };
    match stance {
        Stance::Up { by } => format!("up: {by}"),
        Stance::Owed { by, gate, gate_by } => {
            format!("owed: {by}, but {}{}", word(gate), behind(gate_by))
        }
        Stance::Down { by, depth } => format!("{}: {by}", word(depth)),
        Stance::Kept { by, gate, gate_by } => {
            format!("kept up: {by}, but {}{}", word(gate), behind(gate_by))
        }
        Stance::Held { by } => format!("held: {by}"),
        Stance::Stay => "stay".to_owned(),
    }
}

/// The word that stands for a value in JSON.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

async fn verify(context: &Context, found: &Found) -> anyhow::Result<ExitCode> {
    let check = context.client.verify_trace(&found.app, &found.id).await?;
    context.show(&check, check_text)?;
    Ok(if check.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_text(check: &TraceCheck) -> String {
    match &check.broken {
        Some(broken) => format!("broken at entry {}: {}", broken.seq, one_line(&broken.why)),
        None if check.entries == 0 => "there are no entries".to_owned(),
        None => format!(
            "{} entries hold, from {} to {}\nhead {}",
            check.entries, check.first, check.head.seq, check.head.hash
        ),
    }
}

async fn replay(context: &Context, found: &Found, seq: Option<u64>) -> anyhow::Result<ExitCode> {
    let replays = context.client.replay_trace(&found.app, &found.id, seq).await?;
    context.show(&replays, replay_text)?;
    Ok(if replays.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn replay_text(replays: &Replays) -> String {
    let mut lines = Vec::new();
    for replay in replays.replays.iter().filter(|replay| replay.outcome != "agrees") {
        lines.push(format!("entry {}: {}", replay.seq, replay.outcome));
        lines.extend(replay.differences.iter().map(|d| format!("  {}", one_line(&d.to_string()))));
    }
    lines.push(match (replays.agreed, replays.differed) {
        (0, 0) => "there is no decision to make again".to_owned(),
        (agreed, 0) => format!("{agreed} decisions, the same once more"),
        (agreed, differed) => format!("{agreed} decisions the same, {differed} different"),
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{TraceEntry, check_text, line, replay_text};
    use api::contract::selfhood::{BrokenEntry, Replayed, Replays, TraceCheck};
    use serde_json::json;

    #[track_caller]
    fn check(body: serde_json::Value, expected: &str) {
        let zeros = format!("sha256:{}", "0".repeat(64));
        let mut entry = json!({
            "seq": 7, "at": 1_795_255_200_000_u64, "boot": "01234567-89ab-cdef-0123-456789abcdef",
            "prev_hash": zeros, "hash": zeros, "rev_before": 3, "rev_after": 4,
        });
        let fields = body.as_object().expect("an object").clone();
        entry.as_object_mut().expect("an object").extend(fields);
        let entry: TraceEntry = serde_json::from_value(entry).expect("an entry");
        assert_eq!(line(&entry), expected);
    }

    #[test]
    fn entries_are_lines() {
        check(
            json!({"actor": "self", "action": "memory", "changes": ["a = 1", "b\u{1b} removed"]}),
            "    7  2026-11-21T10:00:00Z  self      memory    r4  a = 1; b\\u{1b} removed",
        );
        check(
            json!({"actor": "token:ci", "action": "rest", "refused": "self_rights", "changes": ["no"]}),
            "    7  2026-11-21T10:00:00Z  token:ci  rest      r4  refused (self_rights); no",
        );
    }

    #[test]
    fn checks_say_where() {
        let broken = Some(BrokenEntry { seq: 3, why: "its hash is another".to_owned() });
        let check = TraceCheck { broken, ..TraceCheck::default() };
        assert_eq!(check_text(&check), "broken at entry 3: its hash is another");
        let differs = Replayed { seq: 9, outcome: "differs".to_owned(), ..Replayed::default() };
        let replays = Replays { agreed: 1, differed: 1, replays: vec![differs], ok: false };
        assert_eq!(replay_text(&replays), "entry 9: differs\n1 decisions the same, 1 different");
    }
}
