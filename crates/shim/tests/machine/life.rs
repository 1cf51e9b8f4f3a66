//! Start, output, end; what the disk keeps.

use crate::client::Client;
use crate::world::World;
use guest_proto::StreamId;
use shim_proto::exit_file;
use shim_proto::spec::EngineSpec;

#[test]
fn a_program_runs_and_its_exit_is_known_everywhere() {
    let world = World::new();
    let mut spec = world.sh("echo out; echo err >&2; hostname 2>/dev/null; exit 7");
    spec.orders.hostname = "den".to_owned();
    let exit_path = spec.exit_path.clone();
    let record = world.run_to_end(spec);
    assert_eq!((record.code, record.signal), (Some(7), None));
    assert!(!record.oom_killed && !record.requested_stop && !record.forced);
    assert!(record.started_at.is_some_and(|at| at <= record.exited_at));
    assert!(record.cpu_us > 0);
    assert_eq!(exit_file::read(&exit_path).expect("readable"), Some(record));
    let log = world.log();
    assert!(log.contains(&"stdout F out".to_owned()), "{log:?}");
    assert!(log.contains(&"stderr F err".to_owned()), "{log:?}");
    world.assert_nothing_left();
}

#[test]
fn the_disk_is_kept_from_run_to_run_until_it_is_reset() {
    let world = World::new();
    let count = "echo x >>/root/runs; cat /root/runs | grep -c x; ln -s /etc /root/link; \
                 cd /tmp; i=0; while [ $i -lt 200 ]; do busybox mkdir -p d; cd d; i=$((i+1)); done";
    for n in 1..=3 {
        world.run_to_end(world.sh(count));
        world.wait_for_line(&format!("stdout F {n}"));
    }
    std::fs::remove_file(world.path("log")).expect("a log");
    let mut spec = world.sh(count);
    if let EngineSpec::Container(container) = &mut spec.engine {
        container.reset_disk = true;
    }
    world.run_to_end(spec);
    assert_eq!(world.log(), ["stdout F 1"]);
    world.assert_nothing_left();
}

#[test]
fn a_stop_is_obeyed_by_a_program_that_listens() {
    let world = World::new();
    let script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done";
    let mut client = Client::start(world.sh(script));
    world.wait_for_line("stdout F up");
    let record = client.stop(15, 10_000);
    assert_eq!(record.code, Some(3));
    assert!(record.requested_stop && !record.forced);
    assert_eq!(world.log(), ["stdout F up", "stdout F bye"]);
    world.assert_nothing_left();
}

#[test]
fn a_program_that_does_not_listen_is_killed_in_time() {
    let world = World::new();
    let mut client = Client::start(world.sh("trap '' TERM; echo up; while :; do sleep 1; done"));
    world.wait_for_line("stdout F up");
    let record = client.stop(15, 100);
    assert_eq!((record.code, record.signal), (None, Some(9)));
    assert!(record.requested_stop && record.forced);
    world.assert_nothing_left();
}

#[test]
fn a_kill_ends_all_processes_at_once() {
    let world = World::new();
    let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; echo up; wait";
    let mut client = Client::start(world.sh(script));
    world.wait_for_line("stdout F up");
    let record = client.kill();
    assert!(record.requested_stop && record.forced);
    assert_eq!(record.signal, Some(9));
    world.assert_nothing_left();
}

#[test]
fn a_frozen_machine_stands_still_until_it_is_thawed_or_stopped() {
    use shim_proto::{FromShim, ToShim};
    let world = World::new();
    let mut client =
        Client::start(world.sh("trap 'exit 0' TERM; while :; do echo x; sleep 0.01; done"));
    world.wait_for_line("stdout F x");
    client.send(&ToShim::Freeze);
    assert!(matches!(client.message(), FromShim::Frozen { ram_bytes } if ram_bytes > 0));
    let usage = |client: &mut Client| {
        client.send(&ToShim::Usage { id: 1 });
        match client.message() {
            FromShim::Usage { id: 1, usage: Some(usage) } => usage.cpu_us,
            other => panic!("instead of usage: {other:?}"),
        }
    };
    let before = usage(&mut client);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(usage(&mut client), before, "a frozen machine uses no CPU");
    client.send(&ToShim::Thaw);
    assert!(matches!(client.message(), FromShim::Thawed));
    client.send(&ToShim::Freeze);
    assert!(matches!(client.message(), FromShim::Frozen { .. }));
    let record = client.stop(15, 10_000);
    assert_eq!((record.code, record.forced), (Some(0), false));
    world.assert_nothing_left();
}

#[test]
fn a_command_runs_beside_the_program() {
    let world = World::new();
    let mut client = Client::start(world.sh("echo up >/tmp/file; echo up; sleep 1000"));
    world.wait_for_line("stdout F up");
    let (output, ended) = client.exec(StreamId(2), &["/bin/cat", "/tmp/file"]);
    assert_eq!((output.as_str(), ended.code), ("up\n", Some(0)));
    client.exec_start(StreamId(4), &["/bin/cat"], true);
    client.send_data(StreamId(4), b"to and fro");
    client.tell_guest(guest_proto::ToGuest::End { stream: StreamId(4) });
    let (output, ended) = client.exec_finish(StreamId(4));
    assert_eq!((output.as_str(), ended.code), ("to and fro", Some(0)));
    client.kill();
    world.assert_nothing_left();
}

#[test]
fn a_program_that_cannot_start_leaves_nothing() {
    let world = World::new();
    let check = |spec, expected: &str| {
        let (code, message) = Client::fail_to_start(spec);
        assert_eq!(code, expected, "{message}");
        world.assert_nothing_left();
    };
    check(world.run(&["/bin/absent"]), "not_found");
    check(world.run(&["/etc/passwd"]), "not_executable");
    check(world.run(&[]), "empty_argv");
    let mut spec = world.sh("exit 0");
    if let EngineSpec::Container(container) = &mut spec.engine {
        container.disk_path = world.path("absent.ext4");
    }
    check(spec, "disk");
    let mut spec = world.sh("exit 0");
    if let EngineSpec::Container(container) = &mut spec.engine {
        container.image_path = world.path("absent");
    }
    check(spec, "namespace");
    // And the machine is as good as before.
    assert_eq!(world.run_to_end(world.sh("exit 0")).code, Some(0));
}
