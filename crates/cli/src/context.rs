//! What every verb that speaks to the daemon needs.

use crate::args::{Global, MachineArg};
use crate::failure::{Failure, NOT_FOUND, UNREACHABLE};
use crate::output;
use client::{Client, Target};
use daemon::{Endpoint, OWNER_TOKEN_FILE};
use serde::Serialize;
use std::future::Future;
use std::process::ExitCode;

/// The client and how to show answers.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) is_json: bool,
}

/// A machine, found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) app: String,
    pub(crate) id: String,
}

impl Context {
    /// The daemon that the global options point to.
    pub(crate) fn new(global: &Global) -> anyhow::Result<Self> {
        let client = client(global)?;
        let client = global.lease.iter().fold(client, |client, nonce| client.with_lease(nonce));
        Ok(Self { client, is_json: global.json })
    }

    /// Shows `value` as JSON, or as `text` makes of it.
    pub(crate) fn show<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let shown = if self.is_json { output::json(value) } else { output::line(&text(value)) };
        Ok(shown?)
    }

    /// The machine with this id or name.
    pub(crate) async fn find(&self, wish: &MachineArg) -> anyhow::Result<Found> {
        let machine = &wish.machine;
        if let (Some(app), true) = (&wish.app, is_machine_id(machine)) {
            return Ok(Found { app: app.clone(), id: machine.clone() });
        }
        let machines = self.client.all_machines().await?;
        let is_wanted = |found: &&api::contract::OrgMachine| {
            (found.id == *machine || found.name == *machine)
                && wish.app.as_ref().is_none_or(|app| *app == found.app_name)
        };
        let mut matches = machines.iter().filter(is_wanted);
        match (matches.next(), matches.next()) {
            (Some(one), None) => Ok(Found { app: one.app_name.clone(), id: one.id.clone() }),
            (None, _) => Err(Failure::new(
                format!("no machine `{machine}`"),
                "`dormouse machine list` shows ids and names",
            )
            .with_code(NOT_FOUND)
            .into()),
            (Some(_), Some(_)) => Err(Failure::new(
                format!("several machines are called `{machine}`"),
                "say which by its id, or by `--app`",
            )
            .into()),
        }
    }
}

fn is_machine_id(text: &str) -> bool {
    text.len() == 14 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Runs a verb that waits for answers.
pub(crate) fn run(
    global: &Global,
    verb: impl AsyncFnOnce(&Context) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let context = Context::new(global)?;
    block_on(verb(&context))
}

/// Runs `work` on a runtime of its own.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}

fn client(global: &Global) -> anyhow::Result<Client> {
    let token = || global.token.clone().or_else(|| owner_token(global));
    if let Some(url) = &global.url {
        return Ok(Client::new(Target::Tcp(address_of(url)?), token()));
    }
    let endpoint = Endpoint::read(&global.data_dir).map_err(|error| {
        Failure::new(
            format!("no daemon has been started on {}: {error:#}", global.data_dir.display()),
            "start one with `dormouse up`, or say where it is with `--data-dir` or `--url`",
        )
        .with_code(UNREACHABLE)
    })?;
    Ok(Client::new(Target::Unix(endpoint.unix), token()))
}

/// The token the daemon wrote for its owner, if this user may read it.
fn owner_token(global: &Global) -> Option<String> {
    let text = std::fs::read_to_string(global.data_dir.join(OWNER_TOKEN_FILE)).ok()?;
    Some(text.trim().to_owned()).filter(|token| !token.is_empty())
}

/// `host:port` of `http://host:port/`.
fn address_of(url: &str) -> Result<String, Failure> {
    let rest = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let has_port = rest
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if has_port && !rest.contains('/') {
        return Ok(rest.to_owned());
    }
    Err(Failure::new(format!("`{url}` is not an address"), "write it like `http://127.0.0.1:4280`"))
}

#[cfg(test)]
mod tests {
    use super::{address_of, is_machine_id};

    #[test]
    fn urls_become_addresses() {
        assert_eq!(address_of("http://127.0.0.1:4280/").expect("valid"), "127.0.0.1:4280");
        assert_eq!(address_of("localhost:80").expect("valid"), "localhost:80");
        assert_eq!(address_of("http://[::1]:80").expect("valid"), "[::1]:80");
        for url in ["", "https://x:1", "localhost", "http://x", "http://x:1/v1", ":80"] {
            assert!(address_of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn ids_are_told_from_names() {
        assert!(is_machine_id("0e286039a42d18"));
        assert!(!is_machine_id("quiet-lake-0042") && !is_machine_id("0E286039A42D18"));
    }
}
