//! What the rules of one machine read of the world outside it.

use govern::Selfhood;
use policy::{Name, Platform, Policy};
use std::collections::BTreeSet;

/// What the rules of one machine, and its `rest until`, read of the world outside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Names or ids of machines whose facts or states are read.
    pub(crate) peers: BTreeSet<String>,
    /// Of these, machines whose beats are counted.
    pub(crate) ages: BTreeSet<String>,
    /// How busy the machine itself is: it has to be measured while it is up.
    pub(crate) activity: bool,
    /// Its requests and connections, each change of which counts.
    pub(crate) visitors: bool,
    /// Its services put it to rest when nobody visits it.
    pub(crate) autostop: bool,
    /// Its use of CPU, each change of which counts.
    pub(crate) cpu: bool,
    /// Its outbound connections, each change of which counts.
    pub(crate) outbound: bool,
    /// How many machines of its app are up.
    pub(crate) app_running: bool,
}

impl Reads {
    /// What this policy and this record read.
    pub(crate) fn of(policy: &Policy, selfhood: &Selfhood) -> Self {
        let mut reads = Self::default();
        for rule in policy.rules() {
            for condition in std::iter::once(&rule.when).chain(&rule.until) {
                condition.names().for_each(|name| reads.add(policy, name));
            }
        }
        let until = selfhood.rest.as_ref().and_then(|rest| rest.until.as_ref());
        if let Some(Ok(until)) = until.map(|text| policy.compile_rest_until(text)) {
            until.names().for_each(|name| reads.add(policy, name));
        }
        reads
    }

    fn add(&mut self, policy: &Policy, name: &Name) {
        let machine = |peer: &str| {
            let described = policy.document().peers.get(peer);
            described.and_then(|peer| peer.machine.as_deref()).unwrap_or(peer).to_owned()
        };
        match name {
            Name::PeerFact { peer, .. } | Name::PeerState(peer) => {
                self.peers.insert(machine(peer));
            }
            Name::PeerAge(peer) => {
                self.peers.insert(machine(peer));
                self.ages.insert(machine(peer));
            }
            Name::Platform(Platform::Cpu) => (self.activity, self.cpu) = (true, true),
            Name::Platform(Platform::ConnsOut) => (self.activity, self.outbound) = (true, true),
            Name::Platform(Platform::Idle | Platform::NetIdle) => self.activity = true,
            Name::Platform(Platform::Inflight | Platform::ConnsIn) => self.visitors = true,
            Name::Platform(Platform::AppRunning) => self.app_running = true,
            Name::Platform(_)
            | Name::Memory(_)
            | Name::Due(_)
            | Name::Old
            | Name::New
            | Name::Writer => {}
        }
    }

    /// Whether others can change what the machine reads.
    pub(super) fn is_of_others(&self) -> bool {
        !self.peers.is_empty() || self.app_running
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::Document;

    fn policy(text: &str) -> Policy {
        let document: Document = serde_json::from_str(text).expect("a policy document");
        Policy::compile(document).expect("a policy")
    }

    #[test]
    fn a_policy_reads_what_its_rules_and_its_rest_name() {
        let policy = policy(
            r#"{"peers": {"primary": {"machine": "db-1"}},
                "rules": [
                  {"id": "a", "effect": "wake", "when": "peer.primary.age_s > 20"},
                  {"id": "b", "effect": "rest", "when": "machine.idle_s > 60"}]}"#,
        );
        let mut selfhood = Selfhood::default();
        let db = BTreeSet::from(["db-1".to_owned()]);
        let reads = Reads::of(&policy, &selfhood);
        let expected = Reads { peers: db.clone(), ages: db, activity: true, ..Reads::default() };
        assert_eq!(reads, expected);
        selfhood.rest = Some(govern::selfhood::RestUntil {
            mode: model::Depth::Stop,
            until: Some("app.running > 1".to_owned()),
            at: None,
            note: String::new(),
            rev: 1,
            phase: govern::selfhood::RestPhase::Resting { since: model::UnixMs(0) },
        });
        assert!(Reads::of(&policy, &selfhood).app_running);
    }

    #[test]
    fn a_policy_without_the_world_reads_nothing_of_it() {
        let policy = policy(
            r#"{"rules": [{"id": "a", "effect": "hold", "when": "inbox.depth > 0 && holds == 0"}]}"#,
        );
        assert_eq!(Reads::of(&policy, &Selfhood::default()), Reads::default());
    }
}
