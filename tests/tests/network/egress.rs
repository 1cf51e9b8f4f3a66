//! Where machines may speak to, with real machines and a world outside.

use crate::outside::{BAD, GOOD, GOOD6, HELLO, HOST, METADATA, World, on_private_host};
use crate::waiting;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Builder, Instance};
use tests::fixture;

/// Every door outside that tests knock at.
const DOORS: [(&str, &str); 5] =
    [(GOOD, "80"), (GOOD, "443"), (BAD, "80"), (GOOD6, "80"), (GOOD6, "443")];

/// An instance whose machines have a way out.
fn with_way_out() -> Instance {
    let probe = testkit::instance::binary("guest-probe");
    fixture::with_image(Builder::default().arg("--egress"), &[("bin/guest-probe", &probe)])
}

/// Connects from a machine; what the other side says, or how it failed.
fn connect(instance: &Instance, id: &str, to: &str, port: &str) -> Result<String, String> {
    let outcome = instance.exec(id, &["/bin/guest-probe", "connect", to, port]);
    let text = |key: &str| outcome[key].as_str().expect("text").trim().to_owned();
    if outcome["exit_code"] == 0 { Ok(text("stdout")) } else { Err(text("stderr")) }
}

/// Checks which doors outside a machine gets through; all others refuse it at once.
#[track_caller]
fn check(instance: &Instance, id: &str, open: &[(&str, &str)]) {
    for door in DOORS {
        let (to, port) = door;
        match connect(instance, id, to, port) {
            Ok(said) => assert!(said.ends_with(HELLO) && open.contains(&door), "{door:?}: {said}"),
            Err(error) => {
                assert!(!open.contains(&door), "{door:?}: {error}");
                assert!(error.contains("No route to host"), "{door:?}: {error}");
            }
        }
    }
}

/// Gives the machine other rules, and waits until it runs by them.
#[track_caller]
fn update(instance: &Instance, id: &str, egress: &Value) {
    let more = json!({"init": {"exec": ["/bin/sleep", "600"]}, "egress": egress});
    let body = json!({"config": fixture::config("", &more)});
    let version = instance.post(&Instance::path(id), &body).expect(200)["version"].clone();
    let wait = format!(
        "{}/wait?state=started&timeout=60&version={}",
        Instance::path(id),
        version.as_str().expect("a version")
    );
    drop(instance.get(&wait).expect(200));
}

/// Fetches by name, as programs do; what came, or what the program complained about.
fn wget(instance: &Instance, id: &str, url: &str) -> Result<String, String> {
    let outcome = instance.exec(id, &["/bin/timeout", "20", "/bin/wget", "-q", "-O-", url]);
    let text = |key: &str| outcome[key].as_str().expect("text").trim().to_owned();
    if outcome["exit_code"] == 0 { Ok(text("stdout")) } else { Err(text("stderr")) }
}

#[test]
fn rules_decide_by_range_port_and_protocol() {
    on_private_host(|_| {
        let instance = with_way_out();
        let free = waiting(&instance, &json!({}));
        check(&instance, &free, &DOORS);
        for (egress, open) in [
            (json!({"default": "deny"}), &[][..]),
            (
                json!({"default": "deny", "rules": [
                    {"action": "allow", "to": "198.51.100.2/32", "ports": [80]},
                    {"action": "allow", "to": "2001:db8::/32", "protocol": "tcp"}]}),
                &[DOORS[0], DOORS[3], DOORS[4]],
            ),
            (
                json!({"default": "allow", "rules": [
                    {"action": "deny", "to": BAD},
                    {"action": "deny", "to": "*", "ports": ["400-500"]}]}),
                &[DOORS[0], DOORS[3]],
            ),
        ] {
            let id = waiting(&instance, &json!({"egress": egress}));
            check(&instance, &id, open);
            fixture::destroy(&instance, &id);
        }
        check(&instance, &free, &DOORS);
    });
}

/// The host by any of its addresses and metadata services are closed, whatever a policy says.
#[test]
fn the_host_and_metadata_services_are_closed_to_all() {
    on_private_host(|_| {
        let instance = with_way_out();
        let all = json!({"default": "allow", "rules": [{"action": "allow", "to": "*"}]});
        for more in [json!({}), json!({"egress": all})] {
            let id = waiting(&instance, &more);
            for to in [METADATA, HOST, "2001:db8::1", "127.0.0.1", "169.254.1.1"] {
                let refused = connect(&instance, &id, to, "80").expect_err(to);
                let is_own = to == "127.0.0.1";
                let words = if is_own { "refused" } else { "No route to host" };
                assert!(refused.contains(words), "{to}: {refused}");
            }
        }
    });
}

#[test]
fn a_domain_opens_what_its_name_stands_for_and_no_other_name_is_answered() {
    on_private_host(|world: &World| {
        let instance = with_way_out();
        let egress = json!({"default": "deny", "rules": [
            {"action": "allow", "to": "*.example.com", "protocol": "tcp", "ports": [80]}]});
        let id = waiting(&instance, &json!({"egress": egress}));
        check(&instance, &id, &[]);
        let got = testkit::eventually("the name leads there", || {
            wget(&instance, &id, "http://good.example.com/").ok()
        });
        assert_eq!(got, HELLO);
        // The address is open at the rule's port alone, and to this machine alone.
        assert!(connect(&instance, &id, GOOD, "80").is_ok());
        assert!(connect(&instance, &id, GOOD, "443").is_err());
        let same = waiting(&instance, &json!({"egress": egress}));
        assert!(connect(&instance, &same, GOOD, "80").is_err());

        let refused = wget(&instance, &id, "http://bad.example.org/").expect_err("no such rule");
        assert!(refused.contains("bad address"), "{refused}");
        assert_eq!(world.n_asked("bad.example.org"), 0, "nobody outside hears of it");
        let to_itself = wget(&instance, &id, "http://example.com/").expect_err("only below it");
        assert!(to_itself.contains("bad address"), "{to_itself}");
    });
}

