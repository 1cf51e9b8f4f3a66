//! From the orders to the first instruction of the program, and to its end.

use crate::harness::{Machine, busybox_root, code, program, shell, signal};
use guest_proto::message::{Ended, FileOrder, HostsLine, StartFailure};
use guest_proto::{FromGuest, Orders, ToGuest, VERSION, VERSION_MIN};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

#[track_caller]
fn check(orders: Orders, stdout: &str, ended: Ended) {
    let mut machine = Machine::started(orders);
    assert_eq!(machine.finish(), ended);
    assert_eq!(machine.output(), stdout);
    assert_eq!(machine.errors(), "");
}

#[track_caller]
fn check_refused(orders: Orders, reason: StartFailure, words: &str) {
    let mut machine = Machine::greeted();
    match machine.boot(orders) {
        FromGuest::StartFailed { reason: found, message } => {
            assert_eq!(found, reason, "{message}");
            assert!(message.contains(words), "{message}");
        }
        other => panic!("{other:?} instead of a refusal"),
    }
    assert_eq!(machine.init_exit_code(), Some(0));
}

#[test]
fn programs_end_as_they_end() {
    check(program(&["echo", "hello"]), "hello\n", code(0));
    check(shell("exit 7"), "", code(7));
    check(shell("kill -TERM $$"), "", signal(Signal::TERM));
    check(shell("kill -KILL $$"), "", signal(Signal::KILL));
}

#[test]
fn what_cannot_run_is_told_apart() {
    check_refused(program(&[]), StartFailure::EmptyArgv, "no program");
    check_refused(program(&["nonesuch"]), StartFailure::NotFound, "`nonesuch` was not found");
    check_refused(program(&["/bin/nonesuch"]), StartFailure::NotFound, "was not found");
    check_refused(program(&["/etc/passwd"]), StartFailure::NotExecutable, "may not be executed");
    check_refused(program(&["/etc"]), StartFailure::NotExecutable, "may not be executed");
    let user = Orders { user: "nobody".to_owned(), ..program(&["true"]) };
    check_refused(user, StartFailure::UnknownUser, "user `nobody`");
    let dir = Orders { working_dir: "/etc/passwd/x".to_owned(), ..program(&["true"]) };
    check_refused(dir, StartFailure::WorkingDir, "/etc/passwd/x");
    check_refused(program(&["/bin/\0sh"]), StartFailure::Other, "execute");
}

#[test]
fn files_that_are_no_programs_come_with_a_hint() {
    let script = |path: &str, content: &str| Orders {
        files: vec![file(path, content.as_bytes(), 0o755)],
        ..program(&[path])
    };
    let (plain, lost) = (script("/x", "echo hi\n"), script("/y", "#!/bin/nonesuch\n"));
    check_refused(plain, StartFailure::NotExecutable, "`#!` line");
    check_refused(lost, StartFailure::NotExecutable, "interpreter or loader");
}

fn file(path: &str, content: &[u8], mode: u32) -> FileOrder {
    use base64::Engine as _;
    let content_base64 = base64::engine::general_purpose::STANDARD.encode(content);
    FileOrder { path: path.to_owned(), content_base64, mode }
}

#[test]
fn the_program_finds_its_surroundings() {
    let orders = Orders {
        env: BTreeMap::from([("A".to_owned(), "1 2".to_owned())]),
        working_dir: "/made/for/it".to_owned(),
        hostname: "sleeper".to_owned(),
        hosts: vec![HostsLine { address: "fdaa::2".to_owned(), names: vec!["sleeper".to_owned()] }],
        resolv_conf: "nameserver fdaa::3\n".to_owned(),
        files: vec![file("/a/b/c", b"\x00\xff content", 0o640)],
        ..shell(
            "echo \"$A|$HOME|$PATH|$TERM\"; pwd; hostname; cat /etc/hostname /etc/hosts \
             /etc/resolv.conf; stat -c '%a %s' /a/b/c; umask; cat /proc/self/status | head -0; \
             ls /proc/self/fd | wc -l; readlink /proc/self/fd/0",
        )
    };
    let expected = "1 2|/root|/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/.fly/bin|\n\
                    /made/for/it\nsleeper\nsleeper\nfdaa::2\tsleeper\nnameserver fdaa::3\n640 10\n\
                    0022\n4\n/dev/null\n";
    check(orders, expected, code(0));
}

