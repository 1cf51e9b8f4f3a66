//! Texts that want to break the reader: each is answered, on a small stack, in bounded time.

use crate::given::policy_of;
use policy::{Document, Policy, lint_text};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// A stack far smaller than any that the daemon uses: the main parser must not need more.
const STACK_BYTES: usize = 256 * 1024;

fn on_a_small_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run);
    thread.expect("a thread").join().expect("no panic")
}

#[track_caller]
fn refused(when: String) {
    let shown: String = when.chars().take(40).collect();
    let begun = Instant::now();
    let findings = on_a_small_stack(move || policy_of("hold", &when).err());
    let findings = findings.unwrap_or_else(|| panic!("{shown} is accepted"));
    assert!(!findings[0].to_string().is_empty());
    assert!(begun.elapsed() < Duration::from_secs(10), "{shown} took {:?}", begun.elapsed());
}

#[test]
fn deep_texts() {
    for n in [33, 90, 200, 500] {
        refused("(".repeat(n));
        refused(format!("{}true{}", "(".repeat(n), ")".repeat(n)));
        refused("[".repeat(n));
        refused(format!("{}true", "!(".repeat(n)));
        refused("size(".repeat(n));
        refused("true?".repeat(n));
        refused("memory[".repeat(n));
        refused("-".repeat(n));
        refused(format!("a{}", ".a".repeat(n)));
        refused(format!("{}true", "true?true:".repeat(n)));
    }
    for n in [65, 200, 500] {
        refused(format!("{}true", "!".repeat(n)));
        refused(format!("1{} > 0", "+1".repeat(n)));
        refused(format!("true{}", "==true".repeat(n)));
    }
}

#[test]
fn long_texts() {
    refused(format!("true{}", " || true".repeat(130)));
    refused("x".repeat(1 << 20));
    refused("(".repeat(1 << 20));
    refused(format!("memory.s == '{}'", "é".repeat(1 << 19)));
    refused("!".repeat(1024));
    refused("[".repeat(1024));
}

#[test]
fn odd_texts() {
    for when in
        ["", " ", "\0", "'\0", "\u{feff}true", "🙂", "'🙂", "\u{202e}eurt", "//", "'\\", "'\\u12'"]
    {
        refused(when.to_owned());
    }
    refused("9".repeat(1000));
    refused("1e999 > 1.0".to_owned());
    refused("0x".to_owned());
    refused("'\\ud800' == ''".to_owned());
}

#[test]
fn the_deepest_text_that_is_allowed_is_evaluated_on_a_small_stack() {
    let text = format!("{}true{}", "!(".repeat(31), ")".repeat(31));
    let chain = format!("1{} > 0", "+1".repeat(60));
    for when in [text, chain] {
        let is_right = on_a_small_stack(move || {
            let policy = policy_of("hold", &when).map_err(|f| f[0].to_string()).expect("allowed");
            let given = crate::given::Given::default();
            policy.rules()[0].when.evaluate(&given, crate::given::NOW).truth
        });
        assert!(matches!(is_right, policy::Truth::True | policy::Truth::False));
    }
}

/// Asserts that a document is refused, with these words.
#[track_caller]
fn refused_document(text: impl Into<Vec<u8>>, words: &str) {
    let text = text.into();
    let findings = on_a_small_stack(move || lint_text(&text));
    let shown = findings[0].to_string();
    assert_eq!(findings[0].severity, policy::Severity::Error, "{shown}");
    assert!(shown.contains(words), "{shown}");
}

