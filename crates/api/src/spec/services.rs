//! Services and checks: from the wire to what the proxy works with.

#[cfg(test)]
mod tests;

use crate::contract::duration::GoDuration;
use crate::contract::service as wire;
use crate::problem::Problem;
use axum::http::{HeaderName, HeaderValue, Method};
use model::DurationMs;
use model::spec::service::{
    Autostop, Check, Concurrency, Counts, Handler, HttpOptions, Port, Probe, ProxyProto, Service,
    TlsOptions, Transport,
};
use std::collections::BTreeMap;

/// Most services of one machine, and most entries of each list in one.
const ENTRIES_MAX: usize = 64;

/// Most ports of one machine that visitors may come in by; each is a listening socket of the host.
const DOORS_MAX: u32 = 256;

/// Shortest pause between two runs of a check.
const INTERVAL_MIN: DurationMs = DurationMs(100);

/// Longest pause, wait or grace of a check: one hour.
const CHECK_TIME_MAX: DurationMs = DurationMs(3_600_000);

/// What a check takes when it does not say. Source: machines-api 2.7.
const INTERVAL: DurationMs = DurationMs(15_000);
const TIMEOUT: DurationMs = DurationMs(2_000);
const GRACE: DurationMs = DurationMs(1_000);

/// Longest idle time that can be asked for: a day.
const IDLE_MAX_S: u32 = 86_400;

/// Longest path and header value of a check.
const TEXT_MAX_BYTES: usize = 2_048;

/// The services of a configuration.
///
/// # Errors
/// 400 `invalid_service` or `invalid_check`, 422 `unsupported_field`.
pub(super) fn services(list: &[wire::Service]) -> Result<Vec<Service>, Problem> {
    at_most(ENTRIES_MAX, list.len(), "config.services")?;
    let mut services: Vec<Service> =
        list.iter().enumerate().map(|(n, service)| one(n, service)).collect::<Result<_, _>>()?;
    name_checks(&mut services);
    let doors = services.iter().flat_map(|service| &service.ports);
    let n_doors: u32 = doors.map(|port| u32::from(port.last - port.first) + 1).sum();
    if n_doors > DOORS_MAX {
        let message = format!("config.services have {n_doors} ports, more than {DOORS_MAX}");
        return Err(invalid(
            &message,
            "each port is a listening socket: use fewer, or a smaller range",
        ));
    }
    Ok(services)
}

/// The checks of the whole machine.
///
/// # Errors
/// As [`services`].
pub(super) fn checks(map: &BTreeMap<String, Option<wire::Check>>) -> Result<Vec<Check>, Problem> {
    at_most(ENTRIES_MAX, map.len(), "config.checks")?;
    let present = map.iter().filter_map(|(name, check)| Some((name, check.as_ref()?)));
    present
        .map(|(name, wire)| {
            let place = format!("config.checks.{name}");
            let gates_routing = match wire.effect.as_deref() {
                None | Some("" | "informational") => false,
                Some("readiness") => true,
                Some(other) => {
                    let message = format!("{place}.kind `{other}` is unknown");
                    return Err(bad_check(&message, "use `informational` or `readiness`"));
                }
            };
            check(name.clone(), &place, wire, None, gates_routing)
        })
        .collect()
}

/// Checks of services have no names of their own. Source: machines-api 2.7.
fn name_checks(services: &mut [Service]) {
    let checks = services.iter_mut().flat_map(|service| &mut service.checks);
    for (n, check) in checks.enumerate() {
        let kind = match check.probe {
            Probe::Tcp => "tcp",
            Probe::Http { .. } => "http",
        };
        check.name = format!("servicecheck-{n:02}-{kind}-{}", check.port);
    }
}

