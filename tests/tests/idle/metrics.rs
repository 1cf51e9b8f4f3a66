//! `GET /metrics`, read by a parser of its format that knows nothing of the project.

use crate::house::{House, PORT, host, stops};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use testkit::eventually;

/// One sample: name, labels, value.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Parses and checks a whole text. Source: Prometheus, "Text-based format", version 0.0.4.
#[track_caller]
fn parse(text: &str) -> Vec<Sample> {
    assert!(text.ends_with('\n'), "the last line has an end");
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut family = "";
    let mut samples = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("TYPE NAME KIND");
            assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
            assert!(kinds.insert(name, kind).is_none(), "{name} is announced twice");
            family = name;
        } else if !line.starts_with('#') {
            let sample = sample(line);
            let kind = kinds.get(family).copied().unwrap_or_default();
            let parts = ["_bucket", "_sum", "_count"].map(|part| format!("{family}{part}"));
            let is_part = kind == "histogram" && parts.contains(&sample.name);
            assert!(is_part || sample.name == family, "{line} stands under {family}");
            assert!(kind != "counter" || family.ends_with("_total"), "{family}");
            assert!(seen.insert(format!("{} {:?}", sample.name, sample.labels)), "{line} twice");
            samples.push(sample);
        }
    }
    for (name, _) in kinds.iter().filter(|(_, kind)| **kind == "histogram") {
        check_histogram(name, &samples);
    }
    samples
}

fn sample(line: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').expect("SAMPLE VALUE");
    let (name, labels) = match head.split_once('{') {
        None => (head, ""),
        Some((name, rest)) => (name, rest.strip_suffix('}').expect("a brace")),
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!(!name.is_empty() && name.chars().all(is_word), "{line}");
    let value = value.parse().unwrap_or_else(|_no_number| panic!("{line}"));
    Sample { name: name.to_owned(), labels: parse_labels(labels), value }
}

fn parse_labels(mut text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").expect("NAME=\"");
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next().expect("a quote ends it") {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().expect("something").1 {
                    'n' => '\n',
                    c => c,
                }),
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{name} twice");
        text = rest[end + 1..].trim_start_matches(',');
    }
    labels
}

/// Buckets grow to the one of `+Inf`, which is the count.
#[track_caller]
fn check_histogram(name: &str, samples: &[Sample]) {
    let mut series: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for bucket in samples.iter().filter(|sample| sample.name == format!("{name}_bucket")) {
        let mut labels = bucket.labels.clone();
        let bound = labels.remove("le").expect("a bound");
        let bound = bound.replace("+Inf", "inf").parse().expect("a number");
        series.entry(format!("{labels:?}")).or_default().push((bound, bucket.value));
    }
    for (labels, buckets) in series {
        let grows = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
        assert!(buckets.windows(2).all(grows), "{name} {labels}: {buckets:?}");
        let (last, n) = *buckets.last().expect("one at least");
        assert!(last.is_infinite(), "{name} {labels}: {buckets:?}");
        let count = samples
            .iter()
            .find(|s| s.name == format!("{name}_count") && format!("{:?}", s.labels) == labels);
        assert_eq!(count.map(|count| count.value), Some(n), "{name} {labels}");
    }
}

#[track_caller]
fn read(house: &House) -> Vec<Sample> {
    let reply = house.instance.get("/metrics");
    assert_eq!(reply.status, 200, "{}", reply.text);
    let kind = reply.header("content-type").expect("a type");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    parse(&reply.text)
}

/// The sum of the samples that have all these labels.
fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |s: &&Sample| {
        s.name == name && labels.iter().all(|(k, v)| s.labels.get(*k).is_some_and(|x| x == v))
    };
    samples.iter().filter(has).map(|sample| sample.value).sum()
}

#[test]
fn wakes_rests_and_refusals_are_counted() {
    let house = House::new();
    let web = house.awake("web", &stops(), &json!({}));
    house.visit(&web);
    house.pass();
    house.wait_for(&web, "stopped");
    let hold = json!({"reason": "no more"});
    drop(house.ask(&web, "PUT", "/hold-down", &hold).expect(200));
    assert_eq!(house.instance.visit(PORT, &host(&web), "/").status, 503);

    let samples = eventually("the proxy answers", || {
        let samples = read(&house);
        (value(&samples, "dormouse_proxy_up", &[]) == 1.0).then_some(samples)
    });
    let is = |name: &str, labels: &[(&str, &str)]| value(&samples, name, labels);
    assert_eq!(is("dormouse_machines", &[("state", "stopped")]), 1.0);
    assert_eq!(is("dormouse_starts_total", &[("cause", "knock"), ("outcome", "up")]), 1.0);
    assert_eq!(is("dormouse_start_seconds_count", &[("cause", "knock")]), 1.0);
    assert_eq!(is("dormouse_start_part_seconds_count", &[("part", "commit")]), 1.0);
    assert_eq!(is("dormouse_rests_total", &[("cause", "idle"), ("depth", "stop")]), 1.0);
    assert_eq!(is("dormouse_proxy_held_seconds_count", &[("app", "web")]), 1.0);
    assert_eq!(is("dormouse_proxy_wake_part_seconds_count", &[("part", "engine")]), 1.0);
    assert_eq!(is("dormouse_proxy_requests_total", &[("app", "web"), ("class", "2xx")]), 2.0);
    assert_eq!(is("dormouse_proxy_turned_total", &[("code", "held_down")]), 1.0);
}

/// As every call about the host.
#[test]
fn only_who_may_look_at_the_host_reads_them() {
    let house = House::new();
    drop(house.sleeper("web", &json!({}), &json!({})));
    let wish = json!({"name": "app", "app": "web"});
    let made = house.instance.post("/v1/tokens", &wish).expect(201);
    let of_app = format!("Authorization: Bearer {}", made["token"].as_str().expect("a token"));
    let endpoint = house.instance.endpoint().expect("it has listened");
    let address = endpoint["tcp"].as_str().expect("an address");
    let status = |arguments: &[&str]| {
        let output = Command::new("curl")
            .args(["--silent", "--max-time", "20", "--output", "/dev/null"])
            .args(["--write-out", "%{http_code}"])
            .args(arguments)
            .arg(format!("http://{address}/metrics"))
            .output();
        String::from_utf8(output.expect("curl can be run").stdout).expect("text")
    };
    assert_eq!(status(&[]), "401");
    assert_eq!(status(&["-H", &of_app]), "403");
    assert_eq!(house.instance.post("/metrics", &json!(null)).status, 405);
}
