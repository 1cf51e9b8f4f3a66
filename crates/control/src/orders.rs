//! From a machine's record to what a shim needs to run it.

use crate::app_secrets::RunSecrets;
use crate::inner::ControlConfig;
use guest_proto::message::{FileOrder, HostsLine, Orders};
use model::spec::{CpuKind, EngineKind, MachineFact};
use model::{InstanceTag, Run, RunId, SlotId};
use net::router::{DNS_V4, DNS_V6};
use shim_proto::RunSpec;
use shim_proto::spec::{EngineSpec, FakeSpec, Limits, LogSpec};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use store::MachineRecord;

/// A log file of this size is rotated: a flood costs at most three times as much disk.
pub const LOG_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Log files kept for a machine, the current one included.
pub const LOG_MAX_FILES: u32 = 3;

/// Processes and threads of one machine. Enough for a desktop, far from the host's `pid_max`.
pub const PIDS_MAX: u32 = 4096;

/// Signal for a stop when neither the call, nor the configuration, nor the image names one: SIGINT.
///
/// Source: machines-api 3.7.
pub(crate) const STOP_SIGNAL_DEFAULT: i32 = 2;

/// Signal that asks systemd to shut down: SIGRTMIN+3. Source: systemd(1), "Signals".
const STOP_SIGNAL_PID1: i32 = 37;

/// Where the shim of a run listens: derived, so that recovery finds it.
pub(crate) fn socket_path(runtime_dir: &Path, run: &RunId) -> PathBuf {
    runtime_dir.join("shims").join(format!("{run}.sock"))
}

/// Where the exit of a run is written: derived, so that recovery finds it.
pub(crate) fn exit_path(machine_dir: &Path, run: &RunId) -> PathBuf {
    machine_dir.join(format!("exit-{run}.json"))
}

/// Whether a file in a machine's directory is an exit file, or was to become one.
pub(crate) fn is_exit_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("exit-"))
}

/// The machine's current log file.
pub(crate) fn log_path(machine_dir: &Path) -> PathBuf {
    machine_dir.join("log")
}

/// Where the RAM of a machine is while it sleeps on disk.
pub(crate) fn ram_dir(machine_dir: &Path) -> PathBuf {
    machine_dir.join("ram")
}

/// Directory of a container under each cgroup hierarchy.
pub(crate) fn cgroup(instance: &InstanceTag, machine: &model::MachineId) -> String {
    format!("dormouse-{instance}/{machine}")
}

/// Directory of the virtual machine at a tap: it may be there before anybody's machine is in it.
pub(crate) fn vm_cgroup(instance: &InstanceTag, slot: SlotId) -> String {
    format!("dormouse-{instance}/vm-{slot}")
}

/// Directory of a run.
pub(crate) fn run_cgroup(
    instance: &InstanceTag,
    engine: EngineKind,
    machine: &model::MachineId,
    run: &Run,
) -> String {
    match (engine, run.slot) {
        (EngineKind::Microvm, Some(slot)) => vm_cgroup(instance, slot),
        _ => cgroup(instance, machine),
    }
}

/// The order for the shim.
pub(crate) fn run_spec(
    config: &ControlConfig,
    instance: &InstanceTag,
    record: &MachineRecord,
    run: &Run,
    machine_dir: &Path,
    engine: EngineSpec,
    secrets: &RunSecrets,
) -> RunSpec {
    RunSpec {
        run: run.id.to_string(),
        machine: record.id.to_string(),
        instance: instance.to_string(),
        engine,
        socket_path: socket_path(&config.runtime_dir, &run.id),
        exit_path: exit_path(machine_dir, &run.id),
        log: LogSpec {
            path: log_path(machine_dir),
            max_bytes: LOG_MAX_BYTES,
            max_files: LOG_MAX_FILES,
        },
        limits: limits(record),
        stop_signal: stop_signal(record),
        orders: orders(config, record, secrets),
    }
}

/// Knobs of the fake engine, from the labels `fake.<knob>`.
pub(crate) fn fake_spec(labels: &BTreeMap<String, String>) -> FakeSpec {
    let number = |knob: &str| labels.get(knob).and_then(|text| text.parse::<u32>().ok());
    let is_set = |knob: &str| labels.get(knob).is_some_and(|text| text == "true");
    FakeSpec {
        start_ms: number("fake.start_ms").unwrap_or(0),
        start_fails: is_set("fake.start_fails"),
        exit_after_ms: number("fake.exit_after_ms"),
        exit_code: labels.get("fake.exit_code").and_then(|t| t.parse().ok()).unwrap_or(0),
        ignores_stop: is_set("fake.ignores_stop"),
        freeze_fails: is_set("fake.freeze_fails"),
        freeze_ms: number("fake.freeze_ms").unwrap_or(0),
    }
}

fn limits(record: &MachineRecord) -> Limits {
    let guest = record.spec.guest;
    Limits {
        ram_bytes: u64::from(guest.memory_mib) * 1024 * 1024,
        cpu_milli: guest.cpus * 1000,
        // A performance CPU counts as much as sixteen shared ones: the ratio of their guaranteed
        // shares (80 ms against 5 ms in 80). Source: machines-api 2.3.
        cpu_weight: match guest.cpu_kind {
            CpuKind::Shared => 100 * guest.cpus,
            CpuKind::Performance => 1600 * guest.cpus,
        }
        .min(10_000),
        pids: PIDS_MAX,
    }
}

