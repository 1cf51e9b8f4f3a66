//! What a host name is.

use std::fmt;
use std::str::FromStr;

/// Longest host name. Source: RFC 1035, 2.3.4, without the final dot.
pub const HOSTNAME_MAX_BYTES: usize = 253;

/// Longest label. Source: RFC 1035, 2.3.4.
const LABEL_MAX_BYTES: usize = 63;

/// Last labels of names that mean something else here or nothing anywhere: `<app>.localhost` is each
/// app's without asking, `.internal` is the private network's, `.invalid` is nobody's, `.onion` is
/// not the DNS's. Source: RFC 6761, RFC 7686.
const RESERVED: [&str; 5] = ["localhost", "internal", "invalid", "onion", "flycast"];

/// A name under which an app is reached: lower case, without a final dot; `*` for the first label
/// stands for any one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hostname(String);

/// Why a text is no host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHostname {
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
    /// Too long.
    #[error("it has more than {HOSTNAME_MAX_BYTES} bytes")]
    TooLong,
    /// An address, with or without a port.
    #[error("it is an address")]
    Address,
    /// One label, or a wildcard for all of a last label.
    #[error("it has too few labels")]
    TooShort,
    /// A part between dots is not one of a host name.
    #[error("its labels must be 1 to {LABEL_MAX_BYTES} letters, digits or inner hyphens")]
    Label,
    /// A star that is not the whole first label.
    #[error("a `*` may only be its whole first label")]
    Star,
    /// It has a meaning of its own.
    #[error("names that end so are reserved")]
    Reserved,
}

impl Hostname {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows `*.`, if it is a wildcard.
    #[must_use]
    pub fn wildcard_base(&self) -> Option<&str> {
        self.0.strip_prefix("*.")
    }

    /// The wildcard that covers it; `None` for one that is a wildcard itself.
    #[must_use]
    pub fn wildcard_above(&self) -> Option<String> {
        let (first, rest) = self.0.split_once('.')?;
        (first != "*").then(|| format!("*.{rest}"))
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Hostname {
    type Err = InvalidHostname;

    fn from_str(text: &str) -> Result<Self, InvalidHostname> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() {
            return Err(InvalidHostname::Empty);
        }
        if name.len() > HOSTNAME_MAX_BYTES {
            return Err(InvalidHostname::TooLong);
        }
        let plain = name.strip_prefix("*.").unwrap_or(&name);
        if plain.contains('*') {
            return Err(InvalidHostname::Star);
        }
        let labels: Vec<&str> = plain.split('.').collect();
        let last = labels.last().copied().unwrap_or_default();
        if plain.contains([':', '[']) || last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidHostname::Address);
        }
        if !labels.iter().all(|label| is_label(label)) {
            return Err(InvalidHostname::Label);
        }
        if RESERVED.contains(&last) {
            return Err(InvalidHostname::Reserved);
        }
        if labels.len() < 2 {
            return Err(InvalidHostname::TooShort);
        }
        Ok(Self(name))
    }
}

fn is_label(label: &str) -> bool {
    let is_word = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let has_edges = label.starts_with('-') || label.ends_with('-');
    is_word && !has_edges && (1..=LABEL_MAX_BYTES).contains(&label.len())
}

#[cfg(test)]
mod tests {
    use super::{Hostname, InvalidHostname};

    #[track_caller]
    fn good(text: &str, expected: &str) -> Hostname {
        let name: Hostname = text.parse().expect("a host name");
        assert_eq!(name.as_str(), expected);
        name
    }

    #[track_caller]
    fn bad(text: &str, why: InvalidHostname) {
        assert_eq!(text.parse::<Hostname>(), Err(why), "{text:?}");
    }

    #[test]
    fn names_are_brought_to_one_form() {
        good("WWW.Example.COM.", "www.example.com");
        good("xn--bcher-kva.example", "xn--bcher-kva.example");
        let long = format!("{}.{0}.{0}.{}", "a".repeat(63), "b".repeat(61));
        good(&long, &long);
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let wildcard = good("*.example.com", "*.example.com");
        assert_eq!(wildcard.wildcard_base(), Some("example.com"));
        assert_eq!(wildcard.wildcard_above(), None);
        let plain = good("a.b.example.com", "a.b.example.com");
        assert_eq!(plain.wildcard_base(), None);
        assert_eq!(plain.wildcard_above().as_deref(), Some("*.b.example.com"));
    }

    #[test]
    fn what_is_no_host_name_says_why() {
        use InvalidHostname::{Address, Empty, Label, Reserved, Star, TooLong, TooShort};
        bad("", Empty);
        bad(".", Empty);
        bad(&format!("{}.example.com", "a".repeat(250)), TooLong);
        for text in ["192.0.2.1", "[2001:db8::1]", "www.example.com:443", "2001:db8::1"] {
            bad(text, Address);
        }
        for text in ["example", "*.com"] {
            bad(text, TooShort);
        }
        for text in ["a..example.com", "-a.example.com", "a-.example.com", "a_b.example.com"] {
            bad(text, Label);
        }
        for text in ["bücher.example", "a b.example.com", "a/b.example.com", "a\n.example.com"] {
            bad(text, Label);
        }
        bad(&format!("{}.example.com", "a".repeat(64)), Label);
        for text in ["a.*.example.com", "*a.example.com", "*.*.example.com"] {
            bad(text, Star);
        }
        for text in ["web.localhost", "localhost", "a.web.internal", "x.invalid"] {
            bad(text, Reserved);
        }
    }
}
