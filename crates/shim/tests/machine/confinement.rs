//! What a machine sees of itself and of the host.

use crate::client::Client;
use crate::world::{World, wait_for};
use guest_proto::StreamId;
use serde_json::Value;
use std::os::unix::fs::symlink;
use std::process::Command;

/// Number of the capability to make device nodes. Source: capabilities(7).
const CAP_MKNOD: u32 = 27;

/// Output of one script.
#[track_caller]
fn output(script: &str) -> Vec<String> {
    let world = World::new();
    let record = world.run_to_end(world.sh(script));
    assert_eq!(record.start_failed, None);
    let log = world.log();
    log.iter()
        .map(|line| line.split_once(" F ").map_or(line.clone(), |(_, t)| t.to_owned()))
        .collect()
}

#[test]
fn rights_are_dockers_default() {
    let world = World::new();
    world.run_to_end(world.run(&["/bin/cat", "/proc/self/status"]));
    let log = world.log();
    let lines: Vec<_> = log.iter().filter_map(|line| line.strip_prefix("stdout F ")).collect();
    let field = |name: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(name)).expect(name);
        line.trim().to_owned()
    };
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(field(set), "00000000a80425fb", "{set}");
    }
    assert_eq!(field("CapInh:"), "0000000000000000");
    assert_eq!(field("CapAmb:"), "0000000000000000");
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    assert_eq!(field("SigBlk:"), "0000000000000000");
    assert_eq!(field("SigIgn:"), "0000000000000000");
}

#[test]
fn the_host_is_out_of_sight() {
    let lines = output(
        "cat /proc/self/uid_map; ls /proc | grep -c '^[0-9]'; ls -d /dev/[a-z]*; \
                        cat /proc/self/mountinfo; ls /proc/self/fd; ls /proc/1/fd | cat",
    );
    assert!(lines[0].contains("3000000000"), "{lines:?}");
    let all = lines.join("\n");
    assert!(!all.contains("/dev/vda") && !all.contains("/dev/loop0"), "{all}");
    assert!(!all.contains("/dm-shim-"), "a path of the host shows:\n{all}");
}

#[test]
fn no_descriptor_of_the_host_is_inherited() {
    // Those of init cannot even be read: it is not dumpable.
    let lines = output("for fd in /proc/1/fd/* /proc/self/fd/*; do busybox readlink $fd; done");
    assert!(lines.len() >= 3, "{lines:?}");
    for line in lines {
        let kinds = ["/dev/null", "socket:", "pipe:", "anon_inode:"];
        let is_known = kinds.iter().any(|kind| line.starts_with(kind));
        assert!(is_known || line.starts_with("/proc/"), "{line}");
    }
}

#[test]
fn nothing_of_the_host_can_be_changed() {
    let attempts = [
        "mount -t tmpfs x /tmp",
        "mount -o remount,rw /sys",
        "mount -o remount,rw /proc/sys",
        "mknod /tmp/disk b 8 0",
        "mknod /tmp/kmsg c 1 11",
        "echo h >/proc/sysrq-trigger",
        "echo 1 >/proc/sys/kernel/panic",
        "echo x >/proc/sys/kernel/core_pattern",
        "echo x >/sys/kernel/mm/transparent_hugepage/enabled",
        "cat /proc/kcore | grep -q .",
        "cat /proc/1/root/../etc/shadow",
        "chroot /proc/1/root/.. /bin/busybox test -e /dev/vda",
        "busybox unshare -m true",
        "busybox hostname other",
        "busybox nsenter -t 1 -m true",
        "echo x >>/proc/1/exe",
        "busybox swapon /tmp",
        "busybox insmod /tmp/x",
        "busybox date -s 2000-01-01; busybox date | grep -q 2000",
        "busybox losetup /dev/loop0 /bin/busybox",
        "busybox dmesg",
        "busybox chrt -f 1 true",
        "busybox nice -n -5 busybox ionice -c 1 true",
        "echo -1000 >/proc/self/oom_score_adj",
    ];
    let script: String = attempts
        .iter()
        .enumerate()
        .map(|(n, attempt)| format!("({attempt}) >/dev/null 2>&1 && echo succeeded {n}\n"))
        .collect();
    let lines = output(&format!("{script} echo done"));
    let succeeded: Vec<_> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("succeeded ")?.parse::<usize>().ok())
        .map(|n| attempts[n])
        .collect();
    assert_eq!(succeeded, Vec::<&str>::new());
    assert_eq!(lines.last().map(String::as_str), Some("done"));
}

