//! `dormouse secret-key …`: keys of an app that sign or encrypt without ever leaving.

use super::secret::AppArg;
use crate::context::Context;
use crate::output;
use anyhow::Context as _;
use api::contract::bytes::Bytes;
use api::contract::secret_keys::{SetSecretKey, UseSecretKey};
use clap::Subcommand;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretKeyVerb {
    /// List keys
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        app: AppArg,
    },
    /// Draw a key, or another one in its place
    Generate {
        #[command(flatten)]
        app: AppArg,
        /// Its name
        name: String,
        /// Its kind: hs256, hs384, hs512, es256, nacl_auth, nacl_sign sign; xaes256gcm, nacl_box,
        /// nacl_secretbox encrypt
        kind: String,
    },
    /// Bring a key
    Set {
        #[command(flatten)]
        app: AppArg,
        /// Its name
        name: String,
        /// Its kind, as above
        kind: String,
        /// File with its bytes
        file: PathBuf,
    },
    /// Sign a file; prints the signature as base64
    Sign {
        #[command(flatten)]
        app: AppArg,
        /// Name of the key
        name: String,
        /// What is signed
        file: PathBuf,
    },
    /// Hold a signature against a file
    Verify {
        #[command(flatten)]
        app: AppArg,
        /// Name of the key
        name: String,
        /// What was signed
        file: PathBuf,
        /// The signature as base64
        signature: String,
    },
    /// Encrypt a file; prints the ciphertext as base64
    Encrypt {
        #[command(flatten)]
        app: AppArg,
        /// Name of the key
        name: String,
        /// What is encrypted
        file: PathBuf,
    },
    /// Decrypt what `encrypt` printed; prints the bytes themselves
    Decrypt {
        #[command(flatten)]
        app: AppArg,
        /// Name of the key
        name: String,
        /// The ciphertext as base64
        ciphertext: String,
    },
    /// Remove a key
    Rm {
        #[command(flatten)]
        app: AppArg,
        /// Its name
        name: String,
    },
}

pub(super) async fn secret_key(
    context: &Context,
    verb: &SecretKeyVerb,
) -> anyhow::Result<ExitCode> {
    let client = &context.client;
    match verb {
        SecretKeyVerb::List { app } => {
            let keys = client.secret_keys(&app.app).await?.secret_keys;
            context.show(&keys, |keys| {
                let rows: Vec<_> = keys
                    .iter()
                    .map(|key| [key.name.clone(), key.r#type.clone(), key.updated_at.clone()])
                    .collect();
                output::table(["NAME", "TYPE", "UPDATED"], &rows)
            })?;
        }
        SecretKeyVerb::Generate { app, name, kind } => {
            set(context, app, name, kind, None).await?;
        }
        SecretKeyVerb::Set { app, name, kind, file } => {
            set(context, app, name, kind, Some(bytes_of(file)?)).await?;
        }
        SecretKeyVerb::Sign { app, name, file } => {
            let what = UseSecretKey { plaintext: Some(bytes_of(file)?), ..UseSecretKey::default() };
            let signed = client.sign_with_secret_key(&app.app, name, &what).await?;
            context.show(&signed, |signed| base64(&signed.signature))?;
        }
        SecretKeyVerb::Verify { app, name, file, signature } => {
            let signature = of_base64(signature).context("the signature is not base64")?;
            let what = UseSecretKey {
                plaintext: Some(bytes_of(file)?),
                signature: Some(signature),
                ..UseSecretKey::default()
            };
            client.verify_with_secret_key(&app.app, name, &what).await?;
            context.show(&true, |_| "the signature is right".to_owned())?;
        }
        SecretKeyVerb::Encrypt { app, name, file } => {
            let what = UseSecretKey { plaintext: Some(bytes_of(file)?), ..UseSecretKey::default() };
            let encrypted = client.encrypt_with_secret_key(&app.app, name, &what).await?;
            context.show(&encrypted, |encrypted| base64(&encrypted.ciphertext))?;
        }
        SecretKeyVerb::Decrypt { app, name, ciphertext } => {
            let ciphertext = of_base64(ciphertext).context("the ciphertext is not base64")?;
            let what = UseSecretKey { ciphertext: Some(ciphertext), ..UseSecretKey::default() };
            let decrypted = client.decrypt_with_secret_key(&app.app, name, &what).await?;
            if context.is_json {
                context.show(&decrypted, |_| String::new())?;
            } else {
                std::io::stdout().write_all(&decrypted.plaintext.0)?;
            }
        }
        SecretKeyVerb::Rm { app, name } => {
            let version = client.remove_secret_key(&app.app, name).await?;
            context.show(&version, |version| format!("version {}", version.version))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn set(
    context: &Context,
    app: &AppArg,
    name: &str,
    kind: &str,
    value: Option<Bytes>,
) -> anyhow::Result<()> {
    let wish = SetSecretKey { r#type: Some(kind.to_owned()), value };
    let set = context.client.set_secret_key(&app.app, name, &wish).await?;
    context.show(&set, |set| set.key.public_key.as_ref().map(base64).unwrap_or_default())
}

fn bytes_of(file: &Path) -> anyhow::Result<Bytes> {
    let read = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    read.map(Bytes)
}

fn of_base64(text: &str) -> Result<Bytes, serde_json::Error> {
    serde_json::from_value(text.into())
}

/// As the API writes bytes.
fn base64(bytes: &Bytes) -> String {
    let text = serde_json::to_value(bytes).unwrap_or_default();
    text.as_str().unwrap_or_default().to_owned()
}
