//! Options for where a machine may speak to.

use api::contract::egress::{Egress, EgressPorts, EgressRule};
use clap::{Args, ValueEnum};
use std::str::FromStr;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    /// It is let through
    Allow,
    /// It is refused
    Deny,
}

impl Action {
    fn word(self) -> String {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
        .to_owned()
    }
}

/// Where a machine may speak to.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct EgressArgs {
    /// What becomes of connections to beyond its own network that no rule fits; by default all may
    /// leave
    #[arg(long, value_name = "ACTION")]
    egress_default: Option<Action>,
    /// A rule, `ACTION TO [PROTOCOL] [PORTS]`: `allow *.example.com tcp 80,443`, `deny 192.0.2.0/24`;
    /// may be repeated, the first that fits decides
    #[arg(long, value_name = "RULE", requires = "egress_default")]
    egress_rule: Vec<Rule>,
}

impl EgressArgs {
    /// As configurations have it; `None` when nothing was said.
    pub(super) fn rules(&self) -> Option<Egress> {
        let rules: Vec<_> = self.egress_rule.iter().map(|rule| rule.0.clone()).collect();
        let default = self.egress_default?;
        Some(Egress { default: Some(default.word()), rules: Some(rules) })
    }
}

/// A rule as it is written on the command line. Whether its parts make sense is for the daemon to say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule(EgressRule);

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let action = words.next().unwrap_or_default();
        let action = Action::from_str(action, false)
            .map_err(|_unknown| "a rule begins with `allow` or `deny`".to_owned())?;
        let to =
            words.next().ok_or("a rule needs a destination: `*`, an address, a range, a domain")?;
        let mut rule = EgressRule {
            action: Some(action.word()),
            to: Some(to.to_owned()),
            ..EgressRule::default()
        };
        let mut words = words.peekable();
        rule.protocol =
            words.next_if(|word| word.starts_with(char::is_alphabetic)).map(str::to_owned);
        rule.ports = words
            .next()
            .map(|ports| ports.split(',').map(|port| EgressPorts::Text(port.to_owned())).collect());
        match words.next() {
            Some(more) => Err(format!("`{more}` is too much; ports are written like `80,443`")),
            None => Ok(Self(rule)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EgressRule, Rule};
    use serde_json::json;

    #[track_caller]
    fn check(text: &str, expected: serde_json::Value) {
        let Rule(rule) = text.parse().expect(text);
        assert_eq!(serde_json::to_value::<EgressRule>(rule).expect("plain"), expected);
    }

    #[test]
    fn rules_are_words() {
        check("allow *", json!({"action": "allow", "to": "*"}));
        check("deny 2001:db8::/32", json!({"action": "deny", "to": "2001:db8::/32"}));
        check(
            "allow *.example.com tcp 80,8000-8999",
            json!({"action": "allow", "to": "*.example.com", "protocol": "tcp",
                "ports": ["80", "8000-8999"]}),
        );
        check("allow * 53", json!({"action": "allow", "to": "*", "ports": ["53"]}));
        for wrong in ["", "maybe *", "allow", "allow * tcp 80 443"] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }
}
