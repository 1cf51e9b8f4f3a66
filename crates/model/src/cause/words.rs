//! Causes in words: the one table, for events, explanations and logs alike.

use super::Cause;
use crate::units::Bytes;

impl Cause {
    /// Who is behind it, as the object of "by".
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Api { actor, .. } => format!("a call by {actor}"),
            Self::Guest => "its own call".to_owned(),
            Self::Knock { request: Some(request), .. } => {
                format!("a request, {} {}{}", request.method, request.host, request.path)
            }
            Self::Knock { internal_port: Some(port), .. } => {
                format!("a connection to port {port}")
            }
            Self::Knock { internal_port: None, request: None } => "a visitor".to_owned(),
            Self::Rule { rule } => format!("rule `{rule}`"),
            Self::Alarm { alarm } => format!("alarm `{alarm}`"),
            Self::Message => "a message".to_owned(),
            Self::Peer { peer } => format!("peer {peer}"),
            Self::RestUntil => "its own word".to_owned(),
            Self::Idle { after: Some(after) } => {
                format!("autostop, after {} s without visitors", after.0 / 1000)
            }
            Self::Idle { after: None } => "the platform, because it was idle".to_owned(),
            Self::Excess { after } => {
                format!("autostop, after {} s with one machine too many", after.0 / 1000)
            }
            Self::Age { after } => {
                format!("its setting `deepen`, after {} s asleep", after.0 / 1000)
            }
            Self::Plan => "the platform".to_owned(),
            Self::RestartPolicy => "the restart policy".to_owned(),
            Self::Schedule => "its schedule".to_owned(),
            Self::DiskPressure { .. } => "want of room on the disk".to_owned(),
            Self::DiskRoom { .. } => "room on the disk".to_owned(),
            Self::HostReboot => "the host's reboot".to_owned(),
        }
    }

    /// What happened, with the figures that the cause carries, where [`Cause::words`] are not all that
    /// the owner is told.
    #[must_use]
    pub fn figures(&self) -> Option<String> {
        match self {
            Self::DiskPressure { free, wrote_bytes, within } => Some(format!(
                "frozen: the data disk has {free} free and this machine wrote {} in {}.{} s",
                Bytes(*wrote_bytes),
                within.0 / 1000,
                within.0 % 1000 / 100
            )),
            Self::DiskRoom { free } => Some(format!("thawed: the data disk has {free} free again")),
            Self::Api { .. }
            | Self::Guest
            | Self::Knock { .. }
            | Self::Rule { .. }
            | Self::Alarm { .. }
            | Self::Message
            | Self::Peer { .. }
            | Self::RestUntil
            | Self::Idle { .. }
            | Self::Excess { .. }
            | Self::Age { .. }
            | Self::RestartPolicy
            | Self::Schedule
            | Self::HostReboot
            | Self::Plan => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::KnockRequest;
    use crate::units::DurationMs;

    #[track_caller]
    fn check(cause: &Cause, expected: &str) {
        assert_eq!(cause.words(), expected);
    }

    #[test]
    fn what_is_known_of_a_visitor_is_said() {
        let request = KnockRequest {
            method: "GET".to_owned(),
            host: "web.localhost".to_owned(),
            path: "/a".to_owned(),
        };
        let knock = |internal_port, request| Cause::Knock { internal_port, request };
        check(&knock(Some(80), Some(request)), "a request, GET web.localhost/a");
        check(&knock(Some(22), None), "a connection to port 22");
        check(&Cause::knock(), "a visitor");
    }

    #[test]
    fn idleness_has_its_length() {
        let after = DurationMs::from_secs(300);
        let idle = Cause::Idle { after: Some(after) };
        check(&idle, "autostop, after 300 s without visitors");
        check(&Cause::idle(), "the platform, because it was idle");
        check(&Cause::Excess { after }, "autostop, after 300 s with one machine too many");
        check(&Cause::Age { after }, "its setting `deepen`, after 300 s asleep");
    }
}
