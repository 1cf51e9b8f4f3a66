//! `dormouse machine show`.

use super::events::event_table;
use crate::args::MachineArg;
use crate::context::Context;
use crate::output;
use api::contract::Machine;

pub(super) async fn show(context: &Context, args: &MachineArg) -> anyhow::Result<()> {
    let found = context.find(args).await?;
    let machine = context.client.machine(&found.app, &found.id).await?;
    context.show(&machine, |machine| {
        let events = machine.events.as_deref().unwrap_or_default();
        format!("{}\n\n{}", facts(machine), event_table(events))
    })
}

fn facts(machine: &Machine) -> String {
    let image =
        machine.image_ref.as_ref().map(|i| format!("{}:{} {}", i.repository, i.tag, i.digest));
    let mut facts = vec![
        ("id", machine.id.clone()),
        ("name", machine.name.clone()),
        ("app", machine.app_name.clone()),
        ("state", machine.state.clone()),
        ("engine", machine.engine.clone()),
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
    output::pairs(&facts)
}
