//! Any bytes as a message to the resolver, and any as what its upstream says. The first byte chooses
//! the way and the asker, the two after it say how long the question is.

#![no_main]

use dns::{Machine, NameRule, OtherNames, Zone, ZoneHandle, fuzzing};
use fuzz::runtime;
use libfuzzer_sys::fuzz_target;
use model::MachineId;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

/// Longest reply over UDP, in bytes. Source: DNS Flag Day 2020.
const UDP_MAX_BYTES: usize = 1_232;
/// Longest reply over UDP to who names no size, in bytes (RFC 1035, 4.2.1).
const PLAIN_UDP_MAX_BYTES: usize = 512;
/// A header of DNS, in bytes.
const HEADER_BYTES: usize = 12;
/// Code of a reply to who is told nothing.
const REFUSED: u8 = 5;

static ZONE: LazyLock<ZoneHandle> = LazyLock::new(zone);

fuzz_target!(|bytes: &[u8]| {
    let [choice, high, low, rest @ ..] = bytes else { return };
    let n_question = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (question, upstream) = rest.split_at(n_question);
    let (is_tcp, asker) = (choice & 1 == 1, choice >> 1 & 3);
    let source: IpAddr = match asker {
        0 => v4(200).into(),
        n => v4(n).into(),
    };
    let reply = |message: &[u8]| {
        runtime().block_on(fuzzing::reply(&ZONE, message, source, is_tcp, upstream))
    };
    let Some(answer) = reply(question) else { return };
    assert!(answer.len() >= HEADER_BYTES, "{answer:02x?}");
    assert_eq!(answer[..2], question[..2], "the id");
    assert_eq!(answer[2] & 0x80, 0x80, "a reply");
    assert!(is_tcp || answer.len() <= UDP_MAX_BYTES, "{}", answer.len());
    let n_additional = u16::from_be_bytes([question[10], question[11]]);
    assert!(is_tcp || n_additional > 0 || answer.len() <= PLAIN_UDP_MAX_BYTES, "no EDNS");
    if asker == 0 {
        assert_eq!(answer[6..10], [0; 4], "a stranger is told nothing: {answer:02x?}");
    }
    assert_eq!(reply(&answer), None, "a reply to a reply would go on for ever");
    // A machine without a way to any name outside hears of none.
    if asker == 2 && answer[3] & 0xf == REFUSED {
        assert_eq!(answer[6..8], [0, 0], "{answer:02x?}");
    }
});

fn v4(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(100, 64, 0, n)
}

/// Machine 1 may ask anything, machine 2 for one domain, machine 3 is of another network.
fn zone() -> ZoneHandle {
    let mut zone = Zone::new("fdaa::4".parse().expect("an address"));
    let only = NameRule::new(&["example.com", "*.example.org"], OtherNames::Refused);
    let rules = [None, Some(Arc::new(only.expect("a rule"))), None];
    for (n, name_rule) in (1..).zip(rules) {
        let label = ("role".to_owned(), "a".repeat(usize::from(n)));
        zone.upsert_machine(Machine {
            id: format!("0123456789abc{n}").parse::<MachineId>().expect("an id"),
            app: if n == 3 { "other" } else { "web" }.to_owned(),
            network: u32::from(n / 3),
            region: "local".to_owned(),
            is_up: true,
            v4: v4(n),
            v6: Ipv6Addr::new(0xfdaa, 0, 0, 0, 0, 0, u16::from(n), 2),
            metadata: BTreeMap::from([label]),
            process_group: Some("app".to_owned()),
            is_hidden: false,
            name_rule,
        });
    }
    ZoneHandle::new(zone)
}
