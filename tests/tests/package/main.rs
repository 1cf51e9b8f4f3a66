//! The Debian package, on a Debian that has nothing else.
//!
//! * [`house`]: a clean root with namespaces of its own, in which the package is installed.
//! * [`visits`]: somebody who asks a machine again and again.

mod house;
mod visits;

use house::House;
use std::time::Duration;
use visits::Visits;

/// Where visitors find the machine.
const PORT: u16 = 8080;

/// A machine with a web server behind a public port.
const CONFIG: &str = r#"{
    "image": "web",
    "init": {"exec": ["/bin/sh", "-c", "echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp"]},
    "services": [{"internal_port": 80, "autostop": "off",
        "ports": [{"port": 8080, "handlers": ["http"]}]}]
}"#;

#[test]
fn a_machine_answers_all_through_an_upgrade_and_ends_with_the_package() {
    let house = House::new();
    house.install("1.0");
    house.wait_until_served(None);
    assert_eq!(house.run("dpkg-query -W -f '${Version}' dormouse"), "1.0");
    let id = house.web_machine(CONFIG);
    let first = house.control_pid();
    let events = house.run(&format!("dormouse machine events {id} --json"));

    let visits = Visits::begin(&house, PORT);
    visits.wait_for_answers(20);
    house.install("1.1");
    house.wait_until_served(Some(first));
    visits.wait_for_answers(20);
    let (n_answers, failures) = visits.end();
    assert!(failures.is_empty(), "{} of {n_answers} failed: {failures:?}", failures.len());
    assert_eq!(house.run("dpkg-query -W -f '${Version}' dormouse"), "1.1");
    let now = house.run(&format!("dormouse machine events {id} --json"));
    assert_eq!(now, events, "something happened to the machine");

    // The new daemon has taken it over.
    house.run(&format!("dormouse machine stop {id} && dormouse machine wait {id} stopped"));
    house.run(&format!("dormouse machine start {id}"));
    house.run("dpkg --purge dormouse");
    house.wait_until("everything of it ends", Duration::from_secs(30), |house| {
        house.run("cat /proc/[0-9]*/comm 2>/dev/null || true").matches("dormouse").count() == 0
    });
    let left = house.run("find /etc /usr -path '*dormouse*' ! -path '/usr/share/doc*'");
    assert_eq!(left, "", "the package left files");
    // What machines have written is nobody's but their owner's to delete.
    house.run(&format!("test -e /var/lib/dormouse/machines/{id}"));
}

#[test]
fn a_stopped_daemon_stays_stopped_and_one_by_hand_needs_no_service() {
    let house = House::new();
    house.install("1.0");
    house.wait_until_served(None);
    house.run("service dormouse stop");
    house.install("1.1");
    house.run("! service dormouse status");
    house.run("dormouse up >/var/log/by-hand 2>&1 & exit 0");
    house.wait_until_served(None);
    house.run("dormouse down");
    house.run("service dormouse start && service dormouse status");
    house.wait_until_served(None);
    house.run("service dormouse restart && service dormouse status");
}

#[test]
fn what_comes_with_it_is_in_order() {
    let house = House::new();
    house.install("1.0");
    assert_eq!(house.run("dpkg --verify dormouse"), "");
    assert_eq!(
        house.run("dormouse --version"),
        format!("dormouse {}\n", env!("CARGO_PKG_VERSION"))
    );
    house.run("systemd-analyze verify --man=no dormouse.service");
    house
        .run("bash -c '. /usr/share/bash-completion/completions/dormouse && complete -p dormouse'");
    for page in ["dormouse", "dormouse-machine", "dormouse-machine-create", "dormouse-api"] {
        house.run(&format!("gzip -t /usr/share/man/man1/{page}.1.gz"));
    }
    let conffiles = house.run("dpkg-query -W -f '${Conffiles}' dormouse");
    for file in ["/etc/default/dormouse", "/etc/init.d/dormouse"] {
        assert!(conffiles.contains(file), "{conffiles}");
    }
}
