//! Virtual machines that were warmed: a start in one has to do less, and is the same in all else.

use crate::client::Client;
use crate::microvm::microvm;
use crate::microvm_link::Router;
use crate::template::{Held, template};
use crate::world::World;
use guest_proto::StreamId;
use shim_proto::message::Timing;
use shim_proto::spec::{EngineSpec, Limits, MonitorSpec, WarmSpec};
use shim_proto::{FromShim, RunSpec, ToShim};
use std::fs;
use std::process::Command;
use testkit::place;

/// All that one machine can find of another that was here before.
const LOOK: &str = "export PATH=/bin:/.fly/bin; busybox hostname; busybox sort /proc/mounts
    busybox ip -o addr | busybox sed 's/valid_lft.*//'; busybox ip route; busybox ip -6 route
    busybox ip neigh; busybox find / -xdev | busybox sort; busybox find /.fly /dev /tmp /run | busybox sort
    busybox cat /proc/sys/kernel/hostname /proc/swaps /proc/loadavg | busybox cut -d ' ' -f 1 \
    | busybox head -n 2; busybox ps -o pid,comm | busybox grep -v -e '\\[' -e ' [0-9]* {' | \
    busybox wc -l; busybox df -k / | busybox tail -n 1";

/// What such a machine may use while nobody has it.
const LIMITS: Limits = Limits { ram_bytes: 256 << 20, cpu_milli: 2000, cpu_weight: 1, pids: 64 };

/// Has a shim warm a virtual machine.
#[track_caller]
fn warmed(monitor: &MonitorSpec, held: &Held) -> Client {
    let mut client = Client::spawn();
    let rehearsal = held.rehearsal.clone();
    let spec = WarmSpec { monitor: monitor.clone(), limits: LIMITS, rehearsal };
    client.send(&ToShim::Warm(Box::new(spec)));
    match client.message() {
        FromShim::Warmed { timings } => assert!(has(&timings, "rehearsal"), "{timings:?}"),
        other => panic!("instead of a warm machine: {other:?}"),
    }
    client
}

fn has(timings: &[Timing], part: &str) -> bool {
    timings.iter().any(|timing| timing.part == part)
}

fn monitor(spec: &RunSpec) -> MonitorSpec {
    microvm(&mut spec.clone()).monitor.clone()
}

/// What a script says in a machine, which a link leads to: in one that was warmed, or not.
#[track_caller]
fn said(script: &str, held: &Held, is_warmed: bool) -> Vec<String> {
    let world = World::new();
    let router = Router::new();
    let spec = router.link(world.in_vm(world.sh(script), &held.spec));
    let mut client = if is_warmed { warmed(&monitor(&spec), held) } else { Client::spawn() };
    client.go(spec);
    assert_eq!(has(&client.timings, "exchange"), is_warmed, "{:?}", client.timings);
    assert_eq!(has(&client.timings, "vmm"), !is_warmed, "{:?}", client.timings);
    let record = client.wait_exit();
    assert_eq!(record.code, Some(0), "{:?}", world.log());
    world.assert_nothing_left();
    world.log()
}

#[test]
fn a_warmed_machine_cannot_be_told_from_another() {
    let Some(held) = template() else { return };
    let (cold, warm) = (said(LOOK, held, false), said(LOOK, held, true));
    assert!(cold.len() > 30, "{cold:#?}");
    assert_eq!(warm, cold);
}

#[test]
fn its_disk_is_its_own() {
    let world = World::new();
    let Some(held) = template() else { return };
    for (script, expected) in [("echo kept > /file; cat /file", "kept"), ("cat /file", "kept")] {
        let spec = world.in_vm(world.sh(script), &held.spec);
        let mut client = warmed(&monitor(&spec), held);
        client.go(spec);
        assert_eq!(client.wait_exit().code, Some(0), "{:?}", world.log());
        world.wait_for_line(&format!("stdout F {expected}"));
    }
    place::run(Command::new("e2fsck").args(["-f", "-n"]).arg(world.disk_path()));
    world.assert_nothing_left();
}

