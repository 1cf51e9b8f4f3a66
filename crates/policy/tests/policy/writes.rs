//! What may be written into the memory, one line for each.

use crate::given::{Given, NOW};
use model::UnixMs;
use policy::limits::VALUE_DEPTH_MAX;
use policy::{Accepted, MemorySize, Observed, Policy, Write, WriteRefused, Writer, check_write};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn policy() -> Policy {
    let text = json!({
        "facts": {
            "n": {"type": "int", "min": 0, "max": 10, "ttl": "1m"},
            "level": {"type": "double", "min": 0, "max": 1, "writers": ["self", "token:*", "peer:db"]},
            "since": {"type": "timestamp", "max": "2027-01-01T00:00:00Z"},
            "pause": {"type": "duration", "min": "1s", "max": "1h"},
            "tags": {"type": "list"},
            "blob": {"type": "json", "writers": ["platform"]},
            "step": {"type": "string", "enum": ["a", "b", "c"], "transitions": [
                {"from": null, "to": "a"}, {"from": "a", "to": "b", "by": ["owner"]}, {"from": "b", "to": null}]},
            "up": {"type": "int", "default": 0, "guard": "new > old && new <= memory.n"},
            "key": {"type": "string", "secret": true, "guard": "size(new) > 3 && writer == 'owner'"},
            "nobody": {"type": "bool", "writers": []}
        }
    });
    Policy::parse(text.to_string().as_bytes()).unwrap_or_else(|findings| panic!("{}", findings[0]))
}

fn write_as(
    writer: Writer,
    key: &str,
    old: Option<Json>,
    new: Option<Json>,
) -> Result<Accepted, WriteRefused> {
    let others = MemorySize { keys: 3, bytes: 100 };
    let write = Write { key, old: old.as_ref(), new: new.as_ref(), writer: &writer, others };
    check_write(&policy(), &write, &Given::new(&[("memory.n", 5.into())]), NOW)
}

#[track_caller]
fn accept(key: &str, new: Json, stored: Json) {
    let accepted = write_as(Writer::Machine, key, None, Some(new)).expect(key);
    assert_eq!(accepted.value, Some(stored), "{key}");
}

#[track_caller]
fn refuse(key: &str, new: Json, code: &str, words: &str) {
    refuse_as(Writer::Machine, key, None, Some(new), code, words);
}

#[track_caller]
fn refuse_as(
    writer: Writer,
    key: &str,
    old: Option<Json>,
    new: Option<Json>,
    code: &str,
    words: &str,
) {
    let refused = write_as(writer, key, old, new).expect_err(key);
    let shown = format!("{refused}; {}", refused.hint().unwrap_or_default());
    assert_eq!(refused.code(), code, "{shown}");
    assert!(shown.contains(words), "{shown}");
}

#[test]
fn each_type_is_stored_in_one_spelling() {
    accept("n", json!(3), json!(3));
    accept("level", json!(1), json!(1.0));
    accept("since", json!("2026-01-31T10:00:00+01:00"), json!("2026-01-31T09:00:00Z"));
    accept("pause", json!("90s"), json!("1m30s"));
    accept("tags", json!(["x"]), json!(["x"]));
    accept("scratch.any", json!({"deep": [1, null]}), json!({"deep": [1, null]}));
}

#[test]
fn values_that_do_not_fit() {
    refuse("n", json!("3"), "memory_value_invalid", "a int is a whole number");
    refuse("n", json!(3.5), "memory_value_invalid", "whole number");
    refuse("n", json!(null), "memory_value_invalid", "whole number");
    refuse("n", json!(u64::MAX), "memory_value_invalid", "whole number");
    refuse("n", json!(11), "memory_value_invalid", "above the largest value, 10");
    refuse("n", json!(-1), "memory_value_invalid", "below the smallest value, 0");
    refuse("level", json!(1.01), "memory_value_invalid", "above the largest");
    refuse("since", json!("2027-01-01T00:00:01Z"), "memory_value_invalid", "above the largest");
    refuse("since", json!("yesterday"), "memory_value_invalid", "a moment such as");
    refuse("pause", json!("2h"), "memory_value_invalid", "above the largest value, 1h");
    refuse("tags", json!([1]), "memory_value_invalid", "a list of texts");
    refuse("step", json!("d"), "memory_value_invalid", "not one of `\"a\"`, `\"b\"`, `\"c\"`");
    refuse("tags", json!(["x".repeat(5000)]), "memory_value_too_long", "4096");
    refuse("scratch.a", json!("x".repeat(5000)), "memory_value_too_long", "on the disk");
}

