//! Visitors of machines that sleep.

use super::house::House;
use super::program::Program;
use super::raw::Raw;
use crate::fixture;
use model::spec::service::HttpOptions;
use proxy_proto::message::KnockTiming;
use proxy_proto::{KnockOutcome, MachineRoute, RefusalScope, RouteState};

const GET: &str = "GET / HTTP/1.1\r\nHost: web.localhost\r\n\r\n";

async fn asleep(program: &Program, http: HttpOptions) -> (House, MachineRoute) {
    let machine = program.machine(1, "web", http);
    let house =
        House::of(vec![MachineRoute { state: RouteState::Asleep, ..machine.clone() }]).await;
    (house, MachineRoute { generation: 2, ..machine })
}

fn ready(awake: &MachineRoute) -> KnockOutcome {
    let timing =
        KnockTiming { commit_us: 1500, engine_us: 2000, listen_us: 3000, ..KnockTiming::default() };
    let decision = "woken; request".to_owned();
    KnockOutcome::Ready { route: Box::new(awake.clone()), decision, timing }
}

#[tokio::test]
async fn a_woken_answer_says_where_the_time_went() {
    let program = Program::mirror().await;
    let (house, awake) = asleep(&program, HttpOptions::default()).await;
    let mut raw = Raw::to(&house).await;
    raw.say(GET).await;
    house.answer_knock(|_machine| ready(&awake)).await;
    let (head, _) = raw.hear_answer().await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("dormouse-decision: woken; request"), "{head}");
    assert!(head.contains("server-timing: admission;dur=0.000, commit;dur=1.500, "), "{head}");
    assert!(head.contains("engine;dur=2.000, listen;dur=3.000, hold;dur="), "{head}");
    raw.say(GET).await;
    let (head, _) = raw.hear_answer().await;
    assert!(!head.contains("server-timing"), "the next was not held: {head}");
}

#[tokio::test]
async fn a_body_waits_with_its_visitor_and_arrives_whole() {
    let program = Program::mirror().await;
    let (house, awake) = asleep(&program, HttpOptions::default()).await;
    let mut raw = Raw::to(&house).await;
    let body = "x".repeat(3 * 1024 * 1024);
    let head =
        format!("POST / HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    let sent = async {
        raw.say(head).await;
        raw.say(&body).await;
    };
    tokio::join!(sent, house.answer_knock(|_machine| ready(&awake)));
    let (_, answered) = raw.hear_answer().await;
    assert!(answered.ends_with(&format!("\n{body}")));
}

#[tokio::test]
async fn a_refused_wake_says_why_and_when_to_come_back() {
    let program = Program::mirror().await;
    let (house, _) = asleep(&program, HttpOptions::default()).await;
    let mut raw = Raw::to(&house).await;
    raw.say(GET).await;
    house.answer_knock(|_machine| fixture::refused("denied", RefusalScope::Machine, 2500)).await;
    let (head, body) = raw.hear_answer().await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert!(head.contains("retry-after: 3"), "{head}");
    assert!(head.contains("dormouse-decision: refused; denied"), "{head}");
    assert!(body.contains("\"code\":\"denied\"") && body.contains("\"retryable\":true"), "{body}");
}

#[tokio::test]
async fn a_visitor_says_how_long_it_is_willing_to_wait() {
    let program = Program::mirror().await;
    let (house, _) = asleep(&program, HttpOptions::default()).await;
    let mut raw = Raw::to(&house).await;
    raw.say("GET / HTTP/1.1\r\nHost: web.localhost\r\nDormouse-Hold: 100ms\r\n\r\n").await;
    let (head, body) = raw.hear_answer().await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert!(body.contains("wake_timeout"), "{body}");
}

#[tokio::test]
async fn a_pristine_port_is_silent_about_wakes() {
    let program = Program::mirror().await;
    let http = HttpOptions { is_pristine: true, ..HttpOptions::default() };
    let (house, awake) = asleep(&program, http).await;
    let mut raw = Raw::to(&house).await;
    raw.say(GET).await;
    house.answer_knock(|_machine| ready(&awake)).await;
    let (head, _) = raw.hear_answer().await;
    assert!(!head.contains("dormouse") && !head.contains("server-timing"), "{head}");
}
