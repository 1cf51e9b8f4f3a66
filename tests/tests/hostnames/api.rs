//! Lists, checks, rights, and the command line.

use crate::house::{add, add_local, make_app, path};
use crate::pki::Authority;
use serde_json::{Value, json};
use std::process::Command;
use testkit::Instance;

fn with_app() -> Instance {
    let instance = Instance::start();
    make_app(&instance, "web", "personal");
    instance
}

fn names(list: &Value) -> Vec<&str> {
    let all = list["certificates"].as_array().expect("a list");
    all.iter().map(|one| one["hostname"].as_str().expect("a name")).collect()
}

#[test]
fn host_names_are_listed_in_pages() {
    let instance = with_app();
    let all: Vec<String> = (0..30).map(|n| format!("n{n:02}.example.test")).collect();
    for name in all.iter().rev() {
        drop(add_local(&instance, "web", name));
    }
    drop(add_local(&instance, "web", "other.example.org"));
    let page = |query: &str| instance.get(&path("web", query)).expect(200);

    let first = page("");
    assert_eq!((names(&first).len(), &first["total_count"]), (25, &json!(31)));
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = page(&format!("?limit=8&filter=EXAMPLE.test&cursor={cursor}"));
        assert!(names(&page).len() <= 8 && page["total_count"] == 30, "{page}");
        found.extend(names(&page).into_iter().map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(found, all);
    assert_eq!(names(&page("?filter=n07")), ["n07.example.test"]);
    assert_eq!(names(&page("?filter=%25")), Vec::<&str>::new());
    assert_eq!(names(&page("?limit=500")).len(), 31);
    for query in ["?limit=0", "?limit=501", "?limit=x", &format!("?cursor={}", "a".repeat(300))] {
        let refusal = instance.get(&path("web", query)).refusal(400);
        assert_eq!(refusal.code, "invalid_parameter", "{query}");
    }
    let one = &first["certificates"][0];
    for field in ["configured", "acme_requested", "has_fly_certificate"] {
        assert_eq!(one[field], true, "{field}: {one}");
    }
    for field in ["has_custom_certificate", "acme_dns_configured", "ownership_txt_configured"] {
        assert_eq!(one[field], false, "{field}: {one}");
    }
    assert_eq!(one["status"], "Ready");
    for field in ["created_at", "updated_at"] {
        assert!(one[field].as_str().is_some_and(|at| at.ends_with('Z')), "{field}: {one}");
    }
}

#[test]
fn the_path_of_the_list_takes_nothing_in() {
    let instance = with_app();
    let reply = instance.post(&path("web", ""), &json!({"hostname": "www.example.test"}));
    assert_eq!((reply.status, reply.text.as_str()), (404, "404 page not found"));
    let missing = instance.get("/v1/apps/nobody/certificates").refusal(404);
    assert_eq!(missing.code, "app_not_found");
}

#[test]
fn a_check_says_where_the_name_leads() {
    let instance = with_app();
    drop(add_local(&instance, "web", "nobody.dormouse.test"));
    let before = instance.get(&path("web", "/nobody.dormouse.test")).expect(200);
    assert_eq!(before["validation"]["dns_configured"], false);
    assert!(before["dns_records"].is_null(), "{before}");
    let checked = instance.post(&path("web", "/nobody.dormouse.test/check"), &json!(null));
    let checked = checked.expect(200);
    assert_eq!(checked["dns_records"]["resolved_addresses"], json!([]), "{checked}");
    let after = instance.get(&path("web", "/nobody.dormouse.test")).expect(200);
    let codes: Vec<_> = after["validation_errors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["code"].as_str().expect("a word"))
        .collect();
    assert_eq!(codes[0], "local_authority");
    assert!(["dns_not_found", "dns_unknown"].contains(&codes[1]), "{codes:?}");
}

#[test]
fn tokens_reach_the_host_names_of_their_app() {
    let instance = with_app();
    make_app(&instance, "blog", "acme-inc");
    drop(add_local(&instance, "web", "www.example.test"));
    let token = |wish: &Value| {
        let made = instance.post("/v1/tokens", wish).expect(201);
        made["token"].as_str().expect("a token").to_owned()
    };
    let others = token(&json!({"name": "others", "app": "blog"}));
    let reader = token(&json!({"name": "reader", "app": "web", "rights": "read"}));
    let own = token(&json!({"name": "own", "app": "web"}));
    let one = path("web", "/www.example.test");
    let check = format!("{one}/check");
    let (list, acme, custom) = (path("web", ""), path("web", "/acme"), path("web", "/custom"));
    let calls = [
        ("GET", &list),
        ("GET", &one),
        ("POST", &acme),
        ("POST", &custom),
        ("POST", &check),
        ("DELETE", &one),
    ];
    for (method, target) in calls {
        assert_eq!(call(&instance, &others, method, target), 403, "{method} {target}");
        let allowed = if method == "GET" { 200 } else { 403 };
        assert_eq!(call(&instance, &reader, method, target), allowed, "{method} {target}");
        assert_eq!(call(&instance, "wrong", method, target), 401, "{method} {target}");
    }
    assert_eq!(call(&instance, &own, "GET", &list), 200);
    assert_eq!(call(&instance, &own, "GET", "/v1/certificates/authority"), 200);
    assert_eq!(call(&instance, &own, "DELETE", &one), 204);
}

/// Status of a call over TCP, where a token is needed.
fn call(instance: &Instance, token: &str, method: &str, target: &str) -> u16 {
    let endpoint = instance.endpoint().expect("it listens");
    let address = endpoint["tcp"].as_str().expect("an address");
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "60", "--output", "/dev/null"])
        .args(["--write-out", "%{http_code}", "-X", method])
        .args(["-H", &format!("Authorization: Bearer {token}")])
        .arg(format!("http://{address}{target}"))
        .output()
        .expect("curl can be run");
    String::from_utf8_lossy(&output.stdout).parse().expect("a number")
}

