//! Which app does a host name mean?

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Below this name each app has its own, without any set-up: browsers and resolvers answer it with
/// the loopback address. Source: RFC 6761, 6.3.
const LOCAL_SUFFIX: &str = ".localhost";

/// Names that apps claim for themselves; the first to claim a name holds it.
#[derive(Debug, Default)]
pub(crate) struct NameClaims {
    claims: HashMap<String, Vec<String>>,
    of_app: BTreeMap<String, Vec<String>>,
}

impl NameClaims {
    /// From now on the app claims exactly these names. Says who holds a name instead of it.
    pub(crate) fn set(&mut self, app: &str, names: impl IntoIterator<Item = String>) {
        let names: Vec<String> = names.into_iter().map(|name| normal(&name)).collect();
        let before = self.of_app.remove(app).unwrap_or_default();
        for gone in before.iter().filter(|name| !names.contains(name)) {
            let claimants = self.claims.entry(gone.clone()).or_default();
            claimants.retain(|other| other != app);
            if claimants.is_empty() {
                self.claims.remove(gone);
            }
        }
        for name in &names {
            let claimants = self.claims.entry(name.clone()).or_default();
            if !claimants.iter().any(|other| other == app) {
                claimants.push(app.to_owned());
            }
        }
        if !names.is_empty() {
            self.of_app.insert(app.to_owned(), names);
        }
    }

    /// Who holds exactly this name.
    pub(crate) fn holder(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.first().map(String::as_str)
    }

    /// Who holds the name with `*` for the first label.
    pub(crate) fn wildcard_holder(&self, name: &str) -> Option<&str> {
        let (_, rest) = name.split_once('.')?;
        self.holder(&format!("*.{rest}"))
    }

    /// Names that more than one app claims: the name and the apps, its holder first.
    pub(crate) fn disputed(&self) -> Vec<(&str, &[String])> {
        let all = self.claims.iter().filter(|(_, claimants)| claimants.len() > 1);
        let mut all: Vec<_> = all.map(|(name, who)| (name.as_str(), who.as_slice())).collect();
        all.sort_unstable();
        all
    }
}

/// Lower case, without a final dot, a port, or the brackets of an address.
pub(crate) fn normal(host: &str) -> String {
    let host = host.trim();
    let host = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => match host.split_once(':') {
            Some((name, port)) if !port.contains(':') => name,
            _ => host,
        },
    };
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Whether the name says nothing about the app: an address, this host, or nothing.
pub(crate) fn is_anybody(host: &str) -> bool {
    host.is_empty() || host == "localhost" || host.parse::<IpAddr>().is_ok()
}

/// The app of `<app>.localhost`.
pub(crate) fn local_app(host: &str) -> Option<&str> {
    host.strip_suffix(LOCAL_SUFFIX).filter(|app| !app.is_empty() && !app.contains('.'))
}
