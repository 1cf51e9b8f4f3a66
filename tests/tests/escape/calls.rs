//! System calls that lead out of a container, or into parts of the kernel that it has no need of.
//!
//! Pointers are null: a call that is not refused beforehand fails with another reason.

use crate::attempt;
use tests::attempt::How::{Call, Probe, Sh};
use tests::attempt::{Attempt, BAD_CALL, DENIED, NO_CALL, NOT_PERMITTED, Outside};

const fn call(name: &'static str, number: i64, arguments: &'static [i64]) -> Attempt {
    let how = Call(number, arguments);
    Attempt { name, how, says: &[NOT_PERMITTED], outside: Outside::Canary }
}

const fn namespace(name: &'static str, number: i64, arguments: &'static [i64]) -> Attempt {
    let how = Call(number, arguments);
    Attempt { name, how, says: &[NOT_PERMITTED, NO_CALL], outside: Outside::Namespaces }
}

const fn join(path: &'static [&'static str]) -> Attempt {
    let (name, how, says) = (path[1], Probe(path), &[NOT_PERMITTED, DENIED]);
    Attempt { name, how, says, outside: Outside::Namespaces }
}

const SIGCHLD: i64 = libc::SIGCHLD as i64;
const NEWNS: i64 = libc::CLONE_NEWNS as i64;
const NEWUSER: i64 = libc::CLONE_NEWUSER as i64;
const NEWPID: i64 = libc::CLONE_NEWPID as i64;
const NEWNET: i64 = libc::CLONE_NEWNET as i64;
const NEWIPC: i64 = libc::CLONE_NEWIPC as i64;
const NEWUTS: i64 = libc::CLONE_NEWUTS as i64;
const NEWCGROUP: i64 = libc::CLONE_NEWCGROUP as i64;
/// `CLONE_NEWTIME`.
const NEWTIME: i64 = 0x80;

const NAMESPACES: &[Attempt] = &[
    namespace("unshare users", libc::SYS_unshare, &[NEWUSER]),
    namespace("unshare mounts", libc::SYS_unshare, &[NEWNS]),
    namespace("unshare users and mounts", libc::SYS_unshare, &[NEWUSER | NEWNS]),
    namespace("unshare pids", libc::SYS_unshare, &[NEWPID]),
    namespace("unshare the network", libc::SYS_unshare, &[NEWNET]),
    namespace("unshare IPC", libc::SYS_unshare, &[NEWIPC]),
    namespace("unshare the host name", libc::SYS_unshare, &[NEWUTS]),
    namespace("unshare cgroups", libc::SYS_unshare, &[NEWCGROUP]),
    namespace("unshare time", libc::SYS_unshare, &[NEWTIME]),
    namespace("clone with users", libc::SYS_clone, &[NEWUSER | SIGCHLD]),
    namespace("clone with mounts", libc::SYS_clone, &[NEWNS | SIGCHLD]),
    namespace("clone with pids", libc::SYS_clone, &[NEWPID | SIGCHLD]),
    namespace("clone with the network", libc::SYS_clone, &[NEWNET | SIGCHLD]),
    namespace("clone with cgroups", libc::SYS_clone, &[NEWCGROUP | SIGCHLD]),
    namespace("clone with flags above 32 bits", libc::SYS_clone, &[NEWUSER | SIGCHLD | 1 << 40]),
    namespace("clone3, whatever its flags", libc::SYS_clone3, &[]),
    join(&["setns", "/proc/1/ns/mnt"]),
    join(&["setns", "/proc/1/ns/net"]),
    join(&["setns", "/proc/1/ns/pid"]),
    join(&["setns", "/proc/1/ns/user"]),
    join(&["setns", "/proc/1/ns/ipc"]),
    join(&["setns", "/proc/1/ns/uts"]),
    join(&["setns", "/proc/1/ns/cgroup"]),
    join(&["setns", "/proc/self/ns/mnt"]),
    join(&["setns", "/proc/self/ns/user"]),
];

#[test]
fn no_namespace_is_made_or_joined() {
    attempt("namespaces", NAMESPACES);
}

