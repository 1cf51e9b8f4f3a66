//! Secrets of an app: sealed, by version, as variables and as files.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use testkit::instance::APP;
use testkit::{Instance, eventually};
use tests::fixture::{config, started, wait_for_line, with_busybox};

/// Says what it has of secrets, and stays.
const TELL: &str = "echo A=$A B=$B C=$C; exec sleep 1000";

fn path(rest: &str) -> String {
    format!("/v1/apps/{APP}/secrets{rest}")
}

/// Sets secrets; their version.
#[track_caller]
fn set(instance: &Instance, values: &Value) -> u64 {
    instance.ensure_app();
    let set = instance.post(&path(""), &json!({"values": values})).expect(200);
    assert_eq!(set["version"], set["Version"]);
    set["version"].as_u64().expect("a version")
}

#[track_caller]
fn update(instance: &Instance, id: &str, body: &Value) {
    drop(instance.post(&Instance::path(id), body).expect(200));
    instance.wait_for(id, "started");
}

#[test]
fn a_machine_has_the_secrets_of_its_last_update() {
    let instance = with_busybox();
    let first = set(&instance, &json!({"A": "one", "B": "two"}));
    let id = started(&instance, TELL, &json!({"env": {"B": "its own"}}));
    wait_for_line(&instance, &id, "A=one B=its own C=");
    let second = set(&instance, &json!({"A": "changed", "B": null, "C": "new"}));
    assert_eq!((first, second), (1, 2));

    // A start, also by another control process, changes nothing of that.
    instance.stop_machine(&id);
    instance.kill_control();
    instance.start_machine(&id);
    eventually("it has told twice", || {
        let told = instance.log(&id);
        (told == ["A=one B=its own C=", "A=one B=its own C="]).then_some(())
    });
    let (one, other) = (config(TELL, &json!({})), config(TELL, &json!({"env": {"C": "own"}})));
    update(&instance, &id, &json!({"config": one, "min_secrets_version": second}));
    wait_for_line(&instance, &id, "A=changed B= C=new");
    assert_eq!(instance.exec(&id, &["/bin/sh", "-c", "echo $C"])["stdout"], "new\n");
    update(&instance, &id, &json!({"config": other, "skip_secrets": true}));
    wait_for_line(&instance, &id, "A= B= C=own");
}

#[test]
fn a_process_takes_the_secrets_that_it_lists() {
    let instance = with_busybox();
    set(&instance, &json!({"A": "one", "B": "two"}));
    let process = |more: Value| {
        let mut process = json!({"exec": ["/bin/sh", "-c", TELL]});
        let fields = process.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        json!({"image": "busybox", "processes": [process]})
    };
    for (more, line) in [
        (json!({"secrets": [{"env_var": "A"}, {"env_var": "C", "name": "B"}]}), "A=one B= C=two"),
        (json!({"ignore_app_secrets": true}), "A= B= C="),
        (json!({"ignore_app_secrets": true, "secrets": [{"env_var": "B"}]}), "A= B=two C="),
        (json!({"ignore_app_secrets": false}), "A=one B=two C="),
    ] {
        let id = instance.create_with(&json!({"config": process(more)}));
        wait_for_line(&instance, &id, line);
    }
    let body = json!({"config": process(json!({"secrets": [{"env_var": "NONE"}]}))});
    let refusal = instance.post(&format!("/v1/apps/{APP}/machines"), &body).refusal(422);
    assert_eq!(refusal.code, "secret_missing");
}

#[test]
fn a_secret_can_be_the_content_of_a_file() {
    let instance = with_busybox();
    set(&instance, &json!({"FILE": "aGVsbG8K", "TEXT": "no base64"}));
    let with_file = |name: &str| json!({"files": [{"guest_path": "/etc/key", "secret_name": name, "mode": 256}]});
    let script = "stat -c %a /etc/key; cat /etc/key; exec sleep 1000";
    let id = started(&instance, script, &with_file("FILE"));
    wait_for_line(&instance, &id, "hello");
    assert_eq!(instance.log(&id), ["400", "hello"]);
    for (name, code) in [("TEXT", "invalid_secret_value"), ("NONE", "secret_missing")] {
        let body = json!({"config": config(script, &with_file(name))});
        let refusal = instance.post(&format!("/v1/apps/{APP}/machines"), &body).refusal(422);
        assert_eq!(refusal.code, code);
    }
}

