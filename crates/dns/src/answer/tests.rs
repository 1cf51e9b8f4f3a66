//! Answers from the zone.

use super::*;
use crate::zone::Zone;
use hickory_proto::op::Message;
use model::MachineId;

const API: &str = "fdaa::4";

/// Two networks: 1 with `web` (two started in `here`, one stopped in `there`, one hidden), `idle`
/// (one stopped) and `empty` (declared only); 2 with `other`.
fn zone() -> Zone {
    let mut zone = Zone::new(API.parse().expect("an address"));
    zone.upsert_app("empty", 1);
    zone.upsert_app("web", 1);
    for machine in [
        machine(1, "web", 1),
        Machine { region: "there".to_owned(), ..machine(2, "web", 1) },
        Machine { is_up: false, region: "there".to_owned(), ..machine(3, "web", 1) },
        Machine { is_up: false, region: "far".to_owned(), ..machine(4, "web", 1) },
        Machine { is_hidden: true, region: "secret".to_owned(), ..machine(5, "web", 1) },
        Machine { is_up: false, ..machine(6, "Idle", 1) },
        machine(7, "other", 2),
    ] {
        zone.upsert_machine(machine);
    }
    zone
}

fn id(number: u8) -> MachineId {
    format!("{number:014x}").parse().expect("an id")
}

fn address(number: u8) -> String {
    format!("fdaa:0:1:a7b::{number}:2")
}

fn machine(number: u8, app: &str, network: u32) -> Machine {
    let role = if number == 1 { "leader" } else { "Follower" };
    Machine {
        id: id(number),
        app: app.to_owned(),
        network,
        region: "here".to_owned(),
        is_up: true,
        v4: [100, 64, 0, number].into(),
        v6: address(number).parse().expect("an address"),
        metadata: [("role".to_owned(), role.to_owned())].into(),
        process_group: Some(if number == 2 { "worker" } else { "app" }.to_owned()),
        is_hidden: false,
        name_rule: None,
    }
}

/// What machine `number` is told: the records, or the code when there are none.
fn ask_as(number: u8, name: &str, kind: RecordType) -> String {
    let zone = zone();
    let asker = zone.asker(address(number).parse().expect("an address")).expect("a machine");
    let question = Query::query(Name::from_ascii(name).expect("a name"), kind);
    let Answer::Ours(own) = answer(&question, &asker, &zone) else { return "elsewhere".to_owned() };
    for record in &own.answers {
        assert_eq!(record.ttl, 5, "{name}");
        assert!(kind == RecordType::SOA || record.name.eq_case(&question.name), "{name}");
    }
    let is_empty = own.answers.is_empty() && own.code != ResponseCode::Refused;
    assert_eq!(own.soa.is_some(), is_empty, "{name}: an SOA exactly where there is nothing");
    match (own.answers.as_slice(), own.code) {
        ([], ResponseCode::NoError) => "empty".to_owned(),
        ([], code) => code.to_string(),
        (records, _) => records.iter().map(shown).collect::<Vec<_>>().join(" "),
    }
}

fn shown(record: &Record) -> String {
    match &record.data {
        RData::AAAA(aaaa) if aaaa.0.to_string() == API => "api".to_owned(),
        RData::AAAA(aaaa) => format!("m{}", aaaa.0.segments()[6]),
        RData::TXT(txt) => String::from_utf8(txt.txt_data.concat()).expect("text"),
        other => other.record_type().to_string(),
    }
}

#[track_caller]
fn aaaa(name: &str, expected: &str) {
    assert_eq!(ask_as(1, name, RecordType::AAAA), expected, "AAAA {name}");
}

#[track_caller]
fn txt(name: &str, expected: &str) {
    assert_eq!(ask_as(1, name, RecordType::TXT), expected, "TXT {name}");
}

const UNKNOWN: &str = "Non-Existent Domain";

#[test]
fn addresses_by_every_documented_form() {
    aaaa("web.internal.", "m1 m2");
    aaaa("global.web.internal.", "m1 m2");
    aaaa("here.web.internal.", "m1");
    aaaa("there.web.internal.", "m2");
    aaaa("top1.nearest.of.web.internal.", "m1");
    aaaa("top2.nearest.of.web.internal.", "m1 m2");
    aaaa("top99999.nearest.of.web.internal.", "m1 m2");
    aaaa("00000000000002.vm.web.internal.", "m2");
    aaaa("worker.process.web.internal.", "m2");
    aaaa("app.process.web.internal.", "m1");
    aaaa("leader.role.kv._metadata.web.internal.", "m1");
    aaaa("follower.role.kv._metadata.web.internal.", "m2");
    aaaa("_api.internal.", "api");
}

#[test]
fn the_nearest_are_those_of_the_askers_region() {
    assert_eq!(ask_as(2, "top1.nearest.of.web.internal.", RecordType::AAAA), "m2");
    assert_eq!(ask_as(3, "top2.nearest.of.web.internal.", RecordType::AAAA), "m2 m1");
}

