//! Ours against another implementation of CEL: same text, same values, same answer.
//!
//! Only what both have is generated, and types fit, as the other one does not check them. Where the
//! other one ends in an error, ours must be unknown.

use crate::given::{Given, NOW, condition};
use policy::{Truth, Value};
use proptest::prelude::*;
use std::collections::HashMap;

fn ints() -> BoxedStrategy<String> {
    ints_of(prop_oneof![
        small_int(),
        Just("9223372036854775807".to_owned()),
        Just("memory.j".to_owned()),
        Just("memory.u".to_owned()),
    ])
}

/// Whole numbers that a double holds exactly: the other one compares an int with a double by
/// rounding the int, ours compares the two numbers (the tests of `value.rs` prove that).
fn ints_beside_doubles() -> BoxedStrategy<String> {
    ints_of(small_int())
}

/// Less than 24 in size, so that the product of the eight in a term is far below 2^53.
fn small_int() -> impl Strategy<Value = String> {
    prop_oneof![
        (-20_i64..20).prop_map(|n| format!("({n})")),
        Just("memory.i".to_owned()),
        Just("size(memory.s)".to_owned()),
    ]
}

fn ints_of(leaf: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    leaf.prop_recursive(3, 8, 2, |inner| {
        let signs = prop::sample::select(vec!["+", "-", "*", "/", "%"]);
        prop_oneof![
            (inner.clone(), signs, inner.clone())
                .prop_map(|(a, sign, b)| format!("({a} {sign} {b})")),
            inner.prop_map(|a| format!("-({a})")),
        ]
    })
    .boxed()
}

fn doubles() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["0.5", "2.0", "-1.25", "1e300"]).prop_map(str::to_owned),
        Just("memory.d".to_owned()),
        Just("memory.e".to_owned()),
        ints().prop_map(|i| format!("double({i})")),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        let signs = prop::sample::select(vec!["+", "-"]);
        (inner.clone(), signs, inner).prop_map(|(a, sign, b)| format!("({a} {sign} {b})"))
    })
    .boxed()
}

fn texts() -> BoxedStrategy<String> {
    let leaf = prop::sample::select(vec!["'a'", "''", "'héllo'", "'ab'", "memory.s", "'\\n'"]);
    (leaf.clone(), prop::option::of(leaf))
        .prop_map(|(a, b)| b.map_or_else(|| a.to_owned(), |b| format!("({a} + {b})")))
        .boxed()
}

fn bools() -> BoxedStrategy<String> {
    let sign = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let method = prop::sample::select(vec!["startsWith", "endsWith", "contains"]);
    let compare = |a: BoxedStrategy<String>, b: BoxedStrategy<String>| {
        (a, sign(), b).prop_map(|(a, sign, b)| format!("{a} {sign} {b}"))
    };
    let leaf = prop_oneof![
        compare(ints(), ints()),
        compare(doubles(), doubles()),
        compare(ints_beside_doubles(), doubles()),
        compare(texts(), texts()),
        (texts(), method, texts()).prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
        (ints(), prop::collection::vec(ints(), 0..3))
            .prop_map(|(a, list)| format!("{a} in [{}]", list.join(", "))),
        Just("memory.b".to_owned()),
        Just("memory.ub".to_owned()),
        Just("true".to_owned()),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
        ]
    })
    .boxed()
}

#[derive(Clone, Debug)]
struct Memory {
    b: bool,
    i: i64,
    j: i64,
    d: f64,
    e: f64,
    s: String,
}

fn memories() -> impl Strategy<Value = Memory> {
    let texts = prop::sample::select(vec!["", "a", "ab", "héllo", "zz"]).prop_map(str::to_owned);
    (any::<bool>(), -9_i64..9, any::<i64>(), -9.0_f64..9.0, any::<f64>(), texts).prop_map(
        |(b, i, j, d, e, s)| Memory { b, i, j, d, e: if e.is_finite() { e } else { 1.5 }, s },
    )
}

impl Memory {
    fn ours(&self) -> Given {
        Given::new(&[
            ("memory.b", self.b.into()),
            ("memory.i", self.i.into()),
            ("memory.j", self.j.into()),
            ("memory.d", Value::Double(self.d)),
            ("memory.e", Value::Double(self.e)),
            ("memory.s", self.s.as_str().into()),
        ])
    }

    /// The same values as the other implementation's `memory`; `u` and `ub` are missing keys.
    fn theirs(&self) -> cel::Value {
        let map: HashMap<&str, cel::Value> = HashMap::from([
            ("b", self.b.into()),
            ("i", self.i.into()),
            ("j", self.j.into()),
            ("d", self.d.into()),
            ("e", self.e.into()),
            ("s", self.s.as_str().into()),
        ]);
        map.into()
    }
}

fn their_answer(text: &str, memory: &Memory) -> Option<bool> {
    let program = cel::Program::compile(text).expect("both read the same language");
    let mut context = cel::Context::default();
    context.add_variable_from_value("memory", memory.theirs());
    match program.execute(&context) {
        Ok(cel::Value::Bool(bool)) => Some(bool),
        Ok(other) => panic!("{text} gives {other:?}"),
        Err(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn both_give_the_same_answer(text in bools(), memory in memories()) {
        prop_assume!(text.len() <= policy::limits::CONDITION_BYTES_MAX);
        let ours = match condition(&text).evaluate(&memory.ours(), NOW).truth {
            Truth::True => Some(true),
            Truth::False => Some(false),
            Truth::Unknown(_) => None,
        };
        prop_assert_eq!(ours, their_answer(&text, &memory), "{}", text);
    }
}
