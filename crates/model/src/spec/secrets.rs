//! Which secrets of its app a machine gets.

use super::MachineSpec;
use serde::{Deserialize, Serialize};

/// The secrets of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretsSpec {
    /// The version of the app's secrets that it gets for as long as it has this configuration; zero
    /// is before the first secret. Source: machines-api 1.9.
    #[serde(default)]
    pub version: u64,
    /// Which of them are variables of its program.
    #[serde(default)]
    pub env: SecretsEnv,
}

/// Which secrets are variables of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretsEnv {
    /// Every secret of the app, under its own name.
    #[default]
    All,
    /// These.
    Only(Vec<SecretVariable>),
}

/// A secret as a variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVariable {
    /// Name of the variable.
    pub env_var: String,
    /// Name of the secret.
    pub name: String,
}

impl SecretsEnv {
    /// No secret at all.
    #[must_use]
    pub const fn none() -> Self {
        Self::Only(Vec::new())
    }
}

impl MachineSpec {
    /// Secrets that it names: without them it cannot be what it should be.
    pub fn named_secrets(&self) -> impl Iterator<Item = &str> {
        let variables = match &self.secrets.env {
            SecretsEnv::All => &[],
            SecretsEnv::Only(variables) => variables.as_slice(),
        };
        let files = self.files.iter().filter_map(|file| file.secret.as_deref());
        variables.iter().map(|variable| variable.name.as_str()).chain(files)
    }

    /// Whether a start needs any secret.
    #[must_use]
    pub fn uses_secrets(&self) -> bool {
        self.secrets.version > 0
            && (self.secrets.env == SecretsEnv::All || self.named_secrets().next().is_some())
    }
}
