//! Machines of one network read each other and write what they may; those of another do not exist.

use crate::desk::running;
use serde_json::{Value, json};
use testkit::Instance;
use tests::fixture::{config, with_busybox};

fn shown() -> Value {
    json!({"facts": {
        "ready": {"type": "bool", "default": false},
        "for_reader": {"type": "int", "writers": ["peer:reader"]},
        "key": {"type": "string", "secret": true}
    }})
}

#[test]
fn peers_read_each_other_and_write_what_they_may() {
    let instance = with_busybox();
    let shown = running(&instance, "shown", &shown(), "exec sleep 1000");
    let reader = running(&instance, "reader", &json!({}), "exec sleep 1000");
    shown.know(&json!({"ready": true, "key": "hush"}));
    shown.sh("dm beat");
    let seen = reader.sh("dm peer shown");
    assert!(seen.contains("state=started\n") && seen.contains("age_s="), "{seen}");
    assert!(seen.contains("memory.ready=true") && !seen.contains("hush"), "{seen}");

    reader.sh("dm peer shown for_reader=7");
    assert_eq!(shown.fact("for_reader"), 7);
    let fact = shown.get("/memory/for_reader");
    assert_eq!(fact["writer"], "peer:reader", "{fact}");
    assert_eq!(
        reader
            .sh("dm peer shown ready=false 2>&1 || true")
            .lines()
            .next()
            .map(|l| l.contains("may not write")),
        Some(true)
    );
    assert_eq!(shown.fact("ready"), true);

    assert_eq!(reader.sh("dm post shown hello"), "1\n");
    assert_eq!(shown.sh("dm inbox"), "1\tpeer:reader\thello\n");
    assert!(reader.sh("dm peer nobody 2>&1 || true").starts_with("dm: "));
}

#[test]
fn a_machine_of_another_network_does_not_exist() {
    let instance = with_busybox();
    let shown = running(&instance, "shown", &shown(), "exec sleep 1000");
    drop(
        instance
            .post(
                "/v1/apps",
                &json!({"name": "others", "org_slug": "personal", "network": "others"}),
            )
            .expect(201),
    );
    let body = json!({"name": "reader", "config": config("exec sleep 1000", &json!({}))});
    let reader = instance.post("/v1/apps/others/machines", &body).expect(200)["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let others = format!("/v1/apps/others/machines/{reader}");
    drop(instance.get(&format!("{others}/wait?state=started&timeout=60")).expect(200));
    for line in ["dm peer shown", "dm post shown hello", "dm peer shown for_reader=1"] {
        let command = json!({"command": ["/bin/sh", "-c", format!("{line} --json")]});
        let outcome = instance.post(&format!("{others}/exec"), &command).expect(200);
        assert_eq!(outcome["exit_code"], 1, "{line}: {outcome}");
        assert!(
            outcome["stderr"].as_str().is_some_and(|text| text.contains("not_found")),
            "{line}: {outcome}"
        );
    }
    assert_eq!(shown.get("/inbox")["depth"], 0);
    drop(instance.delete(&format!("{others}?force=true")).expect(200));
    drop(instance.get(&format!("{others}/wait?state=destroyed&timeout=60")).expect(200));
}

#[test]
fn a_peers_fact_wakes() {
    let instance = Instance::start();
    let source = json!({"facts": {"ready": {"type": "bool", "default": false}}});
    let fake = json!({"image": "fake", "engine": "fake", "policy": source});
    let id = instance.create_with(&json!({"name": "source", "config": fake, "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    let source = crate::desk::Governed { instance: &instance, id };
    let policy =
        json!({"rules": [{"id": "follow", "effect": "wake", "when": "peer.source.ready"}]});
    let machine = crate::desk::sleeper(&instance, &policy, &json!({}));
    source.know(&json!({"ready": false}));
    assert_eq!(machine.state(), "stopped");
    source.know(&json!({"ready": true}));
    machine.wait_for("started");
    machine.explains("rule `follow`");
    machine.check_trace();
}
