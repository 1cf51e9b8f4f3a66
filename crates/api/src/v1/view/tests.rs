//! The Machine object, as clients see it.

use super::{event, exit_request, lease, machine, token};
use model::cause::{Cause, Depth};
use model::effect::{ExitNews, News, NewsKind, NewsSource};
use model::restart::RestartLog;
use model::spec::secrets::SecretsSpec;
use model::spec::{
    CpuKind, DnsSpec, EngineKind, GuestSize, ImageConfig, ImageRef, MachineSpec, ProgramSpec,
    RestartPolicy, RootfsSpec, StopConfig,
};
use model::state::{Machine, Nudges, Run, State};
use model::{Exit, UnixMs};
use serde_json::json;
use std::collections::BTreeMap;
use store::{
    EventRecord, LeaseRecord, MachineRecord, TokenReach, TokenRecord, TokenRight, TokenScope,
};

const VERSION: &str = "01J8Z3000000000000000000AA";
const NOON: UnixMs = UnixMs(1_795_255_200_000);

fn record(state: State) -> MachineRecord {
    MachineRecord {
        id: "0e286039a42d18".parse().expect("an id"),
        app: "demo".parse().expect("a name"),
        name: "quiet-lake-0042".to_owned(),
        version: VERSION.parse().expect("a ULID"),
        machine: Machine {
            state,
            revision: 1,
            restarts: RestartLog::default(),
            owed: None,
            hold_down: None,
            nudges: Nudges::default(),
            unprepared: None,
        },
        spec: MachineSpec {
            image: "demo".to_owned(),
            program: ProgramSpec::default(),
            guest: GuestSize { cpu_kind: CpuKind::Shared, cpus: 1, memory_mib: 256 },
            restart: RestartPolicy::default(),
            stop: StopConfig::default(),
            auto_destroy: false,
            rootfs: RootfsSpec::default(),
            files: Vec::new(),
            metadata: BTreeMap::from([("role".to_owned(), "web".to_owned())]),
            hostname: None,
            dns: DnsSpec::default(),
            engine: EngineKind::Container,
            services: Vec::new(),
            checks: Vec::new(),
            is_hidden_in_dns: false,
            egress: None,
            secrets: SecretsSpec::default(),
            deepen: None,
            needs_kvm: false,
        },
        config: json!({"image": "demo", "guest": {"memory_mb": 256}, "nonsense": 1}),
        image: ImageRef {
            registry: "local".to_owned(),
            repository: "demo".to_owned(),
            tag: "latest".to_owned(),
            digest: format!("sha256:{}", "a".repeat(64)).parse().expect("a digest"),
        },
        image_config: ImageConfig::default(),
        v6: "fdaa:0:1:a7b:7d:1:2:2".parse().expect("an address"),
        v4: "100.64.0.2".parse().expect("an address"),
        region: "local".to_owned(),
        cordoned: false,
        lease: None,
        generation: 1,
        created_at: NOON,
        updated_at: NOON,
    }
}

#[test]
fn a_stopped_machine_reads_as_agreed() {
    let shown = machine(&record(State::Stopped { since: NOON, exit: None }), None);
    assert_eq!(
        serde_json::to_value(&shown).expect("plain"),
        json!({
            "id": "0e286039a42d18", "name": "quiet-lake-0042", "state": "stopped",
            "region": "local", "instance_id": VERSION, "version": VERSION,
            "private_ip": "fdaa:0:1:a7b:7d:1:2:2", "private_ipv4": "100.64.0.2",
            "image_ref": {"registry": "local", "repository": "demo", "tag": "latest",
                "digest": format!("sha256:{}", "a".repeat(64)), "labels": {}},
            "config": {"image": "demo", "guest": {"memory_mb": 256}, "nonsense": 1, "init": {},
                "dns": {}, "restart": {"policy": "on-failure", "max_retries": 10},
                "metadata": {"role": "web"}},
            "host_status": "ok", "cordoned": false, "app_name": "demo", "engine": "container",
            "created_at": "2026-11-21T10:00:00Z", "updated_at": "2026-11-21T10:00:00Z"
        })
    );
}

