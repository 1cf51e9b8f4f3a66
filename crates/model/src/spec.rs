//! What a machine should be: the parsed, validated form of its configuration.
//!
//! The wire form (`api::contract::MachineConfig`) is checked once and becomes this; nothing below
//! the API parses text again.

pub mod deepen;
pub mod egress;
pub mod secrets;
pub mod service;

use crate::ids::{Digest, MachineId};
use crate::units::DurationMs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The parsed configuration of one machine version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// Image reference as the caller wrote it.
    pub image: String,
    /// What to run, before the image's own defaults are merged in.
    pub program: ProgramSpec,
    /// Size in CPUs and RAM.
    pub guest: GuestSize,
    /// What happens after the program ends by itself.
    pub restart: RestartPolicy,
    /// How the program is asked to stop.
    pub stop: StopConfig,
    /// Destroy the machine when it has stopped.
    pub auto_destroy: bool,
    /// The machine's own disk.
    pub rootfs: RootfsSpec,
    /// Files written before each start.
    pub files: Vec<FileSpec>,
    /// Labels of the owner; never seen by the guest.
    pub metadata: BTreeMap<String, String>,
    /// Host name inside the guest; the machine's id when absent.
    pub hostname: Option<String>,
    /// DNS servers and search list of `/etc/resolv.conf`; empty means the platform's.
    pub dns: DnsSpec,
    /// Engine that runs it; resolved at create, never re-resolved.
    pub engine: EngineKind,
    /// It is a virtual machine because KVM runs guests here, and is not to run without.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_kvm: bool,
    /// What it serves.
    #[serde(default)]
    pub services: Vec<service::Service>,
    /// Checks of the whole machine, beside those of services.
    #[serde(default)]
    pub checks: Vec<service::Check>,
    /// It wants no name in DNS.
    #[serde(default)]
    pub is_hidden_in_dns: bool,
    /// Where it may speak to beyond its network; everywhere when absent.
    #[serde(default)]
    pub egress: Option<egress::EgressPolicy>,
    /// Which secrets of its app it gets.
    #[serde(default)]
    pub secrets: secrets::SecretsSpec,
    /// When it sleeps deeper; as it fell asleep when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deepen: Option<deepen::Deepen>,
}

/// What to run and as whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProgramSpec {
    /// Replaces entrypoint and command entirely.
    pub exec: Option<Vec<String>>,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    pub cmd: Option<Vec<String>>,
    /// Environment on top of the image's.
    pub env: BTreeMap<String, String>,
    /// Variables that hold a fact of the machine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env_from: BTreeMap<String, MachineFact>,
    /// `user[:group]`, names or numbers; the image's when absent.
    pub user: Option<String>,
    /// Working directory; the image's when absent.
    pub working_dir: Option<String>,
    /// Give the program a terminal.
    pub tty: bool,
    /// Run the program as PID 1 of a child namespace: `None` decides by its name (`*/systemd`,
    /// `*/init`).
    pub pid1: Option<bool>,
}

/// A fact of a machine that its program may be told. Source: machines-api 2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineFact {
    /// Its id.
    Id,
    /// Its version.
    Version,
    /// Its app.
    AppName,
    /// Its IPv6 address.
    PrivateIp,
    /// Its region.
    Region,
    /// Its image.
    Image,
}

/// Size of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSize {
    /// `shared` or `performance`.
    pub cpu_kind: CpuKind,
    /// Ceiling in CPUs.
    pub cpus: u32,
    /// RAM in MiB.
    pub memory_mib: u32,
}

/// Class of CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuKind {
    /// Shares cores with others.
    Shared,
    /// Has cores of its own.
    Performance,
}

/// What happens after the program ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// After which exits.
    pub mode: RestartMode,
    /// Restarts within five minutes before the machine stays stopped (`on-failure` only).
    pub max_retries: u32,
}

/// After which exits a machine is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartMode {
    /// Never.
    No,
    /// After a non-zero exit, a signal or out of memory.
    OnFailure,
    /// After every exit that nobody asked for.
    Always,
}

impl Default for RestartPolicy {
    /// `on-failure`, ten times. Source: machines-api 3.6.
    fn default() -> Self {
        Self { mode: RestartMode::OnFailure, max_retries: 10 }
    }
}

