//! Virtual machines that sleep on disk, and come back as they were.

use crate::client::{Client, Heard};
use crate::microvm::{clock_off_ms, microvm};
use crate::microvm_link::{Router, SERVE};
use crate::template::{Held, template};
use crate::world::{World, wait_for};
use guest_proto::StreamId;
use shim_proto::{FromShim, RunSpec, ToShim};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use testkit::place;

/// Rounds of sleep after which a machine is as good as after the first.
const ROUNDS: usize = 50;

/// Clocks of guests are this near to the host's, in milliseconds.
const CLOCK_MS_MAX: u128 = 50;

/// Counts in RAM.
const COUNT: &str = "n=0; while :; do n=$((n + 1)); echo count $n; sleep 0.05; done";

/// A machine that waits.
const WAIT: &str = "exec sleep 1000";

/// Puts a machine to sleep, and waits for the end of its shim; the bytes on disk.
#[track_caller]
fn suspend(mut client: Client) -> u64 {
    client.send(&ToShim::Suspend);
    loop {
        match client.hear() {
            Heard::Message(FromShim::Suspended { disk_bytes }) => {
                client.wait_shim();
                return disk_bytes;
            }
            Heard::Message(FromShim::Guest(_)) | Heard::Data { .. } => {}
            other => panic!("instead of sleep: {other:?}"),
        }
    }
}

/// The order for a run that comes back.
fn back(spec: &RunSpec) -> RunSpec {
    let mut spec = spec.clone();
    microvm(&mut spec).ram.is_resume = true;
    spec
}

/// Brings a machine back.
#[track_caller]
fn resume(spec: &RunSpec) -> Client {
    let mut client = Client::spawn();
    client.send(&ToShim::Prepare(Box::new(back(spec))));
    client.send(&ToShim::Go);
    loop {
        match client.message() {
            FromShim::Prepared { .. } => {}
            FromShim::Resumed { .. } => return client,
            other => panic!("instead of waking: {other:?}"),
        }
    }
}

/// Why a machine cannot be brought back.
#[track_caller]
fn not_resumed(spec: &RunSpec) -> (String, String) {
    Client::fail_to_start(back(spec))
}

/// What a command says in a machine.
#[track_caller]
fn said(client: &mut Client, stream: u32, script: &str) -> String {
    let (said, ended) = client.exec(StreamId(stream), &["/bin/sh", "-c", script]);
    assert_eq!(ended.code, Some(0), "{said}");
    said.trim().to_owned()
}

fn counts(world: &World) -> Vec<u32> {
    let log = world.log();
    let counts = log.iter().filter_map(|line| line.strip_prefix("stdout F count "));
    counts.map(|count| count.parse().expect("a number")).collect()
}

fn machine(world: &World, held: &Held, script: &str) -> RunSpec {
    world.in_vm(world.sh(script), &held.spec)
}

#[test]
fn it_goes_on_where_it_was_and_says_nothing_twice() {
    let world = World::new();
    let Some(held) = template() else { return };
    let spec = machine(&world, held, COUNT);
    let mut client = Client::start(spec.clone());
    for round in 0..3 {
        let seen = counts(&world).len();
        wait_for("it counts", || counts(&world).len() > seen + 5);
        if round == 1 {
            // What is known on the host's side goes with it.
            assert_eq!(said(&mut client, 2, "echo here"), "here");
        }
        suspend(client);
        world.assert_nothing_left();
        client = resume(&spec);
    }
    wait_for("it counts", || counts(&world).len() > 20);
    let record = client.kill();
    assert!(record.started_at.is_some_and(|at| at < record.exited_at), "{record:?}");
    let counts = counts(&world);
    let expected: Vec<u32> = (1..).take(counts.len()).collect();
    assert_eq!(counts, expected);
    world.assert_nothing_left();
}

#[test]
fn fifty_rounds_are_as_good_as_the_first() {
    let world = World::new();
    let Some(held) = template() else { return };
    let spec = machine(&world, held, "echo 0 >/n; echo ready; exec sleep 1000");
    let mut client = Client::start(spec.clone());
    world.wait_for_line("stdout F ready");
    let mut sizes = Vec::new();
    for round in 0..ROUNDS {
        let script = format!("read n </n; echo $((n + 1)) >/n; cat /n; echo {round} >>/all");
        assert_eq!(said(&mut client, 2, &script), (round + 1).to_string());
        sizes.push(suspend(client));
        client = resume(&spec);
    }
    assert_eq!(said(&mut client, 2, "busybox wc -l </all"), ROUNDS.to_string());
    client.kill();
    // What is dirty stays so; but nothing grows by the round.
    let (early, last) = (sizes[4], sizes[ROUNDS - 1]);
    assert!(last < early * 2, "{sizes:?}");
    place::run(Command::new("e2fsck").args(["-f", "-n"]).arg(world.disk_path()));
    world.assert_nothing_left();
}

