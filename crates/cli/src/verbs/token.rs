//! `dormouse token create|list|revoke`.

use crate::context::Context;
use crate::output;
use api::contract::host::CreateDeployToken;
use api::contract::{CreateToken, GoDuration, TokenInfo};
use clap::Subcommand;
use std::process::ExitCode;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Make a token; it is shown this once
    Create {
        /// Who will use it; shown in events
        name: String,
        /// Only this app
        #[arg(long, short)]
        app: Option<String>,
        /// Only this machine, by id
        #[arg(long, short)]
        machine: Option<String>,
        /// May look, but not change
        #[arg(long)]
        read_only: bool,
        /// Its life, e.g. `24h`; for ever by default
        #[arg(long)]
        ttl: Option<GoDuration>,
    },
    /// Make a token that may operate one app and nothing else
    Deploy {
        /// The app
        app: String,
        /// Its life, e.g. `24h`; for ever by default
        #[arg(long)]
        ttl: Option<GoDuration>,
    },
    /// List tokens, without their secrets
    #[command(visible_alias = "ls")]
    List,
    /// Withdraw a token
    Revoke {
        /// Its id
        id: String,
    },
}

pub(super) async fn token(context: &Context, verb: &TokenVerb) -> anyhow::Result<ExitCode> {
    match verb {
        TokenVerb::Create { name, app, machine, read_only, ttl } => {
            let rights = if *read_only { "read" } else { "operate" };
            let wish = CreateToken {
                name: name.clone(),
                app: app.clone(),
                machine: machine.clone(),
                rights: Some(rights.to_owned()),
                ttl: *ttl,
            };
            let created = context.client.create_token(&wish).await?;
            context.show(&created, |created| created.token.clone())?;
        }
        TokenVerb::Deploy { app, ttl } => {
            let wish = CreateDeployToken { expiry: *ttl };
            let created = context.client.create_deploy_token(app, &wish).await?;
            context.show(&created, |created| created.token.clone())?;
        }
        TokenVerb::List => {
            let tokens = context.client.tokens().await?;
            context.show(&tokens, |tokens| {
                let row = |token: &TokenInfo| {
                    let expires = token.expires_at.clone().unwrap_or_else(|| "never".to_owned());
                    let (scope, rights) = (token.scope.clone(), token.rights.clone());
                    [token.id.clone(), token.name.clone(), scope, rights, expires]
                };
                let rows: Vec<_> = tokens.iter().map(row).collect();
                output::table(["ID", "NAME", "SCOPE", "RIGHTS", "EXPIRES"], &rows)
            })?;
        }
        TokenVerb::Revoke { id } => context.client.revoke_token(id).await?,
    }
    Ok(ExitCode::SUCCESS)
}
