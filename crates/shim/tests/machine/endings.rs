//! Sudden deaths: of the shim, of the guest init, of the daemon before the start.

use crate::client::{Client, Heard};
use crate::world::{World, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use shim_proto::{FromShim, RunStatus, ToShim, exit_file};
use std::path::Path;

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, Signal::KILL).expect("killed");
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_killed_shim_takes_the_machine_with_it_and_the_next_run_finds_all_well() {
    let world = World::new();
    let mut client =
        Client::start(world.sh("echo x >/root/kept; busybox sync; echo up; sleep 1000"));
    world.wait_for_line("stdout F up");
    kill(client.shim.as_ref().expect("spawned").id());
    assert!(matches!(client.hear(), Heard::Closed));
    let init = client.init_pid;
    // At once: the new shim has to wait for the kernel to let go of the disk.
    let record = world.run_to_end(world.sh("cat /root/kept"));
    assert_eq!(record.code, Some(0), "{:?}", world.log());
    wait_for("death of the machine", || !is_alive(init));
    world.assert_nothing_left();
}

#[test]
fn a_killed_shim_leaves_only_empty_cgroups_and_its_socket() {
    let world = World::new();
    let client = Client::start(world.sh("echo up; sleep 1000 & sleep 1000"));
    world.wait_for_line("stdout F up");
    let init = client.init_pid;
    drop(client);
    wait_for("death of the machine", || !is_alive(init));
    wait_for("detached disk", || world.loop_devices().is_empty());
    for dir in world.cgroup_dirs() {
        wait_for("empty cgroup", || {
            std::fs::read_to_string(dir.join("cgroup.procs")).is_ok_and(|pids| pids.is_empty())
        });
    }
    assert_eq!(exit_file::read(&world.path("run-0.exit")).expect("readable"), None);
}

#[test]
fn a_killed_init_is_an_exit_of_the_program() {
    let world = World::new();
    let mut client = Client::start(world.sh("echo up; sleep 1000"));
    world.wait_for_line("stdout F up");
    kill(client.init_pid);
    let record = client.wait_exit();
    assert_eq!((record.code, record.signal), (None, Some(9)));
    assert!(!record.requested_stop && !record.oom_killed && !record.forced);
    world.assert_nothing_left();
}

#[test]
fn a_pooled_shim_ends_with_its_daemon() {
    let mut client = Client::spawn();
    assert_eq!(client.status(), RunStatus::Idle);
    client.hang_up().reap();
}

#[test]
fn a_preparation_without_go_is_undone() {
    let world = World::new();
    let mut client = Client::spawn();
    let spec = world.sh("echo never");
    let exit_path = spec.exit_path.clone();
    client.send(&ToShim::Prepare(Box::new(spec)));
    assert!(matches!(client.message(), FromShim::Prepared { .. }));
    assert_eq!(world.loop_devices().len(), 1);
    client.hang_up().reap();
    let record = exit_file::read(&exit_path).expect("readable").expect("written");
    assert_eq!(record.start_failed.expect("a reason").0, "abandoned");
    assert!(world.log().is_empty());
    world.assert_nothing_left();
}

#[test]
fn a_shim_killed_before_go_takes_the_waiting_init_with_it() {
    let world = World::new();
    let mut client = Client::spawn();
    client.send(&ToShim::Prepare(Box::new(world.sh("echo never"))));
    assert!(matches!(client.message(), FromShim::Prepared { .. }));
    let members = || {
        let dirs = world.cgroup_dirs().into_iter();
        let texts = dirs.map(|dir| std::fs::read_to_string(dir.join("cgroup.procs")));
        texts.filter_map(Result::ok).collect::<String>()
    };
    assert!(!members().is_empty(), "the child is there");
    kill(client.shim.as_ref().expect("spawned").id());
    wait_for("death of the waiting init", || members().is_empty());
    wait_for("detached disk", || world.loop_devices().is_empty());
    let record = world.run_to_end(world.sh("echo later"));
    assert_eq!(record.code, Some(0));
    assert_eq!(world.log(), ["stdout F later"]);
    world.assert_nothing_left();
}

#[test]
fn a_terminated_shim_stops_its_machine_in_order() {
    let world = World::new();
    let script = "trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done";
    let mut client = Client::start(world.sh(script));
    world.wait_for_line("stdout F up");
    let shim = client.shim.as_ref().expect("spawned").id();
    let pid = i32::try_from(shim).ok().and_then(Pid::from_raw).expect("a pid");
    for ignored in [Signal::HUP, Signal::INT, Signal::PIPE] {
        kill_process(pid, ignored).expect("sent");
    }
    assert!(matches!(client.status(), RunStatus::Up { .. }));
    kill_process(pid, Signal::TERM).expect("sent");
    let record = client.wait_exit();
    assert_eq!(record.code, Some(5));
    assert!(record.requested_stop && !record.forced);
}