#[test]
fn sleep_and_failure_are_shown_in_their_states() {
    let run = Run {
        id: VERSION.parse().expect("a ULID"),
        slot: None,
        boot: "00000000-0000-0000-0000-000000000000".parse().expect("a boot id"),
        accepted_at: NOON,
        started_at: None,
    };
    let frozen = State::Suspended {
        run,
        depth: Depth::Freeze,
        since: NOON,
        ram_bytes: 4096,
        cause: None,
        wake: None,
    };
    let shown = machine(&record(frozen), None);
    assert_eq!(shown.state, "suspended");
    assert_eq!(
        serde_json::to_value(shown.sleep).expect("plain"),
        json!({"depth": "freeze", "since": "2026-11-21T10:00:00Z", "ram_bytes": 4096})
    );
    let (code, message) = ("image_missing".to_owned(), "no such image".to_owned());
    let shown = machine(&record(State::Failed { since: NOON, code, message }), None);
    assert_eq!(shown.failure.expect("a failure").code, "image_missing");
}

fn exit(code: Option<i32>, signal: Option<i32>) -> ExitNews {
    let exit = Exit {
        code,
        signal,
        oom_killed: false,
        requested_stop: true,
        shim_lost: false,
        started_at: Some(NOON),
        exited_at: NOON,
        fault: None,
    };
    ExitNews { exit, restarting: true, restart_count: 2 }
}

#[test]
fn exits_nest_as_clients_look_for_them() {
    assert_eq!(
        exit_request(&exit(None, Some(9))),
        json!({"exit_event": {"exit_code": 137, "guest_exit_code": 137, "guest_signal": 9,
            "signal": -1, "oom_killed": false, "requested_stop": true, "restarting": true,
            "exited_at": "2026-11-21T10:00:00Z", "guest_error": "", "error": ""},
            "restart_count": 2})
    );
    let clean = exit_request(&exit(Some(0), None));
    assert_eq!(
        (&clean["exit_event"]["exit_code"], &clean["exit_event"]["guest_signal"]),
        (&json!(0), &json!(-1))
    );
}

#[test]
fn events_name_who_and_why() {
    let news = News {
        kind: NewsKind::Start,
        status: "starting".to_owned(),
        source: NewsSource::User,
        exit: None,
        cause: Some(Cause::knock()),
        message: None,
    };
    let id = VERSION.parse().expect("a ULID");
    let machine = "0e286039a42d18".parse().expect("an id");
    let shown = event(&EventRecord { id, machine, at: NOON, news });
    assert_eq!(
        serde_json::to_value(&shown).expect("plain"),
        json!({"id": VERSION, "type": "start", "status": "starting", "source": "user",
            "timestamp": NOON, "cause": {"cause": "knock"}})
    );
}

#[test]
fn secrets_are_shown_only_to_their_holder() {
    let record = LeaseRecord {
        nonce: "5c35f65c9f95".to_owned(),
        owner: "local".to_owned(),
        description: String::new(),
        expires_at: NOON,
        version: VERSION.parse().expect("a ULID"),
    };
    let hidden = serde_json::to_value(lease(&record, false)).expect("plain");
    assert_eq!(hidden.get("nonce"), None);
    assert_eq!(hidden["expires_at"], json!(1_795_255_200));
    let reply = crate::contract::LeaseReply::from(lease(&record, true));
    let shown = serde_json::to_value(reply).expect("plain");
    assert_eq!(
        (&shown["data"]["nonce"], &shown["nonce"]),
        (&json!("5c35f65c9f95"), &json!("5c35f65c9f95"))
    );
    let token_record = TokenRecord {
        id: "t".to_owned(),
        name: "ci".to_owned(),
        hash: "secret-hash".to_owned(),
        scope: TokenScope { reach: TokenReach::All, right: TokenRight::Read },
        created_at: NOON,
        expires_at: None,
        revoked_at: None,
        parent: None,
    };
    let shown = serde_json::to_string(&token(&token_record)).expect("plain");
    assert!(!shown.contains("secret-hash"), "{shown}");
}