#[test]
fn the_usual_places_are_there_and_usable() {
    let lines = output(
        "echo x >/dev/null && busybox head -c 4 /dev/urandom | busybox wc -c\n\
         echo x >/dev/shm/file && echo x >/tmp/file && echo shm\n\
         busybox stat -c '%u %a' /dev/null /dev/shm /.fly /etc /bin/busybox /proc /proc/self\n\
         busybox chown 1000:1000 /tmp/file && busybox su -s /bin/sh me -c 'echo y >>/tmp/file' && echo user\n\
         busybox hostname",
    );
    assert_eq!(&lines[..2], ["4", "shm"]);
    assert_eq!(lines[2], "0 666");
    assert_eq!(lines[3], "0 1777");
    assert_eq!(lines[4], "0 755");
    assert_eq!(lines[5], "0 755");
    assert!(lines.contains(&"user".to_owned()), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("9080e966ae7187"));
}

#[test]
fn a_command_can_have_a_terminal() {
    let world = World::new();
    let mut client = Client::start(world.sh("sleep 1000"));
    let script =
        "test -t 0 && busybox tty && busybox stty size && busybox stat -c %u:%g $(busybox tty)";
    let output = client.exec_on_terminal(StreamId(2), &["/bin/sh", "-c", script]);
    assert_eq!(output, "/dev/pts/0\r\n24 80\r\n0:5\r\n");
    client.kill();
}

#[test]
fn links_in_a_hostile_image_lead_nowhere() {
    let world = World::dressed(|tree| {
        for name in ["proc", "dev", "sys", ".fly", ".dormouse", "run"] {
            symlink("/tmp/trap", tree.join(name)).expect("linked");
        }
        std::fs::create_dir_all(tree.join("tmp/trap")).expect("made");
    });
    let record = world
        .run_to_end(world.sh("ls /tmp/trap; ls -d /proc/self/. && echo x >/dev/null && echo fine"));
    assert_eq!(record.code, Some(0), "{:?}", world.log());
    assert_eq!(world.log(), ["stdout F /proc/self/.", "stdout F fine"]);
    world.assert_nothing_left();
}

#[test]
fn files_in_place_of_mount_points_are_replaced() {
    let world = World::dressed(|tree| {
        std::fs::write(tree.join("proc"), "x").expect("written");
        std::fs::write(tree.join("dev"), "x").expect("written");
        std::fs::remove_dir(tree.join("root")).expect("removed");
        symlink("root", tree.join("root")).expect("a link to itself");
    });
    for _ in 0..2 {
        let record = world.run_to_end(world.sh("echo x >/dev/null && cat /proc/self/comm"));
        assert_eq!(record.code, Some(0), "{:?}", world.log());
    }
}

#[test]
fn a_program_that_is_an_init_is_pid_1_with_a_cgroup_of_its_own() {
    let world = World::new();
    let mut spec = world.sh(
        "echo pid $$; ls -d /proc/[0-9]* ; \
         cat /proc/self/cgroup; \
         busybox mkdir /sys/fs/cgroup/inner && echo 0 >/sys/fs/cgroup/inner/cgroup.procs && echo delegated; \
         touch /run/mark; cat /run/host/container-manager; echo ready; while :; do sleep 1; done",
    );
    spec.orders.pid1 = true;
    let mut client = Client::start(spec);
    world.wait_for_line("stdout F ready");
    let log = world.log();
    assert!(log.contains(&"stdout F pid 1".to_owned()), "{log:?}");
    assert!(log.contains(&"stdout F delegated".to_owned()), "{log:?}");
    assert!(log.contains(&"stdout F 0::/".to_owned()), "{log:?}");
    assert!(log.contains(&"stdout F dormouse".to_owned()), "{log:?}");
    let (output, _) = client.exec(StreamId(2), &["/bin/ls", "/run"]);
    assert!(output.contains("mark"), "commands see the program's /run: {output}");
    let record = client.stop(9, 5000);
    assert_eq!(record.signal, Some(9));
    wait_for("clean host", || world.cgroup_dirs().is_empty());
    world.assert_nothing_left();
}

#[test]
fn the_doctor_says_whether_machines_may_make_nodes() {
    let doctor = Command::new(env!("CARGO_BIN_EXE_dormouse-shim")).arg("doctor").output();
    let findings: Value = serde_json::from_slice(&doctor.expect("it runs").stdout).expect("JSON");
    let mut findings = findings.as_array().expect("a list").iter();
    let devices = findings.find(|found| found["check"] == "container.devices").expect("it looks");
    let message = devices["message"].as_str().expect("a sentence");

    let rights = output("grep CapBnd /proc/self/status").concat();
    let rights = rights.split_ascii_whitespace().last().expect("a number");
    let rights = u64::from_str_radix(rights, 16).expect("in hex");
    let keeps_mknod = rights & 1 << CAP_MKNOD != 0;
    assert_eq!(message.contains("machines keep MKNOD"), keeps_mknod, "{message}");
    assert_eq!(message.contains("MKNOD is dropped"), !keeps_mknod, "{message}");
    assert_eq!(devices["level"] == "ok", keeps_mknod, "{devices}");
}
