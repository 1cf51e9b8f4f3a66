//! A database of every schema version is read by this release.
//!
//! `tests/golden/v<N>.sql` is a dump of a store that the first release with schema N wrote. To add
//! one: run this test with `STORE_GOLDEN_WRITE=1` and commit the file; never change an old one.

use crate::sample::{
    NOW, app_name, app_secret, certificate, digest, event, hook, hostname, image, insert_app,
    letter, machine, machine_id, message, run_id, secret_key, selfhood, started, version_id,
};
use rusqlite::Connection;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use store::{
    AuthorityRecord, CertificateSource, CheckpointRecord, DATABASE_FILE, ImageRecord,
    MachineFilter, MeterInterval, NewPlan, OwnerKind, PlanId, PlanKind, PlanState, Reader,
    SCHEMA_VERSION, SelfhoodTimer, Store, StoreError, TagRecord, TokenReach, TokenRecord,
    TokenRight, TokenScope, Tx, UsageOf,
};

fn golden(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{version}.sql"))
}

#[test]
fn every_older_store_is_migrated_and_read() {
    if std::env::var_os("STORE_GOLDEN_WRITE").is_some() {
        write_golden();
    }
    for version in 1..=SCHEMA_VERSION {
        let dir = tempfile::tempdir().expect("a directory");
        let dump = fs::read_to_string(golden(version)).expect("each version has its dump");
        let file = Connection::open(dir.path().join(DATABASE_FILE)).expect("a database");
        file.execute_batch(&dump).expect("the dump loads");
        drop(file);
        let store = Store::open(dir.path()).expect("an older store opens");
        assert_eq!(schema_of(dir.path()), SCHEMA_VERSION, "from version {version}");
        check(&store);
        if version >= 2 {
            let kept = store.read(|reader| reader.checkpoints_of(&machine_id(1)));
            assert_eq!(kept.expect("they read"), [checkpoint()]);
        }
        if version >= 3 {
            let found = store.read(|reader| {
                let private = reader.image(&digest(2))?.expect("the image is there");
                assert!(private.is_private && reader.is_granted(&digest(2), "web")?);
                reader.tag("local", "debian", "v2")
            });
            assert_eq!(found.expect("they read"), Some(moved_tag()));
        }
        match version {
            ..4 => store.read(|reader| {
                assert_eq!(reader.inbox_bytes(None)?, 0);
                assert_eq!(reader.inbox_bytes(Some(&app_name()))?, 0);
                reader.signing_secret(&app_name()).map(|secret| assert_eq!(secret, None))
            }),
            4.. => store.read(check_selfhood),
        }
        .expect("they read");
        if version >= 6 {
            store.read(check_hostnames).expect("they read");
        }
        match version {
            ..7 => store.read(|reader| {
                assert_eq!(reader.secrets_version(&app_name())?, 0);
                reader.app_secrets(&app_name(), 0).map(|none| assert_eq!(none, []))
            }),
            7.. => store.read(check_app_secrets),
        }
        .expect("they read");
    }
}

