//! The governor over a real store.

use super::clock::tests::{START, TestClock};
use super::*;
use govern::{Peers as _, Selfhood};
use model::spec::secrets::SecretsSpec;
use model::spec::{
    CpuKind, DnsSpec, EngineKind, GuestSize, ImageConfig, ImageRef, ProgramSpec, RestartPolicy,
    RootfsSpec, StopConfig,
};
use model::{BootId, Cause, DurationMs, MachineSpec, Run, RunId, VersionId};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use store::{AppRecord, NetworkRecord, SelfhoodRecord};

struct Bench {
    governor: Governor,
    store: Store,
    test: TestClock,
    _dir: tempfile::TempDir,
}

fn id(n: u8) -> MachineId {
    MachineId::from_random([n; 7])
}

fn app(name: &str) -> AppName {
    name.parse().expect("a valid name")
}

fn started() -> State {
    let boot: BootId = "00000000-0000-4000-8000-000000000001".parse().expect("a boot id");
    let run = RunId::new(START, [1; 10]);
    State::Started {
        run: Run { id: run, slot: None, boot, accepted_at: START, started_at: Some(START) },
    }
}

const fn stopped() -> State {
    State::Stopped { since: START, exit: None }
}

/// Machine `n` of an app.
fn record(n: u8, app_name: &str, name: &str, state: State) -> MachineRecord {
    let mut machine = model::create(false, START).machine;
    machine.state = state;
    MachineRecord {
        id: id(n),
        app: app(app_name),
        name: name.to_owned(),
        version: VersionId::new(START, [n; 10]),
        machine,
        spec: MachineSpec {
            image: "demo".to_owned(),
            program: ProgramSpec::default(),
            guest: GuestSize { cpu_kind: CpuKind::Shared, cpus: 1, memory_mib: 256 },
            restart: RestartPolicy::default(),
            stop: StopConfig::default(),
            auto_destroy: false,
            rootfs: RootfsSpec::default(),
            files: Vec::new(),
            metadata: BTreeMap::new(),
            hostname: None,
            dns: DnsSpec::default(),
            engine: EngineKind::Fake,
            services: Vec::new(),
            checks: Vec::new(),
            is_hidden_in_dns: false,
            egress: None,
            secrets: SecretsSpec::default(),
            deepen: None,
            needs_kvm: false,
        },
        config: json!({}),
        image: ImageRef {
            registry: "local".to_owned(),
            repository: "demo".to_owned(),
            tag: "latest".to_owned(),
            digest: format!("sha256:{}", "a".repeat(64)).parse().expect("a digest"),
        },
        image_config: ImageConfig::default(),
        v6: format!("fdaa:0:1:a7b:{n}::2").parse().expect("an address"),
        v4: format!("100.64.0.{n}").parse().expect("an address"),
        region: "local".to_owned(),
        cordoned: false,
        lease: None,
        generation: 1,
        created_at: START,
        updated_at: START,
    }
}

impl Bench {
    /// Apps `a` and `b` share a network, `c` has its own.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("a new store");
        let test = TestClock::new();
        let governor = Governor::new(store.clone(), test.clock(), 2, Arc::default());
        let bench = Self { governor, store, test, _dir: dir };
        for (n, network) in [(1, "shared"), (2, "alone")] {
            let network = NetworkRecord {
                name: network.parse().expect("a network name"),
                org: "personal".to_owned(),
                id: n,
                v4_blocks: Vec::new(),
            };
            bench.write(move |tx| tx.insert_network(&network));
        }
        for (name, network) in [("a", "shared"), ("b", "shared"), ("c", "alone")] {
            let app = AppRecord {
                name: app(name),
                id: format!("{name:0>16}"),
                org: "personal".to_owned(),
                network: network.parse().expect("a network name"),
                created_at: START,
            };
            bench.write(move |tx| tx.insert_app(&app));
        }
        bench
    }

    fn write(
        &self,
        change: impl FnOnce(&store::Tx<'_>) -> Result<(), store::StoreError> + Send + 'static,
    ) {
        self.store.write_blocking("test", change).expect("it can be stored");
    }

    /// Stores a new machine, and says so as its task would.
    fn add(&self, record: &MachineRecord) {
        let stored = record.clone();
        self.write(move |tx| tx.insert_machine(&stored));
        self.governor.stands(record);
    }

    /// Stores another state of a machine, and says so.
    fn step(&self, record: &mut MachineRecord, state: State) {
        record.machine.state = state;
        record.machine.revision += 1;
        let stored = record.clone();
        self.write(move |tx| tx.put_machine_state(&stored.id, &stored.machine, START));
        self.governor.stands(record);
    }

    fn remember(&self, n: u8, next_at: Option<UnixMs>, selfhood: &Selfhood) {
        self.remember_as(true, n, next_at, selfhood);
    }

    fn remember_as(&self, is_governed: bool, n: u8, next_at: Option<UnixMs>, selfhood: &Selfhood) {
        let record = SelfhoodRecord {
            machine: id(n),
            revision: selfhood.revision,
            next_at,
            policy: None,
            is_governed,
            record: selfhood.to_text(),
        };
        self.write(move |tx| tx.put_selfhood(&record));
    }

    /// Who is to be evaluated; they are, then.
    fn told(&self) -> Vec<MachineId> {
        let told = self.governor.ready.waiting();
        told.iter().for_each(|id| self.governor.ready.forget(id));
        told
    }
}

