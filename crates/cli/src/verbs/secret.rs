//! `dormouse secret …`: secrets of an app.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use anyhow::Context as _;
use api::contract::secrets::{AppSecret, SetAppSecrets};
use clap::{Args, Subcommand};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretVerb {
    /// List secrets, without their values
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        app: AppArg,
        /// With their values
        #[arg(long)]
        show: bool,
    },
    /// Set secrets; machines get them with their next configuration
    Set {
        #[command(flatten)]
        app: AppArg,
        /// A secret: its value itself, in a file, or on stdin (`-`)
        #[arg(required = true, value_name = "NAME=VALUE|NAME=@FILE|NAME=-")]
        secrets: Vec<String>,
    },
    /// Remove secrets
    Unset {
        #[command(flatten)]
        app: AppArg,
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// The app.
#[derive(Clone, Debug, Args)]
pub(crate) struct AppArg {
    /// App they belong to
    #[arg(long, short, default_value = "default", env = "DORMOUSE_APP", hide_env_values = true)]
    pub(super) app: String,
}

pub(super) async fn secret(context: &Context, verb: &SecretVerb) -> anyhow::Result<ExitCode> {
    match verb {
        SecretVerb::List { app, show } => {
            let list = context.client.secrets(&app.app, *show).await?;
            context.show(&list.secrets, |secrets| table(secrets, *show))?;
        }
        SecretVerb::Set { app, secrets } => {
            let values = secrets.iter().map(|entry| value(entry)).collect::<anyhow::Result<_>>()?;
            set(context, &app.app, values).await?;
        }
        SecretVerb::Unset { app, names } => {
            let values = names.iter().map(|name| (name.clone(), None)).collect();
            set(context, &app.app, values).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn set(
    context: &Context,
    app: &str,
    values: BTreeMap<String, Option<String>>,
) -> anyhow::Result<()> {
    let wish = SetAppSecrets { values: Some(values) };
    let set = context.client.set_secrets(app, &wish).await?;
    context.show(&set, |set| format!("version {}", set.version.version))
}

fn table(secrets: &[AppSecret], shows_values: bool) -> String {
    let row = |secret: &AppSecret| {
        let value = secret.value.as_deref().filter(|_| shows_values).map(output::one_line);
        let (name, digest) = (secret.name.clone(), secret.digest.clone());
        [name, digest, secret.updated_at.clone(), value.unwrap_or_default()]
    };
    let rows: Vec<_> = secrets.iter().map(row).collect();
    output::table(["NAME", "DIGEST", "UPDATED", if shows_values { "VALUE" } else { "" }], &rows)
}

fn value(entry: &str) -> anyhow::Result<(String, Option<String>)> {
    let (name, value) = entry.split_once('=').ok_or_else(|| {
        Failure::new(
            format!("secret `{entry}` has no value"),
            "write it like `NAME=VALUE`; `NAME=-` reads it from stdin",
        )
    })?;
    let value = match value.strip_prefix('@') {
        Some(file) => {
            std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?
        }
        None if value == "-" => {
            std::io::read_to_string(std::io::stdin()).context("cannot read stdin")?
        }
        None => value.to_owned(),
    };
    Ok((name.to_owned(), Some(value)))
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn a_value_may_have_anything_in_it() {
        let (name, text) = value("A=b=c").expect("a secret");
        assert_eq!((name.as_str(), text.as_deref()), ("A", Some("b=c")));
        assert!(value("A").is_err() && value("A=@/no/such/file").is_err());
    }
}