/// How the program is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopConfig {
    /// Signal number; `None` takes the image's `StopSignal`, else SIGINT (2).
    pub signal: Option<i32>,
    /// Time to obey before the forced kill; at most [`STOP_TIMEOUT_MAX`].
    pub timeout: DurationMs,
}

/// Longest stop timeout. Source: machines-api 2.1, `stop_config`.
pub const STOP_TIMEOUT_MAX: DurationMs = DurationMs(300_000);

impl Default for StopConfig {
    fn default() -> Self {
        Self { signal: None, timeout: DurationMs(5_000) }
    }
}

/// The machine's own writable disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootfsSpec {
    /// How long it lives.
    pub persist: Persist,
    /// Logical size in GiB.
    pub size_gib: u32,
}

/// How long a machine's disk lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Persist {
    /// Reset at each start.
    Never,
    /// Lives through stop, crash, reboot and updates that keep the image digest.
    Restart,
    /// Pins the base digest.
    Always,
}

impl Default for RootfsSpec {
    fn default() -> Self {
        Self { persist: Persist::Restart, size_gib: 8 }
    }
}

/// A file written into the guest before each start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSpec {
    /// Absolute path in the guest.
    pub guest_path: String,
    /// Content; empty when a secret has it.
    #[serde(with = "bytes_as_text")]
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// The secret of its app that holds the content as base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Name resolution in the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsSpec {
    /// Servers.
    pub nameservers: Vec<String>,
    /// Search list.
    pub searches: Vec<String>,
    /// `name:value` options.
    pub options: Vec<String>,
}

/// What runs a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// Namespaces of the host's kernel.
    Container,
    /// A virtual machine with its own kernel.
    Microvm,
    /// A real engine with knobs for slowness and failure, for tests.
    Fake,
}

impl EngineKind {
    /// Whether it puts RAM on disk. All of them freeze.
    #[must_use]
    pub const fn can_suspend(self) -> bool {
        matches!(self, Self::Microvm)
    }
}

/// Defaults an image brings: the part of its OCI config that a start needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub cmd: Vec<String>,
    /// `Env`, in order, `NAME=value`.
    pub env: Vec<String>,
    /// `User`.
    pub user: String,
    /// `WorkingDir`.
    pub working_dir: String,
    /// `StopSignal`, as a number.
    pub stop_signal: Option<i32>,
    /// `Labels`.
    pub labels: BTreeMap<String, String>,
}

/// An image in the store of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// Host of the registry, or `local` for an imported file.
    pub registry: String,
    /// Repository.
    pub repository: String,
    /// Tag.
    pub tag: String,
    /// Digest of the manifest (of the content, for a plain root file system).
    pub digest: Digest,
}

impl ProgramSpec {
    /// The argument vector after the image's defaults are merged in; may be empty.
    ///
    /// `exec` replaces everything; an overridden entrypoint drops the image's command, as in
    /// Docker. Source: machines-api 2.2.
    #[must_use]
    pub fn argv(&self, image: &ImageConfig) -> Vec<String> {
        if let Some(exec) = &self.exec {
            return exec.clone();
        }
        let entrypoint = self.entrypoint.as_ref().unwrap_or(&image.entrypoint);
        let cmd = match (&self.cmd, &self.entrypoint) {
            (Some(cmd), _) => cmd.as_slice(),
            (None, Some(_)) => &[],
            (None, None) => &image.cmd,
        };
        entrypoint.iter().chain(cmd).cloned().collect()
    }
}

/// Where a machine's disk belongs: derived from its id, so that recovery finds it by name.
#[must_use]
pub fn disk_dir_name(machine: &MachineId) -> String {
    format!("machines/{machine}")
}

mod bytes_as_text {
    //! Bytes as a JSON array of numbers would be large; hex keeps it one plain string.
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&crate::ids::hex_of(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        if !text.len().is_multiple_of(2) || !text.is_ascii() {
            return Err(serde::de::Error::custom("expected an even number of hex digits"));
        }
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).map_err(serde::de::Error::custom))
            .collect()
    }
}
