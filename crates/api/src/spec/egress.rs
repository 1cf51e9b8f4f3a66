//! Egress rules: from the wire to what the router works with.

use crate::contract::egress as wire;
use crate::problem::Problem;
use model::spec::egress::{
    EGRESS_PORTS_MAX, EGRESS_RULES_MAX, EgressAction, EgressPolicy, EgressProblem, EgressProtocol,
    EgressRule, EgressTarget, PortRange,
};

#[cfg(test)]
mod tests;

/// The policy of a configuration; `None` lets the machine speak to everyone.
///
/// # Errors
/// 400 `invalid_egress` with the path of the field.
pub(super) fn policy(wire: Option<&wire::Egress>) -> Result<Option<EgressPolicy>, Problem> {
    let Some(wire) = wire else { return Ok(None) };
    let default = action("config.egress.default", wire.default.as_deref())?;
    let rules = wire.rules.iter().flatten().enumerate();
    let rules = rules.map(|(n, wire)| rule(&format!("config.egress.rules[{n}]"), wire));
    let policy = EgressPolicy { default, rules: rules.collect::<Result<_, _>>()? };
    policy.validate().map_err(|problem| whole(&problem))?;
    Ok(Some(policy))
}

fn rule(place: &str, wire: &wire::EgressRule) -> Result<EgressRule, Problem> {
    let ports = wire.ports.iter().flatten().enumerate();
    let ports = ports.map(|(n, wire)| ports_of(&format!("{place}.ports[{n}]"), wire));
    Ok(EgressRule {
        action: action(&format!("{place}.action"), wire.action.as_deref())?,
        to: target(&format!("{place}.to"), wire.to.as_deref())?,
        protocol: protocol(&format!("{place}.protocol"), wire.protocol.as_deref())?,
        ports: ports.collect::<Result<_, _>>()?,
    })
}

fn action(place: &str, word: Option<&str>) -> Result<EgressAction, Problem> {
    const HINT: &str = "use `allow` or `deny`";
    match word {
        Some("allow") => Ok(EgressAction::Allow),
        Some("deny") => Ok(EgressAction::Deny),
        None | Some("") => Err(invalid(&format!("{place} is required"), HINT)),
        Some(other) => Err(invalid(&format!("{place} `{other}` is unknown"), HINT)),
    }
}

fn target(place: &str, text: Option<&str>) -> Result<EgressTarget, Problem> {
    const HINT: &str = "use `*` for everywhere, an address or a range such as `198.51.100.0/24`, \
                        or a domain such as `example.com` or `*.example.com`; a URL is none of \
                        these, and a port belongs into `ports`";
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Err(invalid(&format!("{place} is required"), HINT));
    };
    text.parse().map_err(|error| invalid(&format!("{place}: {error}"), HINT))
}

fn protocol(place: &str, word: Option<&str>) -> Result<Option<EgressProtocol>, Problem> {
    match word {
        None | Some("") => Ok(None),
        Some("tcp") => Ok(Some(EgressProtocol::Tcp)),
        Some("udp") => Ok(Some(EgressProtocol::Udp)),
        Some("icmp") => Ok(Some(EgressProtocol::Icmp)),
        Some(other) => Err(invalid(
            &format!("{place} `{other}` is unknown"),
            "use `tcp`, `udp` or `icmp`, or leave it out for all of them",
        )),
    }
}

fn ports_of(place: &str, wire: &wire::EgressPorts) -> Result<PortRange, Problem> {
    let text = match wire {
        wire::EgressPorts::One(port) => port.to_string(),
        wire::EgressPorts::Text(text) => text.clone(),
    };
    text.parse().map_err(|error| {
        let message = format!("{place}: {error}");
        invalid(&message, "write a port as `443` and a range as `\"8000-8999\"`")
    })
}

/// A policy whose parts are right, and that is wrong as a whole.
fn whole(problem: &EgressProblem) -> Problem {
    let (place, hint) = match problem {
        EgressProblem::TooManyRules { .. } => (
            "config.egress.rules".to_owned(),
            format!("use at most {EGRESS_RULES_MAX}: ranges and `*.` domains cover much in one"),
        ),
        EgressProblem::TooManyPorts { rule_idx } => (
            format!("config.egress.rules[{rule_idx}].ports"),
            format!("use at most {EGRESS_PORTS_MAX}, and ranges for ports that follow each other"),
        ),
        EgressProblem::PortsOfIcmp { rule_idx } => (
            format!("config.egress.rules[{rule_idx}].ports"),
            "leave `ports` out, or name `tcp` or `udp`".to_owned(),
        ),
    };
    invalid(&format!("{place}: {problem}"), &hint)
}

fn invalid(message: &str, hint: &str) -> Problem {
    Problem::invalid("invalid_egress", message).hint(hint)
}
