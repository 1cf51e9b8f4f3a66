//! The API as machines find it: `_api.internal`, where everybody is a stranger without a token.

use crate::guest::Guest;
use crate::resolver::becomes;
use crate::waiting;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use testkit::Instance;
use tests::fixture;

/// Where the API is.
const API: &str = "http://[fdaa::4]:4280";

fn token(instance: &Instance, wish: &Value) -> String {
    let made = instance.post("/v1/tokens", wish).expect(201);
    format!("Authorization: Bearer {}", made["token"].as_str().expect("a token"))
}

#[test]
fn machines_call_the_api_with_a_token_and_not_without() {
    let instance = fixture::with_busybox();
    let a = waiting(&instance, &json!({}));
    let b = waiting(&instance, &json!({}));
    let guest = Guest::of(&instance, &a);
    becomes(&guest, &["AAAA", "_api.internal"], "NOERROR", &["fdaa::4"]);

    let own = format!("{API}{}", Instance::path(&a));
    for headers in [&[][..], &["-H", "Authorization: Bearer wrong"]] {
        for url in [&own, &format!("{API}/v1/apps"), &format!("{API}/v1/self")] {
            let (status, body) = guest.curl(&[headers, &["--globoff", url]].concat());
            let body: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!((status, &body["code"]), (401, &json!("unauthenticated")), "{url} {body}");
            assert!(body["hint"].as_str().is_some_and(|hint| hint.contains("Bearer")), "{body}");
        }
    }
    let (status, _) = guest.curl(&["--globoff", "-X", "POST", &format!("{own}/stop")]);
    assert_eq!(status, 401, "to be its own machine is no right here");
    assert_eq!(instance.state(&a), "started");

    let reach = json!({"name": "own", "app": "test", "machine": a, "rights": "read"});
    let narrow = token(&instance, &reach);
    let (status, body) = guest.curl(&["--globoff", "-H", &narrow, &own]);
    assert_eq!(status, 200, "{body}");
    let others = format!("{API}{}", Instance::path(&b));
    let (status, body) = guest.curl(&["--globoff", "-H", &narrow, &others]);
    assert_eq!(status, 403, "{body}");

    let app = token(&instance, &json!({"name": "app", "app": "test", "rights": "operate"}));
    let stop = format!("{others}/stop");
    let (status, body) = guest.curl(&["--globoff", "-X", "POST", "-H", &app, &stop]);
    assert_eq!(status, 200, "{body}");
    instance.wait_for(&b, "stopped");

    // As programs inside do it: by the name.
    let url = format!("http://_api.internal:4280{}", Instance::path(&a));
    let said = instance.exec(&a, &["/bin/wget", "-q", "-O-", "--header", &narrow, &url]);
    let view: Value = serde_json::from_str(said["stdout"].as_str().expect("text")).expect("JSON");
    assert_eq!(view["id"], a.as_str(), "{said}");
    let said = instance.exec(&a, &["/bin/wget", "-q", "-O-", &url]);
    assert!(said["stderr"].as_str().expect("text").contains("401"), "{said}");
}

#[test]
fn the_api_of_machines_comes_back_with_control() {
    let instance = fixture::with_busybox();
    let a = waiting(&instance, &json!({}));
    let guest = Guest::of(&instance, &a);
    let owner = token(&instance, &json!({"name": "ci", "app": "test", "rights": "read"}));
    for _ in 0..3 {
        let url = format!("{API}{}", Instance::path(&a));
        let (status, body) = guest.curl(&["--globoff", "-H", &owner, &url]);
        assert_eq!(status, 200, "{body}");
        instance.kill_control();
    }
}

/// Connections are few, and no machine gets them all.
#[test]
fn a_greedy_machine_leaves_its_neighbours_connections() {
    const GREED: usize = 600;
    let instance = fixture::with_busybox();
    let (greedy, modest) = (waiting(&instance, &json!({})), waiting(&instance, &json!({})));
    let at: SocketAddr = "[fdaa::4]:4280".parse().expect("an address");
    let held: Vec<TcpStream> = Guest::of(&instance, &greedy).inside(|| {
        let connect = || TcpStream::connect_timeout(&at, Duration::from_secs(30)).ok();
        (0..GREED).filter_map(|_| connect()).collect()
    });
    assert!(!held.is_empty());
    let guest = Guest::of(&instance, &modest);
    for _ in 0..5 {
        let (status, body) = guest.curl(&["--globoff", &format!("{API}/v1/apps")]);
        assert_eq!(status, 401, "{body}");
    }
    assert_eq!(instance.get("/healthz").status, 200);
}
