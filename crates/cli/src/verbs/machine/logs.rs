//! `dormouse machine logs`.

use crate::args::MachineArg;
use crate::context::Context;
use crate::output;
use clap::Args;
use control::LogLine;
use std::io::{self, Write as _};

/// Which machine, which lines.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Go on with new lines
    #[arg(long, short)]
    follow: bool,
    /// Only the last lines
    #[arg(long, short = 'n', default_value_t = 100, value_name = "LINES")]
    tail: u64,
    /// With the time of each line
    #[arg(long, short)]
    timestamps: bool,
}

pub(super) async fn logs(context: &Context, args: &LogsArgs) -> anyhow::Result<()> {
    let found = context.find(&args.machine).await?;
    let mut lines = context.client.logs(&found.app, &found.id, args.tail, args.follow).await?;
    while let Some(line) = lines.next().await? {
        print(context.is_json, args.timestamps, &line)?;
    }
    Ok(())
}

/// A line on the stream it came from.
pub(in crate::verbs) fn print(is_json: bool, with_time: bool, line: &LogLine) -> io::Result<()> {
    if is_json {
        return output::json(line);
    }
    let time = if with_time { format!("{} ", line.at) } else { String::new() };
    let end = if line.is_partial { "" } else { "\n" };
    let text = format!("{time}{}{end}", line.text);
    match line.stream.as_str() {
        "stderr" => io::stderr().lock().write_all(text.as_bytes()),
        _ => {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()
        }
    }
}
