//! The language: answers and errors, one line for each.

use crate::given::{check, evaluate, policy_of};
use policy::{Absence, Observed, Truth, Unknown, Value};

const TRUE: Option<bool> = Some(true);
const FALSE: Option<bool> = Some(false);
const UNKNOWN: Option<bool> = None;

#[test]
fn literals_and_precedence() {
    check("true", TRUE);
    check("1 + 2 * 3 == 7", TRUE);
    check("(1 + 2) * 3 == 9", TRUE);
    check("10 - 4 - 3 == 3", TRUE);
    check("-7 / 2 == -3 && -7 % 2 == -1", TRUE);
    check("1 < 2 && !(2 < 1) || false", TRUE);
    check("false && false || true", TRUE);
    check("true || false && false", TRUE);
    check("!!true", TRUE);
    check("--3 == 3", TRUE);
    check("0xff == 255 && 1e3 == 1000.0 && .5 == 0.5", TRUE);
    check("-9223372036854775808 < 9223372036854775807", TRUE);
    check("'a' + \"b\" == 'ab'", TRUE);
    check(r"'\x41\u00e9\n' == 'Aé' + '\n'", TRUE);
    check(r"r'\n' == '\\n'", TRUE);
    check("true ? false : true", FALSE);
    check("false ? false : false ? false : true", TRUE);
    check("// nothing\n true // but this\n", TRUE);
}

#[test]
fn comparisons() {
    check("memory.i == 3 && memory.i != 4 && memory.i <= 3 && memory.i >= 3", TRUE);
    check("memory.i == 3.0 && memory.i < 3.5 && 2.5 < memory.i", TRUE);
    check("memory.s == 'héllo' && memory.s < 'i'", TRUE);
    check("memory.b == true && memory.b != false", TRUE);
    check("memory.i in [1, 2, 3] && !(memory.i in [])", TRUE);
    check("'a' in memory.l && !('c' in memory.l)", TRUE);
    check("memory.l == ['a', 'b'] && memory.l != ['a']", TRUE);
    check("memory.l[0] == 'a'", TRUE);
    check("memory['i'] == 3", TRUE);
    check("memory.t == timestamp('2026-09-21T14:13:20Z')", TRUE);
    check("memory.p == duration('1m30s') && memory.p < duration('1h')", TRUE);
    check("memory.t - duration('1h') < memory.t && memory.t - memory.t == duration('0s')", TRUE);
    check("machine.cpu_1m > 0.5", TRUE);
}

#[test]
fn functions() {
    check("size(memory.s) == 5 && memory.s.size() == 5 && size(memory.l) == 2", TRUE);
    check("memory.s.startsWith('hé') && memory.s.endsWith('lo') && memory.s.contains('ll')", TRUE);
    check("int(memory.e) == -2 && double(memory.i) == 3.0 && int(2.9) == 2", TRUE);
    check("has(memory.i) && !has(memory.u) && has(memory.def)", TRUE);
    check("has(peer.db.leading) && !has(peer.gone.x)", TRUE);
}

#[test]
fn clocks() {
    check("machine.idle_s >= 300 && machine.idle_s < 301", TRUE);
    check("now == memory.t", TRUE);
    check("now - memory.t < duration('1s') && now - duration('1s') < memory.t", TRUE);
    check("memory.t - now >= duration('0s')", TRUE);
    check("machine.idle_s + 10 > 309 && -machine.idle_s < -299", TRUE);
    check("inbox.oldest_s == 0", TRUE);
}

#[test]
fn unknown_is_absorbed_as_in_cel() {
    check("memory.ub", UNKNOWN);
    check("!memory.ub", UNKNOWN);
    check("memory.ub && false", FALSE);
    check("false && memory.ub", FALSE);
    check("memory.ub || true", TRUE);
    check("true || memory.ub", TRUE);
    check("memory.ub && true", UNKNOWN);
    check("memory.ub || false", UNKNOWN);
    check("memory.ub ? true : true", UNKNOWN);
    check("true ? true : memory.ub", TRUE);
    check("memory.u == memory.u", UNKNOWN);
    check("memory.u in [1]", UNKNOWN);
    check("has(memory.u) && memory.u > 3", FALSE);
}

#[test]
fn what_cannot_be_computed_is_unknown() {
    check("memory.i / 0 == 1", UNKNOWN);
    check("memory.i % 0 == 1", UNKNOWN);
    check("memory.d / 0.0 > 1.0", UNKNOWN);
    check("9223372036854775807 + memory.i > 0", UNKNOWN);
    check("-(-9223372036854775808) > 0", UNKNOWN);
    check("-9223372036854775808 / -1 > 0", UNKNOWN);
    check("1e308 * 10.0 > memory.d", UNKNOWN);
    check("int(1e300) > 0", UNKNOWN);
    check("memory.l[2] == 'c'", UNKNOWN);
    check("memory.l[-1] == 'c'", UNKNOWN);
    check("timestamp(memory.s) > memory.t", UNKNOWN);
}

