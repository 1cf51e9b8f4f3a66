//! Any text as the condition of a rule, a `rest until` or a guard; what compiles is evaluated too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use model::UnixMs;
use policy::{Absence, Name, Policy, Reading, Values, dry_run};

fuzz_target!(|text: &str| {
    let rules = serde_json::json!([{ "id": "r", "effect": "deny_wake", "when": text }]);
    let facts = serde_json::json!({
        "b": { "type": "bool" }, "i": { "type": "int", "guard": text }, "d": { "type": "double" },
        "s": { "type": "string" }, "t": { "type": "timestamp" }, "p": { "type": "duration" },
        "l": { "type": "list" },
    });
    let both = serde_json::json!({ "facts": facts, "rules": rules });
    let mut rule_only = both.clone();
    rule_only["facts"]["i"] = serde_json::json!({ "type": "int" });
    for document in [both, rule_only] {
        if let Ok(policy) = Policy::parse(document.to_string().as_bytes()) {
            check(&policy);
        }
    }
    Policy::parse(b"{}").expect("nothing is a policy").compile_rest_until(text).ok();
});

/// Before its crossing, an answer is what it was; at its crossing, it is another.
fn check(policy: &Policy) {
    let now = UnixMs(1_790_000_000_000);
    for report in dry_run(policy, &ByName, now) {
        let Some(next) = report.next else { continue };
        let truth = |at| policy.rules()[0].when.evaluate(&ByName, at).truth;
        assert_eq!(truth(UnixMs(next.0 - 1)), report.when.truth);
        assert_ne!(truth(next), report.when.truth);
    }
}

/// Clocks that begin at different moments, numbers, and names without a value.
struct ByName;

impl Values for ByName {
    fn read(&self, name: &Name) -> Reading {
        let text = name.to_string();
        let seed = text.bytes().fold(7_u64, |seed, byte| seed * 31 % 1009 + u64::from(byte));
        match text.as_str() {
            text if text.ends_with("_s") => Reading::since(UnixMs(1_790_000_000_000 - seed)),
            "memory.b" | "peer.b.b" => Reading::known(true),
            "memory.s" => Reading::known("text"),
            "memory.t" => Reading::known(UnixMs(1_790_000_001_000)),
            text if text.contains("zz") => Reading::absent(Absence::Expired),
            _ => Reading::known(i64::try_from(seed).expect("a small number")),
        }
    }
}