#[test]
fn lists_by_every_documented_form() {
    txt("vms.web.internal.", "00000000000001 here,00000000000002 there");
    txt(
        "all.vms.web.internal.",
        "00000000000001 here,00000000000002 there,00000000000003 there,00000000000004 far",
    );
    txt("regions.web.internal.", "here,there");
    txt("all.regions.web.internal.", "far,here,there");
    txt("_apps.internal.", "empty,idle,web");
    txt("_peer.internal.", "empty");
    txt(
        "_instances.internal.",
        "instance=00000000000001,app=web,ip=fdaa:0:1:a7b::1:2,region=here;\
         instance=00000000000002,app=web,ip=fdaa:0:1:a7b::2:2,region=there",
    );
    let all = ask_as(1, "all._instances.internal.", RecordType::TXT);
    assert_eq!(all.split(';').count(), 5, "{all}");
    assert!(all.contains("app=Idle"), "{all}");
}

#[test]
fn known_names_without_started_machines_are_empty() {
    aaaa("empty.internal.", "empty");
    aaaa("idle.internal.", "empty");
    aaaa("far.web.internal.", "empty");
    aaaa("00000000000003.vm.web.internal.", "empty");
    aaaa("top3.nearest.of.idle.internal.", "empty");
    aaaa("app.process.idle.internal.", "empty");
    txt("vms.idle.internal.", "empty");
    txt("all.vms.idle.internal.", "00000000000006 here");
    txt("regions.empty.internal.", "empty");
}

#[test]
fn names_above_others_are_empty() {
    for name in [
        "internal.",
        "vm.web.internal.",
        "process.web.internal.",
        "of.web.internal.",
        "nearest.of.web.internal.",
        "_metadata.web.internal.",
        "kv._metadata.web.internal.",
        "role.kv._metadata.web.internal.",
    ] {
        aaaa(name, "empty");
    }
}

#[test]
fn unknown_names_do_not_exist() {
    for name in [
        "nobody.internal.",
        "global.nobody.internal.",
        "nowhere.web.internal.",
        "all.web.internal.",
        "00000000000009.vm.web.internal.",
        "nothing.process.web.internal.",
        "x.role.kv._metadata.web.internal.",
        "x.kv._metadata.web.internal.",
        "leader.nothing.kv._metadata.web.internal.",
        "top0.nearest.of.web.internal.",
        "top.nearest.of.web.internal.",
        "top-1.nearest.of.web.internal.",
        "top99999999999999999999.nearest.of.web.internal.",
        "somebody._peer.internal.",
        "a.b.c.d.web.internal.",
        "_other.internal.",
    ] {
        aaaa(name, UNKNOWN);
        txt(name, UNKNOWN);
    }
}

#[test]
fn labels_that_are_no_text_name_nothing() {
    let (zone, asker) = (zone(), machine(1, "web", 1));
    let code_of = |labels: Vec<&[u8]>| {
        let name = Name::from_labels(labels).expect("a name");
        match answer(&Query::query(name, RecordType::AAAA), &asker, &zone) {
            Answer::Ours(own) => Some(own.code),
            Answer::Elsewhere => None,
        }
    };
    assert_eq!(code_of(vec![b"\xff\0", b"internal"]), Some(ResponseCode::NXDomain));
    assert_eq!(code_of(vec![b"web.internal"]), None, "a dot inside a label");
    let top = vec![&b"top+1"[..], b"nearest", b"of", b"web", b"internal"];
    assert_eq!(code_of(top), Some(ResponseCode::NXDomain));
}

#[test]
fn names_of_other_networks_look_like_unknown_ones() {
    for (name, twin) in [
        ("other.internal.", "nobody.internal."),
        ("vms.other.internal.", "vms.nobody.internal."),
        ("00000000000007.vm.other.internal.", "00000000000007.vm.nobody.internal."),
        ("00000000000007.vm.web.internal.", "00000000000009.vm.web.internal."),
    ] {
        for kind in [RecordType::AAAA, RecordType::TXT, RecordType::ANY] {
            assert_eq!(ask_as(1, name, kind), UNKNOWN, "{name}");
            assert_eq!(ask_as(1, name, kind), ask_as(1, twin, kind), "{name}");
        }
    }
    assert_eq!(ask_as(7, "other.internal.", RecordType::AAAA), "m7");
    assert_eq!(ask_as(7, "web.internal.", RecordType::AAAA), UNKNOWN);
    assert_eq!(ask_as(7, "_apps.internal.", RecordType::TXT), "other");
    assert_eq!(ask_as(7, "_api.internal.", RecordType::AAAA), "api");
}

#[test]
fn hidden_machines_have_no_names_and_may_ask() {
    aaaa("00000000000005.vm.web.internal.", UNKNOWN);
    aaaa("secret.web.internal.", UNKNOWN);
    assert_eq!(ask_as(5, "web.internal.", RecordType::AAAA), "m1 m2");
}

