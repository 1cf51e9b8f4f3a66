//! `dormouse machine ps`.

use crate::args::MachineArg;
use crate::context::Context;
use crate::output;

pub(super) async fn ps(context: &Context, args: &MachineArg) -> anyhow::Result<()> {
    let found = context.find(args).await?;
    let processes = context.client.processes(&found.app, &found.id).await?;
    context.show(&processes, |processes| {
        let rows: Vec<_> = processes
            .iter()
            .map(|process| {
                let ports: Vec<_> = process
                    .listen_sockets
                    .iter()
                    .map(|s| format!("{}/{}", s.address, s.proto))
                    .collect();
                [
                    process.pid.to_string(),
                    process.cpu.to_string(),
                    output::bytes(process.rss),
                    format!("{} s", process.rtime),
                    ports.join(" "),
                    process.command.clone(),
                ]
            })
            .collect();
        output::table(["PID", "CPU%", "RSS", "AGE", "LISTENS", "COMMAND"], &rows)
    })
}
