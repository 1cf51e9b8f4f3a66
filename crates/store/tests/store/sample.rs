//! Records to store, and directories to store them in.

use model::spec::ImageRef;
use model::{AppName, Digest, EventId, Machine, MachineId, NetworkName, News, RunId};
use model::{UnixMs, VersionId};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, Ipv6Addr};
use store::{
    AppRecord, AppSecretRecord, CertificateRecord, CertificateSource, EventRecord, HookRecord,
    HostnameRecord, ImageRecord, MachineRecord, MessageRecord, NetworkRecord, OutboxRecord,
    SecretKeyRecord, SelfhoodRecord, Store, StoreError, Tx,
};
use tempfile::TempDir;

pub(crate) const NOW: UnixMs = UnixMs(1_750_000_000_000);

pub(crate) fn open() -> (TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory for the test");
    let store = Store::open(dir.path()).expect("a new store opens");
    (dir, store)
}

/// A store with one network and one app.
pub(crate) fn open_with_app() -> (TempDir, Store) {
    let (dir, store) = open();
    store.write_blocking("app", insert_app).expect("an app is added");
    (dir, store)
}

#[track_caller]
pub(crate) fn write(
    store: &Store,
    change: impl FnOnce(&Tx<'_>) -> Result<(), StoreError> + Send + 'static,
) {
    store.write_blocking("test", change).expect("the change is stored");
}

#[track_caller]
pub(crate) fn refuse(
    store: &Store,
    change: impl FnOnce(&Tx<'_>) -> Result<(), StoreError> + Send + 'static,
) -> StoreError {
    store.write_blocking("test", change).expect_err("the change is refused")
}

pub(crate) fn insert_app(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.insert_network(&network())?;
    tx.insert_app(&app())
}

pub(crate) fn network() -> NetworkRecord {
    let name: NetworkName = "default".parse().expect("a name");
    NetworkRecord { name, org: "personal".to_owned(), id: 7, v4_blocks: vec![0x6440_0000] }
}

pub(crate) fn app() -> AppRecord {
    AppRecord {
        name: app_name(),
        id: "abcdefghijklmnop".to_owned(),
        org: "personal".to_owned(),
        network: network().name,
        created_at: NOW,
    }
}

pub(crate) fn app_name() -> AppName {
    "web".parse().expect("a name")
}

pub(crate) fn machine_id(n: u32) -> MachineId {
    format!("{n:014x}").parse().expect("14 hex digits")
}

/// A chance of ten bytes that is different for each `n`.
fn chance(n: u32) -> [u8; 10] {
    let [a, b, c, d] = n.to_be_bytes();
    [0, 0, 0, 0, 0, 0, a, b, c, d]
}

pub(crate) fn version_id(n: u32) -> VersionId {
    VersionId::new(NOW, chance(n))
}

pub(crate) fn event_id(n: u32) -> EventId {
    EventId::new(NOW, chance(n))
}

pub(crate) fn run_id(n: u32) -> RunId {
    RunId::new(NOW, chance(n))
}

pub(crate) fn digest(n: u32) -> Digest {
    format!("sha256:{n:064x}").parse().expect("a digest")
}

pub(crate) fn image_ref(n: u32) -> ImageRef {
    ImageRef {
        registry: "local".to_owned(),
        repository: "debian".to_owned(),
        tag: format!("v{n}"),
        digest: digest(n),
    }
}

pub(crate) fn image(n: u32) -> ImageRecord {
    ImageRecord {
        image: image_ref(n),
        config: from_json(image_config()),
        size_bytes: 120_000_000,
        created_at: NOW,
        last_used_at: NOW,
        source: "rootfs_tar".to_owned(),
        is_private: false,
    }
}

/// The state `state` (as JSON, so that old formats are what is tested) at `revision`.
pub(crate) fn life(revision: u64, state: Value) -> Machine {
    from_json(json!({
        "state": state,
        "revision": revision,
        "restarts": {"window_start": 0, "in_window": 0, "total": 0},
        "owed": null,
        "hold_down": null,
    }))
}

pub(crate) fn stopped(revision: u64) -> Machine {
    life(revision, json!({"state": "stopped", "since": NOW, "exit": null}))
}

pub(crate) fn destroyed(revision: u64) -> Machine {
    life(revision, json!({"state": "destroyed", "since": NOW}))
}

pub(crate) fn started(revision: u64, run: u32) -> Machine {
    life(
        revision,
        json!({"state": "started", "run": {
            "id": run_id(run),
            "slot": 3,
            "boot": "6c2cbb1e-5b1f-4bd8-9a0f-0a2f4f6d7c11",
            "accepted_at": NOW,
            "started_at": NOW,
        }}),
    )
}

pub(crate) fn machine(n: u32) -> MachineRecord {
    MachineRecord {
        id: machine_id(n),
        app: app_name(),
        name: format!("machine-{n}"),
        version: version_id(n),
        machine: stopped(1),
        spec: from_json(spec()),
        config: json!({"image": "debian:v1", "guest": {"cpus": 2}, "unknown": [1, null, "x"]}),
        image: image_ref(1),
        image_config: from_json(image_config()),
        v6: Ipv6Addr::from_bits((0xfdaa << 112) | u128::from(n)),
        v4: Ipv4Addr::from_bits(0x6440_0000 + n),
        region: "local".to_owned(),
        cordoned: false,
        lease: None,
        generation: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}

pub(crate) fn event(n: u32, machine: u32) -> EventRecord {
    let news: News = from_json(json!({
        "kind": "start",
        "status": "started",
        "source": "user",
        "exit": null,
        "cause": {"cause": "guest"},
        "message": format!("number {n}"),
    }));
    EventRecord { id: event_id(n), machine: machine_id(machine), at: NOW, news }
}

/// What machine `n` remembers; its policy is [`digest`] `10 + n`.
pub(crate) fn selfhood(n: u32) -> SelfhoodRecord {
    SelfhoodRecord {
        machine: machine_id(n),
        revision: 3,
        next_at: Some(NOW),
        policy: Some(digest(10 + n)),
        is_governed: true,
        record: format!("{{\"v\":1,\"revision\":3,\"intent\":{{\"objective\":\"{n}\"}}}}"),
    }
}

/// A message of five bytes that was not delivered yet.
pub(crate) fn message(machine: u32, seq: u64) -> MessageRecord {
    MessageRecord {
        machine: machine_id(machine),
        seq,
        id: Some(format!("id-{seq}")),
        from: "token:mail".to_owned(),
        at: NOW,
        bytes: 5,
        hops: 1,
        wake: true,
        deliveries: 0,
        hidden_until: UnixMs(0),
    }
}

pub(crate) fn hook(name: &str) -> HookRecord {
    HookRecord {
        app: app_name(),
        name: name.to_owned(),
        machine: machine_id(1),
        secret: Some("s3cret".to_owned()),
        signature: "{\"kind\":\"hmac\"}".to_owned(),
        wake: true,
        created_at: NOW,
    }
}

/// A host name of the app.
pub(crate) fn hostname(name: &str) -> HostnameRecord {
    HostnameRecord {
        name: name.to_owned(),
        app: app_name(),
        created_at: NOW,
        updated_at: NOW,
        looked_up: None,
    }
}

/// A certificate of `www.example.com`.
pub(crate) fn certificate(source: CertificateSource) -> CertificateRecord {
    CertificateRecord {
        hostname: "www.example.com".to_owned(),
        source,
        issuer: "CN=an authority".to_owned(),
        key_kind: "ecdsa".to_owned(),
        created_at: NOW,
        expires_at: NOW.plus(model::DurationMs::from_secs(86_400)),
        chain: "chain".to_owned(),
        private_key: format!("key {source:?}"),
    }
}

/// Something that machine 1 has to send, as it is stored under this number.
pub(crate) fn letter(seq: u64) -> OutboxRecord {
    OutboxRecord {
        seq,
        machine: machine_id(1),
        app: app_name(),
        rule: "tell".to_owned(),
        url: "https://example.org/in".to_owned(),
        body: format!("number {seq}"),
        created_at: NOW,
        attempts: 0,
        next_at: NOW,
        last_code: None,
        last_error: None,
    }
}

fn image_config() -> Value {
    json!({
        "entrypoint": [],
        "cmd": ["/bin/sh"],
        "env": ["PATH=/usr/bin:/bin"],
        "user": "",
        "working_dir": "/",
        "stop_signal": null,
        "labels": {},
    })
}

fn spec() -> Value {
    json!({
        "image": "debian:v1",
        "program": {
            "exec": null, "entrypoint": null, "cmd": ["sleep", "inf"], "env": {"A": "1"},
            "user": null, "working_dir": null, "tty": false, "pid1": null,
        },
        "guest": {"cpu_kind": "shared", "cpus": 2, "memory_mib": 512},
        "restart": {"mode": "on-failure", "max_retries": 10},
        "stop": {"signal": null, "timeout": 5_000},
        "auto_destroy": false,
        "rootfs": {"persist": "restart", "size_gib": 8},
        "files": [{"guest_path": "/etc/motd", "content": "6869", "mode": 420}],
        "metadata": {"role": "front"},
        "hostname": null,
        "dns": {"nameservers": [], "searches": [], "options": []},
        "engine": "container",
    })
}

fn from_json<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the sample is what the model reads")
}

pub(crate) fn app_secret(name: &str, since: u64, value: &str) -> AppSecretRecord {
    AppSecretRecord {
        app: app_name(),
        name: name.to_owned(),
        since,
        digest: format!("digest of {value}"),
        sealed: format!("sealed {value}"),
        created_at: NOW,
        updated_at: NOW,
    }
}

pub(crate) fn secret_key(name: &str) -> SecretKeyRecord {
    SecretKeyRecord {
        app: app_name(),
        name: name.to_owned(),
        kind: "hs256".to_owned(),
        public_key: None,
        sealed: "sealed key".to_owned(),
        created_at: NOW,
        updated_at: NOW,
    }
}
