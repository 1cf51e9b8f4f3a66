//! The end of a machine: what it has written stays, whoever cuts the power then.

use crate::harness::{House, code, shell};
use guest_proto::{Orders, ToGuest};
use std::fs;
use std::process::Command;
use testkit::place;

impl House {
    /// Mounts the disk where nobody else sees it, as it is, and reads a file of its upper layer. The
    /// thread that asks has left the host's mounts for ever.
    fn read(&self, name: &str) -> Vec<u8> {
        place::leave_mounts();
        let dir = self.path("mounted");
        fs::create_dir_all(&dir).expect("ours");
        let disk = self.disk();
        place::run(Command::new("mount").args(["-o", "loop,ro,noload"]).args([&disk, &dir]));
        let content = fs::read(dir.join("upper").join(name));
        place::run(Command::new("umount").arg(&dir));
        content.expect("it was written")
    }

    /// Nothing is left in its journal, and nothing is wrong with it.
    #[track_caller]
    fn check_disk(&self) {
        let told = place::run(Command::new("dumpe2fs").arg("-h").arg(self.disk()));
        assert!(!told.contains("needs_recovery"), "{told}");
        place::run(Command::new("e2fsck").args(["-f", "-n"]).arg(self.disk()));
    }
}

#[test]
fn what_was_written_is_on_the_disk_when_the_last_word_is_said() {
    let Some(house) = House::new() else { return };
    // Somebody else still writes, from a session of its own.
    let script = "(setsid sh -c 'while echo more; do true; done > /beside' &)
        seq 1 200000 > /numbers; (setsid sleep 1000 < /numbers &); exit 3";
    let mut guest = house.started(shell(script));
    assert_eq!(guest.exited(), code(3));
    guest.cut_power();
    house.check_disk();
    let numbers: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert!(house.read("numbers") == numbers.into_bytes(), "all numbers are there");
    assert!(house.read("beside").starts_with(b"more\nmore\n"));
}

#[test]
fn a_program_that_is_pid_1_leaves_its_disk_in_order_too() {
    let Some(house) = House::new() else { return };
    let script =
        "mkdir /m; mount -t tmpfs none /m; echo kept > /kept; (sleep 1000 < /kept &) ; exit 4";
    let mut guest = house.started(Orders { pid1: true, ..shell(script) });
    assert_eq!(guest.exited(), code(4));
    guest.cut_power();
    house.check_disk();
    assert_eq!(house.read("kept"), b"kept\n");
}

#[test]
fn what_a_machine_kept_it_finds_again() {
    let Some(house) = House::new() else { return };
    let mut guest = house.started(shell("echo one >> /log; echo two >> /etc/passwd"));
    assert_eq!(guest.exited(), code(0));
    guest.expect_power_off();
    let mut guest = house.started(shell("cat /log; cat /etc/passwd"));
    assert_eq!(guest.exited(), code(0));
    assert_eq!(guest.output(), "one\nroot:x:0:0:root:/root:/bin/sh\ntwo\n");
    guest.expect_power_off();
}

#[test]
fn a_machine_that_is_asked_to_end_ends_in_order() {
    let Some(house) = House::new() else { return };
    let script = "trap 'echo over > /over; exit 6' TERM; echo ready; sleep 1000 & wait";
    let mut guest = house.started(shell(script));
    guest.expect_output("ready\n");
    guest.send(&ToGuest::Shutdown);
    assert_eq!(guest.exited(), code(6));
    guest.expect_power_off();
    house.check_disk();
    assert_eq!(house.read("over"), b"over\n");
}

#[test]
fn a_machine_that_waits_is_switched_off_when_it_is_asked_to_end() {
    let Some(house) = House::new() else { return };
    let mut guest = house.waiting();
    guest.send(&ToGuest::Shutdown);
    guest.expect_power_off();
    assert_eq!(guest.news(), []);
}

#[test]
fn a_machine_without_a_host_ends_in_order() {
    let Some(house) = House::new() else { return };
    let mut guest = house.started(shell("echo kept > /kept; echo ready; sleep 1000"));
    guest.expect_output("ready\n");
    guest.hang_up();
    guest.expect_power_off();
    house.check_disk();
    assert_eq!(house.read("kept"), b"kept\n");
}

#[test]
fn a_machine_that_nobody_listens_to_ends_too() {
    let Some(house) = House::new() else { return };
    let mut guest = house.started(shell("while true; do echo flood; done"));
    guest.expect_output("flood\n");
    guest.hang_up();
    guest.expect_power_off();
    house.check_disk();
}

#[test]
fn what_a_program_mounts_on_its_own_holds_nobody_up() {
    let Some(house) = House::new() else { return };
    let script = "set -e; mkdir /a /b; mount /dev/vdb /a; mount -o bind /a/upper /b; cd /b
        echo kept > /kept; echo ready; exec sleep 1000 > /a/upper/open";
    let mut guest = house.started(shell(script));
    guest.expect_output("ready\n");
    guest.send(&ToGuest::Signal { signal: 9 });
    guest.exited();
    guest.cut_power();
    house.check_disk();
    assert_eq!(house.read("kept"), b"kept\n");
}
