//! `dormouse machine events`.

use crate::args::MachineArg;
use crate::context::Context;
use crate::output;
use api::contract::Event;
use api::contract::events::MachineEvent;
use api::contract::moment::rfc3339;
use clap::Args;
use model::UnixMs;

/// Which machine, how many.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// How many, at most 50
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: u64,
    /// Each event as it happens, from now on
    #[arg(long, short, conflicts_with = "limit")]
    follow: bool,
}

pub(super) async fn events(context: &Context, args: &EventsArgs) -> anyhow::Result<()> {
    let found = context.find(&args.machine).await?;
    if args.follow {
        return follow(context, &found.app, Some(&found.id)).await;
    }
    let events = context.client.events(&found.app, &found.id, args.limit).await?;
    context.show(&events, |events| event_table(events))
}

/// Prints what happens to the machines of an app, or to one of them, until it can happen no more.
pub(in crate::verbs) async fn follow(
    context: &Context,
    app: &str,
    id: Option<&str>,
) -> anyhow::Result<()> {
    let mut events = context.client.follow_events(app, id, None).await?;
    while let Some(happened) = events.next().await? {
        context.show(&happened, line)?;
    }
    Ok(())
}

fn line(happened: &MachineEvent) -> String {
    let MachineEvent { machine_id, event } = happened;
    let at = rfc3339(UnixMs(event.timestamp));
    let words = [&at, machine_id, &event.r#type, &event.status, &detail(event)];
    words.map(String::as_str).join("  ").trim_end().to_owned()
}

/// Events as a table, newest first.
pub(super) fn event_table(events: &[Event]) -> String {
    let row = |event: &Event| {
        [
            rfc3339(UnixMs(event.timestamp)),
            event.r#type.clone(),
            event.status.clone(),
            event.source.clone(),
            detail(event),
        ]
    };
    let rows: Vec<_> = events.iter().map(row).collect();
    output::table(["AT", "EVENT", "STATE", "BY", "DETAIL"], &rows)
}

/// How a run ended, or why something failed.
fn detail(event: &Event) -> String {
    let Some(exit) = event.request.as_ref().map(|request| &request["exit_event"]) else {
        return event.message.clone().unwrap_or_default();
    };
    let mut words = vec![format!("exit code {}", exit["exit_code"])];
    for (field, word) in
        [("oom_killed", "out of RAM"), ("requested_stop", "as asked"), ("restarting", "restarting")]
    {
        if exit[field] == true {
            words.push(word.to_owned());
        }
    }
    words.extend(event.message.clone());
    words.join(", ")
}
