//! Who may ask for what: every operation of the description, with every kind of token that falls short
//! of it.

use serde_json::{Value, json};
use std::net::TcpStream;
use testkit::instance::APP;
use testkit::{Instance, http};

const DESCRIPTION: &str = include_str!("../../../docs/openapi.json");

/// An operation of the description.
struct Operation {
    id: String,
    method: String,
    path: String,
    right: String,
}

impl Operation {
    fn is_below_an_app(&self) -> bool {
        self.path.contains("{app_name}")
    }

    fn is_on_a_machine(&self) -> bool {
        self.path.contains("{machine_id}")
    }

    /// Its path, about this machine of the app; whatever else it names is not there.
    fn target(&self, machine: &str) -> String {
        let path = self.path.replace("{app_name}", APP).replace("{machine_id}", machine);
        let mut parts = path.split('{');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |path, part| {
            let (_, rest) = part.split_once('}').expect("a parameter ends");
            format!("{path}none{rest}")
        })
    }
}

fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(DESCRIPTION).expect("a description");
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().expect("methods").iter();
        let described = methods.filter(|(_, operation)| operation["operationId"].is_string());
        described
            .map(|(method, operation)| Operation {
                id: operation["operationId"].as_str().expect("a name").to_owned(),
                method: method.to_uppercase(),
                path: path.clone(),
                right: operation["x-required-right"].as_str().expect("a right").to_owned(),
            })
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// Tokens of every reach and right.
struct Tokens {
    reads_all: String,
    writes_self: String,
    operates_app: String,
    operates_other_app: String,
    operates_other_machine: String,
}

impl Tokens {
    fn of(instance: &Instance, machine: &str, other: &str) -> Self {
        let make = |wish: Value| {
            let made = instance.post("/v1/tokens", &wish).expect(201);
            made["token"].as_str().expect("a token").to_owned()
        };
        Self {
            reads_all: make(json!({"name": "a", "rights": "read"})),
            writes_self: make(json!({"name": "b", "machine": machine, "rights": "self-write"})),
            operates_app: make(json!({"name": "c", "app": APP})),
            operates_other_app: make(json!({"name": "d", "app": "other"})),
            operates_other_machine: make(json!({"name": "e", "machine": other})),
        }
    }

    /// Those that do not suffice for `operation`.
    fn short_of(&self, operation: &Operation) -> Vec<(&'static str, &str)> {
        let reader = ("a token that may read", &*self.reads_all);
        let selfish = ("a token of the machine for its self", &*self.writes_self);
        let app = ("a token of the app", &*self.operates_app);
        let other_app = ("a token of another app", &*self.operates_other_app);
        let other_machine = ("a token of another machine", &*self.operates_other_machine);
        let strangers = [other_app, other_machine];
        let mut short = Vec::new();
        match operation.right.as_str() {
            "read" if operation.is_below_an_app() => short.extend(strangers),
            "self-write" => {
                short.push(reader);
                short.extend(strangers);
            }
            // Everybody makes tokens who may operate anything.
            "operate" if operation.id == "Tokens_create" => short.extend([reader, selfish]),
            "operate" if operation.is_below_an_app() => {
                short.extend([reader, selfish]);
                short.extend(strangers);
            }
            "operate" | "owner" => short.extend([reader, selfish, app, other_app, other_machine]),
            _ => {}
        }
        short
    }
}

fn call(instance: &Instance, token: Option<&str>, method: &str, target: &str) -> http::Reply {
    let endpoint = instance.endpoint().expect("it listens");
    let address = endpoint["tcp"].as_str().expect("an address");
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    let body = if method == "GET" { &b""[..] } else { b"{}" };
    let asked = http::Asked { method, host: address, target, headers: &headers, body };
    asked.over(TcpStream::connect(address).expect("it listens")).expect("an answer")
}

fn fake(instance: &Instance) -> String {
    let config = json!({"image": "none", "engine": "fake"});
    let id = instance.create_with(&json!({"config": config, "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    id
}

#[test]
fn every_operation_refuses_who_has_no_token_or_one_that_falls_short() {
    let instance = Instance::start();
    let (machine, other) = (fake(&instance), fake(&instance));
    drop(instance.post("/v1/apps", &json!({"name": "other", "org_slug": "personal"})).expect(201));
    let tokens = Tokens::of(&instance, &machine, &other);
    let operations = operations();
    let (mut n_without, mut n_short) = (0, 0);
    for operation in &operations {
        let target = operation.target(&machine);
        let Operation { id, method, .. } = operation;
        // What only a machine asks for does not exist for anybody else.
        if !matches!(operation.right.as_str(), "none" | "machine") {
            let reply = call(&instance, None, method, &target);
            assert_eq!(reply.refusal(401).error, "Authenticate: token validation error", "{id}");
            n_without += 1;
        }
        for (kind, token) in tokens.short_of(operation) {
            let reply = call(&instance, Some(token), method, &target);
            assert_eq!(reply.status, 403, "{id} ({method} {target}) with {kind}: {}", reply.text);
            assert_eq!(reply.body["code"], "permission_denied", "{id} with {kind}");
            n_short += 1;
        }
    }
    assert!(n_without > 100 && n_short > 200, "{n_without} without a token, {n_short} short");
    assert_eq!(instance.state(&machine), "stopped", "nothing was done to it");
    println!("refused without a token: {n_without}, with one that falls short: {n_short}");
}

#[test]
fn every_look_is_granted_to_who_may_look() {
    let instance = Instance::start();
    let (machine, other) = (fake(&instance), fake(&instance));
    drop(instance.post("/v1/apps", &json!({"name": "other", "org_slug": "personal"})).expect(201));
    let tokens = Tokens::of(&instance, &machine, &other);
    for operation in operations().iter().filter(|operation| operation.method == "GET") {
        // These wait for what does not come, or are for the machine itself alone.
        if operation.path.ends_with("/wait") || operation.path.ends_with("/notices") {
            continue;
        }
        let target = operation.target(&machine);
        let granted: &[&str] = match operation.right.as_str() {
            "none" => &[],
            "read" if operation.is_on_a_machine() => {
                &[&tokens.reads_all, &tokens.operates_app, &tokens.writes_self]
            }
            "read" if operation.is_below_an_app() => &[&tokens.reads_all, &tokens.operates_app],
            "read" | "any" => &[&tokens.reads_all],
            _ => continue,
        };
        for token in granted {
            let reply = call(&instance, Some(token), "GET", &target);
            let id = &operation.id;
            assert!(!matches!(reply.status, 401 | 403), "{id} ({target}): {}", reply.text);
            assert!(reply.status < 500 || reply.status == 503, "{id} ({target}): {}", reply.text);
        }
        if operation.right == "none" {
            assert!(call(&instance, None, "GET", &target).status < 400, "{}", operation.id);
        }
    }
}
