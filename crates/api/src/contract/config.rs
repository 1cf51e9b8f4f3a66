//! `MachineConfig` as it is written on the wire.
//!
//! Every field is optional because `null` and absence are the same. Fields that are stored for later
//! (metrics) or refused (see `docs/api-fields.md`) stay raw JSON.

use super::duration::GoDuration;
use super::egress::Egress;
use super::service::{Check, Service};
use super::signal::Signal;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// What a machine should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MachineConfig {
    /// Image reference; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Environment on top of the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, Option<String>>>,
    /// What to run.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub init: Option<Init>,
    /// Size; excludes `size`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub guest: Option<Guest>,
    /// Name of a size, e.g. `shared-cpu-2x`; excludes `guest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, Option<String>>>,
    /// What happens after the program ends.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub restart: Option<Restart>,
    /// How the program is asked to stop.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub stop_config: Option<StopConfig>,
    /// Destroy the machine when it has stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_destroy: Option<bool>,
    /// The machine's disk.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub rootfs: Option<Rootfs>,
    /// Files written before each start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<File>>,
    /// Name resolution.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub dns: Option<Dns>,
    /// Processes; one is taken as the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<Vec<Process>>,
    /// `auto` or `container` (our addition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The machine's policy document (our addition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Value>,
    /// When it sleeps deeper (our addition).
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub deepen: Option<Deepen>,
    /// Where it may speak to beyond its own network (our addition).
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub egress: Option<Egress>,
    /// `hourly`, `daily`, `weekly`, `monthly`: starts it so often, counted from its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,

    /// What it serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<Service>>,
    /// How one finds out whether it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<BTreeMap<String, Option<Check>>>,
    /// Stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Value>,

    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mounts: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statics: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standbys: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_drive: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot: Option<Value>,
}

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Init {
    /// Replaces entrypoint and command entirely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<Vec<String>>,
    /// Replaces the image's entrypoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Give the program a terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<bool>,
    /// Run the program as PID 1 of a child namespace; decided by its name when absent (our
    /// addition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid1: Option<bool>,
    /// `user[:group]` (our addition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory (our addition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_size_mb: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_args: Option<Value>,
}

/// Size of a guest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Guest {
    /// `shared` or `performance`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_kind: Option<String>,
    /// CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// RAM in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u32>,
    /// Balloon ceiling; must equal `memory_mb`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_memory_mb: Option<u32>,
    /// The old place of `rootfs.persist`: a word, or 0 to 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persist_rootfs: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_kind: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_dedication_id: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_args: Option<Value>,
}

/// What happens after the program ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Restart {
    /// `no`, `on-failure`, `always`; empty is unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Restarts within five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_bid_price: Option<Value>,
}

/// How the program is asked to stop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StopConfig {
    /// The signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// Time to obey, at most 300 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
}

/// When a machine that sleeps goes deeper, counted from the moment it fell asleep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Deepen {
    /// Its RAM goes to disk after so long, at least 1 s and at most 365 days (8760h).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend_after: Option<GoDuration>,
    /// It is stopped after so long; within the same bounds, and longer than `suspend_after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<GoDuration>,
}

/// The machine's disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Rootfs {
    /// `never`, `restart`, `always`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persist: Option<String>,
    /// Logical size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_gb: Option<u32>,
    /// Another name for `size_gb`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fs_size_gb: Option<u32>,
}

/// A file written before each start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct File {
    /// Absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_path: Option<String>,
    /// Content as base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_value: Option<String>,
    /// Permission bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// The secret of the app that holds the content as base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_config: Option<Value>,
}

/// Name resolution.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Dns {
    /// Servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nameservers: Option<Vec<String>>,
    /// Search list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searches: Option<Vec<String>>,
    /// Resolver options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<DnsOption>>,
    /// Host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Stored: names of machines come with the resolver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_registration: Option<bool>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname_fqdn: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_forward_rules: Option<Value>,
}

/// An option of the resolver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DnsOption {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A process of a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Process {
    /// As in [`Init`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<Vec<String>>,
    /// As in [`Init`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// As in [`Init`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// `user[:group]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// On top of the machine's environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, Option<String>>>,
    /// Variables that hold a fact of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_from: Option<Vec<EnvFrom>>,
    /// The only secrets of the app that it gets; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<Secret>>,
    /// It gets no secrets but those listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_app_secrets: Option<bool>,
}

/// A fact of the machine as a variable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EnvFrom {
    /// Name of the variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_var: Option<String>,
    /// `id`, `version`, `app_name`, `private_ip`, `region`, `image`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<String>,
}

/// A secret as a variable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Secret {
    /// Name of the variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_var: Option<String>,
    /// Name of the secret; that of the variable when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Reads an object or `null`. Derived readers alone would take a list for an object, too.
pub(super) fn object<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct ObjectOrNull<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOrNull<T> {
        type Value = Option<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_unit<E>(self) -> Result<Option<T>, E> {
            Ok(None)
        }
        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Option<T>, A::Error> {
            T::deserialize(MapAccessDeserializer::new(fields)).map(Some)
        }
    }
    from.deserialize_any(ObjectOrNull(PhantomData))
}