#[test]
fn keys_that_are_none() {
    refuse("m", json!(3), "memory_undeclared", "did you mean `n`?");
    refuse("weather", json!(3), "memory_undeclared", "scratch.weather");
    for key in ["", ".", "a..b", "a b", "scratch.", "é", "a/b", "\0"] {
        refuse(key, json!(3), "memory_key_invalid", "letters, digits");
    }
    refuse(&"k".repeat(65), json!(3), "memory_key_invalid", "64");
    refuse(&"k".repeat(1 << 20), json!(3), "memory_key_invalid", "64");
}

#[test]
fn writers() {
    let token = |name: &str| Writer::Token(name.to_owned());
    let peer = |name: &str| Writer::Peer(name.to_owned());
    let level = |writer| write_as(writer, "level", None, Some(json!(0.5))).is_ok();
    assert!(level(Writer::Machine) && level(token("ci")) && level(peer("db")));
    assert!(!level(Writer::Owner) && !level(peer("web")) && !level(Writer::Platform));
    refuse_as(
        peer("web"),
        "level",
        None,
        Some(json!(0.5)),
        "memory_writer",
        "`token:*`, `peer:db`",
    );
    refuse_as(token("ci"), "n", None, Some(json!(1)), "memory_writer", "`self`, `owner`");
    refuse_as(Writer::Owner, "nobody", None, Some(json!(true)), "memory_writer", "nobody");
    refuse_as(peer("db"), "scratch.a", None, Some(json!(1)), "memory_writer", "`self`, `owner`");
    assert!("token:*".parse::<Writer>().is_err(), "nobody is called everybody");
}

#[test]
fn transitions() {
    let step = |writer, old: Option<&str>, new: Option<&str>| {
        write_as(writer, "step", old.map(Json::from), new.map(Json::from)).is_ok()
    };
    assert!(step(Writer::Machine, None, Some("a")));
    assert!(!step(Writer::Machine, None, Some("b")));
    assert!(step(Writer::Owner, Some("a"), Some("b")));
    assert!(!step(Writer::Machine, Some("a"), Some("b")));
    assert!(!step(Writer::Owner, Some("b"), Some("a")));
    assert!(step(Writer::Machine, Some("b"), None));
    assert!(!step(Writer::Machine, Some("a"), None), "deleting is a change too");
    assert!(step(Writer::Machine, Some("c"), Some("c")));
    let stuck = (Some(json!("c")), Some(json!("a")));
    refuse_as(Writer::Owner, "step", stuck.0, stuck.1, "memory_transition", "no change leads on");
}

#[test]
fn guards() {
    let up = |old: Option<i64>, new: i64| {
        write_as(Writer::Machine, "up", old.map(Json::from), Some(json!(new)))
    };
    assert!(up(None, 1).is_ok(), "the default is the old value");
    assert!(up(Some(4), 5).is_ok());
    let refused = up(Some(4), 3).expect_err("only upwards");
    assert_eq!(refused.code(), "memory_guard");
    assert_eq!(
        refused.hint().as_deref(),
        Some("`new > old && new <= memory.n` with new = 3, old = 4, memory.n = 5")
    );
    refuse_as(Writer::Machine, "up", Some(json!(1)), None, "memory_guard", "is unknown");
}

#[test]
fn a_guard_does_not_give_a_secret_away() {
    assert!(write_as(Writer::Owner, "key", None, Some(json!("sesame"))).is_ok_and(|a| a.is_secret));
    let refused =
        write_as(Writer::Machine, "key", None, Some(json!("sesame"))).expect_err("not the owner");
    let shown = format!("{refused} {:?} {refused:?}", refused.hint());
    assert!(!shown.contains("sesame"), "{shown}");
    let WriteRefused::Guard { outcome, .. } = refused else { panic!("{refused}") };
    assert_eq!(outcome.reads[0].value, Observed::Secret);
}

