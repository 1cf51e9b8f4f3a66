//! What the engines find on this host, as JSON: a list of `{check, level, message, hint}`.

use engine::{Ahead, Container, DeviceGuard, Engine as _};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::ExitCode;

/// Prints the findings.
pub(crate) fn print() -> ExitCode {
    let able = Container::new(Ahead::nothing()).capabilities();
    let findings = Value::Array(vec![
        finding(
            "container.limits",
            able.enforces_limits,
            "cpu, RAM and process limits are enforced by cgroups",
            "boot with the cgroup controllers cpu, memory and pids",
        ),
        finding(
            "container.freeze",
            able.can_freeze,
            "machines can be frozen",
            "mount a cgroup v2 tree or the v1 freezer",
        ),
        devices(DeviceGuard::of_host()),
        finding(
            "container.userns",
            std::path::Path::new("/proc/self/ns/user").exists(),
            "each machine has a user namespace of its own",
            "enable user namespaces in the kernel",
        ),
    ]);
    match writeln!(std::io::stdout(), "{findings}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Machines reach no devices of the host either way; what differs is whether they may make nodes.
fn devices(guard: DeviceGuard) -> Value {
    let (level, how, hint) = match guard {
        DeviceGuard::Controller => {
            ("ok", "the controller of cgroup v1 guards them, and machines keep MKNOD", None)
        }
        DeviceGuard::Program => {
            ("ok", "an eBPF program at each cgroup guards them, and machines keep MKNOD", None)
        }
        DeviceGuard::NoNodes => (
            "degraded",
            "no cgroup guards them, so MKNOD is dropped and machines make no nodes",
            Some("mount the cgroup v1 controller `devices`, or allow eBPF programs on cgroup v2"),
        ),
    };
    let message = format!("machines reach no devices of the host: {how}");
    json!({"check": "container.devices", "level": level, "message": message, "hint": hint})
}

fn finding(check: &str, is_ok: bool, message: &str, hint: &str) -> Value {
    if is_ok {
        return json!({"check": check, "level": "ok", "message": message, "hint": null});
    }
    let message = format!("not here: {message}");
    json!({"check": check, "level": "missing", "message": message, "hint": hint})
}
