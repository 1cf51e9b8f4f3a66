//! `dormouse inbox …`: messages to a machine.

use super::memory::show_written;
use crate::args::MachineArg;
use crate::context::Context;
use crate::output::{self, one_line};
use anyhow::Context as _;
use api::contract::selfhood::{Message, Post, Written};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::io::{Read as _, stdin};
use std::process::ExitCode;

/// Longest body that is read from standard input: longer ones are refused, but not before the daemon
/// has said so.
const BODY_MAX_BYTES: u64 = 1 << 20;

/// What to do with messages.
#[derive(Debug, Subcommand)]
pub(crate) enum InboxVerb {
    /// Post a message
    Post(PostArgs),
    /// List the messages that wait, without delivering them
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Acknowledge messages in the machine's place
    Ack(AckArgs),
    /// List messages that were delivered five times and never acknowledged
    Dead(DeadArgs),
}

/// Which message.
#[derive(Debug, Args)]
pub(crate) struct PostArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// The text; `-` is standard input
    body: String,
    /// Posting it twice is posting it once
    #[arg(long)]
    id: Option<String>,
    /// It wakes the machine, even without a rule that reads the inbox
    #[arg(long)]
    wake: bool,
}

/// Which messages.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Only those after this number
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
    /// How many, at most 100
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: u32,
}

/// Which messages.
#[derive(Debug, Args)]
pub(crate) struct AckArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Their numbers
    #[arg(required = true, value_name = "SEQ")]
    seqs: Vec<u64>,
}

/// How many.
#[derive(Debug, Args)]
pub(crate) struct DeadArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// How many, the newest, at most 100
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: u32,
}

pub(super) async fn inbox(context: &Context, verb: &InboxVerb) -> anyhow::Result<ExitCode> {
    match verb {
        InboxVerb::Post(args) => post(context, args).await?,
        InboxVerb::List(args) => {
            let found = context.find(&args.machine).await?;
            let (app, id) = (&found.app, &found.id);
            let page = context.client.inbox(app, id, args.after, args.limit).await?;
            context.show(&page, |page| table(&page.messages))?;
        }
        InboxVerb::Ack(args) => {
            let found = context.find(&args.machine).await?;
            let acked = context.client.ack_messages(&found.app, &found.id, &args.seqs).await?;
            context.show(&acked, |acked| format!("{} messages wait", acked.depth))?;
        }
        InboxVerb::Dead(args) => {
            let found = context.find(&args.machine).await?;
            let dead = context.client.dead_letters(&found.app, &found.id, args.limit).await?;
            context.show(&dead, |dead| table(&dead.messages))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn post(context: &Context, args: &PostArgs) -> anyhow::Result<()> {
    let body = match args.body.as_str() {
        "-" => standard_input()?,
        text => text.to_owned(),
    };
    let message = Post {
        body: Value::String(body),
        id: args.id.clone(),
        wake: args.wake.then_some(true),
        hops: None,
    };
    let found = context.find(&args.machine).await?;
    let posted = context.client.post_message(&found.app, &found.id, &message).await?;
    if context.is_json {
        return context.show(&posted, |_| String::new());
    }
    output::line(&format!("message {}", posted.seq))?;
    if !posted.new {
        output::notice("it had been posted before");
        return Ok(());
    }
    show_written(context, &Written { revision: posted.revision })
}

fn standard_input() -> anyhow::Result<String> {
    let mut text = String::new();
    stdin().lock().take(BODY_MAX_BYTES).read_to_string(&mut text).context("cannot read a text")?;
    Ok(text)
}

fn table(messages: &[Message]) -> String {
    let row = |message: &Message| {
        [
            message.seq.to_string(),
            message.at.to_string(),
            message.from.clone(),
            message.deliveries.to_string(),
            if message.wake { "yes".to_owned() } else { String::new() },
            one_line(&message.body),
        ]
    };
    let rows: Vec<_> = messages.iter().map(row).collect();
    output::table(["SEQ", "AT", "FROM", "DELIVERED", "WAKES", "TEXT"], &rows)
}