#[test]
fn a_default_takes_the_place_of_a_missing_value() {
    check("memory.def == 7", TRUE);
}

#[test]
fn a_peer_of_unknown_types_is_checked_when_it_is_read() {
    check("peer.db.leading", TRUE);
    check("peer.db.state == 'started'", TRUE);
    check("peer.db.leading == 3", UNKNOWN);
    check("peer.db.leading + 1 > 3", UNKNOWN);
    check("peer.gone.state == 'started'", UNKNOWN);
}

#[test]
fn a_request_that_is_not_there_is_empty() {
    check("request.path == '' && !request.host.startsWith('admin.')", TRUE);
}

#[test]
fn an_outcome_says_what_was_read_and_why_nothing_was() {
    let outcome = evaluate("inbox.depth > 1 && (memory.u > 1 || memory.key == 'hush')");
    let reads: Vec<_> = outcome.reads.iter().map(|r| (&*r.name, r.value.clone())).collect();
    let missing = Unknown::Absent { name: "memory.u".into(), absence: Absence::Missing };
    let expected = [
        ("inbox.depth", Observed::Value(Value::Int(2))),
        ("memory.u", Observed::Unknown(missing)),
        ("memory.key", Observed::Secret),
    ];
    assert_eq!(reads, expected);
    assert_eq!(outcome.truth, Truth::True);
    let text = serde_json::to_string(&outcome).expect("an outcome is JSON");
    assert!(!text.contains("hush"), "{text}");
    assert_eq!(serde_json::from_str::<policy::Outcome>(&text).expect("as written"), outcome);
}

#[test]
fn a_recorded_outcome_is_judged_the_same_again() {
    for when in ["machine.idle_s >= 300", "memory.u > 1", "inbox.depth > 1 && memory.l[5] == ''"] {
        let outcome = evaluate(when);
        let recorded = policy::Recorded::new(&outcome.reads);
        let again = crate::given::condition(when).evaluate(&recorded, crate::given::NOW);
        assert_eq!(again, outcome, "{when}");
    }
}

/// Asserts that a condition is refused, with these words, at the part between `«` and `»`.
#[track_caller]
fn refuse(marked: &str, words: &str) {
    refuse_in("hold", marked, words);
}

#[track_caller]
fn refuse_in(effect: &str, marked: &str, words: &str) {
    let start = marked.find('«').expect("a mark");
    let end = marked.find('»').expect("a mark") - '«'.len_utf8();
    let text = marked.replace(['«', '»'], "");
    let findings = policy_of(effect, &text).expect_err(&text);
    let shown = findings[0].to_string();
    assert!(shown.contains(words), "{text}: {shown}");
    let position = findings[0].position.expect("a place");
    assert_eq!(position.offset, start, "{shown}");
    let carets = shown.matches('^').count();
    assert_eq!(carets, text[start..end].chars().count().max(1), "{shown}");
}

#[test]
fn errors_of_form() {
    refuse("1 +«»", "expected a value, found the end");
    refuse("memory.b «and» memory.b", "and is written `&&`");
    refuse("memory.b «&» memory.b", "and is written `&&`");
    refuse("memory.i «=» 3", "equality is written `==`");
    refuse("(memory.b«»", "expected `)`");
    refuse("memory.b «)»", "expected an operator");
    refuse("memory«.3»", "expected an operator, found a number");
    refuse("memory.«'i'»", "a name after the point");
    refuse("memory.i > «3u»", "no unsigned numbers");
    refuse("machine.idle_s > «5m»", "compared with plain seconds");
    refuse("memory.s == «'»abc", "no end");
    refuse("memory.s == '«\\q»'", "unknown escape");
    refuse("memory.s == «‘»abc’", "straight quotes");
    refuse("memory.i == «99999999999999999999»", "out of range");
    refuse("memory.i == «9223372036854775808»", "out of range");
    refuse("memory.u == «null»", "has(memory.KEY)");
    refuse("memory.l == «{»}", "no maps");
    refuse("«\0»", "unexpected '\\0'");
}

