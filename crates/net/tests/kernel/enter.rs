//! Another process of ours moves into the router.

use crate::world::{RED, SOON, World};
use net::Error;
use net::router;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

fn namespace(kind: &str) -> PathBuf {
    fs::read_link(format!("/proc/thread-self/ns/{kind}")).expect("a link")
}

/// Enters as a process of one thread would; gives its namespaces before and after.
fn enter_elsewhere(dir: &Path) -> [[PathBuf; 2]; 2] {
    let seen = || ["net", "mnt"].map(namespace);
    let entering = thread::scope(|scope| {
        let work = || {
            let before = seen();
            router::enter(dir).expect("entered");
            [before, thread::spawn(seen).join().expect("no panic")]
        };
        scope.spawn(work).join()
    });
    entering.expect("no panic")
}

#[test]
fn a_process_enters_the_router_from_the_host_and_from_the_instance() {
    let mut world = World::new();
    let router = world.router.open_in_router(|| namespace("net")).expect("inside");
    for _ in 0..2 {
        assert!(router::exists(world.runtime_dir()).expect("looked"));
        let [before, after] = enter_elsewhere(world.runtime_dir());
        assert_ne!(before[0], router);
        assert_eq!(after[0], router, "threads are born in the router");
        assert_eq!(after[1], before[1], "and see the same files as before");
        world.step_out();
    }
}

#[test]
fn from_the_router_a_plain_connection_reaches_a_guest() {
    let mut world = World::new();
    let a = world.guest(RED, 1);
    world.step_out();
    for own in a.ips() {
        let listener = a.run(|| TcpListener::bind((own, 0))).expect("bound");
        let address = listener.local_addr().expect("bound");
        let dir = world.runtime_dir();
        thread::scope(|scope| {
            let visit = scope.spawn(|| {
                router::enter(dir).expect("entered");
                TcpStream::connect_timeout(&address, SOON)
            });
            visit.join().expect("no panic").expect("a connection");
        });
    }
}

#[test]
fn an_instance_without_a_router_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let check = |dir: &Path| {
        assert!(!router::exists(dir).expect("looked"));
        let missing = router::enter(dir).expect_err("none");
        assert!(matches!(&missing, Error::NoRouter { runtime_dir } if runtime_dir == dir));
        assert!(missing.to_string().contains("control process"), "{missing}");
    };
    check(dir.path());
    check(&dir.path().join("missing"));
    let entered = net::instance::enter(dir.path()).expect("an instance, no router");
    check(entered.runtime_dir());
    entered.leave().expect("left");
    check(dir.path());
    let tag = "abcde".parse().expect("a tag");
    net::instance::destroy(dir.path(), &tag).expect("nothing left");
}