fn one(n: usize, wire: &wire::Service) -> Result<Service, Problem> {
    let place = format!("config.services[{n}]");
    let protocol = match wire.protocol.as_deref() {
        None | Some("" | "tcp") => Transport::Tcp,
        Some("udp") => Transport::Udp,
        Some(other) => {
            return Err(invalid(
                &format!("{place}.protocol `{other}` is unknown"),
                "use `tcp` or `udp`",
            ));
        }
    };
    let Some(internal_port) = wire.internal_port else {
        let message = format!("{place}.internal_port is required");
        return Err(invalid(&message, "it is the port on which the program listens"));
    };
    let internal_port = port_number(internal_port, &format!("{place}.internal_port"))?;
    let list = wire.ports.as_deref().unwrap_or_default();
    at_most(ENTRIES_MAX, list.len(), &format!("{place}.ports"))?;
    let ports: Vec<Port> = list
        .iter()
        .enumerate()
        .map(|(n, wire)| port(&format!("{place}.ports[{n}]"), wire))
        .collect::<Result<_, _>>()?;
    if protocol == Transport::Udp {
        check_udp(&place, internal_port, &ports)?;
    }
    let list = wire.checks.as_deref().unwrap_or_default();
    at_most(ENTRIES_MAX, list.len(), &format!("{place}.checks"))?;
    let checks = list.iter().enumerate().map(|(n, wire)| {
        check(String::new(), &format!("{place}.checks[{n}]"), wire, Some(internal_port), true)
    });
    Ok(Service {
        protocol,
        internal_port,
        ports,
        is_autostart: wire.autostart.unwrap_or(true),
        autostop: autostop(&place, wire.autostop.as_ref())?,
        idle_timeout: idle_timeout(&place, wire.idle_timeout_s)?,
        min_machines_running: wire.min_machines_running.unwrap_or(0),
        concurrency: concurrency(&place, wire.concurrency.as_ref())?,
        checks: checks.collect::<Result<_, _>>()?,
    })
}

fn autostop(place: &str, wire: Option<&wire::Switch>) -> Result<Autostop, Problem> {
    match wire {
        None | Some(wire::Switch::Bool(false)) => Ok(Autostop::Off),
        Some(wire::Switch::Bool(true)) => Ok(Autostop::Stop),
        Some(wire::Switch::Word(word)) => match word.as_str() {
            "" | "off" | "false" => Ok(Autostop::Off),
            "stop" | "true" => Ok(Autostop::Stop),
            "suspend" => Ok(Autostop::Suspend),
            other => {
                let message = format!("{place}.autostop `{other}` is unknown");
                Err(invalid(&message, "use `off`, `stop` or `suspend`"))
            }
        },
    }
}

fn idle_timeout(place: &str, seconds: Option<u32>) -> Result<Option<DurationMs>, Problem> {
    match seconds {
        None => Ok(None),
        Some(s) if (1..=IDLE_MAX_S).contains(&s) => Ok(Some(DurationMs::from_secs(u64::from(s)))),
        Some(s) => {
            let message = format!("{place}.idle_timeout_s {s} is not within 1 and {IDLE_MAX_S}");
            Err(invalid(&message, "it is the time without visitors before `autostop` acts"))
        }
    }
}

fn concurrency(place: &str, wire: Option<&wire::Concurrency>) -> Result<Concurrency, Problem> {
    let default = Concurrency::default();
    let Some(wire) = wire else { return Ok(default) };
    let counts = match wire.kind.as_deref() {
        None | Some("" | "connections") => Counts::Connections,
        Some("requests") => Counts::Requests,
        Some(other) => {
            let message = format!("{place}.concurrency.type `{other}` is unknown");
            return Err(invalid(&message, "use `connections` or `requests`"));
        }
    };
    let hard_limit = wire.hard_limit.filter(|limit| *limit > 0);
    let soft_limit = wire.soft_limit.filter(|limit| *limit > 0);
    let soft_limit = soft_limit.unwrap_or_else(|| {
        hard_limit.map_or(default.soft_limit, |hard| default.soft_limit.min(hard))
    });
    if hard_limit.is_some_and(|hard| hard < soft_limit) {
        let message = format!("{place}.concurrency: the hard limit is below the soft limit");
        return Err(invalid(&message, "choose soft_limit ≤ hard_limit"));
    }
    Ok(Concurrency { counts, soft_limit, hard_limit })
}

