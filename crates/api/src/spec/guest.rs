//! Size of a guest: which combinations of CPU and RAM exist.
//!
//! Source of the table and the limits: machines-api 2.3.

use crate::contract::config::{Guest, MachineConfig};
use crate::problem::Problem;
use model::spec::{CpuKind, GuestSize};

const SHARED_CPUS: [u32; 5] = [1, 2, 4, 6, 8];
const PERFORMANCE_CPUS: [u32; 12] = [1, 2, 4, 6, 8, 10, 12, 14, 16, 32, 64, 128];

/// The rules of one CPU kind, RAM in MiB.
struct Rules {
    word: &'static str,
    cpus: &'static [u32],
    step_mib: u32,
    min_per_cpu_mib: u32,
    max_per_cpu_mib: u32,
}

const fn rules(kind: CpuKind) -> Rules {
    match kind {
        CpuKind::Shared => Rules {
            word: "shared",
            cpus: &SHARED_CPUS,
            step_mib: 256,
            min_per_cpu_mib: 256,
            max_per_cpu_mib: 2048,
        },
        CpuKind::Performance => Rules {
            word: "performance",
            cpus: &PERFORMANCE_CPUS,
            step_mib: 1024,
            min_per_cpu_mib: 2048,
            max_per_cpu_mib: 8192,
        },
    }
}

/// The size that `config` asks for; one shared CPU with 256 MiB when it asks for none.
pub(super) fn size(config: &MachineConfig) -> Result<GuestSize, Problem> {
    let preset = config.size.as_deref().filter(|name| !name.is_empty());
    match (preset, &config.guest) {
        (Some(_), Some(guest)) if asks_for_size(guest) => Err(Problem::invalid(
            "invalid_guest",
            "config.size and config.guest exclude each other",
        )
        .hint("use `guest`; `size` is its old short form")),
        (Some(name), _) => by_name(name),
        (None, Some(guest)) => by_numbers(guest),
        (None, None) => by_numbers(&Guest::default()),
    }
}

fn asks_for_size(guest: &Guest) -> bool {
    guest.cpu_kind.is_some() || guest.cpus.is_some() || guest.memory_mb.is_some()
}

fn by_name(name: &str) -> Result<GuestSize, Problem> {
    let parsed = [("shared-cpu-", CpuKind::Shared), ("performance-", CpuKind::Performance)]
        .into_iter()
        .find_map(|(prefix, kind)| {
            let cpus = name.strip_prefix(prefix)?.strip_suffix('x')?.parse::<u32>().ok()?;
            rules(kind).cpus.contains(&cpus).then_some((kind, cpus))
        });
    match parsed {
        Some((cpu_kind, cpus)) => {
            Ok(GuestSize { cpu_kind, cpus, memory_mib: cpus * rules(cpu_kind).min_per_cpu_mib })
        }
        None => Err(Problem::invalid("invalid_guest", format!("config.size `{name}` is unknown"))
            .hint("sizes are `shared-cpu-1x` to `shared-cpu-8x` and `performance-1x` to `-16x`")),
    }
}

fn by_numbers(guest: &Guest) -> Result<GuestSize, Problem> {
    let cpu_kind = match guest.cpu_kind.as_deref() {
        None | Some("" | "shared") => CpuKind::Shared,
        Some("performance") => CpuKind::Performance,
        Some(other) => {
            let message = format!("config.guest.cpu_kind `{other}` is unknown");
            return Err(
                Problem::invalid("invalid_guest", message).hint("use `shared` or `performance`")
            );
        }
    };
    let rules = rules(cpu_kind);
    let cpus = guest.cpus.filter(|n| *n > 0).unwrap_or(1);
    if !rules.cpus.contains(&cpus) {
        let message = format!("config.guest.cpus {cpus} does not exist for {} CPUs", rules.word);
        return Err(Problem::invalid("invalid_guest", message)
            .hint(format!("{} machines have {:?} CPUs", rules.word, rules.cpus)));
    }
    let (least, most) = (cpus * rules.min_per_cpu_mib, cpus * rules.max_per_cpu_mib);
    let memory_mib = guest.memory_mb.filter(|mib| *mib > 0).unwrap_or(least);
    let is_possible = (least..=most).contains(&memory_mib);
    if !is_possible || !memory_mib.is_multiple_of(rules.step_mib) {
        let message = format!(
            "config.guest.memory_mb {memory_mib} is impossible with {cpus} {} CPUs",
            rules.word
        );
        return Err(Problem::invalid("invalid_guest", message)
            .hint(format!("use {least} to {most} MiB in steps of {}", rules.step_mib)));
    }
    if guest.max_memory_mb.is_some_and(|most| most > 0 && most != memory_mib) {
        let hint = "leave it out: RAM is given on use and limited by `memory_mb`";
        return Err(Problem::unsupported("config.guest.max_memory_mb", hint));
    }
    Ok(GuestSize { cpu_kind, cpus, memory_mib })
}