fn reads(peers: &[&str]) -> Reads {
    let peers: BTreeSet<String> = peers.iter().map(|name| (*name).to_owned()).collect();
    Reads { ages: peers.clone(), peers, ..Reads::default() }
}

#[tokio::test(start_paused = true)]
async fn at_start_everybody_is_evaluated_once_overdue_ones_first() {
    let bench = Bench::new();
    let at = |s| Some(UnixMs(START.0 - 100_000).plus(DurationMs::from_secs(s)));
    for (n, next_at) in [(1, None), (2, at(3600)), (3, at(10)), (4, at(5))] {
        bench.add(&record(n, "a", &format!("m{n}"), stopped()));
        bench.remember(n, next_at, &Selfhood::default());
    }
    bench.add(&record(5, "a", "remembers-nothing", stopped()));
    bench.told();
    bench.governor.sweep().await;
    assert_eq!(bench.told(), [4, 3, 2, 1].map(id));
    assert_eq!(bench.governor.wheel.at(&id(2)), at(3600));
    assert_eq!(bench.governor.wheel.at(&id(1)), None);
}

#[tokio::test(start_paused = true)]
async fn names_mean_machines_of_the_same_network_only() {
    let bench = Bench::new();
    for (n, app, name) in [(1, "a", "db"), (2, "b", "web"), (3, "c", "web"), (4, "b", "db")] {
        bench.add(&record(n, app, name, stopped()));
    }
    let find = |from: &str, name: &str| {
        bench.store.read(|reader| find_peer(reader, &app(from), name)).expect("the store answers")
    };
    assert_eq!(find("a", "db"), Some(id(1)), "the own app comes first");
    assert_eq!(find("a", "web"), Some(id(2)));
    assert_eq!(find("c", "db"), None);
    assert_eq!(find("a", id(2).as_str()), Some(id(2)));
    assert_eq!(find("a", id(3).as_str()), None);
    bench.step(&mut record(1, "a", "db", stopped()), State::Destroyed { since: START });
    assert_eq!(find("a", "db"), Some(id(4)), "what is destroyed has no name");
    assert_eq!(find("a", id(1).as_str()), None);
}

#[tokio::test(start_paused = true)]
async fn who_reads_a_machine_is_evaluated_when_it_changes() {
    let bench = Bench::new();
    bench.add(&record(2, "a", "reader", stopped()));
    bench.governor.set_reads(&id(2), &app("a"), &reads(&["primary"]));
    assert_eq!(bench.told(), []);
    let mut primary = record(1, "b", "primary", stopped());
    bench.add(&primary);
    assert_eq!(bench.told(), [id(2)], "it exists now");
    bench.step(&mut primary, started());
    assert_eq!(bench.told(), [id(2)]);
    bench.governor.changed(&id(1));
    assert_eq!(bench.told(), [id(2)]);
    assert!(bench.governor.beat(&id(1), bench.test.now()));
    assert_eq!(bench.told(), [id(2)]);
    assert!(!bench.governor.beat(&id(1), bench.test.now()), "part of the last one");
    assert_eq!(bench.told(), []);
    bench.step(&mut primary, State::Destroyed { since: START });
    assert_eq!(bench.told(), [id(2)], "it is gone");
    assert_eq!(bench.governor.beat_at(&id(1)), None);
}

