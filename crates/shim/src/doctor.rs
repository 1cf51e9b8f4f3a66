//! What the engines find on this host, as JSON: a list of `{check, level, message, hint}`.

use engine::{Ahead, Container, Engine as _};
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
        finding(
            "container.devices",
            able.confines_devices,
            "machines reach no devices of the host",
            "mount the v1 devices controller",
        ),
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

fn finding(check: &str, is_ok: bool, message: &str, hint: &str) -> Value {
    if is_ok {
        return json!({"check": check, "level": "ok", "message": message, "hint": null});
    }
    let message = format!("not here: {message}");
    json!({"check": check, "level": "missing", "message": message, "hint": hint})
}
