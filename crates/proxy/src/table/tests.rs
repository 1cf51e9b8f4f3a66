//! Records that come, change, grow old and go.

use super::Table;
use super::ports::{DOORS_MAX, Kind};
use crate::fixture::{app, id, machine, port, service};
use model::spec::service::{Handler, Transport};

const HTTP: &[Handler] = &[Handler::Http];

fn table(machines: &[(u32, &str, u16, &[Handler])]) -> Table {
    let mut table = Table::default();
    for (n, app, number, handlers) in machines {
        table.apply_machine(machine(*n, app, 1, vec![service(vec![port(*number, handlers)])]));
    }
    table
}

#[test]
fn names_find_apps() {
    let mut table = table(&[(1, "web", 80, HTTP), (2, "shop", 80, HTTP), (3, "solo", 81, HTTP)]);
    table.apply_app(app("web", 1, &["www.example.com", "*.web.example.com"]));
    table.apply_app(app("shop", 1, &["www.example.com", "a.web.example.com"]));
    #[track_caller]
    fn check(table: &Table, port: u16, host: &str, expected: Option<&str>) {
        assert_eq!(table.app_for_host(port, host), expected, "{host}");
    }
    check(&table, 80, "web.localhost", Some("web"));
    check(&table, 80, "WEB.localhost.:80", Some("web"));
    check(&table, 80, "x.web.localhost", None);
    check(&table, 80, "nobody.localhost", None);
    check(&table, 80, "www.example.com:8080", Some("web"));
    check(&table, 80, "b.web.example.com", Some("web"));
    check(&table, 80, "a.web.example.com", Some("shop"));
    check(&table, 80, "a.b.web.example.com", None);
    check(&table, 80, "localhost", None);
    check(&table, 80, "127.0.0.1", None);
    check(&table, 81, "localhost:81", Some("solo"));
    check(&table, 81, "127.0.0.1:81", Some("solo"));
    check(&table, 81, "[::1]:81", Some("solo"));
    check(&table, 81, "::1", Some("solo"));
    check(&table, 81, "", Some("solo"));
}

#[test]
fn the_first_to_claim_a_name_holds_it_until_it_lets_go() {
    let mut table = Table::default();
    table.apply_app(app("young", 1, &["b.example"]));
    table.apply_app(app("old", 1, &["a.example"]));
    table.apply_app(app("young", 2, &["a.example", "b.example"]));
    assert_eq!(table.names().holder("a.example"), Some("old"));
    assert_eq!(
        table.names().disputed(),
        [("a.example", &["old".to_owned(), "young".to_owned()][..])]
    );
    table.apply_app(app("old", 2, &[]));
    assert_eq!(table.names().holder("a.example"), Some("young"));
    table.remove_app("young");
    assert_eq!(table.names().holder("a.example"), None);
}

#[test]
fn a_raw_port_has_one_owner_and_others_share() {
    let table = table(&[
        (1, "a", 5432, &[]),
        (2, "b", 5432, &[]),
        (3, "a", 80, HTTP),
        (4, "b", 80, HTTP),
        (5, "c", 80, &[]),
        (6, "a", 443, &[Handler::Tls, Handler::Http]),
        (7, "b", 443, &[Handler::Tls]),
    ]);
    let at = |port| table.ports().at(Transport::Tcp, port).expect("claimed");
    assert_eq!(
        (at(5432).kind, at(5432).apps, at(5432).kept_out),
        (Kind::Raw, vec!["a".into()], vec!["b".into()])
    );
    assert_eq!((at(80).apps.len(), at(80).kept_out), (2, vec!["c".into()]));
    assert_eq!((at(443).kind, at(443).apps.len()), (Kind::Tls, 2));
    assert!(!table.ports().is_served(Transport::Tcp, 5432, "b"));
    assert!(table.ports().is_served(Transport::Tcp, 80, "b"));
    assert!(!table.ports().is_served(Transport::Tcp, 80, "c"));
    assert_eq!(table.ports().only_app(Transport::Tcp, 5432), Some("a"));
}

#[test]
fn an_owner_that_goes_leaves_the_port_to_the_next() {
    let mut table = table(&[(1, "a", 5432, &[]), (2, "b", 5432, &[])]);
    assert!(table.remove_machine(&id(1)).is_doors);
    assert_eq!(table.ports().owner(Transport::Tcp, 5432), Some("b"));
}

#[test]
fn older_records_are_dropped_and_ranges_are_bounded() {
    let mut table = Table::default();
    let mut wide = port(1, &[]);
    wide.last = u16::MAX;
    table.apply_machine(machine(1, "a", 5, vec![service(vec![wide])]));
    assert_eq!(table.ports().all().len(), DOORS_MAX);
    assert_eq!(table.ports().n_left_off(), usize::from(u16::MAX) - DOORS_MAX);
    assert!(table.apply_machine(machine(1, "a", 4, vec![])).machines.is_empty());
    assert!(table.apply_machine(machine(1, "a", 6, vec![])).is_doors);
    assert!(table.ports().all().is_empty());
}

#[test]
fn what_is_not_sent_again_is_gone() {
    let mut table = table(&[(1, "a", 80, HTTP), (2, "b", 80, HTTP)]);
    table.apply_app(app("a", 9, &[]));
    table.begin_resync();
    let again = machine(1, "a", 1, vec![service(vec![port(80, HTTP)])]);
    assert!(table.apply_machine(again).machines.is_empty(), "it is the same");
    let older = machine(1, "a", 0, vec![]);
    assert!(table.apply_machine(older).machines.is_empty(), "and then generations count");
    let gone = table.complete();
    assert_eq!((gone.machines, gone.apps), (vec![id(2)], vec!["a".to_owned()]));
    assert!(table.machine(&id(1)).is_some());
}
