//! `dormouse hook …`: paths under which any service can post to a machine's inbox, and what machines
//! tell others.

use crate::args::MachineArg;
use crate::context::Context;
use crate::output;
use crate::values;
use anyhow::Context as _;
use api::contract::hooks::{
    Hook, HookSecret, HookSignature, OldSecret, PutHook, RotateHook, RotateSigningSecret,
    SigningSecret,
};
use api::contract::selfhood::{Letter, Span};
use clap::{Args, Subcommand, ValueEnum};
use control::SignatureScheme;
use std::fs::File;
use std::io::{Read as _, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Longest secret that is read from a file; the daemon says whether it is too long.
const SECRET_MAX_BYTES: u64 = 4096;

/// What to do with hooks.
#[derive(Debug, Subcommand)]
pub(crate) enum HookVerb {
    /// Make a hook, or change the one of this name
    Set(SetArgs),
    /// List the hooks of an app
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Remove a hook
    #[command(visible_alias = "rm")]
    Remove(RemoveArgs),
    /// Give a hook another secret; the one before still counts for a while
    Rotate(RotateArgs),
    /// Show what signs the notifications of an app, or change it
    Secret(SecretArgs),
    /// List the notifications of a machine that wait to be delivered
    Outbox(MachineArg),
}

/// Which machine, how.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Its name, the last part of its path
    name: String,
    /// Its messages wait until a rule, or something else, wakes the machine
    #[arg(long)]
    no_wake: bool,
    /// Posts are signed with a secret that is drawn, and shown this once
    #[arg(long, conflicts_with = "secret_file")]
    draw_secret: bool,
    /// Posts are signed with the secret in this file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// How they are signed
    #[arg(long, value_enum)]
    scheme: Option<Scheme>,
    /// Header with the signature, for `hmac-…`
    #[arg(long, requires = "scheme")]
    header: Option<String>,
    /// What stands before the signature in it, for `hmac-…`
    #[arg(long, requires = "scheme")]
    prefix: Option<String>,
    /// How far the moment in a post may be from now, for `standard-webhooks`
    #[arg(long, value_name = "SPAN", value_parser = values::span, requires = "scheme")]
    tolerance: Option<Span>,
}

/// How posts are signed.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "kebab-case")]
enum Scheme {
    /// The body, in hex
    #[value(name = "hmac-sha256-hex")]
    Hex,
    /// The body, in base64
    #[value(name = "hmac-sha256-base64")]
    Base64,
    /// Id, moment and body, by the specification of that name
    StandardWebhooks,
    /// The body, as GitHub writes it
    Github,
}

/// Of which app.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// App
    #[arg(long, short, env = "DORMOUSE_APP", hide_env_values = true, default_value = "default")]
    app: String,
}

/// Which hook.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Its name
    name: String,
    /// App
    #[arg(long, short, env = "DORMOUSE_APP", hide_env_values = true, default_value = "default")]
    app: String,
}

/// Which hook, and how its secret is changed.
#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// Its name
    name: String,
    /// App
    #[arg(long, short, env = "DORMOUSE_APP", hide_env_values = true, default_value = "default")]
    app: String,
    /// The secret in this file, instead of one that is drawn; `-` is standard input
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// How long the one before still counts; `0s` ends it at once [default: 1d]
    #[arg(long, value_name = "SPAN", value_parser = values::span)]
    overlap: Option<Span>,
}

/// Of which app, and whether it gets another.
#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    /// App
    #[arg(long, short, env = "DORMOUSE_APP", hide_env_values = true, default_value = "default")]
    app: String,
    /// Draw another; the one before still signs for a while
    #[arg(long)]
    rotate: bool,
    /// How long the one before still signs; `0s` ends it at once [default: 1d]
    #[arg(long, value_name = "SPAN", value_parser = values::span, requires = "rotate")]
    overlap: Option<Span>,
}

