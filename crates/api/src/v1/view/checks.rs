//! How checks went, as answers show it. Source: machines-api 2.7 and 3.1.

use crate::contract::CheckStatus;
use crate::contract::moment::rfc3339;
use control::{CheckHealth as Health, CheckResult};
use model::spec::service::Check;
use model::{State, UnixMs};
use std::collections::BTreeMap;
use store::{MachineRecord, MachineSummary};

/// What is known of each check of the machine; `None` when it has none. A result of an earlier run
/// says nothing of this one.
pub(in crate::v1) fn checks(
    record: &MachineRecord,
    mut results: BTreeMap<String, CheckResult>,
) -> Option<Vec<CheckStatus>> {
    let of_services = record.spec.services.iter().flat_map(|service| &service.checks);
    let all: Vec<&Check> = record.spec.checks.iter().chain(of_services).collect();
    let begun_at = begun_at(&record.machine.state);
    let status = |check: &&Check| {
        let result = results.remove(&check.name);
        let since = begun_at.unwrap_or(record.updated_at);
        match result.filter(|result| begun_at.is_some_and(|begun| begun <= result.at)) {
            Some(result) => status(&check.name, result),
            None => unknown(&check.name, begun_at.is_some(), since),
        }
    };
    (!all.is_empty()).then(|| all.iter().map(status).collect())
}

/// The same in a list, where configurations are not read: results alone.
pub(in crate::v1) fn checks_of_summary(
    summary: &MachineSummary,
    results: BTreeMap<String, CheckResult>,
) -> Option<Vec<CheckStatus>> {
    let is_up = summary.state == "started";
    let status = |(name, result): (String, CheckResult)| match is_up {
        true => status(&name, result),
        false => unknown(&name, false, summary.updated_at),
    };
    (!results.is_empty()).then(|| results.into_iter().map(status).collect())
}

/// When the run began that checks are about; `None`: there is none.
fn begun_at(state: &State) -> Option<UnixMs> {
    match state {
        State::Started { run } | State::Resting { run, .. } => Some(run.accepted_at),
        _ => None,
    }
}

fn status(name: &str, result: CheckResult) -> CheckStatus {
    let status = match result.health {
        Health::Passing => "passing",
        Health::Warning => "warning",
        Health::Critical => "critical",
    };
    CheckStatus {
        name: name.to_owned(),
        status: status.to_owned(),
        output: result.output,
        updated_at: rfc3339(result.at),
    }
}

fn unknown(name: &str, is_up: bool, since: UnixMs) -> CheckStatus {
    let output = if is_up { "it was not checked yet" } else { "the machine is not started" };
    CheckStatus {
        name: name.to_owned(),
        status: "warning".to_owned(),
        output: output.to_owned(),
        updated_at: rfc3339(since),
    }
}