#[test]
fn a_write_expires_by_its_ttl() {
    let accepted = write_as(Writer::Machine, "n", None, Some(json!(3))).expect("it fits");
    assert_eq!(accepted.expires_at, Some(UnixMs(NOW.0 + 60_000)));
    let deleted = write_as(Writer::Machine, "n", Some(json!(3)), None).expect("it may go");
    assert_eq!((deleted.value, deleted.expires_at), (None, None));
}

#[test]
fn the_memory_has_room_for_so_much() {
    let policy = policy();
    let write = |keys, bytes, new: Option<&Json>| {
        let others = MemorySize { keys, bytes };
        let write = Write { key: "scratch.a", old: None, new, writer: &Writer::Machine, others };
        check_write(&policy, &write, &Given::default(), NOW).map(|accepted| accepted.size)
    };
    let new = json!("xyz");
    assert_eq!(write(127, 65_000, Some(&new)), Ok(MemorySize { keys: 128, bytes: 65_014 }));
    assert!(write(128, 0, Some(&new)).is_err_and(|e| e.code() == "memory_full"));
    assert!(write(0, 65_530, Some(&new)).is_err_and(|e| e.code() == "memory_full"));
    assert!(write(200, 70_000, None).is_ok(), "deleting is always possible");
}

proptest! {
    /// Whatever is accepted is of the type, within the bounds, and accepted again as it was stored.
    #[test]
    fn what_is_stored_can_be_stored_again(
        key in prop::sample::select(vec!["n", "level", "since", "pause", "tags", "scratch.x"]),
        number in any::<f64>(),
        int in any::<i64>(),
        text in ".{0,20}",
        kind in 0..4,
    ) {
        let new = match kind {
            0 => json!(number),
            1 => json!(int % 20),
            2 => json!(text),
            _ => json!([text]),
        };
        if let Ok(accepted) = write_as(Writer::Machine, key, None, Some(new)) {
            let again = write_as(Writer::Machine, key, None, accepted.value.clone());
            prop_assert_eq!(again.map(|a| a.value), Ok(accepted.value));
        }
    }
}

/// `levels` arrays inside each other.
fn nested(levels: usize) -> Json {
    (1..levels).fold(json!([]), |inner, _| json!([inner]))
}

#[test]
fn a_value_is_nested_as_deep_as_a_record_can_hold_it() {
    for (writer, key) in [(Writer::Machine, "scratch.x"), (Writer::Platform, "blob")] {
        assert!(write_as(writer.clone(), key, None, Some(nested(VALUE_DEPTH_MAX))).is_ok());
        for levels in [VALUE_DEPTH_MAX + 1, 125] {
            let deep = Some(nested(levels));
            refuse_as(writer.clone(), key, None, deep, "memory_value_invalid", "as a text");
        }
    }
}

#[test]
fn a_policy_has_no_deeper_values_and_shows_none_of_a_secret() {
    let deep = nested(VALUE_DEPTH_MAX + 1);
    let allowed = nested(VALUE_DEPTH_MAX);
    for (schema, path) in [
        (json!({"type": "json", "default": deep}), "facts.x.default"),
        (json!({"type": "json", "enum": [deep]}), "facts.x.enum[0]"),
        (
            json!({"type": "json", "transitions": [{"from": null, "to": deep}]}),
            "facts.x.transitions[0].to",
        ),
        (json!({"type": "string", "secret": true, "default": "hush"}), "facts.x.default"),
        (json!({"type": "string", "secret": true, "enum": ["hush"]}), "facts.x.enum"),
    ] {
        let text = json!({"facts": {"x": schema}}).to_string();
        let findings = Policy::parse(text.as_bytes()).expect_err(path);
        assert_eq!(findings.iter().map(|f| &*f.path).collect::<Vec<_>>(), [path]);
    }
    let text = json!({"facts": {"x": {"type": "json", "default": allowed}}}).to_string();
    assert!(Policy::parse(text.as_bytes()).is_ok());
}
