//! Values for a test, by name.

use model::UnixMs;
use policy::{Absence, Condition, Name, Outcome, Policy, Reading, Truth, Value, Values};
use std::collections::BTreeMap;

/// A moment in 2026 that all tests count from.
pub(crate) const NOW: UnixMs = UnixMs(1_790_000_000_000);

/// The values of a test; everything else is missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given(pub(crate) BTreeMap<String, Reading>);

impl Given {
    /// These values, by name.
    pub(crate) fn new(values: &[(&str, Value)]) -> Self {
        let readings = values.iter().map(|(name, value)| (*name, Reading::known(value.clone())));
        Self::default().and(readings)
    }

    /// These readings as well.
    pub(crate) fn and<'a>(
        mut self,
        readings: impl IntoIterator<Item = (&'a str, Reading)>,
    ) -> Self {
        self.0.extend(readings.into_iter().map(|(name, reading)| (name.to_owned(), reading)));
        self
    }

    /// The clock `name` shows `seconds` at [`NOW`].
    pub(crate) fn clock(self, name: &str, seconds: u64) -> Self {
        self.and([(name, Reading::since(UnixMs(NOW.0 - seconds * 1000)))])
    }
}

impl Values for Given {
    fn read(&self, name: &Name) -> Reading {
        let reading = self.0.get(&name.to_string()).cloned();
        reading.unwrap_or_else(|| Reading::absent(Absence::Missing))
    }
}

/// Facts of every type, `b i d s t l`, and `u`, that has no value.
pub(crate) const FACTS: &str = r#"{"b":{"type":"bool"},"i":{"type":"int"},"j":{"type":"int"},
    "d":{"type":"double"},"e":{"type":"double"},"s":{"type":"string"},"t":{"type":"timestamp"},
    "p":{"type":"duration"},"l":{"type":"list"},"u":{"type":"int"},"ub":{"type":"bool"},
    "x":{"type":"json"},"word":{"type":"string","enum":["asked","yes"]},
    "def":{"type":"int","default":7},"key":{"type":"string","secret":true}}"#;

/// A policy of one rule over [`FACTS`].
pub(crate) fn policy_of(effect: &str, when: &str) -> Result<Policy, Vec<policy::Finding>> {
    let facts: serde_json::Value = serde_json::from_str(FACTS).expect("JSON");
    let rules = serde_json::json!([{ "id": "r", "effect": effect, "when": when }]);
    let document = serde_json::json!({ "facts": facts, "rules": rules });
    Policy::parse(document.to_string().as_bytes())
}

/// A condition of a `deny_wake` rule, which may use every name.
#[track_caller]
pub(crate) fn condition(when: &str) -> Condition {
    match policy_of("deny_wake", when) {
        Ok(policy) => policy.rules()[0].when.clone(),
        Err(findings) => panic!("{when}: {}", findings[0]),
    }
}

/// Evaluates a condition over a value of each type.
#[track_caller]
pub(crate) fn evaluate(when: &str) -> Outcome {
    let given = Given::new(&[
        ("memory.b", true.into()),
        ("memory.i", 3.into()),
        ("memory.j", (-7).into()),
        ("memory.d", Value::Double(0.5)),
        ("memory.e", Value::Double(-2.25)),
        ("memory.s", "héllo".into()),
        ("memory.t", NOW.into()),
        ("memory.p", Value::Duration(90_000)),
        ("memory.l", Value::List(["a".into(), "b".into()].into())),
        ("memory.word", "yes".into()),
        ("memory.key", "hush".into()),
        ("peer.db.state", "started".into()),
        ("peer.db.leading", true.into()),
        ("inbox.depth", 2.into()),
        ("machine.cpu_1m", Value::Int(1)),
    ]);
    let given = given.clock("machine.idle_s", 300).clock("inbox.oldest_s", 0);
    let no_peer = Reading::absent(Absence::NoPeer);
    let given = given.and([("peer.gone.state", no_peer.clone()), ("peer.gone.x", no_peer)]);
    condition(when).evaluate(&given, NOW)
}

/// Asserts the answer of a condition over a value of each type.
#[track_caller]
pub(crate) fn check(when: &str, expected: Option<bool>) {
    let truth = evaluate(when).truth;
    let found = match truth {
        Truth::True => Some(true),
        Truth::False => Some(false),
        Truth::Unknown(_) => None,
    };
    assert_eq!(found, expected, "{when}: {truth:?}");
}
