//! Secrets of apps: what they may be, and how a machine gets them.

use crate::error::ControlError;
use crate::inner::Inner;
use crate::vault::Place;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::spec::MachineSpec;
use model::spec::secrets::SecretsEnv;
use model::{AppName, UnixMs};
use std::collections::BTreeMap;
use std::fmt;
use store::MachineRecord;

/// Secrets of one app: more would not fit into an environment either.
pub const SECRETS_MAX: usize = 256;

/// Longest value, in bytes: half of what Linux gives one variable, so that it fits with its name.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Bytes of all secrets of an app, sealed: so they fit into the environment of a program, which has
/// about 2 MiB with its arguments.
pub const SECRETS_BYTES_MAX: usize = 1024 * 1024;

/// Longest name of a secret.
const NAME_BYTES_MAX: usize = 128;

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AppSecret {
    /// Its name.
    pub name: String,
    /// Tells this value from others without showing it.
    pub digest: String,
    /// Its value, where it may be shown.
    pub value: Option<String>,
    /// When a secret of this name was first set.
    pub created_at: UnixMs,
    /// When it got this value.
    pub updated_at: UnixMs,
}

impl fmt::Debug for AppSecret {
    /// Without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppSecret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The secrets of an app at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSecrets {
    /// The version.
    pub version: u64,
    /// By name.
    pub secrets: Vec<AppSecret>,
}

/// What the secrets of a machine's app are for one run of it.
#[derive(Clone, Default)]
pub(crate) struct RunSecrets {
    /// Variables of its program.
    pub(crate) env: BTreeMap<String, String>,
    /// Contents of its files, as base64, by the name of the secret.
    pub(crate) files: BTreeMap<String, String>,
}

impl fmt::Debug for RunSecrets {
    /// Without values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunSecrets").field("env", &self.env.keys()).finish_non_exhaustive()
    }
}

/// Where an app's secret of this name belongs.
pub(crate) fn place<'a>(app: &'a AppName, name: &'a str) -> Place<'a> {
    Place { kind: "secret", app: app.as_str(), name }
}

/// Whether it can be a variable of a program.
pub(crate) fn is_secret_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// Refuses a secret that is to be a file and is no base64. Source: machines-api 2.8.
pub(crate) fn expect_file(name: &str, value: &str) -> Result<(), ControlError> {
    match STANDARD.decode(value.trim_ascii()) {
        Ok(_) => Ok(()),
        Err(_no_base64) => Err(ControlError::Unfit {
            code: "invalid_secret_value",
            message: format!("Validation failed: the secret `{name}` is no file: it is not base64"),
            hint: "a secret that is written into a file holds its content as base64".to_owned(),
        }),
    }
}

/// The secrets that a run of the machine gets.
///
/// # Errors
/// [`ControlError::Sealed`] when they cannot be opened or are not there any more.
pub(crate) fn of_run(inner: &Inner, record: &MachineRecord) -> Result<RunSecrets, ControlError> {
    let spec = &record.spec;
    if !spec.uses_secrets() {
        return Ok(RunSecrets::default());
    }
    let stored = inner.store.read(|r| r.app_secrets(&record.app, spec.secrets.version))?;
    let mut values = BTreeMap::new();
    for secret in stored {
        if is_wanted(spec, &secret.name) {
            let value = inner.vault.open_text(place(&record.app, &secret.name), &secret.sealed)?;
            values.insert(secret.name, value);
        }
    }
    let value_of = |name: &str| {
        values.get(name).cloned().ok_or_else(|| ControlError::Sealed {
            message: format!("the secret `{name}` that the machine was made with is gone"),
        })
    };
    let files = spec.files.iter().filter_map(|file| file.secret.as_deref());
    let files = files.map(|name| Ok((name.to_owned(), value_of(name)?.trim().to_owned())));
    let files = files.collect::<Result<_, ControlError>>()?;
    let env = match &spec.secrets.env {
        SecretsEnv::Only(variables) => variables
            .iter()
            .map(|variable| Ok((variable.env_var.clone(), value_of(&variable.name)?)))
            .collect::<Result<_, ControlError>>()?,
        SecretsEnv::All => values,
    };
    Ok(RunSecrets { env, files })
}

fn is_wanted(spec: &MachineSpec, name: &str) -> bool {
    spec.secrets.env == SecretsEnv::All || spec.named_secrets().any(|named| named == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_variables() {
        for name in ["A", "_x", "DATABASE_URL", "a1", &"n".repeat(NAME_BYTES_MAX)] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["", "1A", "A-B", "A=B", "A B", "ä", "A\0", &"n".repeat(NAME_BYTES_MAX + 1)] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn a_file_is_base64() {
        for value in ["", "aGk=", " aGk=\n"] {
            assert!(expect_file("A", value).is_ok(), "{value}");
        }
        assert!(expect_file("A", "hi there").is_err());
    }
}
