//! Fields we know and do not support: refused when they ask for anything.

use crate::contract::config::MachineConfig;
use crate::problem::Problem;
use serde_json::Value;

const GPU: &str = "leave it out: this host lends no GPU";
const KERNEL: &str = "leave it out: a container shares the kernel of its host";
const VOLUMES: &str =
    "the machine's own disk is kept through stop and update (`rootfs.persist`); volumes come later";
const NAMES: &str = "list servers in `dns.nameservers`; names are not forwarded by rule";

/// Refuses the first field that asks for something this host does not do.
pub(super) fn refuse_all(config: &MachineConfig) -> Result<(), Problem> {
    refuse("config.mounts", config.mounts.as_ref(), VOLUMES)?;
    refuse("config.volumes", config.volumes.as_ref(), VOLUMES)?;
    refuse("config.cache_drive", config.cache_drive.as_ref(), "use the machine's own disk")?;
    refuse("config.containers", config.containers.as_ref(), "use one machine for each container")?;
    refuse("config.statics", config.statics.as_ref(), "serve the files from the program")?;
    refuse(
        "config.standbys",
        config.standbys.as_ref(),
        "leave it out: one host has nothing to stand by for",
    )?;
    refuse("config.spot", config.spot.as_ref(), "leave it out: there is no spot market here")?;
    if let Some(guest) = &config.guest {
        refuse("config.guest.gpus", guest.gpus.as_ref(), GPU)?;
        refuse("config.guest.gpu_kind", guest.gpu_kind.as_ref(), GPU)?;
        refuse("config.guest.kernel_args", guest.kernel_args.as_ref(), KERNEL)?;
        refuse(
            "config.guest.host_dedication_id",
            guest.host_dedication_id.as_ref(),
            "leave it out: all machines are on this host",
        )?;
    }
    if let Some(init) = &config.init {
        refuse("config.init.kernel_args", init.kernel_args.as_ref(), KERNEL)?;
        refuse(
            "config.init.swap_size_mb",
            init.swap_size_mb.as_ref(),
            "leave it out, or choose a larger `guest.memory_mb`",
        )?;
    }
    if let Some(restart) = &config.restart {
        let hint = "leave it out: there is no spot market here";
        refuse("config.restart.gpu_bid_price", restart.gpu_bid_price.as_ref(), hint)?;
    }
    if let Some(dns) = &config.dns {
        refuse("config.dns.dns_forward_rules", dns.dns_forward_rules.as_ref(), NAMES)?;
        refuse("config.dns.hostname_fqdn", dns.hostname_fqdn.as_ref(), "use `dns.hostname`")?;
    }
    for file in config.files.iter().flatten() {
        let hint = "write the content into `raw_value`";
        refuse("config.files[].image_config", file.image_config.as_ref(), hint)?;
    }
    Ok(())
}

fn refuse(field: &str, value: Option<&Value>, hint: &str) -> Result<(), Problem> {
    match value {
        Some(value) if asks(value) => Err(Problem::unsupported(field, hint)),
        Some(_) | None => Ok(()),
    }
}

/// Whether a value asks for anything: clients send zero values for fields they do not use.
fn asks(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is_on) => *is_on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => fields.values().any(asks),
    }
}
