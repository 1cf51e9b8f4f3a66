//! Tests of `metrics`.

use super::*;

fn histogram() -> Histogram {
    let mut by_bound = [0; METER_BOUNDS_S.len()];
    by_bound[6..].fill(2);
    Histogram { by_bound, n: 2, sum_s: 0.06 }
}

fn text() -> String {
    let mut text = Exposition::default();
    let states = BTreeMap::from([("started".to_owned(), 3)]);
    let metered = Metered {
        ups: BTreeMap::from([("knock", 2)]),
        starts: BTreeMap::from([("knock", histogram())]),
        parts: BTreeMap::from([("disk", histogram())]),
        failed: BTreeMap::from([("api", 1)]),
        warm_vms: WarmStats { n_waiting: 2, hits: 7, ..WarmStats::default() },
        rests: BTreeMap::from([(("idle", "freeze"), 1)]),
    };
    of_control(&mut text, &states, &metered);
    let samples = [
        ("dormouse_proxy_held_seconds_bucket{app=\"a\",le=\"+Inf\"}", 1.0),
        ("dormouse_proxy_turned_total{code=\"denied\"}", 4.0),
        ("dormouse_proxy_held_seconds_count{app=\"a\"}", 1.0),
    ];
    let samples = samples.map(|(name, value)| (name.to_owned(), value));
    of_proxy(&mut text, Some(samples.to_vec()));
    text.to_string()
}

#[test]
fn every_family_is_announced_once_and_its_samples_follow_it() {
    let text = text();
    let mut families: Vec<&str> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            Some((name, _)) => {
                assert!(!families.contains(&name), "{name} twice");
                families.push(name);
            }
            None if line.starts_with('#') => {}
            None => assert_eq!(Some(&family_of(line.split(' ').next().unwrap())), families.last()),
        }
    }
    assert_eq!(families.len(), 13, "{text}");
}

#[test]
fn values_and_labels_are_written_plainly() {
    let text = text();
    for line in [
        "dormouse_machines{state=\"started\"} 3",
        "dormouse_starts_total{cause=\"knock\",outcome=\"up\"} 2",
        "dormouse_starts_total{cause=\"api\",outcome=\"failed\"} 1",
        "dormouse_rests_total{cause=\"idle\",depth=\"freeze\"} 1",
        "dormouse_warm_vms 2",
        "dormouse_warm_vm_starts_total{outcome=\"hit\"} 7",
        "dormouse_warm_vm_starts_total{outcome=\"miss\"} 0",
        "dormouse_start_seconds_bucket{cause=\"knock\",le=\"0.0005\"} 0",
        "dormouse_start_seconds_bucket{cause=\"knock\",le=\"0.05\"} 2",
        "dormouse_start_seconds_bucket{cause=\"knock\",le=\"+Inf\"} 2",
        "dormouse_start_seconds_sum{cause=\"knock\"} 0.06",
        "# TYPE dormouse_proxy_held_seconds histogram",
        "dormouse_proxy_turned_total{code=\"denied\"} 4",
        "dormouse_proxy_up 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
}

#[test]
fn without_a_proxy_that_is_all_that_is_said_of_it() {
    let mut text = Exposition::default();
    of_proxy(&mut text, None);
    let text = text.to_string();
    assert!(text.ends_with("dormouse_proxy_up 0\n"), "{text}");
}

#[test]
fn labels_cannot_break_out() {
    let mut text = Exposition::default();
    text.sample("x", &[("l", "a\"b\\c\nd")], 1.0);
    assert_eq!(text.to_string(), "x{l=\"a\\\"b\\\\c\\nd\"} 1\n");
}
