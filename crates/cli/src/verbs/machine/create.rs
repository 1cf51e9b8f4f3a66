//! `dormouse machine create`, and the options that `run` shares with it.

use super::egress::EgressArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::images;
use crate::pull::Watcher;
use anyhow::Context as _;
use api::contract::config::{Guest, Init, MachineConfig, Restart, Rootfs};
use api::contract::{CreateMachine, Machine};
use clap::Args;
use client::Client;
use std::path::PathBuf;

/// What a machine should be.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Wish {
    /// Its name; drawn by default
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A variable of its environment; from the caller's own without `=VALUE`
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// What runs it: container, microvm, or auto, which is a microvm where KVM runs guests
    #[arg(long)]
    engine: Option<String>,
    /// CPUs
    #[arg(long)]
    cpus: Option<u32>,
    /// RAM in MiB
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// After the program ends: no, on-failure or always
    #[arg(long, value_name = "POLICY")]
    pub(crate) restart: Option<String>,
    /// Program instead of the image's entrypoint
    #[arg(long, value_name = "FILE")]
    entrypoint: Option<String>,
    /// User and group of the program
    #[arg(long, short, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Working directory of the program
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,
    /// Give the program a terminal
    #[arg(long)]
    tty: bool,
    /// Size of its disk in GiB
    #[arg(long, value_name = "GIB")]
    disk: Option<u32>,
    /// A label
    #[arg(long, short, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Policy by which it governs its own sleep, JSON
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    egress: EgressArgs,
}

impl Wish {
    /// The configuration for `image` running `command` (the image's own when empty).
    pub(crate) fn config(&self, image: &str, command: &[String]) -> anyhow::Result<MachineConfig> {
        let words = |words: &[String]| (!words.is_empty()).then(|| words.to_vec());
        let init = Init {
            entrypoint: self.entrypoint.as_ref().map(|file| vec![file.clone()]),
            cmd: words(command),
            tty: self.tty.then_some(true),
            user: self.user.clone(),
            working_dir: self.workdir.clone(),
            ..Init::default()
        };
        let guest = Guest { cpus: self.cpus, memory_mb: self.memory, ..Guest::default() };
        let restart =
            |policy: &String| Restart { policy: Some(policy.clone()), ..Restart::default() };
        let rootfs = |gib| Rootfs { size_gb: Some(gib), ..Rootfs::default() };
        Ok(MachineConfig {
            image: Some(image.to_owned()),
            env: unless_empty(
                self.env.iter().map(|entry| variable(entry)).collect::<Result<Vec<_>, _>>()?,
            ),
            init: (init != Init::default()).then_some(init),
            engine: self.engine.clone(),
            guest: (guest != Guest::default()).then_some(guest),
            restart: self.restart.as_ref().map(restart),
            rootfs: self.disk.map(rootfs),
            policy: self.policy.as_deref().map(read_json).transpose()?,
            egress: self.egress.rules(),
            metadata: unless_empty(
                self.label.iter().map(|entry| label(entry)).collect::<Result<Vec<_>, _>>()?,
            ),
            ..MachineConfig::default()
        })
    }
}

type Pair = (String, Option<String>);

fn unless_empty(pairs: Vec<Pair>) -> Option<std::collections::BTreeMap<String, Option<String>>> {
    (!pairs.is_empty()).then(|| pairs.into_iter().collect())
}

/// `NAME=VALUE`, or `NAME` with the caller's own value (none if unset).
fn variable(entry: &str) -> Result<Pair, Failure> {
    match entry.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
        None => Ok((entry.to_owned(), std::env::var(entry).ok())),
    }
}

fn label(entry: &str) -> Result<Pair, Failure> {
    let (key, value) = entry.split_once('=').ok_or_else(|| {
        Failure::new(format!("label `{entry}` has no value"), "write it like `--label role=worker`")
    })?;
    Ok((key.to_owned(), Some(value.to_owned())))
}

