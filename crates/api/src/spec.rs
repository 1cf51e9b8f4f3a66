//! From a configuration as written to a [`MachineSpec`]: checked once, here.
//!
//! Three fates of a field: *understood* (it becomes a part of the spec), *stored* (kept and echoed,
//! because every client sends it and its room is not built yet), *refused* (422: silently ignoring
//! it would break what the caller was promised). Unknown fields are ignored and echoed.
//! `docs/api-fields.md` has the table.

mod deepen;
mod echo;
mod egress;
mod files;
mod governance;
mod guest;
mod program;
mod secrets;
mod services;
mod strict;
mod unsupported;

#[cfg(test)]
mod tests;

use crate::contract::config::{Dns, MachineConfig, Restart, Rootfs, StopConfig};
use crate::problem::Problem;
use axum::http::StatusCode;
use model::DurationMs;
use model::spec::{
    DnsSpec, EngineKind, MachineSpec, Persist, RestartMode, RestartPolicy, RootfsSpec,
    STOP_TIMEOUT_MAX,
};
use serde_json::Value;
use std::collections::BTreeMap;
use strict::Strict;

pub use echo::{Echo, echoed, normalised};
pub use governance::{changed_policy, policy};

/// Longest image reference: a registry's host name, repository and digest fit several times.
const IMAGE_MAX_BYTES: usize = 1024;

/// Largest disk in GiB that can be asked for: 16 TiB, the limit of ext4 with 4 KiB blocks and 32-bit
/// block numbers.
const ROOTFS_MAX_GIB: u32 = 16 * 1024;

/// Reads a raw configuration into its typed form.
///
/// # Errors
/// 400 `wrong_type` with the path of the field.
pub fn parse(raw: &Value) -> Result<MachineConfig, Problem> {
    typed(raw, "config.")
}

/// Reads JSON into `T`; `prefix` begins the path that an error names.
pub(crate) fn typed<T: serde::de::DeserializeOwned>(
    raw: &Value,
    prefix: &str,
) -> Result<T, Problem> {
    if !raw.is_object() {
        return Err(match prefix.trim_end_matches('.') {
            "" => no_object::<T>(raw),
            place => wrong_type(place, "expected an object"),
        });
    }
    serde_path_to_error::deserialize(Strict(raw)).map_err(|error| {
        let place = match error.path().to_string().as_str() {
            "." => prefix.trim_end_matches('.').to_owned(),
            path => format!("{prefix}{path}"),
        };
        wrong_type(&place, error.inner())
    })
}

/// A body that is no object, in the words that clients know. Source: machines-api 1.3.
fn no_object<T>(raw: &Value) -> Problem {
    let kind = match raw {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let wanted = std::any::type_name::<T>().split('<').next().unwrap_or_default();
    let wanted = wanted.rsplit("::").next().unwrap_or_default();
    let (initial, rest) = wanted.split_at_checked(1).unwrap_or_default();
    let text = format!(
        "json: cannot unmarshal {kind} into Go value of type main.{}{rest}",
        initial.to_ascii_lowercase()
    );
    Problem::new(StatusCode::BAD_REQUEST, "wrong_type", text).hint("send one JSON object")
}

fn wrong_type(place: &str, why: impl std::fmt::Display) -> Problem {
    let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
    let text = format!("json: cannot unmarshal {place}{why}");
    Problem::new(StatusCode::BAD_REQUEST, "wrong_type", text)
        .hint("compare the field with the API reference; `null` and absence are the same")
}

/// The checked form of `config`.
///
/// # Errors
/// 400 with the rule that is broken, 422 `unsupported_field`.
pub fn to_spec(config: &MachineConfig) -> Result<MachineSpec, Problem> {
    unsupported::refuse_all(config)?;
    governance::check_schedule(config.schedule.as_deref())?;
    let dns = config.dns.as_ref();
    Ok(MachineSpec {
        image: image(config)?,
        program: program::program(config)?,
        guest: guest::size(config)?,
        restart: restart(config.restart.as_ref())?,
        stop: stop(config.stop_config.as_ref())?,
        auto_destroy: config.auto_destroy.unwrap_or(false),
        rootfs: rootfs(config)?,
        files: files::files(config.files.as_deref().unwrap_or_default())?,
        metadata: present(config.metadata.as_ref()),
        hostname: dns.and_then(|d| d.hostname.clone()).filter(|name| !name.is_empty()),
        dns: dns.map(dns_spec).unwrap_or_default(),
        engine: engine(config.engine.as_deref())?,
        needs_kvm: false,
        services: services::services(config.services.as_deref().unwrap_or_default())?,
        checks: services::checks(config.checks.as_ref().unwrap_or(&BTreeMap::new()))?,
        is_hidden_in_dns: dns.and_then(|d| d.skip_registration).unwrap_or(false),
        egress: egress::policy(config.egress.as_ref())?,
        secrets: secrets::secrets(config)?,
        deepen: deepen::deepen(config.deepen.as_ref())?,
    })
}

/// The size that `config` asks for.
///
/// # Errors
/// 400 `invalid_guest`.
pub(crate) fn size(config: &MachineConfig) -> Result<model::spec::GuestSize, Problem> {
    guest::size(config)
}

/// The entries that have a value.
fn present(map: Option<&BTreeMap<String, Option<String>>>) -> BTreeMap<String, String> {
    map.into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
        .collect()
}

fn image(config: &MachineConfig) -> Result<String, Problem> {
    let image = config.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        return Err(Problem::invalid("image_missing", "config.image is required")
            .hint("name an image, e.g. `\"image\": \"demo\"`; `GET /v1/images` lists them"));
    }
    let is_plain = image.bytes().all(|b| b.is_ascii_graphic());
    if image.len() > IMAGE_MAX_BYTES || !is_plain {
        return Err(Problem::invalid("invalid_image", "config.image is not an image reference")
            .hint("a reference looks like `[host/]name[:tag][@sha256:…]`, at most 1024 bytes"));
    }
    Ok(image.to_owned())
}

