//! More machines are up than their visitors need.

use crate::awake::socket;
use crate::house::{House, PORT, Place, host};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::eventually;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Longest wait for a message that is on its way.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn of_two_below_their_limit_one_lets_its_visitors_finish_and_goes() {
    let house = House::new();
    let concurrency = json!({"type": "requests", "soft_limit": 5});
    let service = json!({"autostop": "stop", "idle_timeout_s": 1, "concurrency": concurrency});
    let [first, second] = [(); 2].map(|()| house.awake("web", &service, &json!({})));
    let mut sockets = [socket(&house, &first).await, socket(&house, &second).await];
    for place in [&first, &second] {
        house.wait_for_keeper(place, "requests");
    }
    house.pass();

    let is_up = |place| house.state(place) == "started";
    let went = eventually("one of them rests", || match (is_up(&first), is_up(&second)) {
        (true, true) => None,
        (false, true) => Some(0),
        (true, false) => Some(1),
        (false, false) => panic!("both rest"),
    });
    let [gone, stays] = if went == 0 { [&first, &second] } else { [&second, &first] };
    house.wait_for(gone, "stopped");
    let stopped = house.cause_of(gone, "stop");
    assert_eq!(stopped["cause"], json!({"cause": "excess", "after": 1_000}), "{stopped}");
    assert_eq!(stopped["message"], "by autostop, after 1 s with one machine too many");

    let heard = tokio::time::timeout(SOON, sockets[went].next()).await.expect("in time");
    match heard.expect("a word").expect("a message") {
        Message::Close(Some(frame)) => assert_eq!(frame.code, CloseCode::Away),
        other => panic!("it was told {other:?}"),
    }
    sockets[1 - went].send(Message::text("still there?")).await.expect("sent");
    let heard = tokio::time::timeout(SOON, sockets[1 - went].next()).await.expect("in time");
    assert_eq!(heard.expect("a word").expect("a message"), Message::text("still there?"));
    assert_eq!(house.state(stays), "started");
}

/// Longest time that visitors of a machine that is one too many have to finish. Source: docs/idle.md.
const FAREWELL: Duration = Duration::from_secs(10);

/// Its WebSocket goes when it is told to, its request does not.
#[tokio::test(flavor = "multi_thread")]
async fn one_whose_visitors_do_not_finish_in_time_stays_and_is_visited_again() {
    let house = House::new();
    let concurrency = json!({"type": "requests", "soft_limit": 5});
    let service = json!({"autostop": "stop", "idle_timeout_s": 3, "concurrency": concurrency});
    let both = [(); 2].map(|()| house.awake("web", &service, &json!({})));
    let _requests = both.each_ref().map(|place| house.hang(place));
    let mut sockets = [socket(&house, &both[0]).await, socket(&house, &both[1]).await];
    let n_requests = |place: &Place| house.wait_for_keeper(place, "requests")["n"].clone();
    for place in &both {
        eventually("both count", || (n_requests(place) == 2).then_some(()));
    }
    house.pass();

    let [first, second] = &mut sockets;
    let told = async {
        tokio::select! { word = first.next() => (0, word), word = second.next() => (1, word) }
    };
    let (leaving, word) = tokio::time::timeout(SOON, told).await.expect("one is one too many");
    let since = Instant::now();
    assert!(matches!(word, Some(Ok(Message::Close(_)))), "{word:?}");
    let (leaving, stays) = (&both[leaving], &both[1 - leaving]);
    let visited = || {
        let reply = house.instance.visit(PORT, &host(leaving), "/");
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.header("x-machine").expect("a machine").to_owned()
    };
    assert_eq!(visited(), stays.id, "nobody new is sent to the one that is to go");
    eventually("it is visited again", || (visited() == leaving.id).then_some(()));
    // It was told to go before that was heard of.
    assert!(since.elapsed() > FAREWELL / 2, "after {:?}", since.elapsed());
    for place in &both {
        assert_eq!(house.state(place), "started");
    }
    assert_eq!(n_requests(leaving), 1, "its request goes on");
}

/// Each stands above its limit of one, so each is needed, and one more would be.
#[tokio::test(flavor = "multi_thread")]
async fn machines_above_their_limit_are_not_too_many() {
    let house = House::new();
    let concurrency = json!({"type": "requests", "soft_limit": 1});
    let service = json!({"autostop": "stop", "idle_timeout_s": 1, "concurrency": concurrency});
    let [first, second] = [(); 2].map(|()| house.awake("web", &service, &json!({})));
    let lone = house.awake("lone", &service, &json!({}));
    let mut visitors = Vec::new();
    for place in [&first, &second] {
        visitors.extend([house.hang(place), house.hang(place)]);
        eventually("both count", || {
            let kept = house.wait_for_keeper(place, "requests");
            (kept["n"] == 2).then_some(())
        });
    }
    house.pass();
    house.wait_for(&lone, "stopped");
    for place in [&first, &second] {
        assert_eq!(house.state(place), "started");
        house.wait_for_keeper(place, "requests");
    }
}
