//! The program against a host that says what a test wants it to say.

mod fake;

use fake::{Host, ok, refused};
use serde_json::json;

#[test]
fn a_fact_is_its_value_alone() {
    let host = Host::answering([ok(&json!({"revision": 3, "key": "watching", "value": true}))]);
    host.dm(&["get", "watching"]).is("true\n", "", 0);
    assert_eq!(host.heard(), ["GET /v1/self/memory/watching "]);
}

#[test]
fn json_is_the_answer_as_it_came() {
    let answer = json!({"revision": 3, "facts": {"a": {"value": 1}}});
    let host = Host::answering([ok(&answer), ok(&answer)]);
    host.dm(&["get", "--json"]).is(&format!("{answer}\n"), "", 0);
    host.dm(&["get"]).is("a=1\n", "", 0);
}

#[test]
fn writes_are_silent_and_carry_their_revision() {
    let host = Host::answering([ok(&json!({"revision": 4})), ok(&json!({"revision": 5}))]);
    host.dm(&["set", "scratch.n=1", "--if-revision", "3"]).is("", "", 0);
    host.dm(&["hold", "job", "--for", "5m"]).is("", "", 0);
    let heard = host.heard();
    assert_eq!(heard[0], "PATCH /v1/self/memory If-Match: \"3\" {\"scratch.n\":1}");
    assert_eq!(heard[1], "PUT /v1/self/holds/job {\"ttl\":300}");
}

#[test]
fn a_refusal_is_told_with_its_hint() {
    let body =
        json!({"error": "there are 16 holds already", "code": "self_full", "hint": "release one"});
    let host = Host::answering([refused(409, &body), refused(409, &body)]);
    let dm = host.dm(&["hold", "x", "--for", "1m"]);
    dm.is("", "dm: there are 16 holds already\nhint: release one\n", 1);
    host.dm(&["hold", "x", "--for", "1m", "--json"]).is("", &format!("{body}\n"), 1);
}

#[test]
fn wrong_words_ask_nobody() {
    let host = Host::answering([]);
    let dm = host.dm(&["hold", "x"]);
    assert_eq!(dm.code, 2);
    assert!(dm.stderr.contains("hint: `dm hold` or `dm hold NAME --for SPAN"), "{}", dm.stderr);
    host.dm(&["--version"]).is(&format!("dm {}\n", env!("CARGO_PKG_VERSION")), "", 0);
    assert!(host.heard().is_empty());
}

#[test]
fn nobody_there_is_not_a_refusal() {
    let dm = fake::dm_over("/nonexistent/api".as_ref(), &["beat"], "");
    assert_eq!(dm.code, 3);
    assert!(dm.stderr.starts_with("dm: no answer from /nonexistent/api: "), "{}", dm.stderr);
}

#[test]
fn half_an_answer_is_none() {
    for half in
        ["HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{}", "HTTP/1.1 200", "", "hello\r\n\r\n"]
    {
        let host = Host::answering([half.to_owned()]);
        assert_eq!(host.dm(&["get"]).code, 3, "{half:?}");
    }
}

#[test]
fn an_answer_may_come_in_chunks() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                   7\r\n{\"seq\":\r\n2\r\n7}\r\n0\r\n\r\n";
    let host = Host::answering([chunked.to_owned()]);
    host.dm(&["post", "--self", "hi", "--id", "one"]).is("7\n", "", 0);
}

#[test]
fn a_daemon_that_is_away_is_asked_again() {
    let host = Host::answering([fake::away(), fake::away(), ok(&json!({"revision": 1}))]);
    host.dm(&["phase", "at work"]).is("", "", 0);
    assert_eq!(host.heard().len(), 3);
}

#[test]
fn what_must_not_happen_twice_is_asked_once() {
    let host = Host::answering([fake::away(), ok(&json!({"seq": 1}))]);
    host.dm(&["post", "db", "hi"]).is("", "dm: control is away\nhint: retry in a second\n", 3);
    assert_eq!(host.heard().len(), 1);
}

#[test]
fn a_long_wait_is_several_calls() {
    let message = json!({"seq": 9, "from": "owner", "body": "go"});
    let none = ok(&json!({"revision": 1, "messages": []}));
    let host =
        Host::answering([none.clone(), ok(&json!({"revision": 2, "messages": [message]})), none]);
    host.dm(&["inbox", "--take", "1", "--wait", "90"]).is("9\towner\tgo\n", "", 0);
    host.dm(&["inbox", "--take", "5"]).is("", "", 0);
    assert_eq!(
        host.heard(),
        [
            r#"POST /v1/self/inbox/take {"max":1,"timeout":60}"#,
            r#"POST /v1/self/inbox/take {"max":1,"timeout":60}"#,
            r#"POST /v1/self/inbox/take {"max":5,"timeout":0}"#,
        ]
    );
}

#[test]
fn notices_go_on_until_the_host_ends_them() {
    let notice =
        json!({"notice": {"mode": "stop", "deadline": "T", "vetoes_left": 3, "cause": "idle"}});
    let none = json!({"notice": null});
    let end = refused(409, &json!({"error": "it rests"}));
    let host = Host::answering([ok(&none), ok(&notice), ok(&notice), end]);
    host.dm(&["notices"]).is("stop\tT\t3\tidle\nstop\tT\t3\tidle\n", "dm: it rests\n", 1);
    let host = Host::answering([ok(&notice)]);
    host.dm(&["wait-notice"]).is("stop\tT\t3\tidle\n", "", 0);
    assert_eq!(host.heard(), ["GET /v1/self/notices?timeout=60 "]);
}

#[test]
fn a_reason_is_two_answers() {
    let (explain, wake) = (json!({"sentence": "awake"}), json!({"wake": null}));
    let host = Host::answering([ok(&explain), ok(&wake), ok(&explain), ok(&wake)]);
    host.dm(&["why"]).is("awake\n", "", 0);
    let both = json!({"explain": explain, "wake": wake});
    host.dm(&["why", "--json"]).is(&format!("{both}\n"), "", 0);
}

#[test]
fn a_body_may_come_from_standard_input() {
    let host = Host::answering([ok(&json!({"seq": 2}))]);
    host.dm_with_input(&["post", "db", "-"], "line\nline\n").is("2\n", "", 0);
    assert_eq!(host.heard(), [r#"POST /v1/peers/db/inbox {"body":"line\nline\n"}"#]);
}

#[test]
fn a_reader_that_has_left_is_no_crash() {
    let host = Host::answering([ok(&json!({"revision": 1, "facts": {"a": {"value": 1}}}))]);
    assert_eq!(host.dm_without_reader(&["get"]), Some(1));
}
