//! Machines that serve, and the processes that keep their doors.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use testkit::instance::{APP, binary};
use testkit::{Builder, Instance, eventually};
use tests::fixture::{wait_until_it_listens, with_image};

/// Public port of the HTTP service of [`APP`].
pub(crate) const HTTP: u16 = 8080;

/// Public port of the service of [`APP`] that sends bytes back.
pub(crate) const RAW: u16 = 9000;

/// Name of [`APP`].
pub(crate) const HOST: &str = "test.localhost";

/// Another app, whose machine sleeps.
pub(crate) const ASLEEP: &str = "asleep";

/// Its name.
pub(crate) const HOST_ASLEEP: &str = "asleep.localhost";

/// An instance whose image has the server.
#[track_caller]
pub(crate) fn house() -> Instance {
    with_image(Builder::default(), &[("bin/guest-server", &binary("guest-server"))])
}

/// A machine that runs `server` behind a public port, and is up.
#[track_caller]
pub(crate) fn up(instance: &Instance, server: &str, port: u16, handlers: &[&str]) -> String {
    let id = made(instance, APP, server, (port, handlers));
    instance.start_machine(&id);
    instance.wait_for_route(&id, |machine| machine["route"]["state"]["state"] == "up");
    instance.wait_until_served(&id);
    wait_until_it_listens(instance, &id, 80);
    id
}

/// Two machines that are up: one speaks HTTP, one sends bytes back.
#[track_caller]
pub(crate) fn two_up(instance: &Instance) -> [String; 2] {
    [up(instance, "http 80", HTTP, &["http"]), up(instance, "echo 80", RAW, &[])]
}

/// A machine of its own app that sleeps behind [`HTTP`].
#[track_caller]
pub(crate) fn asleep(instance: &Instance) -> String {
    let id = made(instance, ASLEEP, "http 80", (HTTP, &["http"]));
    instance.wait_for_route(&id, |machine| machine["route"]["state"]["state"] == "asleep");
    instance.wait_until_served(&id);
    id
}

/// A machine that has never run.
#[track_caller]
pub(crate) fn made(
    instance: &Instance,
    app: &str,
    server: &str,
    (port, handlers): (u16, &[&str]),
) -> String {
    let app_made = instance.post("/v1/apps", &json!({"name": app, "org_slug": "personal"}));
    assert!(matches!(app_made.status, 201 | 422), "{}", app_made.text);
    let argv: Vec<&str> = std::iter::once("/bin/guest-server").chain(server.split(' ')).collect();
    let ports = json!([{"port": port, "handlers": handlers}]);
    let config = json!({
        "image": "busybox",
        "init": {"exec": argv},
        "services": [{"internal_port": 80, "ports": ports}],
        "restart": {"policy": "no"},
    });
    let body = json!({"config": config, "skip_launch": true});
    let machine = instance.post(&format!("/v1/apps/{app}/machines"), &body).expect(200);
    let id = machine["id"].as_str().expect("an id").to_owned();
    let wait = format!("/v1/apps/{app}/machines/{id}/wait?state=stopped&timeout=60");
    drop(instance.get(&wait).expect(200));
    id
}

/// Where visitors of a port come in.
pub(crate) fn door(instance: &Instance, port: u16) -> SocketAddr {
    instance.door(port)
}

fn endpoint(instance: &Instance) -> Value {
    instance.endpoint().expect("it has listened")
}

/// The supervisor's process.
pub(crate) fn supervisor(instance: &Instance) -> u32 {
    let pid = endpoint(instance)["supervisor_pid"].as_u64().expect("it is supervised");
    u32::try_from(pid).expect("a process")
}

/// Processes that are proxies of the instance, dead ones too.
pub(crate) fn proxies(instance: &Instance) -> Vec<u32> {
    let runtime = endpoint(instance)["runtime_dir"].as_str().map(PathBuf::from);
    let entries = std::fs::read_dir(runtime.expect("a path").join("proxies"));
    let names = entries.into_iter().flatten().flatten();
    let mut pids: Vec<u32> =
        names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.retain(|pid| is_alive(*pid));
    pids
}

/// The only proxy there is.
#[track_caller]
pub(crate) fn proxy(instance: &Instance) -> u32 {
    match proxies(instance)[..] {
        [pid] => pid,
        ref others => panic!("one proxy is wanted: {others:?}"),
    }
}

/// Waits until a proxy other than `before` is the only one.
#[track_caller]
pub(crate) fn wait_for_other_proxy(instance: &Instance, before: u32) -> u32 {
    eventually("another proxy has the doors", || match proxies(instance)[..] {
        [pid] if pid != before => Some(pid),
        _ => None,
    })
}

/// Whether a process runs, and is no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'X' | 'Z'))
}

/// Sends SIGTERM.
pub(crate) fn terminate(pid: u32) {
    let told = Command::new("kill").args(["-s", "TERM", &pid.to_string()]).status();
    assert!(told.is_ok_and(|status| status.success()), "SIGTERM for {pid}");
}
