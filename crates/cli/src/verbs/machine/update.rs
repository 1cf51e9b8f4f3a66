//! `dormouse machine update`.

use super::create::{Wish, client_for, read_json};
use crate::args::MachineArg;
use crate::context::Context;
use crate::failure::Failure;
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Which machine, and what it should be.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Whole configuration as JSON instead of the options below; `-` is stdin
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only if this is its version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<String>,
    /// Do not start it, also when it runs now
    #[arg(long)]
    skip_launch: bool,
    /// Image
    #[arg(long)]
    image: Option<String>,
    #[command(flatten)]
    wish: Wish,
    /// Command, instead of the one it has
    #[arg(last = true)]
    command: Vec<String>,
}

pub(super) async fn update(context: &Context, args: &UpdateArgs) -> anyhow::Result<()> {
    if args.wish.name.is_some() {
        let hint = "leave `--name` out; a new machine may have another one";
        return Err(Failure::new("a machine keeps its name", hint).into());
    }
    let found = context.find(&args.machine).await?;
    let (config, version) = match &args.config {
        Some(file) => (read_json(file)?, args.if_version.clone()),
        None => {
            let now = context.client.machine(&found.app, &found.id).await?;
            let mut config = now.config.unwrap_or_default();
            let image = config["image"].as_str().unwrap_or_default();
            let image = args.image.clone().unwrap_or_else(|| image.to_owned());
            merge(&mut config, serde_json::to_value(args.wish.config(&image, &args.command)?)?);
            // What was changed here must still be what is there.
            (config, Some(args.if_version.clone().unwrap_or(now.version)))
        }
    };
    let client = client_for(context, config["image"].as_str().unwrap_or_default()).await?;
    let body = json!({
        "config": config, "current_version": version, "skip_launch": args.skip_launch,
    });
    let machine = client.update_machine_raw(&found.app, &found.id, &body).await?;
    context.show(&machine, |machine| machine.version.clone())
}

/// A merge patch (RFC 7386): objects are merged, `null` removes, all else replaces.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        match (target.as_object_mut(), value) {
            (Some(fields), Value::Null) => drop(fields.remove(&key)),
            (Some(fields), value) => merge(fields.entry(key).or_insert(Value::Null), value),
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::merge;
    use serde_json::json;

    #[test]
    fn options_change_what_they_name() {
        let mut config = json!({"image": "a", "env": {"A": "1", "B": "2"}, "guest": {"cpus": 1}});
        merge(
            &mut config,
            json!({"image": "a", "env": {"A": null, "C": "3"}, "init": {"cmd": ["x"]}}),
        );
        let expected = json!({"image": "a", "env": {"B": "2", "C": "3"}, "guest": {"cpus": 1},
            "init": {"cmd": ["x"]}});
        assert_eq!(config, expected);
    }
}
