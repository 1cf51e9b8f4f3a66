//! Proxies at the ends of real sockets, and a control that only keeps their records.

use super::session::{House, converse};
use super::{Proxy, Quiet, SESSIONS_MAX};
use crate::error::ControlError;
use model::cause::KnockRequest;
use model::{MachineId, UnixMs};
use proxy_proto::message::{FromProxy, Health, KnockOutcome, Load, RefusalScope, ToProxy};
use proxy_proto::{Link, LinkReader, LinkWriter, MachineRoute, VERSION};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A control with two machines, one of them up.
#[derive(Clone, Default)]
struct Fake {
    proxy: Arc<Proxy>,
    visited: Arc<Mutex<Vec<(MachineId, bool)>>>,
}

fn id(n: u32) -> MachineId {
    format!("{n:014x}").parse().expect("14 hex digits")
}

fn route(machine: &MachineId) -> MachineRoute {
    let state = if *machine == id(1) {
        serde_json::json!({ "state": "up", "run": "r1", "since": 1 })
    } else {
        serde_json::json!({ "state": "asleep" })
    };
    let route = serde_json::json!({
        "machine": machine, "generation": 1, "app": "web", "network": 1, "region": "local",
        "state": state, "v4": "100.64.0.2", "v6": "fdaa:0:1::2",
    });
    serde_json::from_value(route).expect("a record")
}

impl House for Fake {
    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    fn all(&self) -> Result<Vec<ToProxy>, ControlError> {
        Ok([1, 2].map(|n| ToProxy::Machine(Box::new(route(&id(n))))).into())
    }

    fn app(&self, name: &str) -> Result<ToProxy, ControlError> {
        Ok(ToProxy::AppGone { app: name.to_owned() })
    }

    fn machine(&self, id: &MachineId) -> Result<ToProxy, ControlError> {
        Ok(ToProxy::Machine(Box::new(route(id))))
    }

    async fn knocked(
        &self,
        machine: &MachineId,
        internal_port: u16,
        _request: Option<KnockRequest>,
    ) -> KnockOutcome {
        KnockOutcome::Refused {
            code: format!("{machine}:{internal_port}"),
            message: "not now".to_owned(),
            hint: None,
            retry_after: None,
            scope: RefusalScope::Machine,
        }
    }

    fn visited(&self, machine: &MachineId, is_edge: bool) {
        self.visited.lock().expect("news").push((machine.clone(), is_edge));
    }
}

