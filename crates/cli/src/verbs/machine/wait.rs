//! `dormouse machine wait`.

use crate::args::MachineArg;
use crate::context::Context;
use api::contract::GoDuration;
use clap::Args;
use std::time::{Duration, Instant};

/// Longest wait of one request, in seconds.
const REQUEST_MAX_S: u64 = 60;

/// Which machine, for what.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Any of these: started, stopped, suspended, destroyed, failed, settled
    #[arg(default_value = "started")]
    states: Vec<String>,
    /// Longest wait
    #[arg(long, short, default_value = "60s")]
    timeout: GoDuration,
}

pub(super) async fn wait(context: &Context, args: &WaitArgs) -> anyhow::Result<()> {
    let found = context.find(&args.machine).await?;
    let states: Vec<&str> = args.states.iter().map(String::as_str).collect();
    let deadline = Instant::now() + args.timeout.to_ms().to_std();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let seconds = left.as_secs().clamp(1, REQUEST_MAX_S);
        match context.client.wait(&found.app, &found.id, &states, seconds).await {
            Err(error)
                if error.code() == Some("wait_timeout") && left > Duration::from_secs(seconds) => {}
            other => {
                let reply = other?;
                return context.show(&reply, |reply| reply.state.clone());
            }
        }
    }
}
