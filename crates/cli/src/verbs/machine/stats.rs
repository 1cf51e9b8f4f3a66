//! `dormouse machine stats`.

use crate::args::MachineArg;
use crate::context::Context;
use crate::output;
use std::time::Duration;

pub(super) async fn stats(context: &Context, args: &MachineArg) -> anyhow::Result<()> {
    let found = context.find(args).await?;
    let usage = context.client.stats(&found.app, &found.id).await?;
    context.show(&usage, |usage| {
        let cpu = Duration::from_micros(usage.cpu_us).as_secs_f64();
        let (ram, limit) = (output::bytes(usage.ram_bytes), output::bytes(usage.ram_limit_bytes));
        output::pairs(&[
            ("cpu", format!("{cpu:.3} s")),
            ("ram", format!("{ram} of {limit}")),
            ("pids", usage.pids.to_string()),
            ("received", output::bytes(usage.rx_bytes)),
            ("sent", output::bytes(usage.tx_bytes)),
            ("disk", output::bytes(usage.disk_bytes)),
        ])
    })
}
