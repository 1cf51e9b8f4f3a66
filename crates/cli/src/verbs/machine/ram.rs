//! `dormouse machine ram`.

use crate::args::MachineArg;
use crate::context::Context;
use crate::output;

pub(super) async fn ram(context: &Context, args: &MachineArg) -> anyhow::Result<()> {
    let found = context.find(args).await?;
    let ram = context.client.ram(&found.app, &found.id).await?;
    context.show(&ram, |ram| {
        let mib = |mib: u64| format!("{mib} MiB");
        output::pairs(&[("limit", mib(ram.limit_mb)), ("unused", mib(ram.available_mb))])
    })
}