pub(super) async fn hook(context: &Context, verb: &HookVerb) -> anyhow::Result<ExitCode> {
    match verb {
        HookVerb::Set(args) => {
            let wish = args.wish()?;
            let found = context.find(&args.machine).await?;
            let wish = PutHook { machine: found.id, ..wish };
            let hook = context.client.put_hook(&found.app, &args.name, &wish).await?;
            context.show(&hook, text)?;
        }
        HookVerb::List(args) => {
            let hooks = context.client.hooks(&args.app).await?;
            context.show(&hooks, |hooks| table(hooks))?;
        }
        HookVerb::Remove(args) => context.client.remove_hook(&args.app, &args.name).await?,
        HookVerb::Rotate(args) => {
            let hook = context.client.rotate_hook(&args.app, &args.name, &args.wish()?).await?;
            context.show(&hook, text)?;
        }
        HookVerb::Secret(args) => {
            let secret = match args.rotate {
                false => context.client.signing_secret(&args.app).await?,
                true => {
                    let wish = RotateSigningSecret { overlap: args.overlap };
                    context.client.rotate_signing_secret(&args.app, &wish).await?
                }
            };
            context.show(&secret, secret_text)?;
        }
        HookVerb::Outbox(machine) => {
            let found = context.find(machine).await?;
            let outbox = context.client.outbox(&found.app, &found.id).await?;
            context.show(&outbox, |outbox| letters(&outbox.letters))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl SetArgs {
    /// All but the machine.
    fn wish(&self) -> anyhow::Result<PutHook> {
        let secret = match &self.secret_file {
            Some(file) => Some(HookSecret::Given(read(file)?)),
            None => self.draw_secret.then_some(HookSecret::Draw { generate: true }),
        };
        let signature = self.scheme.map(|scheme| HookSignature {
            scheme: scheme.into(),
            header: self.header.clone(),
            prefix: self.prefix.clone(),
            tolerance: self.tolerance,
        });
        Ok(PutHook { machine: String::new(), wake: Some(!self.no_wake), secret, signature })
    }
}

impl RotateArgs {
    fn wish(&self) -> anyhow::Result<RotateHook> {
        let secret = self.secret_file.as_deref().map(read).transpose()?.map(HookSecret::Given);
        Ok(RotateHook { secret, overlap: self.overlap })
    }
}

impl From<Scheme> for SignatureScheme {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Hex => Self::HmacSha256Hex,
            Scheme::Base64 => Self::HmacSha256Base64,
            Scheme::StandardWebhooks => Self::StandardWebhooks,
            Scheme::Github => Self::Github,
        }
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => stdin().lock().take(SECRET_MAX_BYTES).read_to_string(&mut text),
        _ => File::open(file).and_then(|f| f.take(SECRET_MAX_BYTES).read_to_string(&mut text)),
    };
    read.with_context(|| format!("cannot read `{}`", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn text(hook: &Hook) -> String {
    let mut lines = vec![format!("POST {}", hook.path)];
    lines.extend(hook.secret.iter().map(|secret| format!("secret {secret}")));
    lines.extend(hook.old_secrets.iter().map(old_text));
    lines.join("\n")
}

fn secret_text(known: &SigningSecret) -> String {
    let mut lines = vec![known.secret.clone()];
    lines.extend(known.old_secrets.iter().map(old_text));
    lines.join("\n")
}

fn old_text(old: &OldSecret) -> String {
    format!("the one before counts until {}", old.until)
}

fn letters(letters: &[Letter]) -> String {
    let row = |letter: &Letter| {
        [
            letter.rule.clone(),
            letter.to.clone(),
            letter.at.to_string(),
            letter.attempts.to_string(),
            letter.next_at.to_string(),
            letter.last_code.clone().unwrap_or_default(),
            letter.last_error.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = letters.iter().map(row).collect();
    output::table(["RULE", "TO", "AT", "TRIES", "NEXT", "CODE", "LAST ERROR"], &rows)
}

fn table(hooks: &[Hook]) -> String {
    let row = |hook: &Hook| {
        let scheme = hook.signature.as_ref().map(|signature| {
            let word = serde_json::to_value(signature.scheme).unwrap_or_default();
            word.as_str().unwrap_or_default().to_owned()
        });
        [
            hook.name.clone(),
            hook.machine.clone(),
            if hook.wake { "yes" } else { "no" }.to_owned(),
            scheme.unwrap_or_else(|| "none".to_owned()),
            hook.path.clone(),
        ]
    };
    let rows: Vec<_> = hooks.iter().map(row).collect();
    output::table(["HOOK", "MACHINE", "WAKES", "SIGNED", "PATH"], &rows)
}