impl Fake {
    /// Waits until what is known of the visitors of machine 1 is as wanted.
    async fn until(&self, is_so: impl Fn(u32, Option<UnixMs>) -> bool) {
        let look = async {
            loop {
                let visitors = self.proxy.visitors(&id(1));
                if visitors.is_some_and(|v| is_so(v.n_requests, v.gone_at)) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("as wanted in time");
    }

    fn quiesce(&self, only_if_idle: bool) -> JoinHandle<Quiet> {
        let proxy = Arc::clone(&self.proxy);
        tokio::spawn(async move { proxy.quiesce(&id(1), only_if_idle).await })
    }
}

/// The other end of a connection.
struct Peer {
    reader: LinkReader,
    writer: LinkWriter,
    /// What was said before all records were there.
    greeting: Vec<ToProxy>,
    served: JoinHandle<()>,
}

impl Peer {
    /// Connects, and hears all records.
    async fn connect(house: &Fake) -> Self {
        Self::connect_as(house, 1).await
    }

    /// The same as a process that began then.
    async fn connect_as(house: &Fake, begun_ms: u64) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let served = tokio::spawn(converse(house.clone(), theirs));
        let (reader, mut writer) = Link::split(ours);
        let pid = std::process::id();
        let hello = FromProxy::Hello { version: VERSION, build: "test".to_owned(), pid, begun_ms };
        writer.send(&hello).await.expect("sent");
        let mut peer = Self { reader, writer, greeting: Vec::new(), served };
        loop {
            match peer.hear().await {
                ToProxy::Complete => return peer,
                said => peer.greeting.push(said),
            }
        }
    }

    async fn hear(&mut self) -> ToProxy {
        let said = tokio::time::timeout(PATIENCE, self.reader.next()).await.expect("in time");
        said.expect("the link is whole").expect("a message of this build")
    }

    async fn say(&mut self, said: FromProxy) {
        self.writer.send(&said).await.expect("sent");
    }

    async fn load(&mut self, n_requests: u32, last_at: u64) {
        self.say(FromProxy::Load(load(n_requests, last_at))).await;
    }

    /// Hears that machine 1 is to be left alone; the number of the question.
    async fn hear_quiesce(&mut self) -> u64 {
        match self.hear().await {
            ToProxy::Quiesce { ticket, machine, .. } if machine == id(1) => ticket,
            other => panic!("{other:?}"),
        }
    }

    async fn is_quiet(&mut self, n_requests: u32) {
        let ticket = self.hear_quiesce().await;
        self.say(FromProxy::Quiet { ticket, load: load(n_requests, 5) }).await;
    }

    /// Dies, and its end has been noticed.
    async fn die(self) {
        let Self { reader, writer, served, .. } = self;
        drop((reader, writer));
        tokio::time::timeout(PATIENCE, served).await.expect("in time").expect("ends well");
    }
}

fn load(n_requests: u32, last_at: u64) -> Load {
    Load {
        machine: id(1),
        n_requests,
        n_connections: 0,
        n_upgraded: 0,
        is_over_soft: false,
        last_at: Some(UnixMs(last_at)),
    }
}

#[tokio::test]
async fn the_loads_of_two_proxies_are_summed() {
    let house = Fake::default();
    assert_eq!(house.proxy.visitors(&id(1)), None, "nobody counts");
    let (mut old, mut new) = (Peer::connect(&house).await, Peer::connect(&house).await);
    old.load(2, 10).await;
    new.load(3, 20).await;
    house.until(|n, gone_at| n == 5 && gone_at.is_none()).await;
    new.load(0, 20).await;
    house.until(|n, gone_at| n == 2 && gone_at.is_none()).await;
    old.load(0, 10).await;
    house.until(|_, gone_at| gone_at == Some(UnixMs(20))).await;
}

#[tokio::test]
async fn the_visitors_of_a_proxy_that_dies_are_gone_and_were_there_until_then() {
    let house = Fake::default();
    let (mut old, _new) = (Peer::connect(&house).await, Peer::connect(&house).await);
    let begun_at = model::clock::now();
    old.load(2, 10).await;
    house.until(|n, _| n == 2).await;
    old.die().await;
    house.until(|n, gone_at| n == 0 && gone_at >= Some(begun_at)).await;
    let edges = house.visited.lock().expect("news").clone();
    assert_eq!(edges.last(), Some(&(id(1), true)), "who waits for them to go looks again");
}

#[tokio::test]
async fn who_waits_for_visitors_to_go_looks_again_when_somebody_begins_to_count() {
    let house = Fake::default();
    let mut peer = Peer::connect(&house).await;
    // Once this is answered, all records were dealt with.
    peer.say(FromProxy::Knock { ticket: 1, machine: id(2), internal_port: 1, request: None }).await;
    peer.hear().await;
    assert_eq!(*house.visited.lock().expect("news"), [(id(1), true)], "the one that is up");
}

#[tokio::test]
async fn a_machine_is_let_go_when_all_proxies_say_so() {
    let house = Fake::default();
    let (mut old, mut new) = (Peer::connect(&house).await, Peer::connect(&house).await);
    let asked = house.quiesce(true);
    old.is_quiet(0).await;
    let ticket = new.hear_quiesce().await;
    assert!(!asked.is_finished(), "one has not answered");
    new.say(FromProxy::Quiet { ticket, load: load(0, 5) }).await;
    assert_eq!(asked.await.expect("answered"), Quiet::Yes);
}

#[tokio::test]
async fn one_busy_proxy_keeps_the_machine_in_use_at_all() {
    let house = Fake::default();
    let (mut old, mut new) = (Peer::connect(&house).await, Peer::connect(&house).await);
    let asked = house.quiesce(true);
    old.is_quiet(1).await;
    new.is_quiet(0).await;
    assert_eq!(asked.await.expect("answered"), Quiet::Busy);
    assert_eq!(new.hear().await, ToProxy::Resume { machine: id(1) });
    assert_eq!(old.hear().await, ToProxy::Resume { machine: id(1) });
}

#[tokio::test]
async fn a_stop_that_does_not_ask_for_idleness_goes_on_beside_visitors() {
    let house = Fake::default();
    let (mut old, mut new) = (Peer::connect(&house).await, Peer::connect(&house).await);
    let asked = house.quiesce(false);
    old.is_quiet(1).await;
    new.is_quiet(0).await;
    assert_eq!(asked.await.expect("answered"), Quiet::Yes);
    house.proxy.drain(&id(1));
    house.proxy.changed(&id(1));
    for peer in [&mut old, &mut new] {
        let said = [peer.hear().await, peer.hear().await];
        assert!(said.contains(&ToProxy::Drain { machine: id(1) }), "{said:?}");
        assert!(said.contains(&ToProxy::Machine(Box::new(route(&id(1))))), "{said:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_dies_while_it_is_asked_has_nothing_under_way() {
    let house = Fake::default();
    let (mut old, mut new) = (Peer::connect(&house).await, Peer::connect(&house).await);
    old.load(1, 10).await;
    house.until(|n, _| n == 1).await;
    let asked = house.quiesce(true);
    old.hear_quiesce().await;
    old.die().await;
    new.is_quiet(0).await;
    assert_eq!(asked.await.expect("answered"), Quiet::Yes);
}

#[tokio::test]
async fn a_proxy_that_hangs_is_not_waited_for() {
    let house = Fake::default();
    let _hangs = Peer::connect(&house).await;
    let asked = tokio::time::timeout(PATIENCE, house.quiesce(true)).await;
    assert_eq!(asked.expect("in time").expect("answered"), Quiet::Yes);
    let state = house.proxy.lock();
    assert!(state.sessions.values().all(|session| session.quiets.is_empty()), "nothing is kept");
}

#[tokio::test]
async fn a_proxy_that_comes_while_a_machine_goes_sends_nobody_there() {
    let house = Fake::default();
    assert_eq!(house.proxy.quiesce(&id(1), false).await, Quiet::Yes, "nobody is there");
    let peer = Peer::connect(&house).await;
    let is_told =
        |said: &ToProxy| matches!(said, ToProxy::Quiesce { machine, .. } if *machine == id(1));
    assert!(peer.greeting.iter().any(is_told), "{:?}", peer.greeting);
    house.proxy.changed(&id(1));
    let later = Peer::connect(&house).await;
    assert!(!later.greeting.iter().any(is_told), "its record says it now: {:?}", later.greeting);
}

#[tokio::test]
async fn each_proxy_hears_the_answers_to_its_own_knocks() {
    let house = Fake::default();
    let (mut old, mut new) = (Peer::connect(&house).await, Peer::connect(&house).await);
    for (peer, internal_port) in [(&mut old, 80), (&mut new, 81)] {
        peer.say(FromProxy::Knock { ticket: 7, machine: id(2), internal_port, request: None })
            .await;
    }
    for (peer, port) in [(&mut old, 80), (&mut new, 81)] {
        match peer.hear().await {
            ToProxy::Knocked { ticket: 7, outcome: KnockOutcome::Refused { code, .. } } => {
                assert_eq!(code, format!("{}:{port}", id(2)));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn checks_are_those_of_the_newest_proxy() {
    let house = Fake::default();
    let (mut old, mut new) = (Peer::connect(&house).await, Peer::connect(&house).await);
    let checked = |output: &str| FromProxy::Checked {
        machine: id(1),
        check: "alive".to_owned(),
        health: Health::Passing,
        output: output.to_owned(),
        at: UnixMs(1),
    };
    for (peer, output) in [(&mut new, "new"), (&mut old, "old")] {
        peer.say(checked(output)).await;
        // Answered in order, so that what was said before has been heard.
        let knock = FromProxy::Knock { ticket: 1, machine: id(2), internal_port: 1, request: None };
        peer.say(knock).await;
        peer.hear().await;
    }
    assert_eq!(house.proxy.checks(&id(1))["alive"].output, "new");
}

#[tokio::test]
async fn the_process_that_began_last_has_the_doors_whoever_connects_first() {
    let house = Fake::default();
    let (mut new, mut old) = (Peer::connect_as(&house, 2).await, Peer::connect_as(&house, 1).await);
    new.load(3, 10).await;
    old.load(2, 10).await;
    house.until(|n, _| n == 5).await;
    for (app, served) in [(None, vec![load(2, 10)]), (Some("other"), vec![])] {
        let (proxy, app) = (Arc::clone(&house.proxy), app.map(str::to_owned));
        let asked = tokio::spawn(async move { proxy.describe_all(app).await });
        let ToProxy::Describe { ticket, .. } = new.hear().await else { panic!("not asked") };
        new.say(FromProxy::Description { ticket, description: Box::default() }).await;
        let told = asked.await.expect("no panic").expect("answered");
        let loads: Vec<_> = told.replaced.into_iter().map(|replaced| replaced.loads).collect();
        assert_eq!(loads, [served]);
    }
}

#[tokio::test]
async fn the_oldest_of_too_many_proxies_is_not_heard_any_more() {
    let house = Fake::default();
    let mut first = Peer::connect(&house).await;
    first.load(1, 10).await;
    house.until(|n, _| n == 1).await;
    let mut others = Vec::new();
    for _ in 0..SESSIONS_MAX {
        others.push(Peer::connect(&house).await);
    }
    let ended = tokio::time::timeout(PATIENCE, first.reader.next::<ToProxy>()).await;
    assert!(ended.expect("in time").is_err(), "its link is closed");
    house.until(|n, gone_at| n == 0 && gone_at.is_some()).await;
    assert_eq!(house.proxy.lock().sessions.len(), SESSIONS_MAX);
}
