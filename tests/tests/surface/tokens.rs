//! Tokens that are made with tokens: never more than the one they are made with.

use serde_json::{Value, json};
use testkit::Instance;
use testkit::instance::APP;
use tests::fixture::{config, with_busybox, with_token};

#[track_caller]
fn make(instance: &Instance, wish: &Value) -> String {
    let made = instance.post("/v1/tokens", wish).expect(201);
    made["token"].as_str().expect("a token").to_owned()
}

#[track_caller]
fn make_with(instance: &Instance, token: &str, wish: &Value) -> Value {
    with_token(instance, token, "POST", "/v1/tokens", wish).expect(201)
}

#[test]
fn a_token_makes_tokens_of_its_own_reach_and_less() {
    let instance = with_busybox();
    let id =
        instance.create_with(&json!({"config": config("true", &json!({})), "skip_launch": true}));
    drop(instance.post("/v1/apps", &json!({"name": "other", "org_slug": "personal"})).expect(201));
    let app = make(&instance, &json!({"name": "ci", "app": APP}));

    let same = make_with(&instance, &app, &json!({"name": "step"}));
    assert_eq!(
        (&same["scope"], &same["rights"]),
        (&json!(format!("app:{APP}")), &json!("operate"))
    );
    assert_eq!(same["name"], "ci.step", "who writes is told by its maker's name first");
    let of_machine =
        make_with(&instance, &app, &json!({"name": "m", "machine": id, "rights": "self-write"}));
    assert_eq!(of_machine["scope"], format!("machine:{id}"));
    let reader = make_with(&instance, &app, &json!({"name": "look", "rights": "read"}));

    let refused = |token: &str, wish: Value, status: u16| {
        let reply = with_token(&instance, token, "POST", "/v1/tokens", &wish);
        assert_eq!(reply.status, status, "{wish}: {}", reply.text);
    };
    refused(&app, json!({"name": "x", "app": "other"}), 403);
    refused(&app, json!({"name": "x", "app": "none"}), 404);
    refused(&app, json!({"name": ""}), 400);
    refused(&app, json!({"name": "n".repeat(64)}), 400);
    let of_machine = of_machine["token"].as_str().expect("a token");
    refused(of_machine, json!({"name": "x"}), 403);
    refused(
        reader["token"].as_str().expect("a token"),
        json!({"name": "x", "rights": "read"}),
        403,
    );
    let machine = make(&instance, &json!({"name": "own", "machine": id}));
    refused(&machine, json!({"name": "x", "app": APP}), 403);
    drop(make_with(&instance, &machine, &json!({"name": "x"})));
}

#[test]
fn what_was_made_with_a_token_ends_with_it() {
    let instance = Instance::start();
    instance.ensure_app();
    let made =
        instance.post("/v1/tokens", &json!({"name": "ci", "app": APP, "ttl": "1h"})).expect(201);
    let (app, id) = (made["token"].as_str().expect("text"), made["id"].as_str().expect("text"));
    let longer = make_with(&instance, app, &json!({"name": "long", "ttl": "24h"}));
    assert_eq!(longer["expires_at"], made["expires_at"], "it does not outlive its maker");
    assert_eq!(longer["parent"], id);
    let second =
        make_with(&instance, longer["token"].as_str().expect("text"), &json!({"name": "two"}));
    let looks = |token: &Value| {
        let target = format!("/v1/apps/{APP}/machines");
        with_token(&instance, token.as_str().expect("text"), "GET", &target, &Value::Null).status
    };
    assert_eq!([looks(&longer["token"]), looks(&second["token"])], [200, 200]);
    drop(instance.delete(&format!("/v1/tokens/{id}")).expect(200));
    assert_eq!([looks(&longer["token"]), looks(&second["token"])], [401, 401]);
}

#[test]
fn a_deploy_token_operates_its_app_alone() {
    let instance = Instance::start();
    instance.ensure_app();
    let target = format!("/v1/apps/{APP}/deploy_token");
    let made = instance.post(&target, &json!({"expiry": "1h"})).expect(200);
    let token = made["token"].as_str().expect("a token");
    let status = |method: &str, target: &str| {
        with_token(&instance, token, method, target, &Value::Null).status
    };
    assert_eq!(status("GET", &format!("/v1/apps/{APP}")), 200);
    assert_eq!(status("GET", "/v1/apps/other"), 403);
    assert_eq!(status("GET", "/v1/tokens"), 403);
    assert_eq!(status("POST", &target), 200, "and makes another one");
    let current =
        with_token(&instance, token, "GET", "/v1/tokens/current", &Value::Null).expect(200);
    assert_eq!(current["tokens"][0]["apps"], json!([APP]));
    let reader = make(&instance, &json!({"name": "look", "app": APP, "rights": "read"}));
    assert_eq!(with_token(&instance, &reader, "POST", &target, &Value::Null).status, 403);
    assert_eq!(instance.post("/v1/apps/none/deploy_token", &Value::Null).status, 404);
}

#[test]
fn values_of_secrets_are_for_who_may_operate() {
    let instance = Instance::start();
    instance.ensure_app();
    let target = format!("/v1/apps/{APP}/secrets");
    drop(instance.post(&target, &json!({"values": {"A": "one"}})).expect(200));
    let reader = make(&instance, &json!({"name": "look", "app": APP, "rights": "read"}));
    let operator = make(&instance, &json!({"name": "ci", "app": APP}));
    let shown = format!("{target}?show_secrets=true");
    let get = |token: &str, target: &str| with_token(&instance, token, "GET", target, &Value::Null);
    assert_eq!(get(&reader, &target).expect(200)["secrets"][0]["name"], "A");
    assert_eq!(get(&reader, &shown).status, 403);
    assert_eq!(get(&operator, &shown).expect(200)["secrets"][0]["value"], "one");
    assert_eq!(with_token(&instance, &reader, "POST", &target, &json!({"values": {}})).status, 403);
}