#[test]
fn the_command_line_has_all_of_it() {
    let instance = with_app();
    let authority = Authority::new(instance.dir(), "ours");
    let signed = authority.sign(&["www.example.test"]);
    let file = |name: &str, text: &str| {
        let path = instance.dir().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a plain path").to_owned()
    };
    let (cert, key) = (file("cert.pem", &signed.chain), file("key.pem", &signed.key));
    let cli = |args: &[&str]| {
        let all = [&["certs"], args, &["--app=web"]].concat();
        let output = instance.cli(&all);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!text.contains("PRIVATE KEY"), "{text}");
        (output.status.code(), text, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let json_of = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");

    let from_files = ["add", "www.example.test", "--cert", &cert, "--key", &key];
    let (code, text, error) = cli(&from_files);
    assert_eq!(code, Some(0), "{error}");
    assert!(text.contains("certificate: own") && text.contains("CN=ours"), "{text}");
    let (code, _, error) = cli(&from_files);
    assert_eq!(code, Some(1));
    assert!(error.contains("hint:"), "{error}");
    assert_eq!(cli(&[&from_files[..], &["--replace"]].concat()).0, Some(0));
    assert_eq!(cli(&["add", "www.example.test", "--cert", &cert]).0, Some(2));
    let (_, text, _) = cli(&["add", "*.shop.test", "--json"]);
    assert_eq!(json_of(&text)["hostname"], "*.shop.test");

    let (_, text, _) = cli(&["list"]);
    let rows: Vec<_> = text.lines().map(|line| line.split("  ").next().expect("a cell")).collect();
    assert_eq!(rows, ["HOSTNAME", "*.shop.test", "www.example.test"]);
    let (_, text, _) = cli(&["list", "--json", "--filter=shop"]);
    assert_eq!(json_of(&text)["total_count"], 1);
    let (_, text, _) = cli(&["show", "*.shop.test", "--json"]);
    assert_eq!(json_of(&text)["certificates"][0]["source"], "fly");
    let (code, text, _) = cli(&["check", "www.example.test"]);
    assert!(code == Some(0) && text.contains("leads here:"), "{text}");
    let authority = instance.cli(&["certs", "authority"]);
    assert!(authority.stdout.starts_with(b"-----BEGIN CERTIFICATE-----"));
    assert_eq!(cli(&["remove", "*.shop.test"]).0, Some(0));
    assert_eq!(cli(&["show", "*.shop.test"]).0, Some(4));
    assert_eq!(add(&instance, "web", "www.example.test", &signed).status, 422);
}
