//! `dormouse doctor`.

mod ports;

use crate::context::Context;
use crate::failure::FAILED;
use control::FindingLevel;
use std::process::ExitCode;

/// Ends with 1 when something is missing.
pub(super) async fn doctor(context: &Context) -> anyhow::Result<ExitCode> {
    let mut doctor = context.client.doctor().await?;
    doctor.findings.extend(ports::findings(&context.client).await?);
    context.show(&doctor, |doctor| {
        let mut lines = Vec::new();
        for finding in &doctor.findings {
            lines.push(format!(
                "{:8}  {}: {}",
                word(finding.level),
                finding.check,
                finding.message
            ));
            lines.extend(finding.hint.iter().map(|hint| format!("          hint: {hint}")));
        }
        lines.join("\n")
    })?;
    let is_missing = doctor.findings.iter().any(|f| f.level == FindingLevel::Missing);
    Ok(if is_missing { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

const fn word(level: FindingLevel) -> &'static str {
    match level {
        FindingLevel::Ok => "ok",
        FindingLevel::Degraded => "degraded",
        FindingLevel::Missing => "missing",
    }
}