#[test]
fn a_domain_can_be_closed_while_all_else_is_open() {
    on_private_host(|_| {
        let instance = with_way_out();
        let egress = json!({"default": "allow", "rules": [
            {"action": "deny", "to": "bad.example.org"}]});
        let id = waiting(&instance, &json!({"egress": egress}));
        let got = testkit::eventually("names are answered", || {
            wget(&instance, &id, "http://good.example.com/").ok()
        });
        assert_eq!(got, HELLO);
        let refused = wget(&instance, &id, "http://bad.example.org/").expect_err("closed");
        assert!(refused.contains("No route to host"), "{refused}");
    });
}

/// What the host's resolver, or somebody in its place, says beyond the question is not believed.
#[test]
fn lies_of_the_outside_are_not_passed_on() {
    on_private_host(|_| {
        let instance = with_way_out();
        let id = waiting(&instance, &json!({}));
        let got = testkit::eventually("the honest answer counts", || {
            wget(&instance, &id, "http://liar.example.com/").ok()
        });
        assert_eq!(got, HELLO);
        let said = instance.exec(&id, &["/bin/nslookup", "liar.example.com"]);
        let text = said["stdout"].as_str().expect("text");
        assert!(text.contains(GOOD) && !text.contains(BAD), "{said}");
        let other = instance.exec(&id, &["/bin/nslookup", "bad.example.org"]);
        let text = other["stdout"].as_str().expect("text");
        assert!(
            text.contains(BAD) && !text.contains(GOOD),
            "what came along is forgotten: {other}"
        );
        let rebind = instance.exec(&id, &["/bin/nslookup", "rebind.example.com"]);
        let text = rebind["stdout"].as_str().expect("text");
        for private in ["10.1.2.3", "127.0.0.1", METADATA] {
            assert!(!text.contains(private), "{rebind}");
        }
    });
}

#[test]
fn other_rules_are_in_force_before_the_machine_runs_by_them() {
    on_private_host(|_| {
        let instance = with_way_out();
        let id = waiting(&instance, &json!({}));
        check(&instance, &id, &DOORS);
        update(&instance, &id, &json!({"default": "deny"}));
        check(&instance, &id, &[]);
        let some = json!({"default": "deny", "rules": [{"action": "allow", "to": BAD}]});
        update(&instance, &id, &some);
        check(&instance, &id, &[DOORS[2]]);
        instance.stop_machine(&id);
        instance.start_machine(&id);
        check(&instance, &id, &[DOORS[2]]);
        update(&instance, &id, &Value::Null);
        check(&instance, &id, &DOORS);
    });
}

/// At any moment of an update: what the record says is in force when the machine runs again.
#[test]
fn rules_follow_the_record_when_control_is_killed() {
    on_private_host(|_| {
        let instance = with_way_out();
        let bystander = waiting(&instance, &json!({"egress": {"default": "deny"}}));
        let id = waiting(&instance, &json!({}));
        for round in 0..6_u64 {
            let is_open = round % 2 == 1;
            let to = if is_open { BAD } else { GOOD };
            let egress = json!({"default": "deny", "rules": [{"action": "allow", "to": to}]});
            let more = json!({"init": {"exec": ["/bin/sleep", "600"]}, "egress": egress});
            let body = json!({"config": fixture::config("", &more)}).to_string();
            std::thread::scope(|scope| {
                let path = Instance::path(&id);
                let (instance, body) = (&instance, &body);
                // It may be answered or not.
                scope.spawn(move || drop(instance.try_request("POST", &path, body.as_bytes())));
                fixture::let_pass(Duration::from_millis(7 * round));
                instance.kill_control();
            });
            instance.wait_for(&id, "started");
            let view = instance.get(&Instance::path(&id)).expect(200);
            let open: Vec<_> = match view["config"]["egress"]["rules"][0]["to"].as_str() {
                None => DOORS.to_vec(),
                Some(to) => DOORS.into_iter().filter(|(door, _)| *door == to).collect(),
            };
            check(&instance, &id, &open);
            check(&instance, &bystander, &[]);
        }
    });
}

/// A machine whose programs know one family only has a resolver and a way out all the same.
#[test]
fn one_family_is_enough() {
    on_private_host(|_| {
        let instance = with_way_out();
        let egress = json!({"default": "deny", "rules": [
            {"action": "allow", "to": "good.example.com", "ports": [80]}]});
        for (resolver, to) in [("169.254.1.1", GOOD), ("fdaa::3", GOOD6)] {
            let id = waiting(&instance, &json!({"egress": egress}));
            assert!(connect(&instance, &id, to, "80").is_err(), "not yet known");
            testkit::eventually("the name is answered", || {
                let words = ["/bin/nslookup", "good.example.com", resolver];
                let said = instance.exec(&id, &words);
                said["stdout"].as_str().expect("text").contains(to).then_some(())
            });
            let said = connect(&instance, &id, to, "80").expect("open");
            assert!(said.ends_with(HELLO), "{said}");
        }
    });
}