/// A datagram goes as it comes. Source: machines-api 2.5.
fn check_udp(place: &str, internal_port: u16, ports: &[Port]) -> Result<(), Problem> {
    for port in ports {
        if !port.handlers.is_empty() {
            let message = format!("{place}: a UDP service has no handlers");
            return Err(invalid(&message, "leave `handlers` empty"));
        }
        if (port.first, port.last) != (internal_port, internal_port) {
            let message = format!("{place}: the port of a UDP service must be its internal_port");
            return Err(invalid(&message, "use the same number for both"));
        }
    }
    Ok(())
}

fn port(place: &str, wire: &wire::Port) -> Result<Port, Problem> {
    let (first, last) = match (wire.port, wire.start_port, wire.end_port) {
        (Some(port), None, None) => (port, port),
        (None, Some(first), Some(last)) => (first, last),
        _ => {
            let message = format!("{place} needs `port`, or `start_port` and `end_port`");
            return Err(invalid(&message, "give one port or a range, not both"));
        }
    };
    let (first, last) = (port_number(first, place)?, port_number(last, place)?);
    if last < first {
        return Err(invalid(&format!("{place}: end_port is before start_port"), "turn them round"));
    }
    let handlers = handlers(place, wire.handlers.as_deref().unwrap_or_default())?;
    let is_https_forced = wire.force_https.unwrap_or(false);
    if is_https_forced && !handlers.contains(&Handler::Http) {
        let message = format!("{place}.force_https needs the `http` handler");
        return Err(invalid(&message, "add `http` to `handlers`, or leave `force_https` out"));
    }
    Ok(Port {
        first,
        last,
        handlers,
        is_https_forced,
        http: http_options(place, wire.http_options.as_ref())?,
        tls: tls_options(place, wire.tls_options.as_ref())?,
        proxy_proto: proxy_proto(place, wire.proxy_proto_options.as_ref())?,
    })
}

fn port_number(number: u32, place: &str) -> Result<u16, Problem> {
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or_else(|| {
        invalid(&format!("{place}: {number} is not a port"), "a port is within 1 and 65535")
    })
}

/// Outermost first, as the proxy reads them: what the list means does not depend on its order.
fn handlers(place: &str, names: &[String]) -> Result<Vec<Handler>, Problem> {
    let mut handlers = Vec::new();
    for name in names {
        let handler = match name.as_str() {
            "http" => Handler::Http,
            "tls" => Handler::Tls,
            "proxy_proto" => Handler::ProxyProto,
            "tcp" => continue,
            "pg_tls" => {
                let hint = "use `tls`: clients of Postgres 17 and later can begin with TLS at once";
                return Err(Problem::unsupported(&format!("{place}.handlers: pg_tls"), hint));
            }
            other => {
                let message = format!("{place}.handlers `{other}` is unknown");
                return Err(invalid(&message, "use `http`, `tls`, `proxy_proto` or none"));
            }
        };
        if !handlers.contains(&handler) {
            handlers.push(handler);
        }
    }
    let has = |handler| handlers.contains(&handler);
    if has(Handler::Http) && has(Handler::ProxyProto) {
        let message = format!("{place}: `http` and `proxy_proto` exclude each other");
        return Err(invalid(&message, "with `http` the visitor's address is in `Fly-Client-IP`"));
    }
    let order = [Handler::Tls, Handler::Http, Handler::ProxyProto];
    Ok(order.into_iter().filter(|handler| has(*handler)).collect())
}

