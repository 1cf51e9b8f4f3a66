//! What a policy says about one connection: for what the platform sends in the name of a machine,
//! which passes no rule of the kernel.

use super::{
    Cidr, EgressAction, EgressPolicy, EgressProtocol, EgressRule, EgressTarget, PortRange,
};
use std::net::{IpAddr, SocketAddr};

/// A connection that somebody wants to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressConnection<'a> {
    /// To where.
    pub to: SocketAddr,
    /// Over what.
    pub protocol: EgressProtocol,
    /// The name that has just been found to stand for the address; `None` when the address itself
    /// was named.
    pub name: Option<&'a str>,
}

impl EgressPolicy {
    /// What happens to a connection: what the first rule that fits says, else the default.
    ///
    /// An IPv4 address written as IPv6 is the IPv4 address that packets would go to.
    #[must_use]
    pub fn decide(&self, connection: &EgressConnection<'_>) -> EgressAction {
        let fitting = self.rules.iter().find(|rule| rule.fits(connection));
        fitting.map_or(self.default, |rule| rule.action)
    }

    /// Whether anybody may be asked for the address of `name`, as for a question of the machine's
    /// own: see [`EgressPolicy::leads_anywhere`].
    #[must_use]
    pub fn may_look_up(&self, name: &str) -> bool {
        self.leads_anywhere() || self.domains().iter().any(|domain| domain.contains(name))
    }
}

impl EgressRule {
    fn fits(&self, connection: &EgressConnection<'_>) -> bool {
        let EgressConnection { to, protocol, name } = *connection;
        let is_there = match &self.to {
            EgressTarget::Anywhere => true,
            EgressTarget::Cidr(range) => range.contains(to.ip().to_canonical()),
            EgressTarget::Domain(domain) => name.is_some_and(|name| domain.contains(name)),
        };
        let is_by_port =
            self.ports.is_empty() || self.ports.iter().any(|ports| ports.contains(to.port()));
        is_there && is_by_port && self.protocol.is_none_or(|of_rule| of_rule == protocol)
    }
}

impl Cidr {
    /// Whether `addr` is in the range.
    #[must_use]
    pub fn contains(self, addr: IpAddr) -> bool {
        let len = u32::from(self.len);
        match (self.addr, addr) {
            (IpAddr::V4(first), IpAddr::V4(addr)) => {
                (first.to_bits() ^ addr.to_bits()).checked_shr(32 - len).unwrap_or(0) == 0
            }
            (IpAddr::V6(first), IpAddr::V6(addr)) => {
                (first.to_bits() ^ addr.to_bits()).checked_shr(128 - len).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl PortRange {
    /// Whether `port` is one of them.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EgressAction::{Allow, Deny};
    use serde_json::{Value, json};

    fn policy(default: &str, rules: &Value) -> EgressPolicy {
        let policy = json!({"default": default, "rules": rules});
        serde_json::from_value(policy).expect("a policy")
    }

    #[track_caller]
    fn check(policy: &EgressPolicy, to: &str, name: Option<&str>, expected: EgressAction) {
        let to = to.parse().expect("an address");
        let connection = EgressConnection { to, protocol: EgressProtocol::Tcp, name };
        assert_eq!(policy.decide(&connection), expected, "{to} {name:?}");
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let policy = policy(
            "deny",
            &json!([
                {"action": "deny", "to": "198.51.100.7"},
                {"action": "allow", "to": "198.51.100.0/24", "ports": ["443", "8000-8999"]},
                {"action": "allow", "to": "2001:db8::/32", "protocol": "udp"},
            ]),
        );
        check(&policy, "198.51.100.7:443", None, Deny);
        check(&policy, "198.51.100.8:443", None, Allow);
        check(&policy, "198.51.100.8:8999", None, Allow);
        check(&policy, "198.51.100.8:9000", None, Deny);
        check(&policy, "198.51.101.8:443", None, Deny);
        check(&policy, "[2001:db8::1]:443", None, Deny);
        check(&policy, "[::ffff:198.51.100.8]:443", None, Allow);
    }

    #[test]
    fn a_domain_is_where_its_name_has_led() {
        let policy = policy(
            "deny",
            &json!([
                {"action": "deny", "to": "b.example.com"},
                {"action": "allow", "to": "*.example.com", "ports": ["443"]},
            ]),
        );
        check(&policy, "192.0.2.1:443", Some("a.example.com"), Allow);
        check(&policy, "192.0.2.1:443", Some("A.Example.COM."), Allow);
        check(&policy, "192.0.2.1:443", Some("b.example.com"), Deny);
        check(&policy, "192.0.2.1:443", Some("example.com"), Deny);
        check(&policy, "192.0.2.1:80", Some("a.example.com"), Deny);
        check(&policy, "192.0.2.1:443", None, Deny);
        assert!(policy.may_look_up("a.example.com") && policy.may_look_up("b.example.com"));
        assert!(!policy.may_look_up("secret.example.org"));
    }

    #[test]
    fn the_default_decides_about_the_rest() {
        let open = policy("allow", &json!([{"action": "deny", "to": "10.0.0.0/8"}]));
        check(&open, "10.1.2.3:1", None, Deny);
        check(&open, "11.1.2.3:1", Some("a.example.org"), Allow);
        assert!(open.may_look_up("a.example.org"));
    }

    #[test]
    fn ranges_hold_what_they_say() {
        let holds = |range: &str, addr: &str| {
            let range: Cidr = range.parse().expect("a range");
            range.contains(addr.parse().expect("an address"))
        };
        assert!(holds("0.0.0.0/0", "255.255.255.255") && holds("::/0", "ffff::"));
        assert!(!holds("0.0.0.0/0", "::1") && !holds("::/0", "1.2.3.4"));
        assert!(holds("10.0.0.1", "10.0.0.1") && !holds("10.0.0.1", "10.0.0.0"));
        assert!(
            holds("2001:db8::/33", "2001:db8:7fff::") && !holds("2001:db8::/33", "2001:db8:8000::")
        );
    }
}
