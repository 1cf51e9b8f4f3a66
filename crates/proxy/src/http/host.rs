//! The host that a request names.

/// Longest host with its port, in bytes. Source: RFC 1035 (253 bytes of a name), `[…]`, `:65535`.
const HOST_MAX_BYTES: usize = 300;

/// A host as a visitor wrote it, made comparable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Lower case, without a final dot; an IPv6 literal without its brackets.
    pub(crate) name: String,
    /// The port behind the colon.
    pub(crate) port: Option<u16>,
}

impl Host {
    /// Reads `name`, `name:port`, `[v6]` or `[v6]:port`. `None` for everything else, user
    /// information included.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > HOST_MAX_BYTES {
            return None;
        }
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (literal, port) = rest.split_once(']')?;
                literal.parse::<std::net::Ipv6Addr>().ok()?;
                (literal, port)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                (&text[..end], &text[end..])
            }
        };
        let port = match port {
            "" | ":" => None,
            port => Some(parse_port(port.strip_prefix(':')?)?),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_name = !name.is_empty() && name.bytes().all(is_host_byte);
        is_name.then(|| Self { name: name.to_ascii_lowercase(), port })
    }

    /// Whether both mean the same, when a missing port means `default_port`.
    pub(crate) fn is_same(&self, other: &Self, default_port: u16) -> bool {
        self.name == other.name
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }

    /// As it is written in a URL, without the port.
    pub(crate) fn for_url(&self) -> String {
        if self.name.contains(':') { format!("[{}]", self.name) } else { self.name.clone() }
    }
}

/// Digits only: `parse` alone would take a sign.
fn parse_port(digits: &str) -> Option<u16> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Bytes of a registered name that we let through: those of DNS, `_`, and `:` and `%` never.
const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':')
}

#[cfg(test)]
mod tests {
    use super::Host;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, Option<u16>)>) {
        let host = Host::parse(text);
        let host = host.as_ref().map(|h| (h.name.as_str(), h.port));
        assert_eq!(host, expected, "{text:?}");
    }

    #[test]
    fn hosts_are_read_in_one_way() {
        check("Web.LocalHost", Some(("web.localhost", None)));
        check("web.localhost.:8080", Some(("web.localhost", Some(8080))));
        check("web:", Some(("web", None)));
        check("127.0.0.1:80", Some(("127.0.0.1", Some(80))));
        check("[::1]:443", Some(("::1", Some(443))));
        check("[::1]", Some(("::1", None)));
        for bad in ["", ".", "a b", "a@b", "a/b", "a:b", "a:+1", "a:99999", "[::1", "[x]", "[::1]x"]
        {
            check(bad, None);
        }
        check("a,b", None);
        check("::1", None);
        check(&"a".repeat(301), None);
    }

    #[test]
    fn the_default_port_may_be_left_out() {
        let with = Host::parse("a:80").expect("a host");
        let without = Host::parse("A").expect("a host");
        assert!(with.is_same(&without, 80));
        assert!(!with.is_same(&without, 443));
    }
}
