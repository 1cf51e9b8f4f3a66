//! `dormouse machine labels`.

use crate::args::MachineArg;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use api::contract::MetadataChange;
use clap::Args;
use std::collections::BTreeMap;

/// Which machine, and what to change.
#[derive(Debug, Args)]
pub(crate) struct LabelsArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Set a label; may be repeated
    #[arg(long, short, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Remove a label; may be repeated
    #[arg(long, short, value_name = "KEY")]
    unset: Vec<String>,
    /// Only if this is its version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<String>,
}

/// Shows the labels as they are then.
pub(super) async fn labels(context: &Context, args: &LabelsArgs) -> anyhow::Result<()> {
    let found = context.find(&args.machine).await?;
    if !args.set.is_empty() || !args.unset.is_empty() {
        let metadata = changes(args)?;
        let change = MetadataChange { metadata, machine_version: args.if_version.clone() };
        context.client.merge_metadata(&found.app, &found.id, &change).await?;
    }
    let labels = context.client.metadata(&found.app, &found.id).await?;
    context.show(&labels, |labels| {
        let rows: Vec<_> =
            labels.iter().map(|(key, value)| [key.clone(), output::one_line(value)]).collect();
        output::table(["LABEL", "VALUE"], &rows)
    })
}

fn changes(args: &LabelsArgs) -> Result<BTreeMap<String, Option<String>>, Failure> {
    let set = args.set.iter().map(|entry| match entry.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), Some(value.to_owned()))),
        None => Err(Failure::new(
            format!("label `{entry}` has no value"),
            "write it like `--set role=worker`; `--unset` removes one",
        )),
    });
    set.chain(args.unset.iter().map(|key| Ok((key.clone(), None)))).collect()
}
