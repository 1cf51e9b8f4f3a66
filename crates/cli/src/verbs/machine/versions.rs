//! `dormouse machine versions`.

use crate::args::MachineArg;
use crate::context::Context;
use crate::output;

pub(super) async fn versions(context: &Context, args: &MachineArg) -> anyhow::Result<()> {
    let found = context.find(args).await?;
    let versions = context.client.versions(&found.app, &found.id).await?;
    context.show(&versions, |versions| {
        let image = |config: &serde_json::Value| {
            config["image"].as_str().map(output::one_line).unwrap_or_default()
        };
        let rows: Vec<_> = versions
            .iter()
            .map(|version| [version.version.clone(), image(&version.user_config)])
            .collect();
        output::table(["VERSION", "IMAGE"], &rows)
    })
}
