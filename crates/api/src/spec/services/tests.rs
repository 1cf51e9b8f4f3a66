//! Services and checks as clients write them.

use crate::spec::{parse, to_spec};
use model::DurationMs;
use model::spec::service::{Autostop, Check, Counts, Handler, Probe, Service, Transport};
use serde_json::{Value, json};

fn services(services: Value) -> Result<Vec<Service>, Value> {
    spec(json!({"image": "demo", "services": services})).map(|spec| spec.services)
}

fn checks(checks: Value) -> Result<Vec<Check>, Value> {
    spec(json!({"image": "demo", "checks": checks})).map(|spec| spec.checks)
}

fn spec(config: Value) -> Result<model::spec::MachineSpec, Value> {
    let spec = parse(&config).and_then(|config| to_spec(&config));
    spec.map_err(|problem| json!([problem.body.code, problem.body.error]))
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Value>, code: &str, part: &str) {
    let problem = answer.expect_err("it is refused");
    assert_eq!(problem[0], code, "{problem}");
    assert!(problem[1].as_str().is_some_and(|text| text.contains(part)), "{problem}");
}

#[test]
fn a_service_takes_the_defaults_of_the_reference() {
    let [service] = &services(json!([{"internal_port": 8080, "force_instance_key": null}]))
        .expect("a service")[..]
    else {
        panic!("one service")
    };
    assert_eq!((service.protocol, service.internal_port), (Transport::Tcp, 8080));
    assert!(service.is_autostart && service.ports.is_empty() && service.checks.is_empty());
    assert_eq!((service.autostop, service.min_machines_running), (Autostop::Off, 0));
    assert_eq!(service.concurrency.counts, Counts::Connections);
    assert_eq!((service.concurrency.soft_limit, service.concurrency.hard_limit), (20, None));
}

#[test]
fn a_service_as_clients_write_it_is_understood() {
    let [service] = &services(json!([{
        "protocol": "tcp", "internal_port": 80, "autostart": false, "autostop": "suspend",
        "idle_timeout_s": 60, "min_machines_running": 1,
        "concurrency": {"type": "requests", "soft_limit": 5, "hard_limit": 10},
        "ports": [
            {"port": 443, "handlers": ["http", "tls"]},
            {"port": 80, "handlers": ["http"], "force_https": true, "http_options": {
                "idle_timeout": 30, "response": {"headers": {"X-A": ["1", "2"], "Server": false}}}},
            {"start_port": 9000, "end_port": 9002, "handlers": ["proxy_proto", "tls"],
             "proxy_proto_options": {"version": "v2"}},
        ],
        "checks": [{"type": "tcp"}, {"type": "http", "port": 81, "interval": "10s",
                    "timeout": 2_000_000_000, "method": "get",
                    "headers": [{"name": "host", "values": ["a"]}]}],
    }]))
    .expect("a service")[..] else {
        panic!("one service")
    };
    assert_eq!((service.is_autostart, service.autostop), (false, Autostop::Suspend));
    assert_eq!(service.idle_timeout, Some(DurationMs(60_000)));
    assert_eq!(service.concurrency.counts, Counts::Requests);
    let [https, http, range] = &service.ports[..] else { panic!("three ports") };
    assert_eq!(https.handlers, [Handler::Tls, Handler::Http]);
    assert!(http.is_https_forced);
    assert_eq!(http.http.response_headers["server"], Vec::<String>::new());
    assert_eq!(http.http.response_headers["x-a"], ["1", "2"]);
    assert_eq!((range.first, range.last), (9000, 9002));
    let [tcp, web] = &service.checks[..] else { panic!("two checks") };
    assert_eq!((tcp.name.as_str(), tcp.port), ("servicecheck-00-tcp-80", 80));
    assert_eq!((tcp.interval.0, tcp.timeout.0, tcp.grace_period.0), (15_000, 2_000, 1_000));
    assert_eq!(web.name, "servicecheck-01-http-81");
    let Probe::Http { method, path, headers, .. } = &web.probe else { panic!("an HTTP check") };
    assert_eq!((method.as_str(), path.as_str()), ("GET", "/"));
    assert_eq!(headers[..], [("host".to_owned(), "a".to_owned())]);
}

