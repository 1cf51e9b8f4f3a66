//! `dormouse alarm …`: what wakes a machine by the clock.

use super::memory::show_written;
use crate::args::MachineArg;
use crate::context::Context;
use crate::output;
use crate::values;
use api::contract::selfhood::{Alarm, AlarmMissed, AlarmPut, Alarms, Moment, Span};
use clap::{Args, Subcommand, ValueEnum};
use std::process::ExitCode;

/// What to do with alarms.
#[derive(Debug, Subcommand)]
pub(crate) enum AlarmVerb {
    /// Set an alarm, or replace the one of this name
    Set(SetArgs),
    /// Remove an alarm
    Drop(NamedArgs),
    /// List the alarms of a machine, those of its policy too
    #[command(visible_alias = "ls")]
    List(MachineArg),
    /// Acknowledge one firing of an alarm in the machine's place
    Ack(NamedArgs),
}

/// Which alarm, and when.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("when").required(true).args(["at", "every", "cron"]))]
pub(crate) struct SetArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Its name
    name: String,
    /// Once: `+90s`, `09:00` (the next, UTC), or RFC 3339
    #[arg(long, value_name = "WHEN", value_parser = values::moment)]
    at: Option<Moment>,
    /// Again and again, this far apart, e.g. `15m`
    #[arg(long, value_name = "SPAN", value_parser = values::span)]
    every: Option<Span>,
    /// Minute, hour, day of month, month, day of week, e.g. `0 2 * * *`
    #[arg(long, value_name = "PATTERN")]
    cron: Option<String>,
    /// The time zone of `--cron`, e.g. `Europe/Rome`; UTC by default
    #[arg(long, value_name = "ZONE", conflicts_with_all = ["at", "every"])]
    tz: Option<String>,
    /// What becomes of firings that nobody was there for
    #[arg(long, value_enum, default_value_t = Missed::Once)]
    missed: Missed,
}

/// What becomes of missed firings.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Missed {
    /// They are forgotten
    Skip,
    /// However many there were, it fires once
    Once,
    /// It fires for each
    All,
}

/// Which alarm.
#[derive(Debug, Args)]
pub(crate) struct NamedArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Its name
    name: String,
}

pub(super) async fn alarm(context: &Context, verb: &AlarmVerb) -> anyhow::Result<ExitCode> {
    match verb {
        AlarmVerb::Set(args) => {
            let found = context.find(&args.machine).await?;
            let wish = args.wish();
            let written =
                context.client.put_alarm(&found.app, &found.id, &args.name, &wish).await?;
            show_written(context, &written)?;
        }
        AlarmVerb::Drop(args) => {
            let found = context.find(&args.machine).await?;
            let written = context.client.drop_alarm(&found.app, &found.id, &args.name).await?;
            show_written(context, &written)?;
        }
        AlarmVerb::List(machine) => {
            let found = context.find(machine).await?;
            let alarms = context.client.alarms(&found.app, &found.id).await?;
            context.show(&alarms, table)?;
        }
        AlarmVerb::Ack(args) => {
            let found = context.find(&args.machine).await?;
            let written = context.client.ack_alarm(&found.app, &found.id, &args.name).await?;
            show_written(context, &written)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl SetArgs {
    fn wish(&self) -> AlarmPut {
        AlarmPut {
            at: self.at.map(|at| at.to_string()),
            every: self.every,
            cron: self.cron.clone(),
            tz: self.tz.clone(),
            missed: Some(match self.missed {
                Missed::Skip => AlarmMissed::Skip,
                Missed::Once => AlarmMissed::Once,
                Missed::All => AlarmMissed::All,
            }),
        }
    }
}

fn table(alarms: &Alarms) -> String {
    let row = |(name, alarm): (&String, &Alarm)| {
        let next = alarm.next.map(|at| at.to_string()).unwrap_or_default();
        let due = alarm.due.map(|due| format!("since {}", due.since)).unwrap_or_default();
        [name.clone(), next, due, pattern(alarm), alarm.origin.clone()]
    };
    let rows: Vec<_> = alarms.alarms.iter().map(row).collect();
    output::table(["ALARM", "NEXT", "DUE", "WHEN", "OF"], &rows)
}

fn pattern(alarm: &Alarm) -> String {
    let at = alarm.at.as_ref().map(|at| format!("at {at}"));
    let every = alarm.every.map(|span| format!("every {}", span.0));
    let zone = alarm.tz.as_ref().map(|zone| format!(" {zone}")).unwrap_or_default();
    let cron = alarm.cron.as_ref().map(|cron| format!("cron {cron}{zone}"));
    at.or(every).or(cron).unwrap_or_default()
}
