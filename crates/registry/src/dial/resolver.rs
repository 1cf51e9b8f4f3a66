//! Names, as the host's own programs find them.

use super::{Boxed, Resolve};
use std::io;
use std::net::IpAddr;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;

/// Longest wait for an answer: two name servers, each asked twice for five seconds, are the C library's
/// default. Source: resolv.conf(5), `timeout` and `attempts`.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Exit code of `getent` when nobody knows the name. Source: getent(1).
const NOT_FOUND: i32 = 2;

/// Asks `getent ahosts`.
///
/// A program and not `getaddrinfo(3)`: in a static binary the C library would load the sources that
/// the host's `nsswitch.conf` names, which fit only if the host has the very version it was built
/// with.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostResolver;

impl Resolve for HostResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let mut getent = Command::new("getent");
            getent.args(["ahosts", "--", host]).stdin(Stdio::null()).kill_on_drop(true);
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the resolver does not answer");
            let output =
                tokio::time::timeout(ANSWER_MAX, getent.output()).await.map_err(late)??;
            read_answer(&output)
        })
    }
}

fn read_answer(output: &Output) -> io::Result<Vec<IpAddr>> {
    if output.status.success() {
        return Ok(addresses(&String::from_utf8_lossy(&output.stdout)));
    }
    if output.status.code() == Some(NOT_FOUND) {
        return Err(io::Error::new(io::ErrorKind::NotFound, "nobody knows this name"));
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("`getent` ended with {}: {said}", output.status)))
}

/// Each address once, in the order of preference. One line for each address and socket type:
/// `127.0.0.1       STREAM localhost`. An address with a scope is no registry's.
fn addresses(text: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let address = line.split_whitespace().next().and_then(|word| word.parse().ok());
        if let Some(address) = address
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{HostResolver, addresses};
    use crate::dial::Resolve as _;
    use std::io::ErrorKind;

    #[test]
    fn each_address_counts_once_in_order() {
        let text = "2001:db8::1     STREAM a.example\n2001:db8::1     DGRAM\n\
                    fe80::1%eth0    STREAM\n192.0.2.1       STREAM\n192.0.2.1       RAW\n\n";
        let found: Vec<String> = addresses(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["2001:db8::1", "192.0.2.1"]);
    }

    #[tokio::test]
    async fn the_host_knows_itself_and_no_option_is_taken_for_a_name() {
        let found = HostResolver.resolve("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(std::net::IpAddr::is_loopback), "{found:?}");
        for unknown in ["nobody.invalid", "--help"] {
            let error = HostResolver.resolve(unknown).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{unknown}: {error}");
        }
    }
}
