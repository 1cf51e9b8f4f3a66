//! What the DNS says of a host name, as this host's own programs find it.

use super::Hostname;
use model::UnixMs;
use registry::dial::{HostResolver, Resolve as _};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{IpAddr, UdpSocket};
use tokio::sync::Semaphore;

/// Looks at a time: each is a process of the host.
const AT_ONCE_MAX: usize = 4;

/// Most addresses of a name that are kept.
const ADDRESSES_MAX: usize = 16;

/// Turns of those who look.
static TURNS: Semaphore = Semaphore::const_new(AT_ONCE_MAX);

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookedUp {
    /// When.
    pub at: UnixMs,
    /// Addresses of the name, at most 16.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// One of them is this host's own.
    pub is_here: bool,
    /// Why there are none, if that is not because nobody knows the name.
    #[serde(default)]
    pub problem: Option<String>,
}

/// Looks a name up; of a wildcard a name that it covers.
pub(crate) async fn look_up(name: &Hostname, now: UnixMs) -> LookedUp {
    let asked = match name.wildcard_base() {
        Some(base) => format!("dormouse-check.{base}"),
        None => name.to_string(),
    };
    // The semaphore is never closed; nobody waits for ever, since each answer is bounded.
    let turn = TURNS.acquire().await;
    let answer = HostResolver.resolve(&asked).await;
    drop(turn);
    let (mut addresses, problem) = match answer {
        Ok(addresses) => (addresses, None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    addresses.truncate(ADDRESSES_MAX);
    LookedUp { at: now, is_here: addresses.iter().any(is_own), addresses, problem }
}

/// Whether the address is one of this host: only such a one can be bound to.
fn is_own(address: &IpAddr) -> bool {
    !address.is_unspecified() && UdpSocket::bind((*address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{is_own, look_up};
    use model::UnixMs;

    #[test]
    fn own_addresses_are_told_from_others() {
        assert!(is_own(&"127.0.0.1".parse().expect("an address")));
        for other in ["192.0.2.1", "2001:db8::1", "0.0.0.0"] {
            assert!(!is_own(&other.parse().expect("an address")), "{other}");
        }
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_has_no_addresses() {
        let name = "nobody.dormouse.test".parse().expect("a name");
        let found = look_up(&name, UnixMs(1)).await;
        assert!(found.addresses.is_empty() && !found.is_here, "{found:?}");
    }
}
