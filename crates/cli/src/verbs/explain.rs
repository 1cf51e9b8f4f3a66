//! `dormouse explain` and `dormouse wake`: why a machine is as it is.

use crate::args::MachineArg;
use crate::context::Context;
use crate::output::{self, one_line};
use api::contract::selfhood::{Explanation, WakeReply};
use std::process::ExitCode;

pub(super) async fn explain(context: &Context, machine: &MachineArg) -> anyhow::Result<ExitCode> {
    let found = context.find(machine).await?;
    let why = context.client.explain(&found.app, &found.id).await?;
    context.show(&why, text)?;
    Ok(ExitCode::SUCCESS)
}

/// The sentence first.
pub(super) fn text(why: &Explanation) -> String {
    let mut lines = vec![one_line(&why.sentence)];
    lines.extend(why.woken.iter().map(|woken| format!("  last woken {}", one_line(woken))));
    lines.extend(why.because.iter().map(|line| format!("  {}", one_line(line))));
    lines.join("\n")
}

pub(super) async fn wake(context: &Context, machine: &MachineArg) -> anyhow::Result<ExitCode> {
    let found = context.find(machine).await?;
    let wake = context.client.last_wake(&found.app, &found.id).await?;
    context.show(&wake, wake_text)?;
    Ok(ExitCode::SUCCESS)
}

fn wake_text(reply: &WakeReply) -> String {
    let Some(wake) = &reply.wake else { return "it was never woken".to_owned() };
    let yes_no = |is| if is { "yes" } else { "no" }.to_owned();
    let cause = serde_json::to_value(&wake.cause).unwrap_or_default();
    let (word, of) =
        (cause["cause"].as_str().unwrap_or_default(), ["rule", "alarm", "peer", "actor"]);
    let of = of.iter().find_map(|field| cause[field].as_str());
    output::pairs(&[
        ("cause", of.map_or_else(|| word.to_owned(), |of| format!("{word} {}", one_line(of)))),
        ("at", wake.at.to_string()),
        ("governed", yes_no(wake.governed)),
        ("came up", yes_no(wake.reached)),
        ("cold", yes_no(wake.cold)),
        ("progress", yes_no(wake.progressed)),
        ("over", yes_no(wake.ended)),
    ])
}
