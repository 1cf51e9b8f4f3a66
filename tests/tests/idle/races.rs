//! Visitors who come at the moment at which their machine is put to rest.

use crate::house::{House, PORT, host, stops};
use serde_json::json;
use std::time::Duration;
use testkit::{Asked, report};

const ROUNDS: u32 = 60;

/// Each round the clock is set forward, so that the machine rests at once, and a visitor comes
/// somewhat later, by another few hundred microseconds each time. Every one is answered.
#[test]
fn no_visitor_is_lost_between_awake_and_asleep() {
    let house = House::new();
    let suspends = json!({"autostop": "suspend", "idle_timeout_s": 1});
    for (app, service) in [("stops", stops()), ("freezes", suspends)] {
        let web = house.awake(app, &service, &json!({}));
        let name = host(&web);
        for round in 0..ROUNDS {
            house.wait_until_left(&web);
            house.pass();
            std::thread::sleep(Duration::from_micros(u64::from(round) * 300));
            let reply = house.instance.try_visit(PORT, &Asked::get(&name, "/"));
            let reply = reply.unwrap_or_else(|error| panic!("{app}, round {round}: {error}"));
            assert_eq!(reply.status, 200, "{app}, round {round}: {}", reply.text);
        }
        let events = house.get(&web, "/events?limit=50");
        let events = events.as_array().expect("a list");
        let n_rests = events.iter().filter(|event| event["cause"]["cause"] == "idle").count();
        assert!(n_rests > 0, "it was never put to rest: {events:#?}");
        report::line("idle", &format!("autostop-races {ROUNDS} {app}, {n_rests} rests"));
    }
}