#[test]
fn its_clock_is_right_and_its_randomness_its_own() {
    let world = World::new();
    let Some(held) = template() else { return };
    let spec = machine(&world, held, WAIT);
    let mut client = Client::start(spec.clone());
    assert_eq!(said(&mut client, 2, "echo up"), "up");
    suspend(client);
    // The same RAM, woken again and again, as a thief of it would.
    let copy = world.path("copy");
    copy_dir(&ram_dir(&spec), &copy);
    let disk = fs::metadata(world.disk_path()).and_then(|disk| disk.modified()).expect("a disk");
    let mut random = BTreeSet::new();
    for _ in 0..2 {
        copy_dir(&copy, &ram_dir(&spec));
        let file = fs::File::options().write(true).open(world.disk_path()).expect("ours");
        file.set_modified(disk).expect("ours");
        let mut client = resume(&spec);
        let off = clock_off_ms(&mut client, StreamId(2));
        assert!(off <= CLOCK_MS_MAX, "{off} ms");
        random.insert(said(&mut client, 4, "busybox head -c 16 /dev/urandom | busybox xxd -p"));
        client.kill();
    }
    assert_eq!(random.len(), 2, "{random:?}");
    world.assert_nothing_left();
}

#[test]
fn its_link_carries_again() {
    let world = World::new();
    let Some(held) = template() else { return };
    let router = Router::new();
    let spec = router.link(machine(&world, held, SERVE));
    let client = Client::start(spec.clone());
    router.assert_is_served();
    suspend(client);
    let mut client = resume(&spec);
    router.assert_is_served();
    client.kill();
    world.assert_nothing_left();
}

#[test]
fn one_that_changed_most_of_its_ram_comes_back_without_its_template() {
    let world = World::new();
    let Some(held) = template() else { return };
    let script = "busybox mount -t tmpfs -o size=180m x /tmp; busybox dd if=/dev/urandom of=/tmp/x bs=1M count=140 \
                  2>/dev/null; busybox md5sum /tmp/x >/tmp/sum; echo full; exec sleep 1000";
    let spec = machine(&world, held, script);
    let mut client = Client::start(spec.clone());
    world.wait_for_line("stdout F full");
    for _ in 0..3 {
        assert_eq!(said(&mut client, 2, "busybox md5sum -c /tmp/sum"), "/tmp/x: OK");
        let bytes = suspend(client);
        assert!(bytes > 140 << 20, "{bytes}");
        client = resume(&spec);
    }
    assert_eq!(said(&mut client, 2, "busybox md5sum -c /tmp/sum"), "/tmp/x: OK");
    client.kill();
    world.assert_nothing_left();
}

#[test]
fn ram_that_is_not_what_it_was_is_refused() {
    let world = World::new();
    let Some(held) = template() else { return };
    let spec = machine(&world, held, WAIT);
    suspend(Client::start(spec.clone()));
    for file in ["pages", "index", "devices", "record"] {
        let path = ram_dir(&spec).join(file);
        let whole = fs::read(&path).expect("ours");
        let at = whole.len() / 2;
        let flipped: Vec<u8> = whole
            .iter()
            .enumerate()
            .map(|(n, byte)| if n == at { byte ^ 1 } else { *byte })
            .collect();
        for damaged in [&flipped, &whole[..at].to_vec()] {
            fs::write(&path, damaged).expect("ours");
            let (code, message) = not_resumed(&spec);
            assert_eq!(code, "ram", "{file}: {message}");
            assert!(message.contains("damaged"), "{file}: {message}");
            world.assert_nothing_left();
        }
        fs::write(&path, &whole).expect("ours");
    }
    // It is still good.
    resume(&spec).kill();
    world.assert_nothing_left();
}

