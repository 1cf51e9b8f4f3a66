//! Apps that serve their own name, and visitors who come by host names.

use crate::pki::Signed;
use serde_json::{Value, json};
use std::process::Command;
use testkit::{Builder, Instance, Reply, wait};
use tests::fixture;

/// Public port of HTTP.
pub(crate) const HTTP: u16 = 8080;

/// Public port of HTTPS.
pub(crate) const HTTPS: u16 = 8443;

/// What curl ends with when nobody vouches for a certificate. Source: curl(1), EXIT CODES.
pub(crate) const UNTRUSTED: i32 = 60;

/// What curl ends with when the handshake fails.
pub(crate) const NO_HANDSHAKE: i32 = 35;

/// An instance with an app for each name, whose machine answers with it.
#[track_caller]
pub(crate) fn with_apps(apps: &[&str]) -> Instance {
    let instance = fixture::with_image(Builder::default(), &[]);
    for app in apps {
        make_app(&instance, app, "personal");
        serve(&instance, app);
    }
    instance
}

/// Makes an app of an organisation.
#[track_caller]
pub(crate) fn make_app(instance: &Instance, app: &str, org: &str) {
    drop(instance.post("/v1/apps", &json!({"name": app, "org_slug": org})).expect(201));
}

/// Gives the app a machine that answers with the app's name on both ports.
#[track_caller]
pub(crate) fn serve(instance: &Instance, app: &str) {
    let script =
        format!("mkdir -p /www && echo {app} >/www/index.html && exec httpd -f -p 80 -h /www");
    let services = json!([{"internal_port": 80, "protocol": "tcp", "ports": [
        {"port": HTTP, "handlers": ["http"]}, {"port": HTTPS, "handlers": ["tls", "http"]}]}]);
    let config = fixture::config(&script, &json!({"services": services}));
    let path = format!("/v1/apps/{app}/machines");
    let machine = instance.post(&path, &json!({"config": config})).expect(200);
    let id = machine["id"].as_str().expect("an id");
    let wait = format!("{path}/{id}/wait?state=started&timeout=60");
    drop(instance.get(&wait).expect(200));
    instance.wait_until_served(id);
    let local = format!("{app}.localhost");
    wait::eventually("it answers", || is_from(&visit(instance, "http", &local, &[]), app));
}

/// What a visitor saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What curl ended with; 0 is a whole answer of any status.
    pub(crate) exit: i32,
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Asks for `/` under a name, which leads to the instance's doors.
pub(crate) fn visit(instance: &Instance, scheme: &str, name: &str, args: &[&str]) -> Seen {
    let port = if scheme == "https" { HTTPS } else { HTTP };
    let resolve = format!("{name}:{port}:{}", instance.door_address());
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "60", "--write-out", "\n%{http_code}"])
        .args(["--noproxy", "*", "--resolve", &resolve])
        .args(args)
        .arg(format!("{scheme}://{name}:{port}/"))
        .output()
        .expect("curl can be run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
    Seen {
        exit: output.status.code().expect("no signal ended curl"),
        status: status.parse().expect("a number"),
        body: body.trim().to_owned(),
    }
}

/// Whether a visitor saw the app.
pub(crate) fn is_from(seen: &Seen, app: &str) -> Option<()> {
    (seen.exit == 0 && seen.status == 200 && seen.body == app).then_some(())
}

/// Waits until visitors of the name see the app.
#[track_caller]
pub(crate) fn expect_app(instance: &Instance, scheme: &str, name: &str, args: &[&str], app: &str) {
    wait::eventually(&format!("{scheme}://{name} is {app}'s"), || {
        is_from(&visit(instance, scheme, name, args), app)
    });
}

/// Waits until curl ends with this for visitors of the name over HTTPS.
#[track_caller]
pub(crate) fn expect_exit(instance: &Instance, name: &str, args: &[&str], exit: i32) {
    wait::eventually(&format!("curl ends with {exit} for {name}"), || {
        (visit(instance, "https", name, args).exit == exit).then_some(())
    });
}

/// Path of an app's host names, with `rest` after it.
pub(crate) fn path(app: &str, rest: &str) -> String {
    format!("/v1/apps/{app}/certificates{rest}")
}

/// Adds a host name with a certificate.
pub(crate) fn add(instance: &Instance, app: &str, hostname: &str, signed: &Signed) -> Reply {
    instance.post(&path(app, "/custom"), &signed.body(hostname))
}

/// Adds a host name with a certificate of the host's own authority.
#[track_caller]
pub(crate) fn add_local(instance: &Instance, app: &str, hostname: &str) -> Value {
    instance.post(&path(app, "/acme"), &json!({"hostname": hostname})).expect(201)
}
