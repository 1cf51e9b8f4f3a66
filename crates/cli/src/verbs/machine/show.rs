//! `dormouse machine show`.

use super::events::event_table;
use crate::args::MachineArg;
use crate::context::Context;
use crate::output::{self, one_line};
use api::contract::selfhood::Keeper;
use api::contract::{CheckStatus, Machine};
use serde::Serialize;

/// A machine, and who keeps it awake.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    machine: Machine,
    /// Empty while it is not up.
    awake: Vec<Keeper>,
}

pub(super) async fn show(context: &Context, args: &MachineArg) -> anyhow::Result<()> {
    let found = context.find(args).await?;
    let machine = context.client.machine(&found.app, &found.id).await?;
    let awake = match machine.state.as_str() {
        "started" => context.client.explain(&found.app, &found.id).await?.awake,
        _ => Vec::new(),
    };
    context.show(&Shown { machine, awake }, |shown| {
        let events = shown.machine.events.as_deref().unwrap_or_default();
        format!("{}\n\n{}", facts(shown), event_table(events))
    })
}

fn facts(shown: &Shown) -> String {
    let machine = &shown.machine;
    let image =
        machine.image_ref.as_ref().map(|i| format!("{}:{} {}", i.repository, i.tag, i.digest));
    let mut facts = vec![
        ("id", machine.id.clone()),
        ("name", machine.name.clone()),
        ("app", machine.app_name.clone()),
        ("state", machine.state.clone()),
        ("engine", engine(machine)),
        ("image", image.unwrap_or_default()),
        ("version", machine.version.clone()),
        ("address", machine.private_ip.clone()),
        ("created", machine.created_at.clone()),
        ("updated", machine.updated_at.clone()),
    ];
    if let Some(ipv4) = &machine.private_ipv4 {
        facts.insert(8, ("ipv4", ipv4.clone()));
    }
    if let Some(sleep) = &machine.sleep {
        let ram = output::bytes(sleep.ram_bytes);
        facts.push(("sleep", format!("{} since {}, {ram} of RAM held", sleep.depth, sleep.since)));
    }
    if let Some(failure) = &machine.failure {
        facts.push(("failure", format!("{} ({})", failure.message, failure.code)));
    }
    if machine.cordoned {
        facts.push(("cordoned", "yes".to_owned()));
    }
    let awake = shown.awake.iter().map(|keeper| ("awake for", one_line(&keeper.text)));
    facts.extend(awake);
    if machine.state == "started" && shown.awake.is_empty() {
        facts.push(("awake for", "nobody; it rests when its time has come".to_owned()));
    }
    let checks = machine.checks.iter().flatten().map(|check| ("check", check_text(check)));
    facts.extend(checks);
    output::pairs(&facts)
}

/// With what runs its code, if that is emulated or the host's own.
fn engine(machine: &Machine) -> String {
    match &machine.accel {
        Some(accel) => format!("{} ({accel})", machine.engine),
        None => machine.engine.clone(),
    }
}

fn check_text(check: &CheckStatus) -> String {
    let (name, output) = (one_line(&check.name), one_line(&check.output));
    format!("{name} {}: {output}, since {}", check.status, check.updated_at)
}
