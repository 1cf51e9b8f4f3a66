//! Messages: posted once, delivered until acknowledged, ended when they go round in a circle.

use crate::desk::{running, sleeper};
use serde_json::{Value, json};
use testkit::{Instance, eventually};
use tests::fixture::with_busybox;

#[test]
fn a_message_posted_twice_is_one_message_and_wakes_once() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &json!({}), &json!({}));
    let message = json!({"body": "up!", "id": "order-1", "wake": true});
    let first = machine.post(&message);
    assert_eq!(machine.post(&message), first);
    machine.wait_for("started");
    assert_eq!(machine.get("/wake")["wake"]["cause"], "message");
    assert_eq!(machine.get("/inbox")["depth"], 1);
    let keyed = |body: &str| {
        let target = format!("{}/self/inbox", Instance::path(&machine.id));
        instance.request_with(
            "POST",
            &target,
            &[("idempotency-key", "order-2")],
            &json!({"body": body}),
        )
    };
    let (second, again) = (keyed("a").body["seq"].clone(), keyed("b").body["seq"].clone());
    assert_eq!(second, again);
    assert_eq!(machine.get("/inbox")["depth"], 2);
    machine.check_trace();
}

#[test]
fn an_inbox_refuses_what_it_has_no_room_for_and_takes_more_after_an_ack() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &json!({}), &json!({}));
    for n in 0..1000 {
        machine.post(&json!({"body": format!("{n}")}));
    }
    assert_eq!(
        machine.ask("POST", "/inbox", &json!({"body": "one more"})).refusal(429).code,
        "inbox_full"
    );
    drop(machine.ask("POST", "/inbox/ack", &json!({"seqs": [1, 2, 3]})).expect(200));
    machine.post(&json!({"body": "one more"}));
    let page = machine.get("/inbox?after=990&limit=5");
    let seqs: Vec<&Value> =
        page["messages"].as_array().expect("a list").iter().map(|m| &m["seq"]).collect();
    assert_eq!(seqs, [991, 992, 993, 994, 995]);
    machine.check_trace();
}

#[test]
fn messages_that_go_round_in_a_circle_end() {
    let instance = with_busybox();
    // Passes each message on to the other, with as many hops as it had.
    let pass_on = |peer: &str| {
        format!(
            "while true; do message=$(dm inbox --take 1 --wait 60s --json)
             hops=$(echo \"$message\" | sed 's/.*\"hops\":\\([0-9]*\\).*/\\1/')
             dm ack $(echo \"$message\" | sed 's/.*\"seq\":\\([0-9]*\\).*/\\1/')
             dm post {peer} again --hops $hops && echo passed on || echo ended at $hops; done"
        )
    };
    let left = running(&instance, "left", &json!({}), &pass_on("right"));
    let right = running(&instance, "right", &json!({}), &pass_on("left"));
    left.post(&json!({"body": "go"}));
    let both = || [instance.log(&left.id), instance.log(&right.id)].concat();
    eventually("the circle ends", || both().iter().any(|line| line == "ended at 8").then_some(()));
    assert_eq!(both().iter().filter(|line| *line == "passed on").count(), 7);
    eventually("all are acknowledged", || {
        [&left, &right].iter().all(|machine| machine.get("/inbox")["depth"] == 0).then_some(())
    });
}

#[test]
fn what_is_taken_and_not_acknowledged_stays() {
    let instance = with_busybox();
    let machine = running(&instance, "taker", &json!({}), "exec sleep 1000");
    machine.post(&json!({"body": "first"}));
    machine.post(&json!({"body": "second"}));
    assert_eq!(machine.sh("dm inbox --take 5"), "1\towner\tfirst\n2\towner\tsecond\n");
    assert_eq!(machine.sh("dm inbox --take 5"), "", "both are hidden for a minute");
    machine.sh("dm ack 1");
    let inbox = machine.get("/inbox");
    assert_eq!(
        (&inbox["depth"], &inbox["messages"][0]["deliveries"]),
        (&json!(1), &json!(1)),
        "{inbox}"
    );
    machine.check_trace();
}