#[test]
fn ram_of_something_else_is_refused() {
    let world = World::new();
    let Some(held) = template() else { return };
    let spec = machine(&world, held, WAIT);
    suspend(Client::start(spec.clone()));
    let refused = |change: &dyn Fn(&mut RunSpec), words: &str| {
        let mut spec = spec.clone();
        change(&mut spec);
        let (code, message) = not_resumed(&spec);
        assert_eq!(code, "ram", "{message}");
        assert!(message.contains(words), "{message}");
        world.assert_nothing_left();
    };
    refused(&|spec| spec.run = "01JD0000000000000000000000".to_owned(), "another run");
    refused(&|spec| microvm(spec).ram.config = "second".to_owned(), "another version");
    refused(&|spec| microvm(spec).monitor.template.id = "other".to_owned(), "another template");
    refused(&|spec| microvm(spec).monitor.template.ram_sha256 = "0".to_owned(), "template");
    refused(&|spec| microvm(spec).ram.dir = world.path("none"), "no RAM");
    let file = fs::File::options().write(true).open(world.disk_path()).expect("ours");
    file.write_all_at(&[0], 0).expect("ours");
    refused(&|_| {}, "another state of the disk");
}

#[test]
fn ram_is_used_once() {
    let world = World::new();
    let Some(held) = template() else { return };
    let spec = machine(&world, held, WAIT);
    suspend(Client::start(spec.clone()));
    resume(&spec).kill();
    let (code, message) = not_resumed(&spec);
    assert_eq!(code, "ram", "{message}");
    assert!(message.contains("no RAM"), "{message}");
    world.assert_nothing_left();
}

#[test]
fn a_wake_calls_it_off_as_long_as_nothing_is_lost() {
    let world = World::new();
    let Some(held) = template() else { return };
    let spec = machine(&world, held, WAIT);
    let mut client = Client::start(spec.clone());
    for _ in 0..5 {
        client.send(&ToShim::Suspend);
        client.send(&ToShim::Thaw);
        let refused = client.message();
        assert!(
            matches!(&refused, FromShim::Refused { order, code, .. }
                if order == "suspend" && code == "called_off"),
            "{refused:?}"
        );
        assert_eq!(client.message(), FromShim::Thawed);
        assert_eq!(said(&mut client, 2, "echo here"), "here");
        assert!(!ram_dir(&spec).exists());
    }
    client.kill();
    world.assert_nothing_left();
}

#[test]
fn without_room_it_stays_up() {
    let world = World::new();
    let Some(held) = template() else { return };
    let mut spec = machine(&world, held, WAIT);
    microvm(&mut spec).ram.dir = "/proc/no/ram".into();
    let mut client = Client::start(spec);
    client.send(&ToShim::Suspend);
    let refused = client.message();
    assert!(
        matches!(&refused, FromShim::Refused { order, code, .. }
            if order == "suspend" && code == "failed"),
        "{refused:?}"
    );
    assert_eq!(said(&mut client, 2, "echo here"), "here");
    client.kill();
    world.assert_nothing_left();
}

#[test]
fn a_frozen_one_goes_deeper() {
    let world = World::new();
    let Some(held) = template() else { return };
    let spec = machine(&world, held, COUNT);
    let mut client = Client::start(spec.clone());
    wait_for("it counts", || !counts(&world).is_empty());
    client.send(&ToShim::Freeze);
    assert!(matches!(client.message(), FromShim::Frozen { .. }));
    suspend(client);
    let seen = counts(&world).len();
    let mut client = resume(&spec);
    wait_for("it counts", || counts(&world).len() > seen + 3);
    client.kill();
    world.assert_nothing_left();
}

#[test]
fn a_container_cannot() {
    let world = World::new();
    let mut client = Client::start(world.run(&["/bin/sleep", "1000"]));
    client.send(&ToShim::Suspend);
    loop {
        match client.message() {
            FromShim::Refused { order, code, .. } => {
                assert_eq!((order.as_str(), code.as_str()), ("suspend", "unsupported"));
                break;
            }
            FromShim::Guest(_) => {}
            other => panic!("instead of a refusal: {other:?}"),
        }
    }
    assert_eq!(said(&mut client, 2, "echo here"), "here");
    client.kill();
    world.assert_nothing_left();
}

fn ram_dir(spec: &RunSpec) -> PathBuf {
    microvm(&mut spec.clone()).ram.dir.clone()
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).expect("ours");
    for entry in fs::read_dir(from).expect("ours") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("ours");
    }
}
