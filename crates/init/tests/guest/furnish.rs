//! From a kernel that waits to a machine.

use crate::harness::{DISK_BYTES, House, code, entropy, furnishing, shell, unix_now};
use guest_proto::message::{Furnishing, StartFailure};
use guest_proto::{FromGuest, Orders, ToGuest};
use std::fs::File;
use std::time::Duration;
use testkit::report;

#[test]
fn a_kernel_that_waits_becomes_a_machine_and_switches_itself_off() {
    let Some(house) = House::new() else { return };
    let mut guest = house.waiting();
    let waits_after = guest.began.elapsed();
    let took_us = guest.furnish(furnishing());
    guest.start(shell("echo hello; hostname; exit 7"));
    assert_eq!(guest.exited(), code(7), "{}", guest.output());
    let over_after = guest.began.elapsed();
    assert_eq!(guest.output(), "hello\nsleeper\n");
    guest.expect_power_off();
    assert_eq!(guest.news(), [], "nothing is said twice");
    let whole = guest.began.elapsed();
    let figures = format!(
        "a guest waits after {waits_after:?}, is furnished in {took_us} us, over after {over_after:?}, off \
         after {whole:?}"
    );
    report::line("guest", &figures);
}

#[test]
fn what_is_sent_behind_the_furnishing_is_heard_after_it() {
    let Some(house) = House::new() else { return };
    let mut guest = house.waiting();
    guest.send(&ToGuest::Furnish(Box::new(furnishing())));
    guest.send(&ToGuest::Furnish(Box::default()));
    guest.send(&ToGuest::Boot(Box::new(shell("echo hello"))));
    guest.tell_time(unix_now());
    assert_eq!(guest.exited(), code(0));
    assert_eq!(guest.output(), "hello\n");
    let news = guest.news();
    let [FromGuest::Furnished { .. }, FromGuest::Started { .. }] = news.as_slice() else {
        panic!("{news:?}")
    };
    guest.expect_power_off();
}

#[test]
fn the_clock_is_the_hosts_and_the_disk_may_be_of_another_size_at_first() {
    let Some(house) = House::new() else { return };
    // What lies at the end of a new disk is nothing.
    let disk = File::options().write(true).open(house.disk()).expect("a disk");
    disk.set_len(DISK_BYTES - (64 << 20)).expect("shortened");
    let mut guest = house.waiting();
    guest.send(&ToGuest::Furnish(Box::new(furnishing())));
    // The year 2040.
    let now = Duration::from_secs(2_208_988_800);
    guest.tell_time(now);
    guest.resize_disk(DISK_BYTES);
    guest.expect(|message| matches!(message, FromGuest::Furnished { .. }));
    guest.start(shell("date +%s; cat /sys/class/block/vdb/size"));
    assert_eq!(guest.exited(), code(0));
    let output = guest.output();
    let (date, n_sectors) = output.trim_end().split_once('\n').expect("two lines");
    let late = date.parse::<u64>().expect("a number") - now.as_secs();
    assert!(late < 60, "{late} s later");
    assert_eq!(n_sectors, (DISK_BYTES / 512).to_string());
    guest.expect_power_off();
}

#[test]
fn a_disk_that_does_not_get_its_size_is_told() {
    let Some(house) = House::new() else { return };
    let wanted = Furnishing { disk_bytes: 2 * DISK_BYTES, ..furnishing() };
    let message = house.waiting().refuses(wanted);
    assert_eq!(message, "the disk has 1073741824 bytes and not 2147483648");
}

#[test]
fn a_broken_disk_is_told() {
    let Some(house) = House::new() else { return };
    let path = house.path("broken");
    File::create(&path).and_then(|file| file.set_len(DISK_BYTES)).expect("ours");
    let guest = house.waiting_with(&path);
    assert_eq!(guest.refuses(furnishing()), "cannot mount the disk: Invalid argument");
}

#[test]
fn entropy_that_is_none_is_told() {
    let Some(house) = House::new() else { return };
    let short = Furnishing { entropy_base64: "AAAA".to_owned(), ..furnishing() };
    let message = house.waiting().refuses(short);
    assert_eq!(message, "3 bytes of entropy are not between 32 and 512");
    let broken = Furnishing { entropy_base64: format!("!{}", entropy(1)), ..furnishing() };
    let message = house.waiting().refuses(broken);
    assert!(message.starts_with("the entropy is not base64: "), "{message}");
}

#[test]
fn a_program_needs_a_furnished_machine() {
    let Some(house) = House::new() else { return };
    let mut guest = house.waiting();
    match guest.try_start(Orders::default()) {
        FromGuest::StartFailed { reason: StartFailure::Other, message } => {
            assert_eq!(message, "the machine has not been furnished");
        }
        other => panic!("{other:?}"),
    }
    guest.expect_power_off();
}

#[test]
fn a_kernel_that_was_saved_becomes_several_machines() {
    let Some(house) = House::new() else { return };
    let nothing = house.path("nothing");
    File::create(&nothing).and_then(|file| file.set_len(1 << 20)).expect("ours");
    let saved = house.save(&nothing);
    let mut told = Vec::new();
    for n in 1..=2 {
        let mut guest = house.restore(&saved);
        guest.epoch = 6 + n;
        guest.greet();
        let hostname = format!("machine-{n}");
        let entropy_base64 = entropy(u8::try_from(n).expect("small"));
        let wanted = Furnishing { hostname, entropy_base64, ..furnishing() };
        guest.send(&ToGuest::Furnish(Box::new(wanted)));
        guest.tell_time(unix_now());
        guest.resize_disk(DISK_BYTES);
        guest.expect(|message| matches!(message, FromGuest::Furnished { .. }));
        let script =
            "hostname; cd /proc/sys/kernel/random; cat boot_id uuid; echo x >> /runs; date +%s";
        guest.start(shell(script));
        assert_eq!(guest.exited(), code(0), "{}", guest.output());
        guest.expect_power_off();
        assert_eq!(guest.news(), [], "it does not say again that it waits");
        told.push(guest.output());
    }
    let told: Vec<Vec<&str>> = told.iter().map(|output| output.lines().collect()).collect();
    let now = unix_now().as_secs();
    for (line, (one, other)) in told[0].iter().zip(&told[1]).enumerate() {
        assert!(line == 3 || one != other, "{told:?}");
    }
    for lines in &told {
        assert!(now - lines[3].parse::<u64>().expect("seconds") < 120, "{now} {told:?}");
    }
}
