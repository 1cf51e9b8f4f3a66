//! Virtual machines: real QEMU, the real kernel of Debian, no hardware help needed.

use crate::client::Client;
use crate::template::template;
use crate::world::{World, wait_for};
use engine::{Ahead, conformance, for_spec};
use guest_proto::StreamId;
use shim_proto::RunSpec;
use shim_proto::spec::{EngineSpec, MicrovmSpec};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// Clocks of guests are this near to the host's, in milliseconds.
const CLOCK_MS_MAX: u128 = 50;

/// Time over which a clock is watched: one that runs by a hundredth too fast shows.
const CLOCK_WATCHED: Duration = Duration::from_secs(5);

/// For how long it stands still: longer by far than a clock may be off.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// A run of a program in a virtual machine; `None`, and said, where there is no kernel for it.
fn in_vm(world: &World, argv: &[&str]) -> Option<RunSpec> {
    Some(world.in_vm(world.run(argv), &template()?.spec))
}

fn sh(world: &World, script: &str) -> Option<RunSpec> {
    in_vm(world, &["/bin/sh", "-c", script])
}

pub(crate) fn microvm(spec: &mut RunSpec) -> &mut MicrovmSpec {
    let EngineSpec::Microvm(microvm) = &mut spec.engine else { panic!("a virtual machine") };
    microvm
}

/// What a script says on its standard output.
#[track_caller]
fn output(world: &World, script: &str) -> Option<Vec<String>> {
    let record = world.run_to_end(sh(world, script)?);
    assert_eq!(record.start_failed, None);
    assert_eq!(record.code, Some(0), "{:?}", world.log());
    let log = world.log();
    Some(log.iter().filter_map(|line| line.strip_prefix("stdout F ")).map(str::to_owned).collect())
}

#[test]
fn the_microvm_engine_conforms() {
    let world = World::new();
    let Some(spec) = in_vm(&world, &["/bin/sleep", "1000"]) else { return };
    conformance::run(&mut || for_spec(&spec.engine, Ahead::nothing()), &spec);
    world.assert_nothing_left();
}

#[test]
fn a_guest_has_a_kernel_of_its_own_and_all_rights_in_it() {
    let world = World::new();
    let script = "busybox uname -r; busybox hostname; busybox id -u; mount -t tmpfs x /tmp && \
                  echo mounted; busybox grep -c ^processor /proc/cpuinfo";
    let Some(lines) = output(&world, script) else { return };
    let host = rustix::system::uname().release().to_string_lossy().into_owned();
    assert_ne!(lines[0], host);
    assert_eq!(lines[1..], ["9080e966ae7187", "0", "mounted", "1"]);
    world.assert_nothing_left();
}

#[test]
fn its_disk_is_as_it_was_left() {
    let world = World::new();
    let script = "echo kept >/file && busybox mkdir -p /new/dir && busybox rm /bin/dd";
    if output(&world, script).is_none() {
        return;
    }
    let lines = output(&world, "cat /file; ls -d /new/dir; ls /bin/dd 2>&1 | grep -c No");
    assert_eq!(lines.expect("as before"), ["kept", "/new/dir", "1"]);
    world.assert_nothing_left();
}

#[test]
fn exit_codes_signals_and_commands_are_those_of_any_machine() {
    let world = World::new();
    let Some(spec) = sh(&world, "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done") else {
        return;
    };
    let mut client = Client::start(spec);
    world.wait_for_line("stdout F up");
    let (said, ended) = client.exec(StreamId(2), &["/bin/sh", "-c", "echo beside; exit 3"]);
    assert_eq!((said.as_str(), ended.code), ("beside\n", Some(3)));
    let record = client.stop(15, 20_000);
    assert_eq!((record.code, record.requested_stop, record.forced), (Some(7), true, false));
    world.assert_nothing_left();
}

/// All that can differ between copies of one template does.
#[test]
fn copies_of_one_template_are_machines_of_their_own() {
    const N_COPIES: usize = 20;
    let world = World::new();
    let script = "cat /proc/sys/kernel/random/boot_id; busybox head -c 16 /dev/urandom | \
                  busybox base64; cat /proc/sys/kernel/random/uuid; true";
    let Some(template) = template() else { return };
    let mut seen = BTreeSet::new();
    for _ in 0..N_COPIES {
        let spec = world.in_vm(world.run(&["/bin/sh", "-c", script]), &template.spec);
        fs::write(world.path("log"), "").expect("ours");
        let record = world.run_to_end(spec);
        assert_eq!(record.start_failed, None);
        let log = world.log();
        let lines: Vec<&str> =
            log.iter().filter_map(|line| line.strip_prefix("stdout F ")).take(3).collect();
        assert_eq!(lines.len(), 3, "{log:?}");
        for line in lines {
            assert!(seen.insert(line.to_owned()), "`{line}` was seen before");
        }
    }
    world.assert_nothing_left();
}

