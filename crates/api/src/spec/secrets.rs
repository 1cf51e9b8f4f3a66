//! Which secrets of its app a machine gets.

use crate::contract::config::{MachineConfig, Process};
use crate::problem::Problem;
use model::spec::secrets::{SecretVariable, SecretsEnv, SecretsSpec};

/// What `config` says of secrets; their version is given when the machine gets it.
///
/// A process that lists secrets gets these and no others; `ignore_app_secrets` is an empty list.
/// Source: machines-api 2.6.
pub(super) fn secrets(config: &MachineConfig) -> Result<SecretsSpec, Problem> {
    let process = config.processes.as_deref().unwrap_or_default().first();
    let listed = process.and_then(|process| process.secrets.as_deref()).unwrap_or_default();
    let variables = listed.iter().map(|secret| {
        let env_var = secret.env_var.clone().filter(|name| !name.is_empty());
        let name = secret.name.clone().filter(|name| !name.is_empty()).or_else(|| env_var.clone());
        match (env_var.or_else(|| name.clone()), name) {
            (Some(env_var), Some(name)) if !env_var.contains(['=', '\0']) => {
                Ok(SecretVariable { env_var, name })
            }
            _ => Err(Problem::invalid(
                "invalid_secret",
                "config.processes[].secrets has an entry that names no variable",
            )
            .hint("send `{\"env_var\": \"NAME\"}`, with `name` if the secret is called otherwise")),
        }
    });
    let variables = variables.collect::<Result<Vec<_>, _>>()?;
    let env = match variables.is_empty() {
        true if !ignores_app(process) => SecretsEnv::All,
        true => SecretsEnv::none(),
        false => SecretsEnv::Only(variables),
    };
    Ok(SecretsSpec { version: 0, env })
}

fn ignores_app(process: Option<&Process>) -> bool {
    process.and_then(|process| process.ignore_app_secrets).unwrap_or(false)
}
