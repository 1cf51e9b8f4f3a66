//! Programs that say "ask that one".

use super::house::House;
use super::program::{Answer, Program, answer, mirror};
use super::raw::Raw;
use crate::fixture;
use hyper::Request;
use hyper::body::Incoming;
use model::spec::service::HttpOptions;
use proxy_proto::MachineRoute;

const ONE: &str = "00000000000001";
const TWO: &str = "00000000000002";

/// A program that orders `order`, unless it is asked because a replay failed.
async fn orders(order: String) -> Program {
    Program::http(move |request| {
        let order = order.clone();
        async move {
            if request.headers().contains_key("fly-replay-failed") {
                return mirror(request).await;
            }
            let mut answer = answer("not for visitors");
            answer.headers_mut().insert("fly-replay", order.parse().expect("a value"));
            answer
        }
    })
    .await
}

/// A house in which machine 1 of app `web` orders, and 2 of `app` answers.
struct Pair {
    house: House,
    source: Program,
    target: Program,
}

impl Pair {
    async fn of(order: &str, app: &str, network: u32) -> Self {
        let (source, target) = (orders(order.to_owned()).await, Program::mirror().await);
        let one = source.machine(1, "web", HttpOptions::default());
        let two = MachineRoute { network, ..target.machine(2, app, HttpOptions::default()) };
        Self { house: House::of(vec![one, two]).await, source, target }
    }

    /// What a visitor of machine 1 gets.
    async fn ask(&self, request: &str) -> (String, String) {
        let mut raw = Raw::to(&self.house).await;
        raw.say(request).await;
        let answered = raw.hear_answer().await;
        self.house.until_idle(1).await;
        self.house.until_idle(2).await;
        answered
    }

    async fn get(&self) -> (String, String) {
        self.ask(&format!(
            "GET /a?b HTTP/1.1\r\nHost: web.localhost\r\nfly-force-instance-id: {ONE}\r\n\r\n"
        ))
        .await
    }

    /// It is refused with this code.
    async fn check_refused(&self, code: &str) {
        let (head, body) = self.get().await;
        assert!(head.starts_with("http/1.1 502"), "{head}");
        assert!(body.contains(&format!("\"code\":\"{code}\"")), "{body}");
    }
}

#[tokio::test]
async fn another_machine_answers_and_knows_who_sent_it() {
    for order in [
        format!("instance={TWO};state=x y"),
        format!("prefer_instance={TWO};state=x y"),
        "elsewhere=true;state=x y".to_owned(),
    ] {
        let pair = Pair::of(&order, "web", 1).await;
        let (head, body) = pair.get().await;
        assert!(head.starts_with("http/1.1 200") && !head.contains("fly-replay"), "{head}");
        assert!(body.starts_with("GET /a?b\n"), "{body}");
        let src = body.lines().find_map(|line| line.strip_prefix("fly-replay-src: "));
        let src = src.expect("it is told");
        assert!(src.starts_with(&format!("instance={ONE};region=local;t=")), "{src}");
        assert!(src.ends_with(";state=x y"), "{src}");
        assert_eq!((pair.source.n_accepted(), pair.target.n_accepted()), (1, 1), "{order}");
    }
}

#[tokio::test]
async fn bodies_up_to_a_mebibyte_are_sent_again() {
    let pair = Pair::of("app=other", "other", 1).await;
    for (n_bytes, expected) in [(5, "200"), (1024 * 1024, "200"), (1024 * 1024 + 1, "502")] {
        let body = "x".repeat(n_bytes);
        // The source reads it all first, so that all of it must be sent twice.
        let source = Program::http(|request: Request<Incoming>| async move {
            mirror(request).await;
            let mut answer: Answer = answer("");
            answer.headers_mut().insert("fly-replay", "app=other".parse().expect("a value"));
            answer
        })
        .await;
        let one = source.machine(1, "web", HttpOptions::default());
        let next = MachineRoute {
            generation: 100 + n_bytes as u64,
            state: fixture::up(&n_bytes.to_string()),
            ..one
        };
        pair.house.desk.with(|book, now| book.apply_machine(next, now));
        let request = format!(
            "POST / HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: {n_bytes}\r\n\r\n{body}"
        );
        let (head, answered) = pair.ask(&request).await;
        assert!(head.starts_with(&format!("http/1.1 {expected}")), "{n_bytes}: {head}");
        match expected {
            "200" => assert!(answered.ends_with(&format!("\n{body}")), "{n_bytes}"),
            _ => assert!(answered.contains("replay_body_too_large"), "{answered}"),
        }
    }
}

