//! Policies that a machine brings along: in its configuration, or in the label of its image.

use crate::desk::Governed;
use serde_json::{Value, json};
use std::process::Command;
use testkit::place::run;
use testkit::{Instance, image};
use tests::fixture::config;

/// Label of an image that carries a policy.
const LABEL: &str = "dev.dormouse.policy";

/// Imports a busybox as `name`, with this policy in its label.
#[track_caller]
fn import(instance: &Instance, name: &str, policy: &str) {
    let dir = instance.dir().join(name);
    std::fs::create_dir(&dir).expect("a directory can be made");
    let tarball = image::busybox_tarball(&dir, &[]);
    let layout = dir.join("layout");
    let tagged = format!("{}:1", layout.display());
    run(Command::new("skopeo")
        .args(["copy", "--quiet", "--insecure-policy"])
        .args([&format!("tarball:{}", tarball.display()), &format!("oci:{tagged}")]));
    run(Command::new("umoci")
        .args(["config", "--image", &tagged])
        .arg(format!("--config.label={LABEL}={policy}")));
    let layout = layout.to_str().expect("a plain path");
    let output = instance.cli(&["image", "import", layout, name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn wakes_at(depth: u32) -> Value {
    json!({"rules": [{"id": format!("at-{depth}"), "effect": "wake", "when": format!("inbox.depth >= {depth}")}]})
}

/// The body that makes a machine of this image, not yet started.
fn wish(image: &str, more: &Value) -> Value {
    let mut config = config("exec sleep 1000", more);
    config["image"] = json!(image);
    json!({"config": config, "skip_launch": true})
}

#[track_caller]
fn made<'a>(instance: &'a Instance, wish: &Value) -> Governed<'a> {
    let id = instance.create_with(wish);
    instance.wait_for(&id, "stopped");
    Governed { instance, id }
}

impl Governed<'_> {
    /// The id of its only rule, and who has set the policy.
    #[track_caller]
    fn governed_by(&self) -> (Value, Value) {
        let shown = self.get("/policy");
        (shown["policy"]["rules"][0]["id"].clone(), shown["by"].clone())
    }

    /// Puts another version in place.
    #[track_caller]
    fn update(&self, wish: &Value) {
        drop(self.instance.post(&Instance::path(&self.id), wish).expect(200));
        self.wait_for("stopped");
    }
}

#[test]
fn an_image_brings_its_policy_and_an_update_brings_that_of_the_next() {
    let instance = Instance::start();
    import(&instance, "one", &wakes_at(1).to_string());
    import(&instance, "two", &wakes_at(2).to_string());
    instance.import_busybox(&[]);
    let machine = made(&instance, &wish("one", &json!({})));
    assert_eq!(machine.governed_by(), (json!("at-1"), json!("platform")));
    machine.update(&wish("two", &json!({})));
    assert_eq!(machine.governed_by(), (json!("at-2"), json!("platform")));
    machine.post(&json!({"body": "first"}));
    assert_eq!(machine.state(), "stopped", "the policy of the old image is gone");
    machine.post(&json!({"body": "second"}));
    machine.wait_for("started");
    machine.explains("rule `at-2`");
    instance.stop_machine(&machine.id);

    // An image without a policy takes it away.
    machine.update(&wish("busybox", &json!({})));
    assert_eq!(machine.get("/policy")["policy"], json!({}));
    machine.check_trace();
}

#[test]
fn what_the_owner_says_stays_whatever_the_image_says() {
    let instance = Instance::start();
    import(&instance, "one", &wakes_at(1).to_string());
    import(&instance, "two", &wakes_at(2).to_string());
    let policy = json!({"policy": wakes_at(5)});
    let machine = made(&instance, &wish("one", &policy));
    assert_eq!(machine.governed_by(), (json!("at-5"), json!("owner")), "the configuration wins");
    machine.update(&wish("two", &json!({})));
    assert_eq!(machine.governed_by(), (json!("at-5"), json!("owner")));
    machine.update(&wish("two", &json!({"policy": wakes_at(6)})));
    assert_eq!(machine.governed_by(), (json!("at-6"), json!("owner")));

    let other = made(&instance, &wish("one", &json!({})));
    other.set_policy(&wakes_at(7));
    other.update(&wish("two", &json!({})));
    assert_eq!(other.governed_by(), (json!("at-7"), json!("owner")), "its owner has set it since");
    for machine in [machine, other] {
        machine.check_trace();
    }
}

#[test]
fn a_bad_policy_is_refused_with_its_place_wherever_it_comes_from() {
    let instance = Instance::start();
    let bad = json!({"rules": [{"id": "x", "effect": "wake", "when": "inbox.depht > 1"}]});
    import(&instance, "bad", &bad.to_string());
    import(&instance, "noise", "{\"rules\": [");
    import(
        &instance,
        "retires",
        &json!({"rules": [{"id": "end", "effect": "retire", "when": "intent.done"}]}).to_string(),
    );
    import(&instance, "one", &wakes_at(1).to_string());
    instance.ensure_app();
    let refused = |body: &Value, words: &[&str]| {
        let reply = instance.post("/v1/apps/test/machines", body);
        let text = reply.text.clone();
        assert_eq!(reply.refusal(422).code, "policy_invalid", "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    refused(&wish("bad", &json!({})), &["rules[0].when", "inbox.depht", "inbox.depth"]);
    refused(&wish("noise", &json!({})), &["line"]);
    refused(&wish("retires", &json!({})), &["retire"]);
    refused(&wish("one", &json!({"policy": bad})), &["rules[0].when"]);
    let machines = instance.get("/v1/apps/test/machines").expect(200);
    assert_eq!(machines, json!([]), "nothing was made");

    // An update is refused as a whole, and the machine is as it was.
    let machine = made(&instance, &wish("one", &json!({})));
    let reply = instance.post(&Instance::path(&machine.id), &wish("bad", &json!({})));
    assert_eq!(reply.refusal(422).code, "policy_invalid");
    assert_eq!(machine.governed_by(), (json!("at-1"), json!("platform")));
    let shown = instance.get(&Instance::path(&machine.id)).expect(200);
    assert_eq!(shown["image_ref"]["repository"], "one");
}