#[test]
fn case_does_not_matter() {
    aaaa("WEB.InterNAL.", "m1 m2");
    aaaa("HERE.Web.internal.", "m1");
    aaaa("TOP1.NEAREST.OF.WEB.INTERNAL.", "m1");
    aaaa("FOLLOWER.ROLE.KV._METADATA.web.internal.", "m2");
    txt("ALL.VMS.iDLE.INTERNAL.", "00000000000006 here");
}

#[test]
fn other_types_are_empty_and_any_is_minimal() {
    for kind in [RecordType::A, RecordType::MX, RecordType::TXT, RecordType::Unknown(65_280)] {
        assert_eq!(ask_as(1, "web.internal.", kind), "empty");
        assert_eq!(ask_as(1, "nobody.internal.", kind), UNKNOWN);
    }
    assert_eq!(ask_as(1, "vms.web.internal.", RecordType::AAAA), "empty");
    assert_eq!(ask_as(1, "internal.", RecordType::SOA), "SOA");
    assert_eq!(ask_as(1, "web.internal.", RecordType::SOA), "empty");
    assert_eq!(ask_as(1, "web.internal.", RecordType::ANY), "HINFO");
    assert_eq!(ask_as(1, "web.internal.", RecordType::AXFR), "Query Refused");
}

#[test]
fn flycast_and_private_reverse_names_are_ours_and_do_not_exist() {
    aaaa("web.flycast.", UNKNOWN);
    aaaa("flycast.", "empty");
    let reverse = format!("{}a.a.d.f.ip6.arpa.", "0.".repeat(28));
    assert_eq!(ask_as(1, &reverse, RecordType::PTR), UNKNOWN);
}

#[test]
fn other_names_are_elsewhere() {
    for name in ["example.com.", ".", "internal.example.com.", "notinternal.", "xflycast.", "arpa."]
    {
        aaaa(name, "elsewhere");
    }
}

#[test]
fn long_lists_are_cut_at_whole_entries_and_fit_a_message() {
    let mut zone = zone();
    for number in 0..3_000_u32 {
        let mut many = machine(9, "many", 1);
        many.id = format!("{:014x}", 0x1000 + number).parse().expect("an id");
        many.v6 = Ipv6Addr::from_bits(many.v6.to_bits() + (u128::from(number) << 32));
        zone.upsert_machine(many);
    }
    let asker = machine(1, "web", 1);
    let sent = |name: &str, kind| {
        let question = Query::query(Name::from_ascii(name).expect("a name"), kind);
        let Answer::Ours(own) = answer(&question, &asker, &zone) else { panic!("ours") };
        let mut message = Message::query();
        message.answers = own.answers;
        let bytes = message.to_vec().expect("writable");
        let message = Message::from_vec(&bytes).expect("readable");
        assert!(!message.metadata.truncation, "it fits");
        (message.answers.len(), bytes.len())
    };
    assert_eq!(sent("many.internal.", RecordType::AAAA).0, RECORDS_MAX);
    let (n_records, n_bytes) = sent("all._instances.internal.", RecordType::TXT);
    assert!(n_records == 1 && n_bytes > 59_000, "{n_bytes} bytes");
}

#[test]
fn the_zone_follows_its_records() {
    let mut zone = zone();
    let v4 = |number| zone_address(number);
    assert!(zone.asker(v4(1)).is_some());
    assert!(zone.asker("fdaa:0:1:a7b::1:77".parse().expect("an address")).is_some(), "its /112");
    assert!(zone.asker("::ffff:100.64.0.1".parse().expect("an address")).is_some());
    assert!(zone.asker("fdaa:0:1:a7b::9:2".parse().expect("an address")).is_none());
    zone.upsert_machine(Machine { network: 2, ..machine(1, "web", 2) });
    assert_eq!(zone.asker(v4(1)).map(|machine| machine.network), Some(2));
    for number in 1..=7 {
        zone.remove_machine(&id(number));
        assert!(zone.asker(v4(number)).is_none());
    }
    assert!(zone.network(2).is_none(), "nothing is left of a network without apps");
    assert!(zone.network(1).is_some_and(|network| network.app("web").is_some()), "still declared");
    zone.upsert_app("web", 3);
    zone.remove_app("empty");
    assert!(zone.network(1).is_none());
    zone.remove_app("web");
    assert!(zone.network(3).is_none());
    assert_eq!(zone.machine_ids().count(), 0);
}

#[test]
fn an_address_that_was_given_on_belongs_to_its_new_machine() {
    let mut zone = zone();
    zone.upsert_machine(Machine { v4: [100, 64, 0, 1].into(), ..machine(8, "web", 1) });
    zone.remove_machine(&id(1));
    assert_eq!(zone.asker(zone_address(1)).map(|machine| machine.id.clone()), Some(id(8)));
}

fn zone_address(number: u8) -> std::net::IpAddr {
    [100, 64, 0, number].into()
}
