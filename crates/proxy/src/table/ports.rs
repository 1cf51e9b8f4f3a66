//! Which app owns which public port?

use model::spec::service::{Handler, Port, Service, Transport};
use std::collections::{BTreeMap, BTreeSet};

/// Most doors of one process: listening sockets, of which each is a descriptor.
pub(crate) const DOORS_MAX: usize = 1_024;

/// A public port.
pub(crate) type PortKey = (Transport, u16);

/// How the bytes of a port are told apart, which all apps on it must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Not at all: one app owns it.
    Raw,
    /// By the host of each request.
    Http,
    /// By the name in the TLS handshake.
    Tls,
}

impl Kind {
    /// How the port's handlers read the first bytes.
    pub(crate) fn of(port: &Port) -> Self {
        if port.handlers.contains(&Handler::Tls) {
            Self::Tls
        } else if port.handlers.contains(&Handler::Http) {
            Self::Http
        } else {
            Self::Raw
        }
    }
}

/// Who claims which port; the first to claim it says how it is read.
#[derive(Debug, Default)]
pub(crate) struct PortClaims {
    claims: BTreeMap<(u8, u16), Vec<Claim>>,
    of_app: BTreeMap<String, BTreeMap<(u8, u16), Kind>>,
    /// Doors that were wanted and are too many, by app.
    n_left_off: BTreeMap<String, usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    app: String,
    kind: Kind,
}

/// A port that visitors may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    /// Transport and number.
    pub(crate) key: PortKey,
    /// How its bytes are read.
    pub(crate) kind: Kind,
    /// Apps behind it, oldest claim first.
    pub(crate) apps: Vec<String>,
    /// Apps that are kept out by the oldest claim.
    pub(crate) kept_out: Vec<String>,
}

impl PortClaims {
    /// From now on the app claims exactly the ports of these services. Whether anything changed.
    pub(crate) fn set<'a>(
        &mut self,
        app: &str,
        services: impl Iterator<Item = &'a Service>,
    ) -> bool {
        let (wanted, n_left_off) = wanted(services);
        let before = self.of_app.remove(app).unwrap_or_default();
        let is_changed = before != wanted;
        for (key, kind) in &before {
            if wanted.get(key) != Some(kind) {
                self.drop_claim(*key, app);
            }
        }
        for (&key, &kind) in &wanted {
            let claimants = self.claims.entry(key).or_default();
            if !claimants.iter().any(|claim| claim.app == app) {
                claimants.push(Claim { app: app.to_owned(), kind });
            }
        }
        if n_left_off == 0 {
            self.n_left_off.remove(app);
        } else {
            self.n_left_off.insert(app.to_owned(), n_left_off);
        }
        if !wanted.is_empty() {
            self.of_app.insert(app.to_owned(), wanted);
        }
        is_changed
    }

    fn drop_claim(&mut self, key: (u8, u16), app: &str) {
        let Some(claimants) = self.claims.get_mut(&key) else { return };
        claimants.retain(|claim| claim.app != app);
        if claimants.is_empty() {
            self.claims.remove(&key);
        }
    }

    /// Everything claimed, at most [`DOORS_MAX`].
    pub(crate) fn all(&self) -> Vec<Claimed> {
        self.claims.iter().take(DOORS_MAX).map(|(key, claims)| claimed(*key, claims)).collect()
    }

    /// Claims that [`Self::all`] leaves out.
    pub(crate) fn n_left_off(&self) -> usize {
        self.claims.len().saturating_sub(DOORS_MAX) + self.n_left_off.values().sum::<usize>()
    }

    /// What is claimed at a port.
    pub(crate) fn at(&self, transport: Transport, port: u16) -> Option<Claimed> {
        let key = key_of(transport, port);
        self.claims.get(&key).map(|claims| claimed(key, claims))
    }

    /// The app whose claim on the port is the oldest.
    pub(crate) fn owner(&self, transport: Transport, port: u16) -> Option<&str> {
        let claims = self.claims.get(&key_of(transport, port))?;
        claims.first().map(|claim| claim.app.as_str())
    }

    /// The app behind the port, if it is the only one.
    pub(crate) fn only_app(&self, transport: Transport, port: u16) -> Option<&str> {
        let claims = self.claims.get(&key_of(transport, port))?;
        let first = claims.first()?;
        let is_only = claims[1..].iter().all(|other| !shares(first, other));
        is_only.then_some(first.app.as_str())
    }

    /// Whether the app is served at the port, not kept out of it.
    pub(crate) fn is_served(&self, transport: Transport, port: u16, app: &str) -> bool {
        let Some(claims) = self.claims.get(&key_of(transport, port)) else { return false };
        let own = claims.iter().find(|claim| claim.app == app);
        own.is_some_and(|own| own.app == claims[0].app || shares(&claims[0], own))
    }
}

/// Whether the later claim can live beside the first.
fn shares(first: &Claim, later: &Claim) -> bool {
    first.kind != Kind::Raw && first.kind == later.kind
}

fn claimed(key: (u8, u16), claims: &[Claim]) -> Claimed {
    let first = &claims[0];
    let (inside, outside): (Vec<&Claim>, Vec<&Claim>) =
        claims.iter().partition(|claim| claim.app == first.app || shares(first, claim));
    let apps = |claims: Vec<&Claim>| claims.into_iter().map(|claim| claim.app.clone()).collect();
    Claimed {
        key: (transport_of(key.0), key.1),
        kind: first.kind,
        apps: apps(inside),
        kept_out: apps(outside),
    }
}

/// The ports of services, how each is read, and how many are too many for one app.
fn wanted<'a>(services: impl Iterator<Item = &'a Service>) -> (BTreeMap<(u8, u16), Kind>, usize) {
    let mut ranges = BTreeSet::new();
    let mut wanted = BTreeMap::new();
    let mut n_left_off = 0;
    for service in services {
        for port in &service.ports {
            let kind = Kind::of(port);
            if !ranges.insert((service.protocol == Transport::Udp, port.first, port.last, kind)) {
                continue;
            }
            for number in port.first..=port.last {
                let key = key_of(service.protocol, number);
                if wanted.len() < DOORS_MAX || wanted.contains_key(&key) {
                    wanted.entry(key).or_insert(kind);
                } else {
                    n_left_off += 1;
                }
            }
        }
    }
    (wanted, n_left_off)
}

const fn key_of(transport: Transport, port: u16) -> (u8, u16) {
    match transport {
        Transport::Tcp => (0, port),
        Transport::Udp => (1, port),
    }
}

const fn transport_of(number: u8) -> Transport {
    match number {
        0 => Transport::Tcp,
        _ => Transport::Udp,
    }
}
