//! Names of registries: `host[:port]`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Docker Hub as users write it.
const DOCKER_HUB: &str = "docker.io";
/// The host that serves Docker Hub's images.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";
/// What else means Docker Hub; the first is what `docker login` writes down.
const DOCKER_HUB_ALIASES: [&str; 2] = ["index.docker.io", DOCKER_HUB_HOST];
/// Longest host name, in bytes. Source: RFC 1035, 2.3.4.
const HOST_MAX_BYTES: usize = 255;
/// Longest label of a host name, in bytes. Source: RFC 1035, 2.3.4.
const LABEL_MAX_BYTES: usize = 63;

/// A registry: a host name or address in lower case, and a port when one was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryName {
    text: String,
    host_bytes: usize,
    port: Option<u16>,
}

/// A text is not `host[:port]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `host[:port]`")]
pub struct InvalidRegistryName;

impl RegistryName {
    pub(super) fn docker_hub() -> Self {
        Self::new(DOCKER_HUB, None)
    }

    fn new(host: &str, port: Option<u16>) -> Self {
        let host = host.to_ascii_lowercase();
        let host_bytes = host.len();
        let text = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        Self { text, host_bytes, port }
    }

    /// As users write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, without brackets around an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text[..self.host_bytes].trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, if one was written.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether this is Docker Hub.
    #[must_use]
    pub fn is_docker_hub(&self) -> bool {
        self.text == DOCKER_HUB
    }

    /// `host[:port]` of the server to ask, as it stands in a URL.
    #[must_use]
    pub fn served_by(&self) -> &str {
        if self.is_docker_hub() { DOCKER_HUB_HOST } else { &self.text }
    }
}

impl FromStr for RegistryName {
    type Err = InvalidRegistryName;

    fn from_str(text: &str) -> Result<Self, InvalidRegistryName> {
        let (host, port) = split_port(text)?;
        let name = Self::new(host, port);
        if !is_host(&name.text[..name.host_bytes]) {
            return Err(InvalidRegistryName);
        }
        if DOCKER_HUB_ALIASES.contains(&name.as_str()) {
            return Ok(Self::docker_hub());
        }
        Ok(name)
    }
}

impl fmt::Display for RegistryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), InvalidRegistryName> {
    let Some((host, port)) = text.rsplit_once(':') else { return Ok((text, None)) };
    if port.ends_with(']') {
        return Ok((text, None));
    }
    let is_number = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if is_number && number != 0 => Ok((host, Some(number))),
        Ok(_) | Err(_) => Err(InvalidRegistryName),
    }
}

/// A host name, an IPv4 address or an IPv6 address in brackets.
pub(crate) fn is_host(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.strip_suffix(']').is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    }
    (1..=HOST_MAX_BYTES).contains(&text.len()) && text.split('.').all(is_label)
}

fn is_label(text: &str) -> bool {
    (1..=LABEL_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether a host (without brackets) can only be this host itself.
///
/// `localhost` is reserved for that and never asked of a name server. Source: RFC 6761, 6.3.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