#[test]
fn limits_are_those_of_the_run() {
    let world = World::new();
    let Some(held) = template() else { return };
    let spec = world.in_vm(world.run(&["/bin/sleep", "1000"]), &held.spec);
    let shares = |world: &World| -> Vec<String> {
        let files = ["cpu.shares", "cpu.weight"];
        let paths =
            world.cgroup_dirs().into_iter().flat_map(|dir| files.map(|file| dir.join(file)));
        paths.filter_map(|path| fs::read_to_string(path).ok()).collect()
    };
    let mut cold = Client::start(spec.clone());
    let expected = shares(&world);
    cold.kill();
    let mut client = warmed(&monitor(&spec), held);
    assert_ne!(shares(&world), expected);
    client.go(spec);
    assert_eq!(shares(&world), expected);
    // What the rehearsal has cost is nobody's.
    assert!(client.kill().cpu_us < 3_000_000);
    world.assert_nothing_left();
}

#[test]
fn a_machine_that_nobody_wants_goes_with_its_daemon() {
    let world = World::new();
    let Some(held) = template() else { return };
    let monitor = world.monitor(&held.spec);
    let client = warmed(&monitor, held);
    assert!(!world.cgroup_dirs().is_empty());
    client.hang_up().reap();
    world.assert_nothing_left();
}

#[test]
fn a_monitor_that_ends_before_it_is_used_is_no_start_lost() {
    let world = World::new();
    let Some(held) = template() else { return };
    let spec = world.in_vm(world.sh("exit 5"), &held.spec);
    let mut client = warmed(&monitor(&spec), held);
    let lists = world.cgroup_dirs().into_iter().map(|dir| dir.join("cgroup.procs"));
    let pids: String = lists.filter_map(|list| fs::read_to_string(list).ok()).collect();
    let pid = pids.lines().next().expect("one");
    place::run(Command::new("kill").args(["-KILL", pid]));
    client.go(spec);
    assert_eq!(client.wait_exit().code, Some(5), "{:?}", client.timings);
    world.assert_nothing_left();
}

#[test]
fn a_machine_that_does_not_fit_gives_way_to_one_that_does() {
    let world = World::new();
    let Some(held) = template() else { return };
    let spec = world.in_vm(world.sh("exit 3"), &held.spec);
    let other = MonitorSpec { cgroup: format!("{}-other", world.cgroup()), ..monitor(&spec) };
    let mut client = warmed(&other, held);
    client.go(spec);
    assert!(has(&client.timings, "vmm"), "{:?}", client.timings);
    assert_eq!(client.wait_exit().code, Some(3));
    world.assert_nothing_left();
}

#[test]
fn a_container_has_no_use_for_one() {
    let world = World::new();
    let Some(held) = template() else { return };
    let spec = world.sh("exit 4");
    assert!(matches!(spec.engine, EngineSpec::Container(_)));
    let other =
        MonitorSpec { cgroup: format!("{}-other", world.cgroup()), ..world.monitor(&held.spec) };
    let mut client = warmed(&other, held);
    client.go(spec);
    assert_eq!(client.wait_exit().code, Some(4));
    world.assert_nothing_left();
}

#[test]
fn a_machine_that_cannot_be_warmed_says_why() {
    let world = World::new();
    let Some(held) = template() else { return };
    fs::write(world.path("none"), vec![0x51; 1 << 20]).expect("ours");
    let check = |change: &dyn Fn(&mut WarmSpec), words: &str| {
        let monitor = world.monitor(&held.spec);
        let mut spec = WarmSpec { monitor, limits: LIMITS, rehearsal: held.rehearsal.clone() };
        change(&mut spec);
        let mut client = Client::spawn();
        client.send(&ToShim::Warm(Box::new(spec)));
        match client.message() {
            FromShim::WarmFailed { message } => assert!(message.contains(words), "{message}"),
            other => panic!("instead of a failure: {other:?}"),
        }
        client.wait_shim();
        world.assert_nothing_left();
    };
    check(&|spec| spec.rehearsal.image_path = world.path("none"), "image");
    check(&|spec| spec.rehearsal.disk_path = world.path("none"), "disk");
    check(&|spec| spec.rehearsal.disk_path = "/no/disk".into(), "rehearsal");
    check(&|spec| spec.monitor.qemu_path = "/usr/bin/no-qemu".into(), "monitor");
}

#[test]
fn a_command_beside_the_program_runs_as_ever() {
    let world = World::new();
    let Some(held) = template() else { return };
    let router = Router::new();
    let spec = router.link(world.in_vm(world.sh("sleep 1000"), &held.spec));
    let mut client = warmed(&monitor(&spec), held);
    client.go(spec);
    let (said, ended) = client.exec(StreamId(2), &["/bin/sh", "-c", "echo beside; exit 3"]);
    assert_eq!((said.as_str(), ended.code), ("beside\n", Some(3)));
    client.kill();
    world.assert_nothing_left();
}
