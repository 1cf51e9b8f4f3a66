//! The operator's list of registries: which may be used, and which of them may be on private
//! addresses.
//!
//! A pattern is `host[:port][/prefix]`. `*.example.com` is every name below `example.com`, `*` is
//! every registry; a port of `*` is any port, no port is a registry written without one. A prefix
//! covers whole path components: `ghcr.io/acme` allows `acme/web` and not `acme2/web`.

use crate::reference::{Reference, RegistryName};
use std::fmt;
use std::str::FromStr;

/// Patterns of one list: more than any operator writes by hand.
const PATTERNS_MAX: usize = 256;

/// Port of `https`, which a registry without a written port is reached on.
const HTTPS_PORT: u16 = 443;

/// A list of registries; the default allows none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    patterns: Vec<Pattern>,
}

/// Why a text is not a list of registries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAllowList {
    /// One of the patterns.
    #[error(
        "`{pattern}` is not a pattern of registries: expected `host[:port][/prefix]`, `*.host` or `*`"
    )]
    Pattern {
        /// Which.
        pattern: String,
    },
    /// Too many of them.
    #[error("more than {PATTERNS_MAX} patterns of registries")]
    TooMany,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    host: Host,
    port: Port,
    /// Empty: every repository.
    prefix: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    Exact(String),
    /// Every name that ends in this, which begins with a dot.
    Below(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Any,
    Unwritten,
    Exact(u16),
}

impl AllowList {
    /// Allows every registry; none of them may be on a private address.
    #[must_use]
    pub fn everything() -> Self {
        Self { patterns: vec![Pattern { host: Host::Any, port: Port::Any, prefix: String::new() }] }
    }

    /// The list of these patterns.
    ///
    /// # Errors
    /// [`InvalidAllowList`] names the first pattern that is none.
    pub fn of<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidAllowList> {
        let patterns: Vec<Pattern> =
            patterns.into_iter().map(str::parse).collect::<Result<_, _>>()?;
        if patterns.len() > PATTERNS_MAX {
            return Err(InvalidAllowList::TooMany);
        }
        Ok(Self { patterns })
    }

    /// Whether images of this reference may be used.
    #[must_use]
    pub fn allows(&self, reference: &Reference) -> bool {
        let registry = reference.registry();
        self.patterns.iter().any(|pattern| {
            pattern.host.matches(registry.host())
                && pattern.port.matches(registry.port())
                && pattern.covers(reference.repository())
        })
    }

    /// Whether the operator has named this server: by itself or below a named domain, not by `*`.
    ///
    /// `port` is the port that is connected to.
    pub(crate) fn names_server(&self, host: &str, port: u16) -> bool {
        let written = (port != HTTPS_PORT).then_some(port);
        self.patterns.iter().any(|pattern| {
            pattern.host != Host::Any
                && pattern.host.matches(host)
                && (pattern.port.matches(written) || pattern.port.matches(Some(port)))
        })
    }
}

impl Host {
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name == host,
            Self::Below(suffix) => host.ends_with(suffix.as_str()) && host.len() > suffix.len(),
        }
    }
}

impl Port {
    fn matches(self, port: Option<u16>) -> bool {
        match self {
            Self::Any => true,
            Self::Unwritten => port.is_none(),
            Self::Exact(number) => port == Some(number),
        }
    }
}

impl Pattern {
    fn covers(&self, repository: &str) -> bool {
        repository
            .strip_prefix(self.prefix.as_str())
            .is_some_and(|rest| self.prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for Pattern {
    type Err = InvalidAllowList;

    fn from_str(text: &str) -> Result<Self, InvalidAllowList> {
        let text = text.trim();
        let invalid = || InvalidAllowList::Pattern { pattern: text.to_owned() };
        let (server, prefix) = text.split_once('/').unwrap_or((text, ""));
        let prefix = prefix.trim_end_matches('/').trim_end_matches("/*").to_owned();
        if !prefix.is_empty() && !prefix.split('/').all(crate::reference::is_component) {
            return Err(invalid());
        }
        if server == "*" {
            return Ok(Self { host: Host::Any, port: Port::Any, prefix });
        }
        let (server, any_port) = match server.strip_suffix(":*") {
            Some(server) => (server, true),
            None => (server, false),
        };
        let below = server.strip_prefix("*.");
        let name: RegistryName = below
            .unwrap_or(server)
            .parse()
            .map_err(|crate::reference::InvalidRegistryName| invalid())?;
        let host = match below {
            Some(_) => Host::Below(format!(".{}", name.host())),
            None => Host::Exact(name.host().to_owned()),
        };
        let port = match name.port() {
            _ if any_port => Port::Any,
            Some(number) => Port::Exact(number),
            None => Port::Unwritten,
        };
        Ok(Self { host, port, prefix })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Any => f.write_str("*")?,
            Host::Exact(name) if name.contains(':') => write!(f, "[{name}]")?,
            Host::Exact(name) => f.write_str(name)?,
            Host::Below(suffix) => write!(f, "*{suffix}")?,
        }
        match (&self.host, self.port) {
            (Host::Any, _) | (_, Port::Unwritten) => {}
            (_, Port::Any) => f.write_str(":*")?,
            (_, Port::Exact(number)) => write!(f, ":{number}")?,
        }
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

/// Patterns separated by commas.
impl FromStr for AllowList {
    type Err = InvalidAllowList;

    fn from_str(text: &str) -> Result<Self, InvalidAllowList> {
        Self::of(text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()))
    }
}

impl fmt::Display for AllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, pattern) in self.patterns.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{pattern}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, reference: &str, expected: bool) {
        let parsed: AllowList = list.parse().expect("a list");
        let reference: Reference = reference.parse().expect("a reference");
        assert_eq!(parsed.allows(&reference), expected, "{list} {reference}");
        assert_eq!(parsed.to_string().parse(), Ok(parsed), "{list} reads back");
    }

    #[test]
    fn patterns_allow_what_they_say() {
        check("", "alpine", false);
        check("*", "alpine", true);
        check("docker.io", "alpine", true);
        check("index.docker.io", "alpine", true);
        check("docker.io/library", "alpine", true);
        check("docker.io/library", "team/web", false);
        check("ghcr.io/acme", "ghcr.io/acme/web", true);
        check("ghcr.io/acme", "ghcr.io/acme2/web", false);
        check("ghcr.io/acme/*", "ghcr.io/acme/web", true);
        check("*.example.com", "r.example.com/a", true);
        check("*.example.com", "a.b.example.com/a", true);
        check("*.example.com", "example.com/a", false);
        check("*.example.com", "badexample.com/a", false);
        check("r.io", "r.io:5000/a", false);
        check("r.io:5000", "r.io:5000/a", true);
        check("r.io:*", "r.io:5000/a", true);
        check("[::1]:5000", "[::1]:5000/a", true);
        check("a.io, b.io", "b.io/x", true);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["a b", "*x.io", "r.io:x", "https://r.io", "r.io/UP", "*.*.io"] {
            assert!(wrong.parse::<AllowList>().is_err(), "{wrong}");
        }
        let many = vec!["r.io"; PATTERNS_MAX + 1].join(",");
        assert_eq!(many.parse::<AllowList>(), Err(InvalidAllowList::TooMany));
    }

    #[test]
    fn a_star_names_no_server() {
        let names = |list: &str, host, port| {
            list.parse::<AllowList>().expect("a list").names_server(host, port)
        };
        assert!(!names("*", "r.io", 443));
        assert!(names("r.io/team", "r.io", 443));
        assert!(!names("r.io", "r.io", 80));
        assert!(names("*.io:5000", "r.io", 5000));
    }
}