/// Version 5 notes who can act by itself: of a store from before, whoever might.
#[test]
fn who_cannot_act_by_itself_is_told_from_an_older_record() {
    let governed = [
        r#"{"holds": {"work": {"expires_at": 1}}}"#,
        r#"{"holds": {}, "alarms": {"night": {}}}"#,
        r#"{"rest": {"rev": 3}}"#,
        r#"{"inbox": {"depth": 3, "wakes": 1}}"#,
        r#"{"decision": {"at": 1, "stance": "down"}}"#,
        "damaged",
    ];
    let others = [
        r#"{"v": 1, "revision": 3}"#,
        r#"{"holds": {}, "alarms": {}, "rest": null, "inbox": {"depth": 3, "wakes": 0},
            "decision": {"at": 1, "stance": "stay"}, "usage": {"up_since": 1}}"#,
        r#"{"decision": null, "policy": null}"#,
    ];
    let dir = tempfile::tempdir().expect("a directory");
    let file = Connection::open(dir.path().join(DATABASE_FILE)).expect("a database");
    file.execute_batch(&fs::read_to_string(golden(4)).expect("its dump")).expect("it loads");
    let same = "INSERT INTO machines SELECT ?1, app, ?1, state, revision, generation, version, region,
                ?1, ?1, cordoned, cpu_kind, cpus, memory_mib, engine, image, metadata, lease,
                created_at, updated_at, json_set(machine, '$.owed', json(?2)) FROM machines LIMIT 1";
    file.pragma_update(None, "foreign_keys", false).expect("set");
    let records = governed.iter().chain(&others);
    for (n, record) in (10..).zip(records) {
        let sql = "INSERT INTO selfhood VALUES (?1, 1, NULL, NULL, ?2)";
        let id = machine_id(n);
        file.execute(same, (id.as_str(), "null")).expect("inserted");
        file.execute(sql, (id.as_str(), record)).expect("inserted");
    }
    let owed = r#"{"cause": {"cause": "message"}, "since": 1, "not_before": 1}"#;
    file.execute(same, (machine_id(30).as_str(), owed)).expect("inserted");
    drop(file);
    let store = Store::open(dir.path()).expect("opens");
    let mut found = store.read(|reader| reader.selfhood_timers()).expect("reads");
    found.sort_by(|a, b| a.machine.as_str().cmp(b.machine.as_str()));
    let found: Vec<_> = found.into_iter().map(|timer| timer.machine).collect();
    let governed = (10..).take(governed.len());
    let expected: Vec<_> = [1].into_iter().chain(governed).chain([30]).map(machine_id).collect();
    assert_eq!(found, expected);
}

#[test]
fn migrating_is_done_once() {
    let (dir, store) = crate::sample::open();
    drop(store);
    let before = dump(dir.path());
    drop(Store::open(dir.path()).expect("opens again"));
    assert_eq!(dump(dir.path()), before);
}

fn schema_of(dir: &Path) -> u32 {
    Connection::open(dir.join(DATABASE_FILE))
        .and_then(|c| c.pragma_query_value(None, "user_version", |row| row.get(0)))
        .expect("the version reads")
}

fn populate(tx: &Tx<'_>) -> Result<(), StoreError> {
    insert_app(tx)?;
    tx.put_image(&image(1))?;
    tx.insert_machine(&machine(1))?;
    tx.add_ref(OwnerKind::Machine, machine_id(1).as_str(), &digest(1))?;
    tx.put_machine_state(&machine_id(1), &started(2, 1), NOW)?;
    tx.append_event(&event(1, 1))?;
    let plan = tx.begin_plan(
        &NewPlan {
            machine: machine_id(1),
            kind: PlanKind::Update,
            version: 1,
            steps: vec!["fetch".to_owned(), "swap".to_owned()],
            input: json!({"image": "debian:v2"}),
        },
        NOW,
    )?;
    tx.complete_step(plan, "fetch", &json!({"bytes": 1}), NOW)?;
    tx.open_interval(&interval())?;
    tx.insert_checkpoint(&checkpoint())?;
    tx.insert_token(&token())?;
    tx.put_image(&ImageRecord { is_private: true, ..image(2) })?;
    tx.put_tag(&image(2).image, &moved_tag().points_to)?;
    tx.grant_image(&digest(2), app_name().as_str())?;
    populate_hostnames(tx)?;
    populate_app_secrets(tx)?;
    populate_selfhood(tx)
}

fn populate_app_secrets(tx: &Tx<'_>) -> Result<(), StoreError> {
    for (name, value) in [("A", "old"), ("B", "kept"), ("A", "new")] {
        let since = tx.next_secrets_version(&app_name())?;
        tx.put_app_secret(&app_secret(name, since, value))?;
    }
    let version = tx.next_secrets_version(&app_name())?;
    tx.end_app_secret(&app_name(), "B", version, NOW)?;
    tx.put_secret_key(&secret_key("sign"))?;
    tx.insert_token(&made_token())
}

/// What [`populate_app_secrets`] left.
fn check_app_secrets(reader: &Reader<'_>) -> Result<(), StoreError> {
    let app = app_name();
    assert_eq!(reader.secrets_version(&app)?, 4);
    assert_eq!(reader.app_secrets(&app, 0)?, []);
    let (a1, b2, a3) =
        (app_secret("A", 1, "old"), app_secret("B", 2, "kept"), app_secret("A", 3, "new"));
    assert_eq!(reader.app_secrets(&app, 2)?, [a1, b2.clone()]);
    assert_eq!(reader.app_secrets(&app, 3)?, [a3.clone(), b2]);
    assert_eq!(reader.app_secrets(&app, 4)?, [a3]);
    assert_eq!(reader.secret_keys(&app)?, [secret_key("sign")]);
    assert_eq!(reader.token_by_hash(&made_token().hash)?, Some(made_token()));
    Ok(())
}

