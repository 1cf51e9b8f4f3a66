//! The calls of the Machines API that are measured.

use crate::http::{Http, Reply};
use crate::image;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

const APP: &str = "bench";

/// Host name of the app for visitors.
pub(crate) const HOST: &str = "bench.localhost";

/// Port on which the web server of a machine listens.
pub(crate) const WEB_PORT: u16 = 8080;

/// Requests at once from which on a machine would get no more: above all that a benchmark asks.
const REQUESTS_MAX: u32 = 1_000;

/// RAM of a machine in MiB: the smallest that a client may ask for.
pub(crate) const MACHINE_RAM_MIB: u32 = 256;

/// How often a create is repeated that lost a race.
const CONFLICTS_MAX: u32 = 50;

/// Longest wait for a machine whose image comes from a registry: a herd on a busy host.
const PULL_MAX: Duration = Duration::from_mins(5);

/// Longest time until a virtual machine is warm, and between two looks at that.
const WARM_WITHIN: Duration = Duration::from_mins(1);
const WARM_LOOK: Duration = Duration::from_millis(20);

/// A connection to the API.
pub(crate) struct Api {
    http: Http,
}

impl Api {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        Ok(Self { http: Http::tcp(address, token)? })
    }

    /// Asks whether control serves.
    pub(crate) fn health(&mut self) -> anyhow::Result<()> {
        self.call("GET", "/healthz", "").map(drop)
    }

    /// Makes an image from a file.
    pub(crate) fn import(&mut self, path: &Path, name: &str) -> anyhow::Result<()> {
        let body = json!({ "path": path, "name": name }).to_string();
        self.call("POST", "/v1/images/import", &body).map(drop)
    }

    /// Makes the app that all machines belong to.
    pub(crate) fn create_app(&mut self) -> anyhow::Result<()> {
        let body = json!({ "app_name": APP, "org_slug": "personal" }).to_string();
        self.call("POST", "/v1/apps", &body).map(drop)
    }

    /// Makes a machine that is not started; returns its id.
    pub(crate) fn create_stopped(&mut self) -> anyhow::Result<String> {
        let id = self.create(&stamp_config(), true)?;
        self.wait(&id, "stopped")?;
        Ok(id)
    }

    /// Makes a machine of an engine that is not started; returns its id. The first of a shape may boot a
    /// kernel.
    pub(crate) fn create_on(&mut self, engine: &str) -> anyhow::Result<String> {
        let mut config = stamp_config();
        config["engine"] = json!(engine);
        let id = self.create(&config, true)?;
        self.wait_long(&id, "stopped", PULL_MAX)?;
        Ok(id)
    }

    /// Makes a virtual machine with so much RAM that is not started; returns its id.
    pub(crate) fn create_vm(&mut self, ram_mib: u32) -> anyhow::Result<String> {
        let mut config = stamp_config();
        config["engine"] = json!("microvm");
        config["guest"]["memory_mb"] = json!(ram_mib);
        let id = self.create(&config, true)?;
        self.wait_long(&id, "stopped", PULL_MAX)?;
        Ok(id)
    }

    /// Makes a machine from an image that may have to be pulled; returns its id when it is ready to
    /// be started.
    pub(crate) fn create_pulled(&mut self, image: &str) -> anyhow::Result<String> {
        let id = self.create(&config(image), true)?;
        self.wait_long(&id, "stopped", PULL_MAX)?;
        Ok(id)
    }

    /// Makes a machine and starts it; returns its id when it runs.
    pub(crate) fn create_started(&mut self) -> anyhow::Result<String> {
        let id = self.create(&stamp_config(), false)?;
        self.wait(&id, "started")?;
        Ok(id)
    }

    /// Makes a machine with a web server that visitors reach, and wake, by the public port `port`; it
    /// is not started. Returns its id.
    pub(crate) fn create_web(&mut self, port: u16) -> anyhow::Result<String> {
        let id = self.create(&web_config(port), true)?;
        self.wait(&id, "stopped")?;
        Ok(id)
    }

    /// Makes a machine with a policy that is not started; returns its id.
    pub(crate) fn create_governed(&mut self, policy: &str) -> anyhow::Result<String> {
        let id = self.create(&with_policy(stamp_config(), policy)?, true)?;
        self.wait(&id, "stopped")?;
        Ok(id)
    }

    /// The same on the fake engine: its program ends at once, and it has no disk.
    pub(crate) fn create_sleeper(&mut self, policy: &str) -> anyhow::Result<String> {
        let mut config = with_policy(config(image::NAME), policy)?;
        config["engine"] = json!("fake");
        config["metadata"] = json!({ "fake.exit_after_ms": "1" });
        let id = self.create(&config, true)?;
        self.wait(&id, "stopped")?;
        Ok(id)
    }

    /// Writes facts.
    pub(crate) fn write_memory(&mut self, id: &str, patch: &Value) -> anyhow::Result<()> {
        self.on_machine("PATCH", id, "self/memory", &patch.to_string()).map(drop)
    }

    /// Posts a message.
    pub(crate) fn post_message(&mut self, id: &str, message: &Value) -> anyhow::Result<()> {
        self.on_machine("POST", id, "self/inbox", &message.to_string()).map(drop)
    }

    /// Sets an alarm that fires once.
    pub(crate) fn set_alarm(&mut self, id: &str, name: &str, at: &str) -> anyhow::Result<()> {
        let alarm = json!({ "at": at }).to_string();
        self.on_machine("PUT", id, &format!("self/alarms/{name}"), &alarm).map(drop)
    }

    /// Everything that the machine remembers.
    pub(crate) fn self_of(&mut self, id: &str) -> anyhow::Result<Value> {
        self.on_machine("GET", id, "self", "")?.value()
    }

    fn create(&mut self, config: &Value, skip_launch: bool) -> anyhow::Result<String> {
        let body = json!({ "config": config, "skip_launch": skip_launch });
        let path = format!("/v1/apps/{APP}/machines");
        let mut reply = self.http.json("POST", &path, &body.to_string())?;
        // Of creates at the same moment, one may draw the address that another has just taken.
        for _ in 0..CONFLICTS_MAX {
            if !reply.is_conflict() {
                break;
            }
            reply = self.http.json("POST", &path, &body.to_string())?;
        }
        let machine = reply.good().with_context(|| format!("POST {path}"))?.value()?;
        let id = machine["id"].as_str().context("the new machine has no id")?;
        Ok(id.to_owned())
    }

    /// Starts the machine (or thaws it); returns where the time went.
    pub(crate) fn start(&mut self, id: &str) -> anyhow::Result<Vec<(String, f64)>> {
        let reply = self.on_machine("POST", id, "start", "")?;
        Ok(reply.header("server-timing").map(server_timing).unwrap_or_default())
    }

    /// Kills the machine's program and waits until the machine is stopped.
    pub(crate) fn stop(&mut self, id: &str) -> anyhow::Result<()> {
        self.on_machine("POST", id, "stop", r#"{"signal":"SIGKILL"}"#)?;
        self.wait(id, "stopped")
    }

    /// Freezes the machine and waits until it is frozen.
    pub(crate) fn freeze(&mut self, id: &str) -> anyhow::Result<()> {
        self.on_machine("POST", id, "suspend?depth=freeze", "")?;
        self.wait(id, "suspended")
    }

    /// Puts the machine's RAM on disk and waits until it is there.
    pub(crate) fn suspend(&mut self, id: &str) -> anyhow::Result<()> {
        self.on_machine("POST", id, "suspend?depth=suspend", "")?;
        self.wait(id, "suspended")
    }

    /// What the machine does.
    pub(crate) fn state(&mut self, id: &str) -> anyhow::Result<String> {
        let state = self.machine(id)?["state"].as_str().map(str::to_owned);
        state.context("the machine has no state")
    }

    /// Runs a command in the machine.
    pub(crate) fn exec(&mut self, id: &str, command: &[&str]) -> anyhow::Result<()> {
        let body = json!({ "command": command }).to_string();
        let outcome = self.on_machine("POST", id, "exec", &body)?.value()?;
        ensure!(outcome["exit_code"] == 0, "the command failed: {outcome}");
        Ok(())
    }

    /// The machine's IPv4 address.
    pub(crate) fn v4(&mut self, id: &str) -> anyhow::Result<Ipv4Addr> {
        let machine = self.machine(id)?;
        let v4 = machine["private_ipv4"].as_str().context("the machine has no IPv4 address")?;
        v4.parse().context("the machine's IPv4 address is none")
    }

    /// How often the machine has been started.
    pub(crate) fn n_starts(&mut self, id: &str) -> anyhow::Result<usize> {
        let events = self.on_machine("GET", id, "events?limit=50", "")?.value()?;
        let events = events.as_array().context("the machine's events are no list")?;
        let is_start = |event: &&Value| event["type"] == "start" && event["status"] == "started";
        Ok(events.iter().filter(is_start).count())
    }

    /// Lists the machines of the app; reading the answer is left to [`n_listed`].
    pub(crate) fn list(&mut self) -> anyhow::Result<Reply> {
        self.call("GET", &format!("/v1/apps/{APP}/machines"), "")
    }

    /// Sets a label of the machine.
    pub(crate) fn set_label(&mut self, id: &str, key: &str, value: &str) -> anyhow::Result<()> {
        let body = json!({ "value": value }).to_string();
        self.on_machine("POST", id, &format!("metadata/{key}"), &body).map(drop)
    }

    /// Asks for the machine; reading the answer is left to the caller.
    pub(crate) fn show(&mut self, id: &str) -> anyhow::Result<Reply> {
        self.call("GET", &format!("/v1/apps/{APP}/machines/{id}"), "")
    }

    /// Destroys the machine, whatever it does.
    pub(crate) fn destroy(&mut self, id: &str) -> anyhow::Result<()> {
        self.call("DELETE", &format!("/v1/apps/{APP}/machines/{id}?force=true"), "").map(drop)
    }

    /// Destroys the machine; returns when nothing of it is left.
    pub(crate) fn destroy_fully(&mut self, id: &str) -> anyhow::Result<()> {
        self.destroy(id)?;
        self.wait(id, "destroyed")
    }

    /// Digest of the machine's image.
    pub(crate) fn image_digest(&mut self, id: &str) -> anyhow::Result<String> {
        let machine = self.machine(id)?;
        let digest = machine["image_ref"]["digest"].as_str().map(str::to_owned);
        digest.context("the machine's image has no digest")
    }

    /// Waits until a virtual machine waits for a start.
    pub(crate) fn wait_for_warm_vm(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + WARM_WITHIN;
        while !self
            .call("GET", "/metrics", "")?
            .text()?
            .lines()
            .any(|line| line == "dormouse_warm_vms 1")
        {
            ensure!(Instant::now() < deadline, "no virtual machine is warmed");
            // It tells nobody; this is not measured.
            std::thread::sleep(WARM_LOOK);
        }
        Ok(())
    }

    fn machine(&mut self, id: &str) -> anyhow::Result<Value> {
        self.show(id)?.value()
    }

    /// Removes an image that no machine uses.
    pub(crate) fn remove_image(&mut self, digest: &str) -> anyhow::Result<()> {
        self.call("DELETE", &format!("/v1/images/{digest}"), "").map(drop)
    }

    /// Waits longer than one request may. A machine that fails is not waited for.
    fn wait_long(&mut self, id: &str, state: &str, patience: Duration) -> anyhow::Result<()> {
        let path = format!("/v1/apps/{APP}/machines/{id}/wait?state={state},failed&timeout=60");
        let deadline = Instant::now() + patience;
        loop {
            let reply = self.http.json("GET", &path, "")?;
            if reply.is_timeout() && Instant::now() < deadline {
                continue;
            }
            let waited = reply.good().with_context(|| format!("GET {path}"))?.value()?;
            ensure!(waited["state"] == state, "the machine is not {state}: {waited}");
            return Ok(());
        }
    }

    fn wait(&mut self, id: &str, state: &str) -> anyhow::Result<()> {
        let waited = self.on_machine("GET", id, &format!("wait?state={state}&timeout=60"), "")?;
        let waited: Value = waited.value()?;
        ensure!(waited["ok"] == true, "the machine is not {state}: {waited}");
        Ok(())
    }

    fn on_machine(
        &mut self,
        method: &str,
        id: &str,
        verb: &str,
        body: &str,
    ) -> anyhow::Result<Reply> {
        self.call(method, &format!("/v1/apps/{APP}/machines/{id}/{verb}"), body)
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<Reply> {
        let reply = self.http.json(method, path, body)?;
        reply.good().with_context(|| format!("{method} {path}"))
    }
}

/// A machine that runs the program that stamps.
fn stamp_config() -> Value {
    let mut config = config(image::NAME);
    config["init"] = json!({ "exec": [image::PROGRAM] });
    config
}

/// A machine that runs the web server, behind a public port.
fn web_config(port: u16) -> Value {
    let mut config = config(image::NAME);
    config["init"] = json!({ "exec": [image::WEB, format!("0.0.0.0:{WEB_PORT}")] });
    config["services"] = json!([{
        "internal_port": WEB_PORT,
        "ports": [{ "port": port, "handlers": ["http"] }],
        "autostop": "off",
        "concurrency": { "type": "requests", "soft_limit": REQUESTS_MAX },
    }]);
    config
}

/// The same machine with a policy.
fn with_policy(mut config: Value, policy: &str) -> anyhow::Result<Value> {
    config["policy"] = serde_json::from_str(policy).context("the policy is no JSON")?;
    Ok(config)
}

/// A machine that runs what its image says.
fn config(image: &str) -> Value {
    json!({
        "image": image,
        "restart": { "policy": "no" },
        "guest": { "cpu_kind": "shared", "cpus": 1, "memory_mb": MACHINE_RAM_MIB },
    })
}

/// How many machines are in the answer of [`Api::list`].
pub(crate) fn n_listed(list: &Reply) -> anyhow::Result<usize> {
    list.value()?.as_array().map(Vec::len).context("the list of machines is no list")
}

/// Parts and milliseconds of a `Server-Timing` header.
pub(crate) fn server_timing(header: &str) -> Vec<(String, f64)> {
    let part = |text: &str| {
        let (name, ms) = text.trim().split_once(";dur=")?;
        Some((name.to_owned(), ms.parse().ok()?))
    };
    header.split(',').filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::server_timing;

    #[track_caller]
    fn check(header: &str, expected: &[(&str, f64)]) {
        let expected: Vec<_> =
            expected.iter().map(|(name, ms)| ((*name).to_owned(), *ms)).collect();
        assert_eq!(server_timing(header), expected);
    }

    #[test]
    fn timings_are_read_in_order() {
        check("", &[]);
        check("commit;dur=0.250, disk;dur=1.000", &[("commit", 0.25), ("disk", 1.0)]);
        check("cache;desc=hit, disk;dur=x, exec;dur=2", &[("exec", 2.0)]);
    }
}