#[test]
fn a_version_that_is_not_there_yet_is_a_precondition() {
    let instance = with_busybox();
    let version = set(&instance, &json!({"A": "one"}));
    let later = version + 1;
    let body = json!({"config": config("true", &json!({})), "min_secrets_version": later});
    let refusal = instance.post(&format!("/v1/apps/{APP}/machines"), &body).refusal(412);
    assert_eq!(refusal.code, "stale_secrets");
    for name in ["min_version", "version"] {
        drop(instance.get(&path(&format!("?{name}={version}"))).expect(200));
        assert_eq!(
            instance.get(&path(&format!("?{name}={later}"))).refusal(412).code,
            "stale_secrets"
        );
        assert_eq!(instance.get(&path(&format!("/A?{name}={later}"))).status, 412);
    }
}

#[test]
fn secrets_are_set_shown_and_removed() {
    let instance = Instance::start();
    assert_eq!(instance.get("/v1/apps/none/secrets").refusal(404).error, "Could not find App");
    instance.ensure_app();
    assert_eq!(instance.get(&path("")).expect(200)["secrets"], json!([]));
    let made = instance.post(&path("/A"), &json!({"value": "one"})).expect(201);
    assert_eq!(
        (&made["name"], &made["version"], &made["Version"]),
        (&json!("A"), &json!(1), &json!(1))
    );
    assert!(made.get("value").is_none() && made["digest"].as_str().is_some_and(|d| d.len() == 16));
    drop(instance.post(&path(""), &json!({"values": {"A": "one", "B": "ü\n"}})).expect(200));
    let listed = instance.get(&path("")).expect(200);
    let names = |list: &Value| {
        let list = list["secrets"].as_array().expect("a list").clone();
        list.into_iter().map(|s| s["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&listed), ["A", "B"]);
    assert_eq!(listed["secrets"][0]["digest"], made["digest"], "the value is the same");
    let shown = instance.get(&path("?show_secrets=true")).expect(200);
    assert_eq!(
        (&shown["secrets"][0]["value"], &shown["secrets"][1]["value"]),
        (&json!("one"), &json!("ü\n"))
    );
    assert_eq!(instance.get(&path("/B?show_secrets=1")).expect(200)["value"], "ü\n");
    let removed = instance.delete(&path("/A")).expect(200);
    assert_eq!((&removed["version"], &removed["Version"]), (&json!(3), &json!(3)));
    assert_eq!(instance.delete(&path("/A")).refusal(404).code, "secret_not_found");
    assert_eq!(instance.get(&path("/A")).refusal(404).code, "secret_not_found");
    let emptied =
        instance.post(&path(""), &json!({"values": {"B": null, "NONE": null}})).expect(200);
    assert_eq!(names(&emptied), [""; 0]);
    assert_eq!(instance.post(&path(""), &json!({})).expect(200)["version"], emptied["version"]);
}

#[test]
fn what_cannot_be_a_secret_is_refused() {
    let instance = Instance::start();
    instance.ensure_app();
    for name in ["1A", "A-B", "A B", "", "A=B", &"N".repeat(129)] {
        let refusal = instance.post(&path(""), &json!({"values": {name: "x"}})).refusal(422);
        assert_eq!(refusal.code, "invalid_secret_name", "{name}");
    }
    for value in ["a\0b".to_owned(), "x".repeat(64 * 1024 + 1)] {
        let refusal = instance.post(&path("/A"), &json!({"value": value})).refusal(422);
        assert_eq!(refusal.code, "invalid_secret_value");
    }
    assert_eq!(instance.post(&path("/A"), &json!({})).refusal(400).code, "value_missing");
    assert_eq!(
        instance.post(&path(""), &json!({"values": {"A": 7}})).refusal(400).code,
        "wrong_type"
    );
    let many: serde_json::Map<_, _> = (0..257).map(|n| (format!("S{n}"), json!("x"))).collect();
    let refusal = instance.post(&path(""), &json!({"values": many})).refusal(422);
    assert_eq!(refusal.code, "too_many_secrets");
    let listed = instance.get(&path("")).expect(200);
    assert_eq!(
        (&listed["secrets"], &listed["version"]),
        (&json!([]), &json!(0)),
        "nothing changed"
    );
}

#[test]
fn no_secret_lies_open_on_the_disk() {
    const MARKER: &str = "kEEpThisToYourself0815";
    let instance = with_busybox();
    set(&instance, &json!({"A": MARKER}));
    let id = started(&instance, "exec sleep 1000", &json!({}));
    assert_eq!(instance.sh(&id, "echo $A"), format!("{MARKER}\n"), "it is there for the program");
    instance.stop_machine(&id);
    let found = files_with(instance.data_dir(), MARKER.as_bytes());
    assert_eq!(found, Vec::<String>::new());
    let key = fs::metadata(instance.data_dir().join("secrets.key")).expect("there is a key");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&key) & 0o777, 0o600);
}

/// Longest file that is looked into: the store is shorter, disks of machines are longer.
const LOOKED_INTO_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Files below `dir` that have `marker` in them.
fn files_with(dir: &Path, marker: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            found.extend(files_with(&path, marker));
        } else if kind.is_file()
            && entry.metadata().is_ok_and(|found| found.len() <= LOOKED_INTO_MAX_BYTES)
        {
            let bytes = fs::read(&path).unwrap_or_default();
            if bytes.windows(marker.len()).any(|window| window == marker) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[test]
fn keys_sign_and_never_leave() {
    let instance = Instance::start();
    instance.ensure_app();
    let keys = format!("/v1/apps/{APP}/secretkeys");
    let post = |rest: &str, body: Value| instance.post(&format!("{keys}{rest}"), &body);
    for kind in ["hs256", "hs384", "hs512", "es256", "nacl_auth", "nacl_sign"] {
        let made = post(&format!("/{kind}/generate"), json!({"type": kind})).expect(201);
        assert_eq!((&made["name"], &made["type"]), (&json!(kind), &json!(kind)));
        assert_eq!(
            made["public_key"].is_string(),
            kind == "es256" || kind == "nacl_sign",
            "{made}"
        );
        assert_eq!(made["version"], made["Version"]);
        let signed = post(&format!("/{kind}/sign"), json!({"plaintext": "aGVsbG8="})).expect(200);
        let signature = signed["signature"].clone();
        // The same bytes, spelled as a list.
        let body = json!({"plaintext": [104, 101, 108, 108, 111], "signature": signature});
        assert_eq!(post(&format!("/{kind}/verify"), body).status, 204);
        let wrong = json!({"plaintext": "aGVsbG8h", "signature": signature});
        assert_eq!(post(&format!("/{kind}/verify"), wrong).refusal(400).code, "wrong_signature");
        let plain = json!({"plaintext": "aGVsbG8="});
        assert_eq!(post(&format!("/{kind}/encrypt"), plain).refusal(400).code, "wrong_key_type");
    }
    let listed = instance.get(&format!("{keys}?types=hs256,es256")).expect(200);
    assert_eq!(listed["secret_keys"].as_array().map(Vec::len), Some(2), "{listed}");
    assert!(!listed.to_string().contains("value"));
    let brought = post("/own", json!({"type": "hs256", "value": vec![7; 32]})).expect(201);
    assert_eq!(brought["type"], "hs256");
    instance.kill_control();
    assert_eq!(post("/own/sign", json!({"plaintext": "aGVsbG8="})).status, 200);
    for (rest, body, status) in [
        ("/own", json!({"type": "hs256"}), 400),
        ("/own", json!({"type": "hs256", "value": "c2hvcnQ="}), 400),
        ("/own", json!({"type": "rsa", "value": "c2hvcnQ="}), 400),
        ("/own/generate", json!({}), 400),
        ("/a%20b/generate", json!({"type": "hs256"}), 422),
        ("/none/sign", json!({"plaintext": ""}), 404),
        ("/own/sign", json!({}), 400),
    ] {
        let reply = post(rest, body.clone());
        assert_eq!(reply.status, status, "{rest} {body}: {}", reply.text);
    }
    for kind in ["xaes256gcm", "nacl_box", "nacl_secretbox"] {
        drop(post(&format!("/{kind}/generate"), json!({"type": kind})).expect(201));
        let plain = json!({"plaintext": "aGVsbG8="});
        assert_eq!(
            post(&format!("/{kind}/sign"), plain.clone()).refusal(400).code,
            "wrong_key_type"
        );
        let encrypted = post(&format!("/{kind}/encrypt"), plain.clone()).expect(200);
        assert_eq!(post(&format!("/{kind}/decrypt"), encrypted.clone()).expect(200), plain);
        let other = json!({"ciphertext": "aGVsbG8="});
        assert_eq!(post(&format!("/{kind}/decrypt"), other).refusal(400).code, "wrong_ciphertext");
        let bound = json!({"plaintext": "aGVsbG8=", "associated_data": "aGVsbG8="});
        let status = if kind == "xaes256gcm" { 200 } else { 422 };
        assert_eq!(post(&format!("/{kind}/encrypt"), bound).status, status, "{kind}");
    }
    drop(instance.delete(&format!("{keys}/own")).expect(200));
    assert_eq!(instance.get(&format!("{keys}/own")).refusal(404).code, "secret_key_not_found");
}