/// Made with [`token`].
fn made_token() -> TokenRecord {
    TokenRecord { id: "t2".to_owned(), hash: "ef".repeat(32), parent: Some(token().id), ..token() }
}

fn populate_hostnames(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.insert_hostname(&hostname("*.example.com"))?;
    tx.insert_hostname(&hostname("www.example.com"))?;
    tx.put_looked_up("*.example.com", "{}")?;
    tx.put_certificate(&app_name(), &certificate(CertificateSource::Custom))?;
    tx.put_certificate(&app_name(), &certificate(CertificateSource::Local))?;
    tx.put_authority(&authority())
}

/// What [`populate_hostnames`] left.
fn check_hostnames(reader: &Reader<'_>) -> Result<(), StoreError> {
    let found = reader.hostnames(&app_name(), "", "", 10)?;
    let wildcard =
        store::HostnameRecord { looked_up: Some("{}".to_owned()), ..hostname("*.example.com") };
    assert_eq!(found, [wildcard, hostname("www.example.com")]);
    let expected = [CertificateSource::Custom, CertificateSource::Local].map(certificate);
    assert_eq!(reader.certificates("www.example.com")?, expected);
    assert_eq!(reader.authority()?, Some(authority()));
    assert_eq!(reader.route_generation(&app_name())?, NOW.0 + 4);
    Ok(())
}

fn authority() -> AuthorityRecord {
    AuthorityRecord {
        certificate: "certificate".to_owned(),
        private_key: "key".to_owned(),
        expires_at: NOW,
    }
}

fn populate_selfhood(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.put_selfhood(&selfhood(1))?;
    tx.put_policy(&digest(11), "{\"rules\":[]}")?;
    tx.put_message(&message(1, 1), "first")?;
    tx.put_message(&message(1, 2), "other")?;
    tx.put_message(&message(1, 3), "third")?;
    tx.mark_delivered(&machine_id(1), 2, 5, NOW)?;
    tx.remove_message(&machine_id(1), 1, NOW)?;
    tx.bury_message(&machine_id(1), 2, NOW, 100)?;
    tx.append_trace(&machine_id(1), 1, NOW, "{\"seq\":1}")?;
    tx.put_hook(&hook("mail"))?;
    tx.put_outbox(&letter(1), 10)?;
    tx.ensure_signing_secret(&app_name(), "drawn").map(drop)
}

/// What [`populate_selfhood`] left.
fn check_selfhood(reader: &Reader<'_>) -> Result<(), StoreError> {
    let id = machine_id(1);
    assert_eq!(reader.selfhood(&id)?, Some(selfhood(1)));
    let timer = SelfhoodTimer { machine: id.clone(), next_at: Some(NOW) };
    assert_eq!(reader.selfhood_timers()?, [timer]);
    assert_eq!(reader.policy(&digest(11))?.as_deref(), Some("{\"rules\":[]}"));
    assert_eq!(reader.messages_after(&id, 0, 10)?, [message(1, 3)]);
    assert_eq!(reader.message_body(&id, 3)?.as_deref(), Some("third"));
    let dead = store::MessageRecord { deliveries: 5, hidden_until: NOW, ..message(1, 2) };
    assert_eq!(reader.dead_letters(&id, 10)?, [(dead, "other".to_owned())]);
    let seen = reader.message_seen(&id, "id-1")?.expect("an id is remembered");
    assert_eq!((seen.seq, seen.forget_at), (1, Some(NOW)));
    assert_eq!(reader.inbox_bytes(None)?, message(1, 3).bytes);
    assert_eq!(reader.inbox_bytes(Some(&app_name()))?, message(1, 3).bytes);
    let trace = reader.trace(&id, 0, 10)?;
    assert_eq!((trace.len(), trace[0].json.as_str()), (1, "{\"seq\":1}"));
    assert_eq!(reader.hooks(&app_name())?, [hook("mail")]);
    assert_eq!(reader.outbox_of(&id)?, [letter(1)]);
    assert_eq!(reader.signing_secret(&app_name())?.as_deref(), Some("drawn"));
    Ok(())
}