#[tokio::test]
async fn apps_of_the_same_network_only() {
    let (head, _) = Pair::of("app=other", "other", 1).await.get().await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    Pair::of("app=other", "other", 2).await.check_refused("replay_other_network").await;
    Pair::of("app=nobody", "other", 1).await.check_refused("replay_unknown_app").await;
}

#[tokio::test]
async fn loops_end_and_nonsense_is_refused() {
    let pair = Pair::of(&format!("instance={ONE}"), "web", 1).await;
    pair.check_refused("replay_loop").await;
    assert!(pair.source.n_accepted() <= 11);
    Pair::of("nonsense", "web", 1).await.check_refused("replay_malformed").await;
    Pair::of("instance=x", "web", 1).await.check_refused("replay_malformed").await;
}

#[tokio::test]
async fn a_failed_replay_falls_back_when_it_says_so() {
    let missing = "00000000000009";
    for fallback in ["force_self", "prefer_self"] {
        let pair = Pair::of(&format!("instance={missing};fallback={fallback}"), "other", 1).await;
        let (head, body) = pair.get().await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let failed = body.lines().find_map(|line| line.strip_prefix("fly-replay-failed: "));
        let failed = failed.expect("it is told");
        assert!(failed.starts_with(&format!("instance={ONE};app=web;region=local;")), "{failed}");
        assert!(failed.contains("reason=no_candidate;elapsed_ms="), "{failed}");
    }
    let pair = Pair::of(&format!("instance={missing}"), "web", 1).await;
    let (head, _) = pair.get().await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
}

#[tokio::test]
async fn a_replay_that_takes_too_long_falls_back() {
    let order = format!("instance={TWO};timeout=100ms;fallback=force_self");
    let pair = Pair::of(&order, "web", 1).await;
    // Nobody wakes it.
    let two = pair.target.machine(2, "web", HttpOptions::default());
    let state = proxy_proto::RouteState::Asleep;
    let asleep = MachineRoute { generation: 2, state, ..two };
    pair.house.desk.with(|book, now| book.apply_machine(asleep, now));
    let (head, body) = pair.get().await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(body.contains("reason=timeout"), "{body}");
}

#[tokio::test]
async fn the_json_form_may_change_the_request() {
    let source = Program::http(|_request| async {
        let order = format!(
            r#"{{"instance":"{TWO}","transform":{{"path":"/changed?x",
                "delete_headers":["x-old"],
                "set_headers":[{{"name":"x-new","value":"1"}},{{"name":"host","value":"evil"}}]}}}}"#
        );
        let mut answer = answer(order);
        let kind = "application/vnd.fly.replay+json".parse().expect("a value");
        answer.headers_mut().insert("content-type", kind);
        answer
    })
    .await;
    let target = Program::mirror().await;
    let house = House::of(vec![
        source.machine(1, "web", HttpOptions::default()),
        target.machine(2, "web", HttpOptions::default()),
    ])
    .await;
    let mut raw = Raw::to(&house).await;
    raw.say(format!(
        "GET /a HTTP/1.1\r\nHost: web.localhost\r\nfly-force-instance-id: {ONE}\r\nX-Old: 1\r\n\r\n"
    ))
    .await;
    let (_, body) = raw.hear_answer().await;
    assert!(body.starts_with("GET /changed?x\n"), "{body}");
    assert!(body.contains("x-new: 1") && !body.contains("x-old"), "{body}");
    assert!(body.contains("host: web.localhost") && !body.contains("evil"), "{body}");
}

#[tokio::test]
async fn a_replay_wakes_a_machine_that_sleeps() {
    let pair = Pair::of(&format!("instance={TWO}"), "web", 1).await;
    let two = pair.target.machine(2, "web", HttpOptions::default());
    let state = proxy_proto::RouteState::Asleep;
    let asleep = MachineRoute { generation: 2, state, ..two.clone() };
    pair.house.desk.with(|book, now| book.apply_machine(asleep, now));
    let awake = MachineRoute { generation: 3, state: fixture::up("run2"), ..two };
    let woken = pair.house.answer_knock(|machine| {
        assert_eq!(machine.as_str(), TWO);
        fixture::ready(awake.clone())
    });
    let ((head, body), ()) = tokio::join!(pair.get(), woken);
    assert!(head.contains("dormouse-decision: woken; request"), "{head}");
    assert!(body.contains("fly-replay-src"), "{body}");
}
