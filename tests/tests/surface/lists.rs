//! Lists of machines: what they are narrowed by, and pages of them.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::Instance;
use testkit::instance::APP;

fn fake(instance: &Instance, labels: &Value) -> String {
    let config = json!({"image": "none", "engine": "fake", "metadata": labels});
    let id = instance.create_with(&json!({"config": config, "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    id
}

#[track_caller]
fn ids(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().expect("a list");
    list.iter().map(|machine| machine["id"].as_str().expect("an id").to_owned()).collect()
}

fn set(ids: &[&String]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).clone()).collect()
}

#[test]
fn lists_are_narrowed_by_state_region_labels_and_more() {
    let instance = Instance::start();
    instance.ensure_app();
    let list = |query: &str| instance.get(&format!("/v1/apps/{APP}/machines?{query}")).expect(200);
    assert_eq!(list(""), json!([]), "an empty app");
    let a = fake(&instance, &json!({"role": "web", "tier": "1"}));
    let b = fake(&instance, &json!({"role": "web"}));
    let c = fake(&instance, &json!({"role": "db"}));
    instance.start_machine(&b);
    drop(instance.delete(&Instance::path(&c)).expect(200));
    instance.wait_for(&c, "destroyed");

    for (query, expected) in [
        ("", set(&[&a, &b])),
        ("state=started", set(&[&b])),
        ("state=started,stopped", set(&[&a, &b])),
        ("state=started&state=stopped", set(&[&a, &b])),
        ("state=suspended", set(&[])),
        ("include_deleted=true", set(&[&a, &b, &c])),
        ("include_deleted=1&state=destroyed", set(&[&c])),
        ("region=local", set(&[&a, &b])),
        ("region=ams,local", set(&[&a, &b])),
        ("region=ams", set(&[])),
        ("metadata.role=web", set(&[&a, &b])),
        ("metadata.role=web&metadata.tier=1", set(&[&a])),
        ("metadata.role=db", set(&[])),
        ("summary=true", set(&[&a, &b])),
        ("summary=true&metadata.tier=1", set(&[&a])),
        ("unknown=ignored", set(&[&a, &b])),
    ] {
        assert_eq!(ids(&list(query)), expected, "{query}");
    }
    let whole = &list("metadata.tier=1")[0];
    assert_eq!(whole["config"]["metadata"], json!({"role": "web", "tier": "1"}));
    let summary = &list("metadata.tier=1&summary=true")[0];
    assert!(summary.get("config").is_none() && summary.get("events").is_none(), "{summary}");
    assert_eq!(summary["instance_id"], whole["instance_id"]);
    drop(instance.post(&format!("{}/lease?ttl=60", Instance::path(&a)), &json!({})).expect(201));
    for query in ["include_leases=true", "include_leases=true&summary=true"] {
        let listed = list(query);
        let leased = |id: &String| {
            let found = listed.as_array().expect("a list").iter().find(|m| m["id"] == **id);
            found.expect("it is listed").get("lease").cloned()
        };
        assert_eq!(leased(&a).expect("a lease")["owner"], "local");
        assert_eq!(leased(&b), None);
    }
    assert_eq!(instance.get(&format!("/v1/apps/{APP}/machines?summary=perhaps")).status, 400);
}

#[test]
fn an_organisation_s_machines_come_in_pages_in_the_order_of_their_changes() {
    let instance = Instance::start();
    let ids: Vec<_> = (0..7).map(|_| fake(&instance, &json!({}))).collect();
    let page =
        |query: &str| instance.get(&format!("/v1/orgs/personal/machines?{query}")).expect(200);
    let mut seen = Vec::new();
    let mut cursor = String::new();
    let mut last_page = Value::Null;
    loop {
        let got = page(&format!("limit=3&cursor={cursor}"));
        let machines = got["machines"].as_array().expect("a page").clone();
        seen.extend(machines.iter().map(|m| m["id"].as_str().expect("an id").to_owned()));
        assert_eq!(got["last_machine_id"], machines.last().expect("not empty")["id"]);
        assert_eq!(machines[0]["app_name"], APP);
        last_page = match got["next_cursor"].as_str() {
            Some(next) => {
                assert!(next > cursor.as_str(), "{next}");
                cursor = next.to_owned();
                // What changes meanwhile comes once more, at the end.
                if last_page.is_null() {
                    instance.start_machine(&ids[0]);
                }
                got
            }
            None => {
                last_page = got;
                break;
            }
        };
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
    assert_eq!(seen.iter().collect::<BTreeSet<_>>(), ids.iter().collect());
    assert_eq!(seen.last(), Some(&ids[0]));

    let since = last_page["last_updated_at"].as_str().expect("a moment");
    let after = page(&format!("updated_after={since}"));
    assert!(ids_of(&after).contains(&ids[0]), "{after}");
    for same in ["2020-01-01T00:00:00Z", "2020-01-01T02:00:00%2B02:00", "2020-01-01T02:00:00+02:00"]
    {
        assert_eq!(ids_of(&page(&format!("updated_after={same}"))).len(), 7, "{same}");
    }
    assert_eq!(ids_of(&page("updated_after=2999-01-01T00:00:00Z")), [""; 0]);
    assert_eq!(ids_of(&page("limit=1000000")).len(), 7);
    for wrong in ["updated_after=yesterday", "cursor=nonsense", "limit=many"] {
        let reply = instance.get(&format!("/v1/orgs/personal/machines?{wrong}"));
        assert_eq!(reply.refusal(400).code, "invalid_parameter", "{wrong}");
    }
    assert_eq!(instance.get("/v1/orgs/nobody/machines").expect(200)["machines"], json!([]));
}

fn ids_of(page: &Value) -> Vec<String> {
    let machines = page["machines"].as_array().expect("a page");
    machines.iter().map(|machine| machine["id"].as_str().expect("an id").to_owned()).collect()
}
