//! `dormouse self …`: all that a machine remembers.

use super::memory::{show_written, value};
use crate::args::MachineArg;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, one_line};
use anyhow::Context as _;
use api::contract::selfhood::{Export, Whole};
use clap::{Args, Subcommand};
use std::fs::File;
use std::io::{Read as _, Write as _, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Largest export that is read: what the daemon takes.
const EXPORT_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What to do with a self.
#[derive(Debug, Subcommand)]
pub(crate) enum SelfVerb {
    /// Show everything at once
    Show(MachineArg),
    /// Write all that a machine remembers, but its secrets, as JSON
    Export(ExportArgs),
    /// Put an export in the place of what a machine remembers
    Import(ImportArgs),
}

/// Of which machine, where to.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// The file, which must not be there yet; standard output by default
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Into which machine, where from.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// The file; `-` is standard input
    file: PathBuf,
}

pub(super) async fn selfhood(context: &Context, verb: &SelfVerb) -> anyhow::Result<ExitCode> {
    match verb {
        SelfVerb::Show(machine) => {
            let found = context.find(machine).await?;
            let whole = context.client.whole_self(&found.app, &found.id).await?;
            context.show(&whole, text)?;
        }
        SelfVerb::Export(args) => {
            let found = context.find(&args.machine).await?;
            let export = context.client.export_self(&found.app, &found.id).await?;
            match &args.output {
                Some(file) => write(file, &export)?,
                None => output::json(&export)?,
            }
        }
        SelfVerb::Import(args) => {
            let export = read(&args.file)?;
            let found = context.find(&args.machine).await?;
            let written = context.client.import_self(&found.app, &found.id, &export).await?;
            show_written(context, &written)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write(file: &Path, export: &Export) -> anyhow::Result<()> {
    let made = File::create_new(file).and_then(|mut made| {
        made.write_all(&serde_json::to_vec(export)?)?;
        made.sync_all()
    });
    made.with_context(|| format!("cannot write `{}`", file.display()))
}

fn read(file: &Path) -> anyhow::Result<Export> {
    let mut bytes = Vec::new();
    let read = match file.to_str() {
        Some("-") => stdin().lock().take(EXPORT_MAX_BYTES).read_to_end(&mut bytes),
        _ => File::open(file).and_then(|f| f.take(EXPORT_MAX_BYTES).read_to_end(&mut bytes)),
    };
    read.with_context(|| format!("cannot read `{}`", file.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("`{}` is no export: {error}", file.display());
        Failure::new(message, "take what `dormouse self export` wrote, unchanged").into()
    })
}

fn text(whole: &Whole) -> String {
    let when = |name: &str, is: bool| is.then(|| name.to_owned());
    let facts = whole.memory.iter().map(|(key, fact)| format!("{key}={}", value(fact)));
    let signals = &whole.signals;
    let signals = [
        signals.last_exit.map(|code| format!("last exit {code}")),
        when("out of RAM", signals.oom),
        when("resumed cold", signals.resumed_cold),
        (signals.wake_failures > 0).then(|| format!("{} failed wakes", signals.wake_failures)),
        (signals.wakes_without_progress > 0)
            .then(|| format!("{} wakes without progress", signals.wakes_without_progress)),
    ];
    let names = |names: &mut dyn Iterator<Item = &String>| {
        one_line(&names.cloned().collect::<Vec<_>>().join(", "))
    };
    let line = whole.decision.as_ref().map(|decision| one_line(&decision.line));
    output::pairs(&[
        ("machine", format!("{} {}", whole.machine, whole.name)),
        ("state", whole.state.clone()),
        ("revision", whole.revision.to_string()),
        ("objective", one_line(&whole.intent.objective)),
        ("phase", one_line(&whole.intent.phase)),
        ("memory", one_line(&facts.collect::<Vec<_>>().join(", "))),
        ("inbox", format!("{} messages, {} dead", whole.inbox.depth, whole.inbox.dead)),
        ("holds", names(&mut whole.holds.keys())),
        ("alarms", names(&mut whole.alarms.keys())),
        ("signals", signals.into_iter().flatten().collect::<Vec<_>>().join(", ")),
        ("policy", whole.policy.as_ref().map(|policy| policy.hash.clone()).unwrap_or_default()),
        ("decision", line.unwrap_or_default()),
        ("rest", whole.rest.as_ref().map(|rest| rest.name.clone()).unwrap_or_default()),
        ("trace", format!("{} to {}", whole.trace.first, whole.trace.seq)),
    ])
}