#[test]
fn autostop_is_a_boolean_or_a_word() {
    for (written, meant) in [
        (json!(null), Autostop::Off),
        (json!(false), Autostop::Off),
        (json!("off"), Autostop::Off),
        (json!(true), Autostop::Stop),
        (json!("stop"), Autostop::Stop),
        (json!("suspend"), Autostop::Suspend),
    ] {
        let list = services(json!([{"internal_port": 1, "autostop": written}])).expect("fine");
        assert_eq!(list[0].autostop, meant);
    }
    let answer = services(json!([{"internal_port": 1, "autostop": "sleep"}]));
    refused(answer, "invalid_service", "`sleep`");
    let answer = services(json!([{"internal_port": 1, "autostop": 3}]));
    refused(answer, "wrong_type", "autostop");
}

#[test]
fn services_that_cannot_be_are_refused_with_their_place() {
    for (service, part) in [
        (json!({}), "services[0].internal_port is required"),
        (json!({"internal_port": 0}), "0 is not a port"),
        (json!({"internal_port": 65536}), "65536 is not a port"),
        (json!({"internal_port": 1, "protocol": "icmp"}), "`icmp`"),
        (json!({"internal_port": 1, "ports": [{}]}), "ports[0] needs"),
        (json!({"internal_port": 1, "ports": [{"port": 1, "start_port": 2}]}), "ports[0] needs"),
        (json!({"internal_port": 1, "ports": [{"start_port": 3, "end_port": 2}]}), "before"),
        (json!({"internal_port": 1, "ports": [{"start_port": 1, "end_port": 9999}]}), "9999 ports"),
        (json!({"internal_port": 1, "ports": [{"port": 1, "handlers": ["gopher"]}]}), "`gopher`"),
        (json!({"internal_port": 1, "ports": [{"port": 1, "force_https": true}]}), "force_https"),
        (
            json!({"internal_port": 1, "ports": [{"port": 1, "handlers": ["http", "proxy_proto"]}]}),
            "exclude",
        ),
        (json!({"internal_port": 1, "protocol": "udp", "ports": [{"port": 2}]}), "UDP"),
        (
            json!({"internal_port": 1, "concurrency": {"soft_limit": 9, "hard_limit": 2}}),
            "below the soft limit",
        ),
        (json!({"internal_port": 1, "concurrency": {"type": "users"}}), "`users`"),
        (json!({"internal_port": 1, "idle_timeout_s": 0}), "idle_timeout_s"),
        (
            json!({"internal_port": 1, "ports": [{"port": 1, "handlers": ["http"], "http_options":
                   {"response": {"headers": {"bad name": "1"}}}}]}),
            "`bad name`",
        ),
    ] {
        refused(services(json!([service])), "invalid_service", part);
    }
    let many: Vec<Value> = (1..=65).map(|n| json!({"internal_port": n})).collect();
    refused(services(json!(many)), "invalid_service", "65 entries");
    let postgres = json!([{"internal_port": 1, "ports": [{"port": 1, "handlers": ["pg_tls"]}]}]);
    refused(services(postgres), "unsupported_field", "pg_tls");
}

#[test]
fn checks_are_read_with_their_kind() {
    let found = checks(json!({
        "alive": {"type": "tcp", "port": 80},
        "gone": null,
        "ready": {"type": "http", "port": 80, "path": "/health", "kind": "readiness",
                  "protocol": "https", "tls_skip_verify": true, "grace_period": "30s"},
    }))
    .expect("checks");
    let [alive, ready] = &found[..] else { panic!("{found:?}") };
    assert_eq!((alive.name.as_str(), alive.gates_routing), ("alive", false));
    assert_eq!((ready.gates_routing, ready.grace_period.0), (true, 30_000));
    for (check, part) in [
        (json!({"type": "tcp"}), "checks.c.port is required"),
        (json!({"port": 80}), "checks.c.type"),
        (json!({"type": "http", "port": 80, "path": "x"}), "path"),
        (json!({"type": "tcp", "port": 80, "interval": "-1s"}), "`-1s`"),
        (json!({"type": "tcp", "port": 80, "timeout": "2h"}), "2h"),
        (json!({"type": "tcp", "port": 80, "kind": "gate"}), "`gate`"),
        (json!({"type": "http", "port": 80, "protocol": "ftp"}), "`ftp`"),
    ] {
        refused(checks(json!({"c": check})), "invalid_check", part);
    }
}