#[test]
fn the_clock_of_a_guest_is_the_hosts() {
    let world = World::new();
    let Some(spec) = in_vm(&world, &["/bin/sleep", "1000"]) else { return };
    let mut client = Client::start(spec);
    let mut stream = 0;
    // At once, and still after a while: it is right and goes right.
    for wait in [Duration::ZERO, CLOCK_WATCHED] {
        std::thread::sleep(wait);
        let off = (0..5).map(|_| {
            stream += 2;
            clock_off_ms(&mut client, StreamId(stream))
        });
        let off = off.min().expect("some");
        assert!(off <= CLOCK_MS_MAX, "after {wait:?} the guest's clock is {off} ms off");
    }
    client.kill();
    world.assert_nothing_left();
}

#[test]
fn the_clock_of_a_guest_that_was_frozen_is_the_hosts() {
    let world = World::new();
    let Some(spec) = in_vm(&world, &["/bin/sleep", "1000"]) else { return };
    let mut client = Client::start(spec);
    for stream in [2, 4] {
        client.send(&shim_proto::ToShim::Freeze);
        wait_for("frozen", || matches!(client.message(), shim_proto::FromShim::Frozen { .. }));
        std::thread::sleep(STOOD_STILL);
        client.send(&shim_proto::ToShim::Thaw);
        wait_for("thawed", || matches!(client.message(), shim_proto::FromShim::Thawed));
        // The first that is asked of it: it has heard of its sleep before.
        let off_ms = clock_off_ms(&mut client, StreamId(stream));
        assert!(off_ms <= CLOCK_MS_MAX, "the guest's clock is {off_ms} ms off");
    }
    client.kill();
    world.assert_nothing_left();
}

/// How far the guest's clock is off, at least, in milliseconds: a command tells its time, and answers
/// between two readings of the host's.
pub(crate) fn clock_off_ms(client: &mut Client, stream: StreamId) -> u128 {
    let now = || u128::from(model::clock::now().0);
    let before = now();
    let script = "echo >/stamp; busybox stat -c %Y.%y /stamp";
    let (said, _) = client.exec(stream, &["/bin/sh", "-c", script]);
    let after = now();
    let parts: Vec<&str> = said.trim().split(['.', ' ']).collect();
    let seconds: u128 = parts[0].parse().expect("a number");
    let guest = seconds * 1000 + parts[3][..3].parse::<u128>().expect("milliseconds");
    before.saturating_sub(guest).max(guest.saturating_sub(after))
}

#[test]
fn a_frozen_guest_takes_no_cpu_and_goes_on() {
    let world = World::new();
    let Some(spec) = sh(&world, "n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done") else {
        return;
    };
    let mut client = Client::start(spec);
    world.wait_for_line("stdout F 3");
    client.send(&shim_proto::ToShim::Freeze);
    wait_for("frozen", || matches!(client.message(), shim_proto::FromShim::Frozen { .. }));
    let then = world.log().len();
    client.send(&shim_proto::ToShim::Thaw);
    wait_for("thawed", || matches!(client.message(), shim_proto::FromShim::Thawed));
    world.wait_for_line(&format!("stdout F {}", then + 5));
    client.kill();
    world.assert_nothing_left();
}

/// What a guest that has taken over its monitor could reach: nothing.
#[test]
fn the_monitor_is_confined() {
    let world = World::new();
    let Some(spec) = in_vm(&world, &["/bin/sleep", "1000"]) else { return };
    let mut client = Client::start(spec);
    let proc = format!("/proc/{}", client.init_pid);
    let status = fs::read_to_string(format!("{proc}/status")).expect("it runs");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(field("Uid:"), "3000000000 3000000000 3000000000 3000000000");
    assert_eq!(field("Gid:"), "3000000000 3000000000 3000000000 3000000000");
    assert_eq!(field("Groups:"), "");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".to_owned(), "2".to_owned()));
    let limits = fs::read_to_string(format!("{proc}/limits")).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    for kind in ["mnt", "pid", "ipc", "uts", "net", "cgroup"] {
        let link = |of: &str| fs::read_link(format!("{of}/ns/{kind}")).expect("a namespace");
        assert_ne!(link(&proc), link("/proc/self"), "{kind}");
    }
    let mut top: Vec<String> = fs::read_dir(format!("{proc}/root"))
        .expect("its root")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    top.sort();
    assert!(top.iter().all(|name| ["etc", "lib", "lib64", "proc", "usr"].contains(&name.as_str())));
    let mounts = fs::read_to_string(format!("{proc}/mountinfo")).expect("it runs");
    for line in
        mounts.lines().filter(|line| !line.contains(" - tmpfs ") && !line.contains(" - proc "))
    {
        assert!(line.split(' ').nth(5).is_some_and(|options| options.starts_with("ro")), "{line}");
    }
    client.kill();
    world.assert_nothing_left();
}

#[test]
fn a_monitor_that_is_killed_is_the_end_of_the_machine() {
    let world = World::new();
    let Some(spec) = in_vm(&world, &["/bin/sleep", "1000"]) else { return };
    let mut client = Client::start(spec);
    let pid = i32::try_from(client.init_pid).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::KILL)
        .expect("ours");
    let record = client.wait_exit();
    assert_eq!((record.signal, record.requested_stop), (Some(9), false));
    world.assert_nothing_left();
}

