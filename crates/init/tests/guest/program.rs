//! The program finds what it finds in a container.

use crate::harness::{House, code, furnishing, shell};
use guest_proto::message::{ExecOrders, Furnishing};
use guest_proto::{FromGuest, Orders, StreamId, ToGuest};

/// A stream of the host's.
const STREAM: StreamId = StreamId(2);

/// Each line of `expected` is printed by the line of `script` with the same number.
#[track_caller]
fn check(house: &House, furnishing: Furnishing, orders: Orders, expected: &[&str]) {
    let mut guest = house.waiting();
    guest.furnish(furnishing);
    guest.start(orders);
    assert_eq!(guest.exited(), code(0), "{}", guest.output());
    let output = guest.output();
    assert_eq!(output.lines().collect::<Vec<_>>(), expected, "{output}");
    guest.expect_power_off();
}

#[test]
fn the_program_finds_its_surroundings() {
    let Some(house) = House::new() else { return };
    let script = "id -u; pwd; ls -d /image /disk /modules /init /own 2>/dev/null
        cat /proc/1/cmdline | tr '\\0' ' '; echo
        stat -c %t:%T /dev/null; readlink /dev/fd; stat -f -c %T /dev/shm
        test -c /dev/ptmx && test -c /dev/pts/ptmx && echo terminals
        test -e /dev/console || echo no console
        stat -f -c %t /sys/fs/cgroup
        ls /.fly; readlink /.dormouse/dm; dm
        touch /.fly/bin/x 2>/dev/null || echo tools are not to be written
        ip addr show lo | grep -c 'inet 127.0.0.1/8'
        cat /run/host/container-manager; stat -f -c %T /run/lock
        grep CapEff /proc/self/status | cut -f 2; grep -c NoNewPrivs:.0 /proc/self/status
        ulimit -n; ulimit -Hn";
    let expected = [
        "0",
        "/",
        "/init machine ",
        "1:3",
        "/proc/self/fd",
        "tmpfs",
        "terminals",
        "no console",
        "63677270",
        "api",
        "bin",
        "dm",
        "/.fly/bin/dm",
        "the tool speaks",
        "tools are not to be written",
        "1",
        "dormouse",
        "tmpfs",
        "000001ffffffffff",
        "1",
        "1048576",
        "1048576",
    ];
    check(&house, Furnishing { has_fresh_run: true, ..furnishing() }, shell(script), &expected);
}

#[test]
fn a_program_may_be_pid_1_of_its_own() {
    let Some(house) = House::new() else { return };
    let script = "echo $$; tr '\\0' ' ' < /proc/1/cmdline | cut -c 1-7; cat /proc/self/cgroup
        mkdir /sys/fs/cgroup/below && cat /sys/fs/cgroup/cgroup.procs
        grep -o memory /sys/fs/cgroup/cgroup.controllers; tty; echo to the console > /dev/console";
    let orders = Orders { pid1: true, tty: true, ..shell(script) };
    let mut guest = house.started(orders);
    assert_eq!(guest.exited(), code(0), "{}", guest.output());
    let output = guest.output().replace('\r', "");
    let lines: Vec<&str> = output.lines().collect();
    let expected = ["1", "/bin/sh", "0::/", "1", "memory", "/dev/pts/0", "to the console"];
    let is_listed = |line: &&&str| expected.contains(*line);
    assert_eq!(lines.iter().filter(is_listed).copied().collect::<Vec<_>>(), expected, "{output}");
    guest.expect_power_off();
}

#[test]
fn commands_run_beside_the_program() {
    let Some(house) = House::new() else { return };
    for pid1 in [false, true] {
        let script = "trap 'exit 3' TERM; echo ready; sleep 1000 & wait";
        let mut guest = house.started(Orders { pid1, ..shell(script) });
        guest.expect_output("ready\n");
        let argv = ["/bin/sh", "-c", "grep -c . /proc/1/cmdline; hostname; exit 5"];
        let exec = ExecOrders { argv: argv.map(str::to_owned).to_vec(), ..ExecOrders::default() };
        guest.send(&ToGuest::Exec { stream: STREAM, exec });
        let ended = FromGuest::ExecEnded { stream: STREAM, ended: code(5) };
        guest.expect(|message| *message == ended);
        guest.expect_output("ready\n1\nsleeper\n");
        guest.send(&ToGuest::Signal { signal: 15 });
        assert_eq!(guest.exited(), code(3));
        guest.expect_power_off();
    }
}