#[test]
fn errors_of_names() {
    refuse("«inbox.dpeth» > 3", "did you mean `inbox.depth`?");
    refuse("«inbox» > 3", "there are `inbox.depth`, `inbox.oldest_s`");
    refuse("«memory.wrod» == 'yes'", "did you mean `word`?");
    refuse("«memory.nothing»", "declare it under `facts`");
    refuse("«word» == 'yes'", "write `memory.word`");
    refuse("«memory.scratch.a» == 1", "scratch");
    refuse("«memory.x» == 1", "type `json`");
    refuse("«peer.db» == 1", "write `peer.db.state`");
    refuse("«weather» > 3", "no name `weather`");
    refuse("«request.path» == '/'", "only a `deny_wake` rule");
    refuse("«new» == 3", "no name `new`");
    refuse("memory.word == «'yess'»", "did you mean `'yes'`?");
    refuse("memory.word in «['no']»", "`memory.word` is never 'no'");
    refuse("«'runing'» == machine.state", "`machine.state` is never");
}

#[test]
fn errors_of_types() {
    refuse("«memory.i»", "true or false; this is of type int");
    refuse("memory.b && «memory.i»", "compare it: `… > 0`");
    refuse("!«memory.s»", "`!` needs bool");
    refuse("«memory.i == '3'»", "a number is written without quotes");
    refuse("«memory.p > 90»", "duration('90s')");
    refuse("«memory.t > '2026'»", "timestamp('2026");
    refuse("«memory.d * 100» > 50.0", "with a point");
    refuse("«memory.b < true»", "bool has no order");
    refuse("«memory.d % 2.0» > 1.0", "cannot join");
    refuse("«memory.s - 'a'» == 'b'", "cannot join string and string");
    refuse("-«memory.s» == 'b'", "needs a number");
    refuse("memory.s in «'abc'»", "`in` needs a list");
    refuse("«3» in memory.l", "cannot be in a list of string");
    refuse("[1, «'a'»] == [1]", "no place for string");
    refuse("memory.l[«'a' + 'b'»] == 'c'", "items have numbers");
    refuse("(memory.b ? «1 : 'a'») == 1", "both sides of `:`");
    refuse("«memory.s[0]» == 'h'", "needs a list");
    refuse("«memory.s.startsWith(3)»", "needs two strings, not (string, int)");
    refuse("«duration('soon')» > memory.p", "'90s', '10m', '1h30m'");
    refuse("«timestamp('soon')» > memory.t", "'2026-01-31T09:00:00Z'");
    refuse("«has(inbox.depth)»", "has(memory.KEY)");
}

#[test]
fn errors_of_functions() {
    refuse("«memory.s.matches('a.*')»", "startsWith, endsWith or contains");
    refuse("«memory.l.all(x, x == 'a')»", "no loops");
    refuse("«now.getHours()» > 3", "cron alarm");
    refuse("«startsWith(memory.s, 'a')»", "write `x.startsWith(…)`");
    refuse("«memory.s.duration()» > memory.p", "write `duration(x)`");
    refuse("«memory.s.startWith('a')»", "did you mean `startsWith`?");
}

#[test]
fn a_clock_may_only_be_compared() {
    refuse("«machine.idle_s» * 2 > 600", "a clock is used where no crossing");
    refuse("«machine.idle_s > machine.uptime_s»", "two clocks are compared");
}

#[test]
fn every_other_use_of_a_clock_is_refused() {
    for when in [
        "machine.idle_s / 60 > 5",
        "machine.idle_s in [1, 2]",
        "(memory.b ? machine.idle_s : 3) > 5",
        "[machine.idle_s] == [1]",
        "double(machine.idle_s) > 0.5",
        "memory.l[machine.idle_s] == 'a'",
        "machine.idle_s > machine.uptime_s",
        "machine.idle_s + machine.uptime_s > 5",
        "now - now > duration('1s')",
        "string(now) == 'x'",
    ] {
        let findings = policy_of("hold", when).expect_err(when);
        let shown = findings[0].to_string();
        assert!(shown.contains("clock") || shown.contains("no function"), "{when}: {shown}");
    }
}

#[test]
fn other_effects_and_until_are_checked_too() {
    refuse_in("wake", "«request.host» == 'a'", "only a `deny_wake` rule");
    let text = r#"{"rules":[{"id":"a","effect":"hold","when":"true","until":"nothing"}]}"#;
    let findings = policy::Policy::parse(text.as_bytes()).expect_err("an unknown name");
    assert_eq!(findings[0].path, "rules[0].until");
}

#[test]
fn rest_until_uses_the_same_words() {
    let policy = policy_of("hold", "true").expect("a policy");
    assert!(policy.compile_rest_until("inbox.depth > 0 || memory.i > 3").is_ok());
    let error = policy.compile_rest_until("request.path == '/'").expect_err("no request");
    assert!(error.to_string().contains("deny_wake"), "{error}");
    assert!(policy.compile_rest_until("inbox.depth").is_err());
}
