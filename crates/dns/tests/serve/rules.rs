//! Machines that may ask for some domains only, and the way that is opened for them.

use crate::client::{addresses, ask, ip, look_up, question};
use crate::upstream::{Upstream, answer};
use crate::{Running, machine};
use dns::{HostSockets, Machine, NameRule, Options, OtherNames, Pin, PinError, Upstreams};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Machine, domains, addresses and time of one pinning.
type Pinned = (String, Vec<String>, Vec<IpAddr>, Duration);

/// What was pinned, and how.
#[derive(Debug)]
struct Recorder {
    pinned: Mutex<Vec<Pinned>>,
    /// Each pinning takes one of these.
    leave: Semaphore,
    outcome: Result<Duration, ()>,
}

#[derive(Clone, Debug)]
struct Recorded(Arc<Recorder>);

impl Recorded {
    fn new(outcome: Result<Duration, ()>, n_at_once: usize) -> Self {
        let leave = Semaphore::new(n_at_once);
        Self(Arc::new(Recorder { pinned: Mutex::default(), leave, outcome }))
    }

    fn pinned(&self) -> Vec<Pinned> {
        self.0.pinned.lock().expect("no panic").clone()
    }
}

impl Pin for Recorded {
    async fn pin(
        &self,
        asker: &Machine,
        domains: &[String],
        addresses: &[IpAddr],
        ttl: Duration,
    ) -> Result<Duration, PinError> {
        let entry = (asker.id.to_string(), domains.to_vec(), addresses.to_vec(), ttl);
        self.0.pinned.lock().expect("no panic").push(entry);
        self.0.leave.acquire().await.expect("open").forget();
        self.0.outcome.map_err(|()| PinError("the table is full".into()))
    }
}

/// A resolver in which machine 1 has a rule and the others have none.
fn start(pin: Recorded) -> (Running<Upstreams<HostSockets>, Recorded>, Upstream) {
    let upstream = Upstream::start(|question, _| {
        vec![answer(question, &["192.0.2.1", "192.0.2.2", "10.0.0.1"], 300)]
    });
    let forward = Upstreams::new(HostSockets, vec![upstream.address]);
    let running = Running::start(forward, pin, Options::default());
    running.zone.update(|zone| zone.upsert_machine(ruled(OtherNames::Refused)));
    (running, upstream)
}

fn ruled(others: OtherNames) -> Machine {
    let rule = NameRule::new(&["allowed.example", "*.wild.example"], others).expect("a rule");
    Machine { name_rule: Some(Arc::new(rule)), ..machine(1) }
}

#[tokio::test]
async fn other_domains_are_refused_without_asking_anybody() {
    let (running, upstream) = start(Recorded::new(Ok(Duration::from_secs(9)), 100));
    for name in ["evil.example.", "x.allowed.example.", "wild.example.", "."] {
        let found = look_up(1, running.address, name).await;
        assert_eq!(found, (ResponseCode::Refused, Vec::new()), "{name}");
    }
    assert_eq!((upstream.n_asked(), running.server.counts().refused_by_rule), (0, 4));
    for name in ["ALLOWED.example.", "a.b.wild.example.", "web.internal."] {
        assert_eq!(look_up(1, running.address, name).await.0, ResponseCode::NoError, "{name}");
    }
    assert_eq!(look_up(2, running.address, "evil.example.").await.0, ResponseCode::NoError);
    running.stop().await;
}

#[tokio::test]
async fn addresses_are_pinned_for_each_asker_and_cap_the_time() {
    let (running, upstream) = start(Recorded::new(Ok(Duration::from_secs(9)), 100));
    let question = question("allowed.example.", RecordType::A);
    for _ in 0..2 {
        let reply = ask(1, running.address, &question).await;
        assert_eq!(addresses(&reply), [ip("192.0.2.1"), ip("192.0.2.2")]);
        assert!(reply.answers.iter().all(|record| record.ttl == 9));
    }
    let free = ask(2, running.address, &question).await;
    assert!(free.answers[0].ttl > 9, "what is remembered is not capped for others");
    assert_eq!(upstream.n_asked(), 1);
    running.stop().await;
}

#[tokio::test]
async fn only_what_is_sent_is_pinned_and_before_it_is_sent() {
    let pin = Recorded::new(Ok(Duration::from_secs(9)), 0);
    let (running, _upstream) = start(pin.clone());
    let (address, question) = (running.address, question("allowed.example.", RecordType::A));
    let asking = tokio::spawn(async move { ask(1, address, &question).await });
    while pin.pinned().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(!asking.is_finished(), "the answer waits for the pin");
    pin.0.leave.add_permits(1);
    let reply = asking.await.expect("no panic");
    let [(machine, domains, pinned, ttl)] = &pin.pinned()[..] else { panic!("pinned once") };
    assert_eq!((machine.as_str(), *ttl), ("00000000000001", Duration::from_secs(300)));
    assert_eq!(domains, &["allowed.example"]);
    assert_eq!(*pinned, addresses(&reply), "not the private one");
    running.stop().await;
}

#[tokio::test]
async fn other_domains_are_answered_and_not_pinned_when_the_rule_says_so() {
    let pin = Recorded::new(Ok(Duration::from_secs(9)), 100);
    let (running, _upstream) = start(pin.clone());
    running.zone.update(|zone| zone.upsert_machine(ruled(OtherNames::Answered)));
    for name in ["other.example.", "a.wild.example."] {
        assert_eq!(look_up(1, running.address, name).await.0, ResponseCode::NoError, "{name}");
    }
    let domains: Vec<_> = pin.pinned().into_iter().map(|(_, domains, ..)| domains).collect();
    assert_eq!(domains, [["*.wild.example"]]);
    running.stop().await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_pinned_is_not_sent() {
    for (outcome, n_at_once) in [(Err(()), 1), (Ok(Duration::from_secs(9)), 0)] {
        let (running, _upstream) = start(Recorded::new(outcome, n_at_once));
        let found = look_up(1, running.address, "allowed.example.").await;
        assert_eq!(found, (ResponseCode::ServFail, Vec::new()));
        assert_eq!(running.server.counts().not_pinned, 1);
        running.stop().await;
    }
}