fn restart(restart: Option<&Restart>) -> Result<RestartPolicy, Problem> {
    let default = RestartPolicy::default();
    let Some(restart) = restart else { return Ok(default) };
    let mode = match restart.policy.as_deref() {
        None | Some("") => default.mode,
        Some("no") => RestartMode::No,
        Some("on-failure") => RestartMode::OnFailure,
        Some("always") => RestartMode::Always,
        Some("spot-price") => {
            let hint = "use `no`, `on-failure` or `always`; there is no spot market here";
            return Err(Problem::unsupported("config.restart.policy", hint));
        }
        Some(other) => {
            let message = format!("config.restart.policy `{other}` is unknown");
            return Err(Problem::invalid("invalid_restart_policy", message)
                .hint("use `no`, `on-failure` or `always`"));
        }
    };
    Ok(RestartPolicy { mode, max_retries: restart.max_retries.unwrap_or(default.max_retries) })
}

fn stop(stop: Option<&StopConfig>) -> Result<model::spec::StopConfig, Problem> {
    let default = model::spec::StopConfig::default();
    let Some(stop) = stop else { return Ok(default) };
    let timeout = match stop.timeout {
        None => default.timeout,
        Some(wish) => stop_timeout(wish)?.unwrap_or(default.timeout),
    };
    Ok(model::spec::StopConfig { signal: stop.signal.map(|s| s.number()), timeout })
}

/// A stop timeout; zero is unset, as one client sends it.
///
/// # Errors
/// 400 when it is negative or longer than [`STOP_TIMEOUT_MAX`].
pub fn stop_timeout(wish: crate::contract::GoDuration) -> Result<Option<DurationMs>, Problem> {
    let timeout = wish.to_ms();
    if wish.0 < 0 || timeout > STOP_TIMEOUT_MAX {
        let message = format!("stop timeout {wish} is not between 0 and 300s");
        return Err(Problem::invalid("invalid_timeout", message)
            .hint("a program that needs longer should be asked to end by its own means first"));
    }
    Ok((wish.0 > 0).then_some(timeout))
}

fn rootfs(config: &MachineConfig) -> Result<RootfsSpec, Problem> {
    let default = RootfsSpec::default();
    let rootfs = config.rootfs.as_ref();
    let size_gib = rootfs.and_then(|r: &Rootfs| r.size_gb.or(r.fs_size_gb)).filter(|gib| *gib > 0);
    if size_gib.is_some_and(|gib| gib > ROOTFS_MAX_GIB) {
        let message = format!("config.rootfs.size_gb is larger than {ROOTFS_MAX_GIB}");
        return Err(Problem::invalid("invalid_rootfs", message)
            .hint("the disk is sparse: its logical size is a limit, not a reservation"));
    }
    let persist = match rootfs.and_then(|r| r.persist.as_deref()).filter(|word| !word.is_empty()) {
        Some(word) => Some(persist(word, "config.rootfs.persist")?),
        None => old_persist(config)?,
    };
    Ok(RootfsSpec {
        persist: persist.unwrap_or(default.persist),
        size_gib: size_gib.unwrap_or(default.size_gib),
    })
}

fn persist(word: &str, field: &str) -> Result<Persist, Problem> {
    match word {
        "never" | "none" => Ok(Persist::Never),
        "restart" => Ok(Persist::Restart),
        "always" => Ok(Persist::Always),
        other => Err(Problem::invalid("invalid_rootfs", format!("{field} `{other}` is unknown"))
            .hint("use `never`, `restart` (default) or `always`")),
    }
}

/// `guest.persist_rootfs`: a word, or its number in an older encoding.
fn old_persist(config: &MachineConfig) -> Result<Option<Persist>, Problem> {
    let field = "config.guest.persist_rootfs";
    let wish = config.guest.as_ref().and_then(|guest| guest.persist_rootfs.as_ref());
    let word = match wish {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(word)) if word.is_empty() => return Ok(None),
        Some(Value::String(word)) => word.as_str(),
        Some(number) => match number.as_u64() {
            Some(0) => return Ok(None),
            Some(1) => "never",
            Some(2) => "restart",
            Some(3) => "always",
            Some(_) | None => "?",
        },
    };
    persist(word, field).map(Some)
}

fn dns_spec(dns: &Dns) -> DnsSpec {
    let options = dns.options.iter().flatten().filter_map(|option| {
        let name = option.name.as_deref().filter(|name| !name.is_empty())?;
        match option.value.as_deref().filter(|value| !value.is_empty()) {
            Some(value) => Some(format!("{name}:{value}")),
            None => Some(name.to_owned()),
        }
    });
    DnsSpec {
        nameservers: dns.nameservers.clone().unwrap_or_default(),
        searches: dns.searches.clone().unwrap_or_default(),
        options: options.collect(),
    }
}

/// Whether the host is to choose the engine of a machine that is created.
pub(crate) fn leaves_engine_open(config: &MachineConfig) -> bool {
    config.engine.as_deref() == Some("auto")
}

/// That of the configuration; a container as long as the host has not chosen.
fn engine(wish: Option<&str>) -> Result<EngineKind, Problem> {
    match wish {
        None | Some("" | "auto" | "container") => Ok(EngineKind::Container),
        Some("fake") => Ok(EngineKind::Fake),
        Some("microvm") => Ok(EngineKind::Microvm),
        Some(other) => {
            Err(Problem::invalid("invalid_engine", format!("config.engine `{other}` is unknown"))
                .hint("use `auto`, `container` or `microvm`"))
        }
    }
}