#[tokio::test(start_paused = true)]
async fn a_peer_shows_its_state_its_beat_and_its_facts() {
    let bench = Bench::new();
    bench.add(&record(1, "b", "primary", started()));
    let look = || bench.governor.peers(&app("a"), &reads(&["primary", "nobody"])).expect("read");
    let now = look();
    assert!(now.peer("nobody").is_none());
    let primary = now.peer("primary").expect("it exists");
    assert_eq!((primary.state, primary.beat_at), ("started", START));
    bench.test.jump(DurationMs::from_secs(50));
    assert!(bench.governor.beat(&id(1), bench.test.now()));
    let now = look();
    assert_eq!(now.peer("primary").map(|peer| peer.beat_at), Some(bench.test.now()));
}

#[tokio::test(start_paused = true)]
async fn the_last_machine_of_an_app_gets_no_leave_to_rest() {
    let bench = Bench::new();
    let (mut one, two) = (record(1, "a", "one", started()), record(2, "a", "two", started()));
    bench.add(&one);
    bench.add(&two);
    bench.add(&record(3, "a", "asleep", stopped()));
    bench.add(&record(4, "b", "of-another-app", started()));
    let permit = bench.governor.rest_permit(&app("a"), 1, &id(1));
    assert!(permit.is_some());
    assert!(bench.governor.rest_permit(&app("a"), 1, &id(2)).is_none());
    bench.step(&mut one, stopped());
    drop(permit);
    assert!(bench.governor.rest_permit(&app("a"), 1, &id(2)).is_none());
    let after_a_crash = Governor::new(bench.store.clone(), bench.test.clock(), 2, Arc::default());
    assert!(after_a_crash.rest_permit(&app("a"), 1, &id(2)).is_none());
    bench.step(&mut one, started());
    assert!(bench.governor.rest_permit(&app("a"), 1, &id(2)).is_some());
}

#[tokio::test(start_paused = true)]
async fn the_machines_of_an_app_that_are_up_are_counted_for_who_reads_that() {
    let bench = Bench::new();
    bench.add(&record(1, "a", "one", started()));
    bench.add(&record(2, "a", "two", stopped()));
    let counts = Reads { app_running: true, ..Reads::default() };
    let signals = |reads| bench.governor.signals(&id(1), &app("a"), reads).expect("read");
    assert_eq!(signals(&counts).app_running, Some(1));
    assert_eq!(signals(&Reads::default()), Measured::default());
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_gone_leaves_nothing_behind() {
    let bench = Bench::new();
    let mut machine = record(1, "a", "one", started());
    bench.add(&machine);
    bench.governor.set_next(&id(1), Some(UnixMs(u64::MAX)));
    bench.governor.set_reads(&id(1), &app("a"), &reads(&["x"]));
    bench.governor.busy(&id(1), 1);
    bench.governor.beat(&id(1), START);
    bench.step(&mut machine, State::Destroying { since: START, run: None });
    let Governor { wheel, beats, signals, ready, .. } = &bench.governor;
    assert_eq!(wheel.at(&id(1)), None);
    assert_eq!(beats.at(&id(1)), None);
    assert_eq!(signals.of(&id(1)), Measured::default());
    assert_eq!(ready.waiting(), []);
}

#[tokio::test(start_paused = true)]
async fn a_start_looks_at_no_machine_that_cannot_act_by_itself() {
    let bench = Bench::new();
    let mut owing = record(3, "a", "owing", stopped());
    bench.add(&record(1, "a", "plain", stopped()));
    bench.add(&record(2, "a", "governed", stopped()));
    bench.add(&owing);
    bench.remember_as(false, 1, Some(START), &Selfhood::default());
    bench.remember_as(true, 2, None, &Selfhood::default());
    bench.remember_as(false, 3, None, &Selfhood::default());
    bench.governor.sweep().await;
    assert_eq!(bench.told(), [id(2)]);
    assert_eq!(bench.governor.wheel.at(&id(1)), None);
    let owed = model::state::OwedWake { cause: Cause::Message, since: START, not_before: START };
    owing.machine.owed = Some(owed);
    bench.step(&mut owing, stopped());
    bench.governor.sweep().await;
    let told: BTreeSet<MachineId> = bench.told().into_iter().collect();
    assert_eq!(told, BTreeSet::from([id(2), id(3)]));
}