/// Signal for a stop that names none: configuration, image, then the default.
pub(crate) fn stop_signal(record: &MachineRecord) -> i32 {
    let default = if is_pid1(record) { STOP_SIGNAL_PID1 } else { STOP_SIGNAL_DEFAULT };
    record.spec.stop.signal.or(record.image_config.stop_signal).unwrap_or(default)
}

/// Whether the program is itself an init. Source: design, section 3.
fn is_pid1(record: &MachineRecord) -> bool {
    record.spec.program.pid1.unwrap_or_else(|| {
        let argv = record.spec.program.argv(&record.image_config);
        argv.first().is_some_and(|program| {
            let name = program.rsplit('/').next().unwrap_or(program);
            program.contains('/') && (name == "systemd" || name == "init")
        })
    })
}

fn orders(config: &ControlConfig, record: &MachineRecord, secrets: &RunSecrets) -> Orders {
    let program = &record.spec.program;
    let image = &record.image_config;
    let hostname = record.spec.hostname.clone().unwrap_or_else(|| record.id.to_string());
    Orders {
        argv: program.argv(image),
        env: environment(config, record, secrets),
        user: program.user.clone().unwrap_or_else(|| image.user.clone()),
        working_dir: program.working_dir.clone().unwrap_or_else(|| image.working_dir.clone()),
        hosts: hosts(record, &hostname),
        hostname,
        resolv_conf: resolv_conf(record),
        files: record.spec.files.iter().map(|file| file_order(file, secrets)).collect(),
        tty: program.tty,
        pid1: is_pid1(record),
    }
}

/// The image's environment, then secrets, then the platform's, then the machine's own.
///
/// Source of the `FLY_*` names: machines-api 5.2.
fn environment(
    config: &ControlConfig,
    record: &MachineRecord,
    secrets: &RunSecrets,
) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = record
        .image_config
        .env
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    env.extend(secrets.env.clone());
    let image = &record.image;
    let image_name = format!("{}/{}:{}", image.registry, image.repository, image.tag);
    let group = record.spec.metadata.get("fly_process_group").cloned();
    let platform = [
        ("FLY_APP_NAME", record.app.to_string()),
        ("FLY_MACHINE_ID", record.id.to_string()),
        ("FLY_ALLOC_ID", record.id.to_string()),
        ("FLY_MACHINE_NAME", record.name.clone()),
        ("FLY_MACHINE_VERSION", record.version.to_string()),
        ("FLY_REGION", config.region.clone()),
        ("FLY_PRIVATE_IP", record.v6.to_string()),
        ("FLY_IMAGE_REF", image_name),
        ("FLY_VM_MEMORY_MB", record.spec.guest.memory_mib.to_string()),
        ("PRIMARY_REGION", config.region.clone()),
    ];
    env.extend(platform.into_iter().map(|(name, value)| (name.to_owned(), value)));
    env.extend(group.map(|name| ("FLY_PROCESS_GROUP".to_owned(), name)));
    let facts = record.spec.program.env_from.iter();
    env.extend(
        facts
            .map(|(name, fact)| {
                let value = match fact {
                    MachineFact::Id => record.id.to_string(),
                    MachineFact::Version => record.version.to_string(),
                    MachineFact::AppName => record.app.to_string(),
                    MachineFact::PrivateIp => record.v6.to_string(),
                    MachineFact::Region => config.region.clone(),
                    MachineFact::Image => env["FLY_IMAGE_REF"].clone(),
                };
                (name.clone(), value)
            })
            .collect::<Vec<_>>(),
    );
    env.extend(record.spec.program.env.clone());
    env
}

fn hosts(record: &MachineRecord, hostname: &str) -> Vec<HostsLine> {
    let line = |address: String, names: &[&str]| HostsLine {
        address,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    vec![
        line("127.0.0.1".to_owned(), &["localhost"]),
        line("::1".to_owned(), &["localhost", "ip6-localhost", "ip6-loopback"]),
        line(record.v6.to_string(), &[hostname, "fly-local-6pn"]),
        line(record.v4.to_string(), &[hostname]),
    ]
}

fn resolv_conf(record: &MachineRecord) -> String {
    use std::fmt::Write as _;
    let dns = &record.spec.dns;
    let mut text = String::new();
    let platform = PLATFORM_DNS.map(|address| address.to_string());
    let servers = if dns.nameservers.is_empty() { &platform[..] } else { &dns.nameservers };
    for server in servers {
        writeln!(text, "nameserver {server}").expect("writing to a string cannot fail");
    }
    if !dns.searches.is_empty() {
        writeln!(text, "search {}", dns.searches.join(" ")).expect("as above");
    }
    if !dns.options.is_empty() {
        writeln!(text, "options {}", dns.options.join(" ")).expect("as above");
    }
    text
}

/// The platform's resolver: first as programs expect it, then for those that know IPv4 only. Both are
/// one server, so a program that asks the second one hears nothing else. Source: machines-api 5.4.
const PLATFORM_DNS: [IpAddr; 2] = [IpAddr::V6(DNS_V6), IpAddr::V4(DNS_V4)];

fn file_order(file: &model::spec::FileSpec, secrets: &RunSecrets) -> FileOrder {
    use base64::Engine as _;
    let secret = file.secret.as_ref().and_then(|name| secrets.files.get(name));
    let content = || base64::engine::general_purpose::STANDARD.encode(&file.content);
    FileOrder {
        path: file.guest_path.clone(),
        content_base64: secret.cloned().unwrap_or_else(content),
        mode: file.mode,
    }
}