#[test]
fn a_kernel_that_panics_is_the_end_of_the_machine() {
    let world = World::new();
    let script = "echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 1000";
    let Some(spec) = sh(&world, script) else { return };
    let record = Client::start(spec).wait_exit();
    assert_eq!((record.signal, record.requested_stop), (Some(9), false));
    world.assert_nothing_left();
}

#[test]
fn a_disk_is_for_one_engine() {
    let world = World::new();
    let Some(vm) = in_vm(&world, &["/bin/sleep", "1000"]) else { return };
    world.run_to_end(world.sh("echo x >/file"));
    let (code, message) = Client::fail_to_start(vm);
    assert_eq!(code, "disk", "{message}");
    let world = World::new();
    output(&world, "true");
    let (code, message) = Client::fail_to_start(world.sh("true"));
    assert_eq!(code, "disk", "{message}");
    world.assert_nothing_left();
}

/// A template knows no size of a disk: each machine has its own.
#[test]
fn disks_of_any_size_come_from_one_template() {
    for gib in [1, 8, 20] {
        let world = World::with_disk(gib);
        let Some(lines) = output(&world, "busybox df -m / | busybox tail -n 1") else { return };
        let mib: u32 =
            lines[0].split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a size");
        let expected = gib * 1024;
        assert!((expected * 9 / 10..=expected).contains(&mib), "{gib} GiB shows as {mib} MiB");
        world.assert_nothing_left();
    }
}

#[track_caller]
fn check_refused(change: impl FnOnce(&World, &mut MicrovmSpec), code: &str, words: &str) {
    let world = World::new();
    let Some(mut spec) = in_vm(&world, &["/bin/sleep", "1000"]) else { return };
    change(&world, microvm(&mut spec));
    let (found, message) = Client::fail_to_start(spec);
    assert_eq!(found, code, "{message}");
    assert!(message.contains(words), "{message}");
    world.assert_nothing_left();
}

#[test]
fn a_missing_part_is_named() {
    check_refused(|_, vm| vm.monitor.qemu_path = "/usr/bin/no-qemu".into(), "launch", "monitor");
    check_refused(|_, vm| vm.image_path = "/no/image".into(), "namespace", "/no/image");
    check_refused(|_, vm| vm.monitor.template.ram_path = "/no/ram".into(), "namespace", "/no/ram");
}

#[test]
fn a_state_that_is_none_is_refused() {
    let garbage = |world: &World, length: usize| {
        let path = world.path("state");
        fs::write(&path, vec![0x51; length]).expect("ours");
        path
    };
    for length in [0, 100, 100_000] {
        check_refused(
            |world, vm| vm.monitor.template.state_path = garbage(world, length),
            "monitor",
            "take up",
        );
    }
    // The right one, cut.
    check_refused(
        |world, vm| {
            let whole = fs::read(&vm.monitor.template.state_path).expect("ours");
            fs::write(world.path("state"), &whole[..whole.len() / 2]).expect("ours");
            vm.monitor.template.state_path = world.path("state");
        },
        "monitor",
        "take up",
    );
}

#[test]
fn an_image_or_disk_that_is_none_is_named() {
    check_refused(
        |world, vm| {
            fs::write(world.path("none"), vec![0x51; 1 << 20]).expect("ours");
            vm.image_path = world.path("none");
        },
        "guest",
        "image",
    );
    check_refused(
        |_, vm| {
            let disk = fs::OpenOptions::new().write(true).open(&vm.disk_path).expect("ours");
            disk.write_all_at(&[0; 8192], 0).expect("ours");
        },
        "guest",
        "disk",
    );
}

/// The disk of a guest that never got to write its cache out is mended by its journal.
#[test]
fn a_guest_whose_power_fails_comes_up_again() {
    let world = World::new();
    let script = "echo kept >/file; busybox sync; echo up; while :; do echo more >>/more; done";
    let Some(spec) = sh(&world, script) else { return };
    let mut client = Client::start(spec);
    world.wait_for_line("stdout F up");
    client.kill();
    assert_eq!(output(&world, "cat /file").expect("as before"), ["up", "kept"]);
    world.assert_nothing_left();
}

/// RAM of the template is shared: a second machine takes only what it changes.
#[test]
fn the_ram_of_a_template_is_there_once() {
    let world = World::new();
    let Some(spec) = in_vm(&world, &["/bin/sleep", "1000"]) else { return };
    let template = microvm(&mut spec.clone()).monitor.template.clone();
    let mut client = Client::start(spec);
    let text = fs::read_to_string(format!("/proc/{}/smaps", client.init_pid)).expect("it runs");
    let mut lines = text.lines().skip_while(|line| !line.contains("memfd:ram"));
    let line = lines.find(|line| line.starts_with("Private_Dirty:")).expect("its RAM is mapped");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    let private = kib << 10;
    assert!(private < template.resident_bytes / 2, "{private} bytes of its own");
    client.kill();
    world.assert_nothing_left();
}