const CALLS: &[Attempt] = &[
    call("keyctl", libc::SYS_keyctl, &[0]),
    call("add_key", libc::SYS_add_key, &[]),
    call("request_key", libc::SYS_request_key, &[]),
    call("userfaultfd", libc::SYS_userfaultfd, &[]),
    call("io_uring_setup", libc::SYS_io_uring_setup, &[8]),
    call("io_uring_enter", libc::SYS_io_uring_enter, &[]),
    call("io_uring_register", libc::SYS_io_uring_register, &[]),
    call("bpf", libc::SYS_bpf, &[]),
    call("perf_event_open", libc::SYS_perf_event_open, &[]),
    call("kexec_load", libc::SYS_kexec_load, &[]),
    call("kexec_file_load", libc::SYS_kexec_file_load, &[-1, -1]),
    call("init_module", libc::SYS_init_module, &[]),
    call("finit_module", libc::SYS_finit_module, &[-1]),
    call("delete_module", libc::SYS_delete_module, &[]),
    call("open_by_handle_at", libc::SYS_open_by_handle_at, &[-100]),
    call("pidfd_getfd of PID 1", libc::SYS_pidfd_getfd, &[0, 3]),
    call("kcmp with PID 1", libc::SYS_kcmp, &[1, 1]),
    call("process_madvise", libc::SYS_process_madvise, &[]),
    call("move_pages", libc::SYS_move_pages, &[1]),
    call("migrate_pages", libc::SYS_migrate_pages, &[1]),
    call("mbind", libc::SYS_mbind, &[]),
    call("fanotify_init", libc::SYS_fanotify_init, &[]),
    call("quotactl", libc::SYS_quotactl, &[]),
    call("lookup_dcookie", libc::SYS_lookup_dcookie, &[]),
    call("acct", libc::SYS_acct, &[]),
    call("iopl", libc::SYS_iopl, &[3]),
    call("ioperm", libc::SYS_ioperm, &[0x80, 1, 1]),
    call("syslog", libc::SYS_syslog, &[10]),
    call("swapon", libc::SYS_swapon, &[]),
    call("swapoff", libc::SYS_swapoff, &[]),
    call("vhangup", libc::SYS_vhangup, &[]),
    call("sethostname", libc::SYS_sethostname, &[]),
    call("setdomainname", libc::SYS_setdomainname, &[]),
    // CAD_OFF: what Ctrl-Alt-Del does. Anything stronger would end the tests, should it get through.
    call("reboot", libc::SYS_reboot, &[0xfee1_dead, 672_274_793, 0]),
    call("another personality", libc::SYS_personality, &[0x004_0000]),
    call("a personality of another system", libc::SYS_personality, &[0x0400_0006]),
    call("socket of the hypervisor", libc::SYS_socket, &[40, 1, 0]),
    call("socket of the kernel's crypto", libc::SYS_socket, &[38, 5, 0]),
    call("socket family in the lower half", libc::SYS_socket, &[40 | 1 << 32, 1, 0]),
    Attempt {
        name: "x32 call",
        how: Call(0x4000_0027, &[]),
        says: &[BAD_CALL],
        outside: Outside::Canary,
    },
    Attempt {
        name: "i386 call",
        how: Probe(&["int80", "20"]),
        says: &[BAD_CALL, NO_CALL],
        outside: Outside::Canary,
    },
    Attempt {
        name: "call of a future kernel",
        how: Call(600, &[]),
        says: &[NO_CALL],
        outside: Outside::Canary,
    },
];

#[test]
fn no_dangerous_system_call_is_made() {
    attempt("system calls", CALLS);
}

const TIME: &[Attempt] = &[
    Attempt {
        name: "settimeofday",
        how: Call(libc::SYS_settimeofday, &[]),
        says: &[NOT_PERMITTED],
        outside: Outside::Clock,
    },
    Attempt {
        name: "clock_settime",
        how: Call(libc::SYS_clock_settime, &[]),
        says: &[NOT_PERMITTED],
        outside: Outside::Clock,
    },
    Attempt {
        name: "slew the clock",
        how: Sh("adjtimex -t 10001"),
        says: &[NOT_PERMITTED],
        outside: Outside::Clock,
    },
];

#[test]
fn the_clock_is_not_set() {
    attempt("clock", TIME);
}
