//! Where somebody begins who knows nothing, and who has lost the way.

use serde_json::Value;
use testkit::Instance;

#[test]
fn the_root_says_what_there_is() {
    let instance = Instance::start();
    for target in ["/", "/v1", "/v1/"] {
        let index = instance.get(target).expect(200);
        assert_eq!(index["name"], "dormouse", "{target}");
        for (name, link) in index["links"].as_object().expect("links") {
            let link = link.as_str().expect("a path");
            assert_eq!(instance.get(link).status, 200, "{name}: {link}");
        }
        let operations = index["operations"].as_object().expect("operations");
        assert!(operations["/v1/apps/{app}/machines"].to_string().contains("POST"));
        for step in index["steps"].as_array().expect("steps") {
            assert!(step["method"].is_string() && step["path"].is_string(), "{step}");
        }
    }
}

#[test]
fn a_path_that_is_not_there_answers_as_clients_know_it_and_leads_on() {
    let instance = Instance::start();
    let plain = instance.get("/v1/apps/web/machine");
    assert_eq!((plain.status, plain.text.as_str()), (404, "404 page not found"));
    assert_eq!(plain.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(plain.header("link"), Some("</>; rel=\"index\""));
    let json = |target: &str| {
        let headers = [("accept", "application/json")];
        instance.request_with("GET", target, &headers, &Value::Null).refusal(404)
    };
    let lost = json("/v1/apps/web/machine");
    assert_eq!((lost.error.as_str(), lost.code.as_str()), ("404 page not found", "no_such_path"));
    assert!(lost.hint.contains("/v1/apps/{app}/machines"), "{lost:?}");
    assert!(json("/nothing/like/it").hint.contains("`GET /`"));
    let create = instance.post("/v1/apps/web/certificates", &Value::Null);
    assert_eq!((create.status, create.text.as_str()), (404, "404 page not found"));
    let method = instance.request("PATCH", "/v1/apps", &Value::Null).refusal(405);
    assert_eq!(method.code, "method_not_allowed");
}
