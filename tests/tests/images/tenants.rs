//! Callers with a token of an app: what they may have, and where they may be sent.

use crate::access::auth;
use crate::tap::Tap;
use crate::{MACHINES, ask, pull, pull_with, push, refused};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::process::Command;
use std::thread;
use testkit::place::{self, run};
use testkit::registry::{Access, PASSWORD, Registry, USERNAME};
use testkit::{Builder, Instance};

/// A tenant of an app: calls over TCP with a token.
struct Tenant<'a> {
    instance: &'a Instance,
    app: &'a str,
    token: String,
}

impl<'a> Tenant<'a> {
    fn of(instance: &'a Instance, app: &'a str) -> Self {
        let made = instance.post("/v1/apps", &json!({"name": app, "org_slug": "personal"}));
        drop(made.expect(201));
        let wish = json!({"name": app, "app": app});
        let token = instance.post("/v1/tokens", &wish).expect(201);
        let token = token["token"].as_str().expect("a token").to_owned();
        Self { instance, app, token }
    }

    /// Status and body of a call.
    fn call(&self, method: &str, target: &str, credentials: &str, body: &Value) -> (u16, Value) {
        let endpoint = self.instance.endpoint().expect("it listens");
        let address = endpoint["tcp"].as_str().expect("an address");
        let output = Command::new("curl")
            .args(["--silent", "--max-time", "60", "--write-out", "\n%{http_code}", "-X", method])
            .args(["-H", &format!("Authorization: Bearer {}", self.token)])
            .args(["-H", &format!("X-Registry-Auth: {credentials}")])
            .args(["--data", &body.to_string(), &format!("http://{address}{target}")])
            .output()
            .expect("curl");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').expect("a status");
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        (status.parse().expect("a number"), body)
    }

    /// Creates a machine that is not launched.
    fn create(&self, image: &str, credentials: &str) -> (u16, Value) {
        let body = json!({"config": {"image": image}, "skip_launch": true});
        self.call("POST", &format!("/v1/apps/{}/machines", self.app), credentials, &body)
    }
}

#[track_caller]
fn check(answer: &(u16, Value), status: u16, code: &str) {
    assert_eq!((answer.0, answer.1["code"].as_str()), (status, Some(code)), "{}", answer.1);
    assert!(answer.1["hint"].is_string(), "{}", answer.1);
}

#[test]
fn a_cached_private_image_is_for_those_whom_its_registry_would_give_it() {
    let registry = Registry::start(Access::Password);
    push(&registry, "web", "secret");
    let option = format!("--allow-registry={}", registry.address());
    let instance = Builder::default().arg(&option).start();
    let reference = registry.reference("web");
    let (one, other) = (Tenant::of(&instance, "one"), Tenant::of(&instance, "other"));
    let right = auth(USERNAME, PASSWORD);
    drop(pull_with(&instance, &reference, &[("x-registry-auth", &right)]));

    // In the registry's words: that the image is here is not for them to know.
    let refusal = one.create(&reference, "");
    check(&refusal, 403, "image_denied");
    let text = refusal.1.to_string();
    assert!(!text.contains("cached") && !text.contains("this host has"), "{text}");
    let absent = one.create(&registry.reference("absent"), "");
    assert_eq!((absent.0, &absent.1["code"]), (refusal.0, &refusal.1["code"]));

    assert_eq!(one.create(&reference, &right).0, 200);
    // The app has it now; the other still has not.
    assert_eq!(one.create(&reference, "").0, 200);
    check(&other.create(&reference, ""), 403, "image_denied");
    check(&other.create(&reference, &auth(USERNAME, "wrong")), 403, "image_denied");
}

#[test]
fn tenants_are_not_sent_to_this_host() {
    let registry = Registry::start(Access::Open);
    push(&registry, "web", "x");
    let reference = registry.reference("web");
    let instance = Instance::start();
    check(&Tenant::of(&instance, "one").create(&reference, ""), 403, "registry_unreachable");
    let listed =
        Builder::default().arg(&format!("--allow-registry={}", registry.address())).start();
    assert_eq!(Tenant::of(&listed, "one").create(&reference, "").0, 200);
}

/// A public address of a host that is not ours; it lies in a namespace of the test's.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 33, 4, 2);
/// A private address of the same host.
const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// Gives this thread a network of its own, with another host beside it; runs `work` over there.
fn beside_a_network<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let ip = |words: &str| run(Command::new("ip").args(words.split(' ')));
    place::leave_network();
    let here = rustix::thread::gettid().as_raw_nonzero();
    let there = thread::scope(|scope| {
        let there = || {
            place::leave_network();
            ip(&format!("link add wan type veth peer name wan netns {here}"));
            ip(&format!("address add {OUTSIDE}/24 dev wan"));
            ip(&format!("address add {PRIVATE}/24 dev wan"));
            ip("link set wan up");
            work()
        };
        scope.spawn(there).join().expect("it is made")
    });
    for address in ["192.33.4.1/24", "10.77.0.1/24"] {
        ip(&format!("address add {address} dev wan"));
    }
    ip("link set wan up");
    there
}

#[test]
fn what_tenants_pull_leaves_through_the_router_and_only_to_public_addresses() {
    let (registry, public, private) = beside_a_network(|| {
        let registry = Registry::start(Access::Open);
        push(&registry, "web", "from outside");
        let [public, private] = [OUTSIDE, PRIVATE].map(|at| Tap::before(registry.port(), at));
        (registry, public, private)
    });
    // From here nothing gets there: only what is forwarded for the router does.
    let rules = "table inet wall { chain out { type filter hook output priority 0; \
                 ip daddr 192.33.4.2 reject; }; }";
    run(Command::new("nft").arg(rules.replacen("table", "add table", 1)));
    let insecure = |tap: &Tap| format!("--insecure-registry={}", tap.address());
    let instance =
        Builder::default().arg("--egress").arg(&insecure(&public)).arg(&insecure(&private)).start();
    let reference = public.reference("web");
    drop(refused(ask(&instance, &reference, &[]), 502, "registry_unreachable"));

    let tenant = Tenant::of(&instance, "one");
    let (status, machine) = tenant.create(&reference, "");
    assert_eq!(status, 200, "{machine}");
    let id = machine["id"].as_str().expect("an id");
    let target = format!("/v1/apps/one/machines/{id}/wait?state=stopped&timeout=60");
    assert_eq!(instance.get(&target).status, 200, "it is prepared");
    assert!(public.n_clients() > 0);

    // The host itself would get to the private one; for a tenant these are no places to ask at.
    let metadata = "169.254.169.254/web".to_owned();
    for special in [private.reference("web"), registry.reference("web"), metadata] {
        check(&tenant.create(&special, ""), 403, "registry_not_allowed");
    }
    assert_eq!(private.n_clients(), 0, "nobody came");
    drop(pull(&instance, &private.reference("web")));
}

#[test]
fn the_images_of_the_host_are_not_a_tenants() {
    let instance = Instance::start();
    let tenant = Tenant::of(&instance, "one");
    let digest = format!("/v1/images/sha256:{}", "0".repeat(64));
    for (method, target) in [
        ("GET", "/v1/images"),
        ("GET", &digest),
        ("DELETE", &digest),
        ("POST", "/v1/images/pull"),
        ("POST", "/v1/images/import"),
        ("POST", "/v1/images/import?name=x"),
        ("POST", "/v1/images/prune"),
        ("POST", MACHINES),
    ] {
        check(&tenant.call(method, target, "", &json!({})), 403, "permission_denied");
    }
}
