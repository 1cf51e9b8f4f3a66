//! Rate limits: off, unless the operator wants them.

use serde_json::json;
use std::net::TcpStream;
use testkit::instance::APP;
use testkit::{Builder, Instance, http};

fn status(instance: &Instance, token: &str, target: &str) -> (u16, Option<String>, String) {
    let endpoint = instance.endpoint().expect("it listens");
    let address = endpoint["tcp"].as_str().expect("an address");
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let asked = http::Asked { headers: &headers, ..http::Asked::get(address, target) };
    let reply = asked.over(TcpStream::connect(address).expect("it listens")).expect("an answer");
    let retry = reply.header("retry-after").map(str::to_owned);
    (reply.status, retry, reply.body["error"].as_str().unwrap_or_default().to_owned())
}

fn token(instance: &Instance) -> String {
    instance.ensure_app();
    let made = instance.post("/v1/tokens", &json!({"name": "ci"})).expect(201);
    made["token"].as_str().expect("a token").to_owned()
}

#[test]
fn too_many_calls_of_one_kind_are_refused_and_others_are_not() {
    let instance = Builder::default().arg("--rate-limit=1").start();
    let token = token(&instance);
    let target = format!("/v1/apps/{APP}/machines");
    let answers: Vec<_> = (0..20).map(|_| status(&instance, &token, &target)).collect();
    let n_passed = answers.iter().filter(|(status, ..)| *status == 200).count();
    assert!((3..20).contains(&n_passed), "{answers:?}");
    let (_, retry, error) = answers.iter().find(|(status, ..)| *status == 429).expect("one is");
    assert_eq!((retry.as_deref(), error.as_str()), (Some("1"), "rate limit exceeded"));
    assert_eq!(status(&instance, &token, &format!("/v1/apps/{APP}/secrets")).0, 200);
    // The owner's own door has none.
    for _ in 0..20 {
        assert_eq!(instance.get(&target).status, 200);
    }
}

#[test]
fn nobody_is_limited_by_default() {
    let instance = Instance::start();
    let token = token(&instance);
    for _ in 0..30 {
        assert_eq!(status(&instance, &token, &format!("/v1/apps/{APP}/machines")).0, 200);
    }
}