fn http_options(place: &str, wire: Option<&wire::HttpOptions>) -> Result<HttpOptions, Problem> {
    let Some(wire) = wire else { return Ok(HttpOptions::default()) };
    if wire.replay_cache.as_ref().is_some_and(|cache| !cache.is_null()) {
        let hint = "leave it out: every replay is decided by the program";
        return Err(Problem::unsupported(&format!("{place}.http_options.replay_cache"), hint));
    }
    let response = wire.response.as_ref();
    let seconds =
        |s: Option<u32>| s.filter(|s| *s > 0).map(|s| DurationMs::from_secs(u64::from(s)));
    Ok(HttpOptions {
        is_h2_backend: wire.h2_backend.unwrap_or(false),
        is_compressed: wire.compress.unwrap_or(false),
        idle_timeout: seconds(wire.idle_timeout),
        headers_read_timeout: seconds(wire.headers_read_timeout),
        response_headers: response_headers(place, response.and_then(|r| r.headers.as_ref()))?,
        is_pristine: response.and_then(|r| r.pristine).unwrap_or(false),
    })
}

fn response_headers(
    place: &str,
    wire: Option<&BTreeMap<String, wire::HeaderChange>>,
) -> Result<BTreeMap<String, Vec<String>>, Problem> {
    let mut headers = BTreeMap::new();
    for (name, change) in wire.into_iter().flatten() {
        let values = match change {
            wire::HeaderChange::Keep(false) => Vec::new(),
            wire::HeaderChange::Keep(true) => continue,
            wire::HeaderChange::Value(value) => vec![value.clone()],
            wire::HeaderChange::Values(values) => values.clone(),
        };
        check_header(&format!("{place}.http_options.response.headers"), name, &values)?;
        headers.insert(name.to_ascii_lowercase(), values);
    }
    at_most(ENTRIES_MAX, headers.len(), &format!("{place}.http_options.response.headers"))?;
    Ok(headers)
}

fn check_header(place: &str, name: &str, values: &[String]) -> Result<(), Problem> {
    let is_value =
        |value: &String| value.len() <= TEXT_MAX_BYTES && HeaderValue::from_str(value).is_ok();
    if HeaderName::from_bytes(name.as_bytes()).is_err() || !values.iter().all(is_value) {
        let message = format!("{place}: `{name}` is no header, or has a value that none can have");
        return Err(invalid(&message, "names are tokens, values visible characters"));
    }
    Ok(())
}

fn tls_options(place: &str, wire: Option<&wire::TlsOptions>) -> Result<TlsOptions, Problem> {
    let Some(wire) = wire else { return Ok(TlsOptions::default()) };
    let alpn = wire.alpn.clone().unwrap_or_default();
    at_most(ENTRIES_MAX, alpn.len(), &format!("{place}.tls_options.alpn"))?;
    if alpn.iter().any(|name| name.is_empty() || name.len() > 255) {
        let message = format!("{place}.tls_options.alpn has a name that is empty or too long");
        return Err(invalid(&message, "names are `h2`, `http/1.1`, …"));
    }
    let versions = wire.versions.clone().unwrap_or_default();
    for version in &versions {
        if !["TLSv1.2", "TLSv1.3"].contains(&version.as_str()) {
            let message = format!("{place}.tls_options.versions `{version}` is not offered");
            return Err(invalid(&message, "use `TLSv1.2` and `TLSv1.3`"));
        }
    }
    let is_self_signed_by_default = wire.default_self_signed.unwrap_or(false);
    Ok(TlsOptions { alpn, versions, is_self_signed_by_default })
}

fn proxy_proto(place: &str, wire: Option<&wire::ProxyProtoOptions>) -> Result<ProxyProto, Problem> {
    match wire.and_then(|wire| wire.version.as_deref()) {
        None | Some("" | "v1") => Ok(ProxyProto::V1),
        Some("v2") => Ok(ProxyProto::V2),
        Some(other) => {
            let message = format!("{place}.proxy_proto_options.version `{other}` is unknown");
            Err(invalid(&message, "use `v1` or `v2`"))
        }
    }
}

