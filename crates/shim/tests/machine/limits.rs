//! What a machine can take, and who is told.

use crate::client::Client;
use crate::world::World;
use shim_proto::{FromShim, ToShim};

#[test]
fn a_program_that_eats_its_ram_is_told_from_one_that_was_killed() {
    let world = World::new();
    let mut spec = world.run(&["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"]);
    spec.limits.ram_bytes = 32 << 20;
    let record = world.run_to_end(spec);
    assert!(record.oom_killed, "{record:?}");
    assert_eq!(record.signal, Some(9));
    assert!(!record.requested_stop && !record.forced);
    let record = world.run_to_end(world.sh("kill -9 $$"));
    assert_eq!((record.signal, record.oom_killed), (Some(9), false));
    world.assert_nothing_left();
}

#[test]
fn a_machine_that_forks_without_end_stays_in_its_bounds_and_can_be_stopped() {
    let world = World::new();
    let mut spec =
        world.sh("echo up; (f() { f | f & }; while :; do f; done) 2>/dev/null & exec sleep 1000");
    spec.limits.pids = 32;
    let mut client = Client::start(spec);
    world.wait_for_line("stdout F up");
    for id in 0..20 {
        client.send(&ToShim::Usage { id });
        let FromShim::Usage { usage: Some(usage), .. } = client.message() else {
            panic!("no usage");
        };
        assert!(usage.pids <= 32, "{} processes", usage.pids);
        assert_eq!(usage.ram_limit_bytes, 64 << 20);
        assert!(usage.disk_bytes > 0);
    }
    client.stop(15, 50);
    world.assert_nothing_left();
}

#[test]
fn a_cpu_ceiling_holds() {
    let world = World::new();
    let mut spec = world.sh("echo up; while :; do :; done");
    spec.limits.cpu_milli = 100;
    let mut client = Client::start(spec);
    world.wait_for_line("stdout F up");
    let started = std::time::Instant::now();
    std::thread::sleep(std::time::Duration::from_secs(1));
    client.send(&ToShim::Usage { id: 1 });
    let FromShim::Usage { usage: Some(usage), .. } = client.message() else { panic!("no usage") };
    let share = usage.cpu_us * 1000 / u64::try_from(started.elapsed().as_micros()).expect("short");
    assert!((20..=250).contains(&share), "{share} thousandths of a CPU instead of 100");
    client.kill();
}

#[test]
fn a_flood_of_log_takes_no_more_room_than_agreed_and_stops_nothing() {
    let world = World::new();
    let mut spec =
        world.sh("i=0; while [ $i -lt 20000 ]; do echo line $i of a flood; i=$((i+1)); done");
    spec.log.max_bytes = 100_000;
    spec.log.max_files = 3;
    let record = world.run_to_end(spec);
    assert_eq!(record.code, Some(0));
    for name in ["log", "log.1", "log.2"] {
        let len = std::fs::metadata(world.path(name)).expect("rotated").len();
        assert!(len <= 100_000, "{name} has {len} bytes");
    }
    assert!(!world.path("log.3").exists());
    assert_eq!(world.log().last().expect("lines"), "stdout F line 19999 of a flood");
}

#[test]
fn a_shim_is_small() {
    let world = World::new();
    let client = Client::start(world.sh("echo up; sleep 1000"));
    world.wait_for_line("stdout F up");
    let pid = client.shim.as_ref().expect("spawned").id();
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("readable");
    println!("{rollup}");
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("PSS");
    let pss_kib: u64 = pss.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    assert!(pss_kib <= 2048, "{pss_kib} KiB");
}
