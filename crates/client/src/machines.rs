//! Machines.

use crate::path::{self, encoded};
use crate::{Client, ClientError};
use api::contract::app::DEFAULT_ORG;
use api::contract::exec::Line;
use api::contract::memory::Memory;
use api::contract::signal::Signal;
use api::contract::{
    CreateMachine, Event, ExecReply, ExecRequest, LeaseReply, LeaseRequest, Machine,
    MachineVersion, MetadataChange, Ok as Done, OrgMachine, OrgMachines, SignalRequest, Started,
    StopRequest, WaitReply,
};
use guest_proto::message::{ListenSocket, Process};
use hyper::Method;
use serde_json::Value;
use shim_proto::message::Usage;
use std::collections::BTreeMap;

/// What came of a start.
#[derive(Clone, Debug, PartialEq)]
pub struct StartOutcome {
    /// The answer.
    pub started: Started,
    /// Where the daemon's time went, in milliseconds by part (`Server-Timing`).
    pub timings: Vec<(String, f64)>,
}

impl Client {
    /// Machines of an app, with their configuration, without events.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn machines(&self, app: &str) -> Result<Vec<Machine>, ClientError> {
        self.get(&path::app(app, "/machines")).await
    }

    /// All machines the caller may see, in every app.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn all_machines(&self) -> Result<Vec<OrgMachine>, ClientError> {
        let mut machines: Vec<OrgMachine> = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/orgs/{DEFAULT_ORG}/machines?cursor={}", encoded(&cursor));
            let page: OrgMachines = self.get(&path).await?;
            // One that has changed meanwhile comes again.
            machines.retain(|known| !page.machines.iter().any(|new| new.id == known.id));
            machines.extend(page.machines);
            match page.next_cursor {
                // A page that does not move on would never end.
                Some(next) if next > cursor => cursor = next,
                Some(_) | None => return Ok(machines),
            }
        }
    }

    /// Creates a machine.
    ///
    /// # Errors
    /// [`ClientError`]; codes `invalid_…`, `unsupported_field`, `insufficient_capacity`, `image_not_found`.
    pub async fn create_machine(
        &self,
        app: &str,
        wish: &CreateMachine,
    ) -> Result<Machine, ClientError> {
        self.post(&path::app(app, "/machines"), wish).await
    }

    /// Creates a machine from a raw body.
    ///
    /// # Errors
    /// As [`Client::create_machine`].
    pub async fn create_machine_raw(
        &self,
        app: &str,
        body: &Value,
    ) -> Result<Machine, ClientError> {
        self.post(&path::app(app, "/machines"), body).await
    }

    /// One machine, with its newest events.
    ///
    /// # Errors
    /// [`ClientError`]; code `machine_not_found`.
    pub async fn machine(&self, app: &str, id: &str) -> Result<Machine, ClientError> {
        self.get(&path::machine(app, id, "")).await
    }

    /// Puts a new version in place.
    ///
    /// # Errors
    /// As [`Client::create_machine`]; code `stale_version`.
    pub async fn update_machine(
        &self,
        app: &str,
        id: &str,
        wish: &CreateMachine,
    ) -> Result<Machine, ClientError> {
        self.post(&path::machine(app, id, ""), wish).await
    }

    /// Puts a new version in place from a raw body.
    ///
    /// # Errors
    /// As [`Client::update_machine`].
    pub async fn update_machine_raw(
        &self,
        app: &str,
        id: &str,
        body: &Value,
    ) -> Result<Machine, ClientError> {
        self.post(&path::machine(app, id, ""), body).await
    }

    /// Destroys a machine, also when it is up if `force`.
    ///
    /// # Errors
    /// [`ClientError`]; code `not_stopped`.
    pub async fn destroy(&self, app: &str, id: &str, force: bool) -> Result<(), ClientError> {
        let query = if force { "?force=true" } else { "" };
        self.delete::<Done>(&path::machine(app, id, query)).await.map(|_| ())
    }

    /// Starts a machine; answers when its program runs.
    ///
    /// # Errors
    /// [`ClientError`]; codes `wrong_state`, `lease_held`, `insufficient_capacity`, `not_found`…
    pub async fn start(&self, app: &str, id: &str) -> Result<StartOutcome, ClientError> {
        let path = path::machine(app, id, "/start");
        let (started, headers) = self.call_with_headers(Method::POST, &path, &()).await?;
        let timing = headers.get("server-timing").and_then(|value| value.to_str().ok());
        Ok(StartOutcome { started, timings: timings(timing.unwrap_or_default()) })
    }

    /// Stops a machine, as its configuration or `how` says.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stop(&self, app: &str, id: &str, how: &StopRequest) -> Result<(), ClientError> {
        self.act(app, id, "/stop", how).await
    }

    /// As [`Self::stop`], also when somebody else holds the machine's lease: for the owner alone.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn end(&self, app: &str, id: &str, how: &StopRequest) -> Result<(), ClientError> {
        self.act(app, id, "/stop?override=1", how).await
    }

    /// Lets a machine sleep with its RAM; `depth` is `freeze` or `suspend`, else what its engine
    /// can.
    ///
    /// # Errors
    /// [`ClientError`]; code `unsupported_depth`.
    pub async fn suspend(
        &self,
        app: &str,
        id: &str,
        depth: Option<&str>,
    ) -> Result<(), ClientError> {
        let query = depth.map(|depth| format!("?depth={}", encoded(depth))).unwrap_or_default();
        self.act(app, id, &format!("/suspend{query}"), &()).await
    }

    /// Stops and starts.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn restart(&self, app: &str, id: &str, how: &StopRequest) -> Result<(), ClientError> {
        let mut query = String::from("?force_stop=false");
        if let Some(signal) = how.signal {
            query.push_str(&format!("&signal={}", encoded(&signal.to_string())));
        }
        if let Some(timeout) = how.timeout {
            query.push_str(&format!("&timeout={}", encoded(&timeout.to_string())));
        }
        self.act(app, id, &format!("/restart{query}"), &()).await
    }

    /// Sends a signal to the program.
    ///
    /// # Errors
    /// [`ClientError`]; code `not_running`.
    pub async fn signal(&self, app: &str, id: &str, signal: Signal) -> Result<(), ClientError> {
        self.act(app, id, "/signal", &SignalRequest { signal }).await
    }

    /// Takes a machine out of, or back into, routing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_cordoned(&self, app: &str, id: &str, is: bool) -> Result<(), ClientError> {
        self.act(app, id, if is { "/cordon" } else { "/uncordon" }, &()).await
    }

    async fn act(
        &self,
        app: &str,
        id: &str,
        verb: &str,
        body: &impl serde::Serialize,
    ) -> Result<(), ClientError> {
        self.post::<Done>(&path::machine(app, id, verb), body).await.map(|_| ())
    }

    /// Waits until the machine is in one of `states`, at most `timeout_s` (60) seconds.
    ///
    /// # Errors
    /// [`ClientError`]; code `wait_timeout`.
    pub async fn wait(
        &self,
        app: &str,
        id: &str,
        states: &[&str],
        timeout_s: u64,
    ) -> Result<WaitReply, ClientError> {
        let states = encoded(&states.join(","));
        let rest = format!("/wait?state={states}&timeout={timeout_s}");
        self.get(&path::machine(app, id, &rest)).await
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// [`ClientError`]; codes `not_running`, `exec_timeout`.
    pub async fn exec(
        &self,
        app: &str,
        id: &str,
        wish: &ExecRequest,
    ) -> Result<ExecReply, ClientError> {
        self.post(&path::machine(app, id, "/exec"), wish).await
    }

    /// Runs `command` to its end with the defaults.
    ///
    /// # Errors
    /// As [`Client::exec`].
    pub async fn exec_command(
        &self,
        app: &str,
        id: &str,
        command: &[&str],
    ) -> Result<ExecReply, ClientError> {
        let command = Some(Line::Words(command.iter().map(|word| (*word).to_owned()).collect()));
        self.exec(app, id, &ExecRequest { command, ..ExecRequest::default() }).await
    }

    /// Processes inside, by pid.
    ///
    /// # Errors
    /// [`ClientError`]; code `not_running`.
    pub async fn processes(&self, app: &str, id: &str) -> Result<Vec<Process>, ClientError> {
        self.get(&path::machine(app, id, "/ps")).await
    }

    /// Listening sockets inside.
    ///
    /// # Errors
    /// [`ClientError`]; code `not_running`.
    pub async fn listening(&self, app: &str, id: &str) -> Result<Vec<ListenSocket>, ClientError> {
        self.get(&path::machine(app, id, "/listening")).await
    }

    /// What the run uses now.
    ///
    /// # Errors
    /// [`ClientError`]; code `not_running`.
    pub async fn stats(&self, app: &str, id: &str) -> Result<Usage, ClientError> {
        self.get(&path::machine(app, id, "/stats")).await
    }

    /// RAM of a machine: its limit, and what it does not use.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ram(&self, app: &str, id: &str) -> Result<Memory, ClientError> {
        self.get(&path::machine(app, id, "/memory")).await
    }

    /// Events, newest first, at most 50.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn events(&self, app: &str, id: &str, n: u64) -> Result<Vec<Event>, ClientError> {
        self.get(&path::machine(app, id, &format!("/events?limit={n}"))).await
    }

    /// Versions, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn versions(&self, app: &str, id: &str) -> Result<Vec<MachineVersion>, ClientError> {
        self.get(&path::machine(app, id, "/versions")).await
    }

    /// Labels.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metadata(
        &self,
        app: &str,
        id: &str,
    ) -> Result<BTreeMap<String, String>, ClientError> {
        self.get(&path::machine(app, id, "/metadata")).await
    }

    /// Changes labels; `None` removes one.
    ///
    /// # Errors
    /// [`ClientError`]; code `stale_version`.
    pub async fn merge_metadata(
        &self,
        app: &str,
        id: &str,
        change: &MetadataChange,
    ) -> Result<(), ClientError> {
        self.call(Method::PATCH, &path::machine(app, id, "/metadata"), change).await
    }

    /// Takes the lease, or extends it with the nonce ([`Client::with_lease`]).
    ///
    /// # Errors
    /// [`ClientError`]; code `lease_held`.
    pub async fn take_lease(
        &self,
        app: &str,
        id: &str,
        wish: &LeaseRequest,
    ) -> Result<LeaseReply, ClientError> {
        self.post(&path::machine(app, id, "/lease"), wish).await
    }

    /// The lease.
    ///
    /// # Errors
    /// [`ClientError`]; code `lease_not_found`.
    pub async fn lease(&self, app: &str, id: &str) -> Result<LeaseReply, ClientError> {
        self.get(&path::machine(app, id, "/lease")).await
    }

    /// Gives the lease back; needs the nonce ([`Client::with_lease`]).
    ///
    /// # Errors
    /// [`ClientError`]; code `lease_not_found`.
    pub async fn release_lease(&self, app: &str, id: &str) -> Result<(), ClientError> {
        self.delete::<Value>(&path::machine(app, id, "/lease")).await.map(|_| ())
    }
}

/// `a;dur=1.5, b;dur=2` as pairs.
fn timings(header: &str) -> Vec<(String, f64)> {
    let part = |entry: &str| {
        let (name, ms) = entry.trim().split_once(";dur=")?;
        Some((name.to_owned(), ms.parse().ok()?))
    };
    header.split(',').filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::timings;

    #[test]
    fn server_timing_is_read() {
        let parts = timings("admit;dur=0.012, disk;dur=1.5,junk, x;dur=y");
        assert_eq!(parts, [("admit".to_owned(), 0.012), ("disk".to_owned(), 1.5)]);
        assert!(timings("").is_empty());
    }
}