fn check(
    name: String,
    place: &str,
    wire: &wire::Check,
    default_port: Option<u16>,
    gates_routing: bool,
) -> Result<Check, Problem> {
    let port = match (wire.port, default_port) {
        (Some(port), _) => port_number(port, &format!("{place}.port"))?,
        (None, Some(port)) => port,
        (None, None) => {
            return Err(bad_check(&format!("{place}.port is required"), "name the port to ask"));
        }
    };
    let probe = match wire.kind.as_deref() {
        Some("tcp") => Probe::Tcp,
        Some("http") => http_probe(place, wire)?,
        other => {
            let message = format!("{place}.type `{}` is unknown", other.unwrap_or_default());
            return Err(bad_check(&message, "use `tcp` or `http`"));
        }
    };
    let interval = time(place, wire.interval, INTERVAL)?.max(INTERVAL_MIN);
    Ok(Check {
        name,
        probe,
        port,
        interval,
        timeout: time(place, wire.timeout, TIMEOUT)?,
        grace_period: time(place, wire.grace_period, GRACE)?,
        gates_routing,
    })
}

/// Zero is unset, as one client sends it.
fn time(place: &str, wire: Option<GoDuration>, default: DurationMs) -> Result<DurationMs, Problem> {
    match wire {
        None | Some(GoDuration(0)) => Ok(default),
        Some(time) if time.0 > 0 && time.to_ms() <= CHECK_TIME_MAX => Ok(time.to_ms()),
        Some(time) => Err(bad_check(
            &format!("{place}: `{time}` is no time of a check"),
            "interval, timeout and grace_period are positive and at most 1h",
        )),
    }
}

fn http_probe(place: &str, wire: &wire::Check) -> Result<Probe, Problem> {
    let method = wire.method.as_deref().filter(|method| !method.is_empty()).unwrap_or("GET");
    let method = method.to_ascii_uppercase();
    if Method::from_bytes(method.as_bytes()).is_err() {
        return Err(bad_check(&format!("{place}.method is no method"), "use `GET` or `HEAD`"));
    }
    let path = wire.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let is_path = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
    if !is_path || path.len() > TEXT_MAX_BYTES {
        return Err(bad_check(&format!("{place}.path is no path"), "it begins with `/`"));
    }
    let is_https = match wire.protocol.as_deref() {
        None | Some("" | "http") => false,
        Some("https") => true,
        Some(other) => {
            let message = format!("{place}.protocol `{other}` is unknown");
            return Err(bad_check(&message, "use `http` or `https`"));
        }
    };
    let list = wire.headers.as_deref().unwrap_or_default();
    at_most(ENTRIES_MAX, list.len(), &format!("{place}.headers"))?;
    for header in list {
        check_header(&format!("{place}.headers"), &header.name, &header.values)?;
    }
    let each = |h: &wire::CheckHeader| -> Vec<(String, String)> {
        h.values.iter().map(|value| (h.name.clone(), value.clone())).collect()
    };
    Ok(Probe::Http {
        method,
        path: path.to_owned(),
        is_https,
        skips_verification: wire.tls_skip_verify.unwrap_or(false),
        server_name: wire.tls_server_name.clone().filter(|name| !name.is_empty()),
        headers: list.iter().flat_map(each).collect(),
    })
}

fn at_most(max: usize, n: usize, place: &str) -> Result<(), Problem> {
    if n > max {
        return Err(invalid(&format!("{place} has {n} entries, more than {max}"), "use fewer"));
    }
    Ok(())
}

fn invalid(message: &str, hint: &str) -> Problem {
    Problem::invalid("invalid_service", message).hint(hint)
}

fn bad_check(message: &str, hint: &str) -> Problem {
    Problem::invalid("invalid_check", message).hint(hint)
}