#[test]
fn the_program_runs_as_its_user() {
    let as_user = |user: &str| Orders {
        user: user.to_owned(),
        ..shell("id; echo $HOME; echo x > /dev/stdout")
    };
    check(
        as_user("app"),
        "uid=1000(app) gid=1001(app) groups=1001(app),2000(extra)\n/home/app\nx\n",
        code(0),
    );
    check(
        as_user("app:extra"),
        "uid=1000(app) gid=2000(extra) groups=2000(extra)\n/home/app\nx\n",
        code(0),
    );
    check(as_user("77:78"), "uid=77 gid=78 groups=78\n/\nx\n", code(0));
    check(as_user(""), "uid=0(root) gid=0(root) groups=0(root)\n/root\nx\n", code(0));
}

#[test]
fn the_program_has_default_signals_and_its_own_session() {
    let script =
        "grep -E 'Sig(Blk|Ign)' /proc/self/status; test $(cut -d' ' -f6 /proc/$$/stat) = $$";
    let script = script.replace("grep", "busybox grep").replace("cut", "busybox cut");
    check(shell(&script), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n", code(0));
}

#[test]
fn files_are_replaced_and_never_written_through() {
    let root = busybox_root();
    let etc = root.path().join("etc");
    std::fs::write(root.path().join("precious"), "precious").expect("a file");
    symlink("/precious", etc.join("hosts")).expect("a link");
    std::fs::create_dir(etc.join("resolv.conf")).expect("a directory in its place");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        etc.join("hostname"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("a FIFO in its place");
    let mut machine = Machine::with_root(root);
    machine.greet();
    machine.boot(Orders {
        hostname: "h".to_owned(),
        resolv_conf: "nameserver ::1\n".to_owned(),
        ..shell("cat /precious; cat /etc/hostname")
    });
    assert_eq!(machine.finish(), code(0));
    assert_eq!(machine.output(), "precioush\n");
    assert_eq!(machine.errors(), "dormouse-init: cannot write /etc/resolv.conf: Is a directory\n");
}

#[test]
fn files_of_the_configuration_must_be_written() {
    let with = |path: &str| Orders { files: vec![file(path, b"x", 0o644)], ..program(&["true"]) };
    check_refused(with("/etc/passwd/x"), StartFailure::Files, "/etc/passwd/x");
    check_refused(with("relative"), StartFailure::Files, "not absolute");
    let mut broken = with("/x");
    broken.files[0].content_base64 = "!".to_owned();
    check_refused(broken, StartFailure::Files, "not base64");
}

#[test]
fn a_huge_passwd_is_no_trouble() {
    let root = busybox_root();
    let mut passwd: String = (1..=10_000)
        .map(|n| format!("user{n}:x:{}:{}::/home/user{n}:/bin/sh\n", n + 5_000, n))
        .collect();
    passwd.push_str("last:x:77:78::/last:/bin/sh\n");
    std::fs::write(root.path().join("etc/passwd"), passwd).expect("accounts");
    let mut machine = Machine::with_root(root);
    machine.greet();
    machine.boot(Orders { user: "last".to_owned(), ..shell("id -u; echo $HOME") });
    assert_eq!(machine.finish(), code(0));
    assert_eq!(machine.output(), "77\n/last\n");
}

#[test]
fn three_mebibytes_of_orders_fit() {
    let env = (0..24).map(|n| (format!("BIG{n}"), "x".repeat(120 * 1024))).collect();
    let mut machine = Machine::greeted();
    let answer = machine.boot(Orders { env, ..shell("echo ${#BIG7}") });
    match answer {
        FromGuest::Started { .. } => {
            assert_eq!(machine.finish(), code(0));
            assert_eq!(machine.output(), "122880\n");
        }
        // The kernel's limit depends on the stack limit of the host.
        FromGuest::StartFailed { message, .. } => assert!(message.contains("larger"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_repeated_boot_is_answered_as_before() {
    let mut machine = Machine::greeted();
    let first = machine.boot(program(&["sleep", "1000"]));
    assert_eq!(machine.boot(program(&["false"])), first);
}

#[test]
fn a_terminal_is_one_stream_with_a_size() {
    let orders = Orders { tty: true, ..shell("tty; stty size; echo $TERM; echo err >&2") };
    check(orders, "/dev/pts/0\r\n24 80\r\nxterm\r\nerr\r\n", code(0));
}

#[test]
fn versions_that_never_meet_are_refused() {
    let mut machine = Machine::silent();
    machine.send(&ToGuest::Hello { version: VERSION + 7, version_min: VERSION + 6 });
    let refused = FromGuest::HelloRefused { version: VERSION, version_min: VERSION_MIN };
    machine.expect(|message| *message == refused);
    machine.send(&ToGuest::Shutdown);
    let unheard = FromGuest::Unknown { what: "shutdown".to_owned() };
    machine.expect(|message| *message == unheard);
    machine.send(&ToGuest::Hello { version: VERSION + 7, version_min: VERSION_MIN });
    machine
        .expect(|message| matches!(message, FromGuest::Hello { version: VERSION, booted: false }));
}
