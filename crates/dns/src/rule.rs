//! Which names are special for a machine, and who opens the way to what they stand for?

use hickory_proto::rr::Name;
use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use crate::zone::Machine;

/// Most patterns in one rule: a list that a person can still read.
const PATTERNS_MAX: usize = 1_024;

/// Domains by which a machine's rules let it out, or not, and what it may ask for beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRule {
    /// Patterns as they were given, by name.
    exact: HashMap<Name, String>,
    /// Patterns as they were given, by the name below which they hold.
    below: HashMap<Name, String>,
    others: OtherNames,
}

/// What becomes of questions for names in none of a rule's domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherNames {
    /// They are refused, without asking anybody.
    Refused,
    /// They are answered, and nothing is pinned.
    Answered,
}

/// Why a list of domains is no rule.
#[derive(Debug, thiserror::Error)]
pub enum InvalidNameRule {
    /// A pattern is no domain.
    #[error("`{pattern}` is no domain: expected `example.com` or `*.example.com`")]
    Pattern {
        /// The pattern as given.
        pattern: String,
    },
    /// The list is too long.
    #[error("{count} domains are more than {PATTERNS_MAX}")]
    TooMany {
        /// Its length.
        count: usize,
    },
}

impl NameRule {
    /// Reads patterns: `example.com` is this name alone, `*.example.com` every name below it, at
    /// any depth, and not itself.
    ///
    /// # Errors
    /// A pattern that is no domain, or more patterns than a rule may have.
    pub fn new<T: AsRef<str>>(patterns: &[T], others: OtherNames) -> Result<Self, InvalidNameRule> {
        if patterns.len() > PATTERNS_MAX {
            return Err(InvalidNameRule::TooMany { count: patterns.len() });
        }
        let mut rule = Self { exact: HashMap::new(), below: HashMap::new(), others };
        for pattern in patterns {
            let pattern = pattern.as_ref().to_owned();
            let (set, domain) = match pattern.strip_prefix("*.") {
                Some(parent) => (&mut rule.below, parse_domain(parent)),
                None => (&mut rule.exact, parse_domain(&pattern)),
            };
            match domain {
                Some(domain) => set.insert(domain, pattern),
                None => return Err(InvalidNameRule::Pattern { pattern }),
            };
        }
        Ok(rule)
    }

    /// Patterns to which `name` belongs, as they were given.
    #[must_use]
    pub fn domains_of(&self, name: &Name) -> Vec<&str> {
        let mut name = name.to_lowercase();
        let mut domains: Vec<&str> =
            self.exact.get(&name).map(String::as_str).into_iter().collect();
        while !name.is_root() {
            name = name.base_name();
            domains.extend(self.below.get(&name).map(String::as_str));
        }
        domains
    }

    /// What becomes of other names.
    #[must_use]
    pub fn others(&self) -> OtherNames {
        self.others
    }
}

fn parse_domain(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?.to_lowercase();
    name.set_fqdn(true);
    (!name.is_root() && !text.contains('*')).then_some(name)
}

/// Opens the way to addresses that a name has just been found to stand for.
pub trait Pin: Send + Sync + 'static {
    /// Lets `asker` speak to `addresses` for about `ttl` as its rules about `domains` say, and
    /// returns for how long: the answer is not to be remembered for longer.
    ///
    /// `domains` are the patterns of its [`NameRule`], as they were given, to which the asked name
    /// belongs; without any, nothing is pinned. Awaited before the answer is sent, for 2 s at most,
    /// once for each answer, so mostly for addresses that are pinned already. A `ttl` of zero
    /// means: not to be remembered, but the asker will connect in a moment.
    ///
    /// # Errors
    /// The way could not be opened; the asker is told that the name could not be resolved.
    fn pin(
        &self,
        asker: &Machine,
        domains: &[String],
        addresses: &[IpAddr],
        ttl: Duration,
    ) -> impl Future<Output = Result<Duration, PinError>> + Send;
}

/// The way to an address could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("let the addresses of the answer through")]
pub struct PinError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Pins nothing: for a resolver whose machines have no name rules, or rules on names alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unpinned;

impl Pin for Unpinned {
    async fn pin(
        &self,
        _: &Machine,
        _: &[String],
        _: &[IpAddr],
        ttl: Duration,
    ) -> Result<Duration, PinError> {
        Ok(ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(patterns: &[&str]) -> Result<NameRule, InvalidNameRule> {
        NameRule::new(patterns, OtherNames::Refused)
    }

    #[test]
    fn names_belong_to_domains_exactly_or_below() {
        let rule = rule(&["Example.com", "*.example.org.", "a.b.example.net", "*.b.example.org"]);
        let rule = rule.expect("a rule");
        let check = |name: &str, expected: &[&str]| {
            let name = Name::from_ascii(name).expect("a name");
            assert_eq!(rule.domains_of(&name), expected, "{name}");
        };
        check("example.com.", &["Example.com"]);
        check("EXAMPLE.com.", &["Example.com"]);
        check("a.example.org.", &["*.example.org."]);
        check("c.b.Example.ORG.", &["*.b.example.org", "*.example.org."]);
        let others = [
            "www.example.com.",
            "example.org.",
            "notexample.org.",
            "b.example.net.",
            "example.com.evil.test.",
            "com.",
            ".",
        ];
        for name in others {
            check(name, &[]);
        }
    }

    #[test]
    fn what_is_no_domain_is_told() {
        let long = "a".repeat(64);
        for pattern in ["", ".", "*", "*.", "*.*.com", "a*.com", "a..b", long.as_str()] {
            let error = rule(&[pattern]).expect_err("no domain");
            assert!(error.to_string().contains(&format!("`{pattern}`")), "{error}");
        }
        let many = vec!["example.com"; PATTERNS_MAX + 1];
        assert!(matches!(rule(&many), Err(InvalidNameRule::TooMany { count: 1_025 })));
    }
}