#[test]
fn documents_that_are_none() {
    refused_document("", "a policy is a JSON object");
    refused_document("[]", "a policy is a JSON object");
    refused_document("null", "a policy is a JSON object");
    refused_document("{} x", "trailing");
    refused_document(vec![0xff; 10], "a policy is a JSON object");
    refused_document(b"{\"note\":\"\xff\"}".to_vec(), "invalid unicode");
    refused_document("{".repeat(60_000), "key must be a string");
    refused_document(vec![b' '; 1 << 20], "longer than 65536");
    let deep = format!(r#"{{"facts":{{"a":{{"type":"json","default":{}"#, "[".repeat(9_000));
    refused_document(deep, "recursion limit");
}

#[test]
fn documents_with_wrong_fields() {
    refused_document(r#"{"rulez":[]}"#, "did you mean `rules`?");
    refused_document(
        r#"{"rules":[{"id":"a","effect":"hold","wen":"true"}]}"#,
        "did you mean `when`?",
    );
    refused_document(
        r#"{"rules":[{"id":"a","effect":"wakes","when":"true"}]}"#,
        "did you mean `wake`?",
    );
    refused_document(
        r#"{"rules":[{"id":"a","effect":"hold","when":"true","for":"soon"}]}"#,
        "rules[0].for",
    );
    refused_document(
        r#"{"rules":[{"id":"a","effect":"hold","when":"true","for":"400d"}]}"#,
        "366 days",
    );
    refused_document(r#"{"facts":{"a":{"type":"bool"},"a":{"type":"int"}}}"#, "duplicate key `a`");
    refused_document(
        r#"{"facts":{"a":{"type":"bool","writers":["root"]}}}"#,
        "`root` is no writer",
    );
    refused_document(r#"{"rules":[{"id":"a b","effect":"hold","when":"true"}]}"#, "no name");
    refused_document(
        r#"{"rules":[{"id":"a","effect":"hold","when":"true","mode":"stop"}]}"#,
        "no depth",
    );
    refused_document(
        r#"{"rules":[{"id":"a","effect":"hold","when":"true","to":"x"}]}"#,
        "tells nobody",
    );
    let schema = |fields: &str| format!(r#"{{"facts":{{"a":{{{fields}}}}}}}"#);
    refused_document(
        schema(r#""type":"int","default":"x""#),
        "facts.a.default: a int is a whole number",
    );
    refused_document(schema(r#""type":"int","min":5,"max":3"#), "above the largest");
    refused_document(schema(r#""type":"int","max":3,"default":4"#), "above the largest value, 3");
    refused_document(schema(r#""type":"bool","min":false"#), "has no bounds");
    refused_document(schema(r#""type":"string","enum":["a",3]"#), "facts.a.enum[1]");
    refused_document(
        schema(r#""type":"string","enum":["a"],"transitions":[{"from":"a","to":"b"}]"#),
        "not one of",
    );
    refused_document(schema(r#""type":"int","guard":"new > 'a'""#), "facts.a.guard");
    refused_document(r#"{"facts":{"scratch.a":{"type":"int"}}}"#, "not declared");
    refused_document(r#"{"facts":{"a..b":{"type":"int"}}}"#, "no key");
    refused_document(r#"{"alarms":{"a":{"cron":"0 2 * *"}}}"#, "alarms.a.cron");
    let rules: Vec<_> =
        (0..65).map(|n| format!(r#"{{"id":"r{n}","effect":"hold","when":"true"}}"#)).collect();
    refused_document(format!(r#"{{"rules":[{}]}}"#, rules.join(",")), "65 are more than 64");
}

#[test]
fn all_errors_are_told_at_once() {
    let text = r#"{"facts":{"a":{"type":"int","default":true}},"alarms":{"b":{}},
        "rules":[{"id":"a","effect":"hold","when":"x"},{"id":"a","effect":"hold","when":"y","until":"z"}]}"#;
    let findings = Policy::parse(text.as_bytes()).expect_err("it is full of errors");
    let paths: Vec<_> = findings.iter().map(|finding| finding.path.as_str()).collect();
    let expected = [
        "facts.a.default",
        "rules[1].id",
        "rules[0].when",
        "rules[1].when",
        "rules[1].until",
        "alarms.b",
    ];
    assert_eq!(paths, expected);
}

/// Texts made of what conditions are made of, in any order.
fn scrambled() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "!",
        "-",
        "+",
        "*",
        "/",
        "%",
        "?",
        ":",
        ".",
        ",",
        "&&",
        "||",
        "==",
        "<",
        " in ",
        "memory.i",
        "memory.",
        "now",
        "machine.idle_s",
        "has(",
        "size(",
        "'a'",
        "'",
        "\\",
        "9223372036854775808",
        "-9223372036854775808",
        "1.5",
        "0",
        "duration('1s')",
        "true",
        "é",
        "\0",
        "//",
        "\n",
        "old",
        "peer.db.x",
        "memory.l",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn any_text_is_answered(text in prop_oneof![scrambled(), ".{0,200}"]) {
        if let Ok(policy) = policy_of("deny_wake", &text) {
            let given = crate::given::Given::default();
            prop_assert_eq!(policy::dry_run(&policy, &given, crate::given::NOW).len(), 1);
        } else if let Err(findings) = policy_of("hold", &text) {
            prop_assert!(findings.iter().all(|finding| !finding.to_string().is_empty()));
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Document::parse(&bytes).is_err());
    }
}