fn moved_tag() -> TagRecord {
    TagRecord { digest: digest(2), points_to: digest(3) }
}

fn checkpoint() -> CheckpointRecord {
    CheckpointRecord {
        id: version_id(2),
        machine: machine_id(1),
        base: digest(2),
        created_at: NOW,
        expires_at: NOW.plus(model::DurationMs::from_secs(86_400)),
    }
}

fn interval() -> MeterInterval {
    MeterInterval {
        machine: machine_id(1),
        app: app_name(),
        run: run_id(1),
        from: NOW,
        to: None,
        cpus: 2,
        memory_mib: 512,
        cpu_us: 0,
    }
}

fn token() -> TokenRecord {
    TokenRecord {
        id: "t1".to_owned(),
        name: "owner".to_owned(),
        hash: "cd".repeat(32),
        scope: TokenScope { reach: TokenReach::All, right: TokenRight::Operate },
        created_at: NOW,
        expires_at: None,
        revoked_at: None,
        parent: None,
    }
}

/// All that [`populate`] stored is read, whatever release stored it.
fn check(store: &Store) {
    let found = store.read(|r| {
        let machines = r.machines(&MachineFilter::default())?;
        assert_eq!(machines.len(), 1);
        assert_eq!(machines[0].machine, started(2, 1));
        assert_eq!(machines[0].spec, machine(1).spec);
        assert_eq!(r.events(&machine_id(1), 50, None)?, [event(1, 1)]);
        assert_eq!(r.image(&digest(1))?, Some(image(1)));
        assert_eq!(r.machines_of_image(&digest(1))?, [machine_id(1)]);
        let plan = r.plan(PlanId(1))?.expect("the plan is there");
        assert_eq!((plan.next_step(), plan.state), (Some("swap"), PlanState::Running));
        assert_eq!(r.open_intervals()?, [interval()]);
        assert_eq!(r.usage(UsageOf::App(&app_name()), NOW, NOW)?, []);
        assert_eq!(r.token_by_hash(&token().hash)?, Some(token()));
        Ok(())
    });
    found.expect("everything reads");
}

fn write_golden() {
    let (dir, store) = crate::sample::open();
    store.write_blocking("populate", populate).expect("stored");
    drop(store);
    fs::write(golden(SCHEMA_VERSION), dump(dir.path())).expect("the golden file is written");
}

/// The whole database as SQL text, tables in the order of their creation.
fn dump(dir: &Path) -> String {
    let file = Connection::open(dir.join(DATABASE_FILE)).expect("the database opens");
    let schema = texts(
        &file,
        "SELECT sql || ';' FROM sqlite_schema WHERE sql IS NOT NULL
                               AND name NOT LIKE 'sqlite_%' ORDER BY rowid",
    );
    let tables = texts(&file, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid");
    let mut lines = vec!["PRAGMA foreign_keys = OFF;".to_owned(), "BEGIN;".to_owned()];
    lines.extend(schema);
    lines.extend(tables.iter().flat_map(|table| rows_of(&file, table)));
    lines.extend(["user_version", "application_id"].map(|pragma| {
        let value: u32 = file.pragma_query_value(None, pragma, |row| row.get(0)).expect("a number");
        format!("PRAGMA {pragma} = {value};")
    }));
    lines.push("COMMIT;\n".to_owned());
    lines.join("\n")
}

fn rows_of(file: &Connection, table: &str) -> Vec<String> {
    let columns = texts(file, &format!("SELECT name FROM pragma_table_info('{table}')"));
    let quoted: Vec<_> = columns.iter().map(|column| format!("quote({column})")).collect();
    let values = quoted.join(" || ', ' || ");
    texts(file, &format!("SELECT 'INSERT INTO {table} VALUES (' || {values} || ');' FROM {table}"))
}

fn texts(file: &Connection, sql: &str) -> Vec<String> {
    let mut statement = file.prepare(sql).expect("a query");
    let rows = statement.query_map([], |row| row.get(0)).expect("it runs");
    rows.collect::<Result<_, _>>().expect("texts")
}