/// A machine to create.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// App it belongs to; made when missing
    #[arg(long, short, default_value = "default", env = "DORMOUSE_APP", hide_env_values = true)]
    app: String,
    /// Prepare it, but do not start it
    #[arg(long)]
    skip_launch: bool,
    /// Configuration as JSON instead of the options below; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with = "image")]
    config: Option<PathBuf>,
    #[command(flatten)]
    wish: Wish,
    /// Image
    #[arg(required_unless_present = "config")]
    image: Option<String>,
    /// Command, instead of the image's own
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(super) async fn create(context: &Context, args: &CreateArgs) -> anyhow::Result<()> {
    ensure_app(context, &args.app).await?;
    let machine = match &args.config {
        Some(file) => {
            let config = read_json(file)?;
            let client = client_for(context, config["image"].as_str().unwrap_or_default()).await?;
            let body = serde_json::json!({
                "config": config, "name": args.wish.name, "skip_launch": args.skip_launch,
            });
            client.create_machine_raw(&args.app, &body).await?
        }
        None => {
            let image = args.image.as_deref().unwrap_or_default();
            let config = args.wish.config(image, &args.command)?;
            create_with(context, &args.app, &args.wish, config, args.skip_launch).await?
        }
    };
    context.show(&machine, |machine| machine.id.clone())
}

/// The client that creates machines from `image`, which is pulled first when it is not here.
pub(super) async fn client_for(context: &Context, image: &str) -> anyhow::Result<Client> {
    let watcher = if context.is_json { Watcher::Nobody } else { Watcher::Person };
    images::ready_for(&context.client, image, watcher).await
}

/// Creates the machine that `config` describes; its image is pulled first when it is not here.
pub(crate) async fn create_with(
    context: &Context,
    app: &str,
    wish: &Wish,
    config: MachineConfig,
    skip_launch: bool,
) -> anyhow::Result<Machine> {
    let client = client_for(context, config.image.as_deref().unwrap_or_default()).await?;
    let body = CreateMachine {
        config: Some(config),
        name: wish.name.clone(),
        skip_launch: Some(skip_launch),
        ..CreateMachine::default()
    };
    Ok(client.create_machine(app, &body).await?)
}

/// Makes the app when it is missing.
pub(crate) async fn ensure_app(context: &Context, app: &str) -> anyhow::Result<()> {
    match context.client.app(app).await {
        Err(error) if error.code() == Some("app_not_found") => {
            match context.client.create_app(app).await {
                // Somebody else was faster.
                Err(error) if error.code() == Some("name_taken") => Ok(()),
                other => Ok(other.map(|_| ())?),
            }
        }
        other => Ok(other.map(|_| ())?),
    }
}

pub(super) fn read_json(file: &std::path::Path) -> anyhow::Result<serde_json::Value> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))
}

#[cfg(test)]
mod tests {
    use super::Wish;

    #[test]
    fn options_become_a_configuration() {
        let wish = Wish {
            env: vec!["A=1=2".to_owned(), "DORMOUSE_SURELY_UNSET".to_owned()],
            cpus: Some(2),
            memory: Some(512),
            restart: Some("no".to_owned()),
            entrypoint: Some("/bin/sh".to_owned()),
            label: vec!["role=worker".to_owned()],
            ..Wish::default()
        };
        let config = wish.config("demo", &["-c".to_owned(), "true".to_owned()]).expect("valid");
        assert_eq!(
            serde_json::to_value(&config).expect("plain"),
            serde_json::json!({
                "image": "demo", "env": {"A": "1=2", "DORMOUSE_SURELY_UNSET": null},
                "init": {"entrypoint": ["/bin/sh"], "cmd": ["-c", "true"]},
                "guest": {"cpus": 2, "memory_mb": 512}, "restart": {"policy": "no"},
                "metadata": {"role": "worker"}
            })
        );
        let bare = Wish::default().config("demo", &[]).expect("valid");
        assert_eq!(
            serde_json::to_value(&bare).expect("plain"),
            serde_json::json!({"image": "demo"})
        );
        assert!(
            Wish { label: vec!["x".to_owned()], ..Wish::default() }.config("demo", &[]).is_err()
        );
    }
}
