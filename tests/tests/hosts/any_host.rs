//! What must hold on every kind of host.

use crate::world::{Users, World};
use engine::{Ahead, Engine, conformance, for_spec};
use guest_proto::message::Ended;
use guest_proto::{FromGuest, ToGuest};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use shim_proto::RunSpec;
use shim_proto::connection::Connection;
use testkit::wait::PATIENCE;
use tests::fixture;

fn check_conformance(users: Users) {
    let world = World::new();
    let spec = world.spec(users, &["/bin/sleep", "1000"]);
    conformance::run(&mut || for_spec(&spec.engine, Ahead::nothing()), &spec);
}

#[test]
fn the_container_engine_conforms() {
    check_conformance(Users::Own);
}

#[test]
fn the_container_engine_conforms_without_a_user_namespace() {
    check_conformance(Users::Host);
}

/// How a program ended, and how many of its processes the kernel had killed for want of RAM.
#[track_caller]
fn outcome(spec: &RunSpec) -> (Ended, u64) {
    let mut engine = for_spec(&spec.engine, Ahead::nothing());
    let ended = run_to_end(engine.as_mut(), spec);
    let n_killed = engine.oom_kills().expect("a number");
    engine.teardown().expect("a teardown");
    (ended, n_killed)
}

#[track_caller]
fn run_to_end(engine: &mut dyn Engine, spec: &RunSpec) -> Ended {
    engine.prepare(spec).expect("prepared");
    let running = engine.go().expect("started");
    let mut guest = Connection::new(running.channel, 1).expect("a connection");
    let (version, version_min) = (guest_proto::VERSION, guest_proto::VERSION_MIN);
    guest.send(&ToGuest::Hello { version, version_min }).expect("sent");
    guest.send(&ToGuest::Boot(Box::new(spec.orders.clone()))).expect("sent");
    let timeout = Timespec::try_from(PATIENCE).expect("seconds");
    loop {
        while let Some(frame) = guest.next_frame().expect("whole frames") {
            match frame.message() {
                Ok(FromGuest::Exited(ended)) => return ended,
                Ok(FromGuest::StartFailed { message, .. }) => panic!("{message}"),
                _ => {}
            }
        }
        let n_ready = poll(&mut [PollFd::new(&guest, PollFlags::IN)], Some(&timeout));
        assert!(n_ready.expect("a descriptor can be polled") > 0, "the program does not end");
        guest.fill().expect("read");
    }
}

/// Without a user namespace, which forbids it, whoever may make nodes can make those of the host.
#[test]
fn device_nodes_are_made_and_not_opened() {
    let world = World::new();
    let script = "
        is_refused() { (: <$1) 2>&1 | grep -q 'not permitted'; }
        mknod /dev/again c 1 3 && echo x >/dev/again || exit 1
        mknod /dev/kmsg c 1 11 && is_refused /dev/kmsg || exit 2
        mknod /dev/loop0 b 7 0 && is_refused /dev/loop0 || exit 3
        mknod /dev/tty1 c 4 1 && is_refused /dev/tty1 || exit 4
        mknod /dev/console c 5 1 && is_refused /dev/console || exit 5
        : </dev/pts/ptmx && : </dev/urandom || exit 6";
    let (ended, _) = outcome(&world.spec(Users::Host, &["/bin/sh", "-c", script]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn a_program_that_eats_its_ram_is_killed_and_counted() {
    let world = World::new();
    let eat = ["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"];
    let (ended, n_killed) = outcome(&world.spec(Users::Own, &eat));
    assert_eq!((ended.signal, n_killed), (Some(9), 1), "{ended:?}");
    let (ended, n_killed) = outcome(&world.spec(Users::Own, &["/bin/sh", "-c", "kill -9 $$"]));
    assert_eq!((ended.signal, n_killed), (Some(9), 0), "{ended:?}");
}

#[test]
fn a_program_forks_so_far_and_no_further() {
    let world = World::new();
    let forks = |n: u32| {
        let script = format!("i=0; while [ $i -lt {n} ]; do sleep 100 & i=$((i+1)); done");
        outcome(&world.spec(Users::Own, &["/bin/sh", "-c", &script])).0.code
    };
    let n_allowed = world.spec(Users::Own, &[]).limits.pids;
    assert_eq!(forks(n_allowed / 2), Some(0));
    assert_ne!(forks(n_allowed), Some(0));
}

/// As systemd does: it moves itself into a cgroup that it has made.
#[test]
fn a_program_that_is_an_init_has_a_cgroup_of_its_own() {
    let instance = fixture::with_busybox();
    let script = "
        cd /sys/fs/cgroup
        test ! -d systemd || cd systemd
        mkdir init.scope && echo $$ >init.scope/cgroup.procs
        grep -h init.scope /proc/self/cgroup
        exec sleep 1000";
    let init = json!({"exec": ["/bin/sh", "-c", script], "pid1": true});
    let id = fixture::started(&instance, "", &json!({ "init": init }));
    let line = testkit::eventually("the init has moved", || instance.log(&id).into_iter().next());
    assert!(line.ends_with(":/init.scope"), "{line}");
    fixture::destroy(&instance, &id);
}
