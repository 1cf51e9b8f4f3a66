//! Settings and secrets of the kernel below `/proc` and `/sys`.

use crate::attempt;
use tests::attempt::How::Sh;
use tests::attempt::{
    ABSENT, Attempt, DENIED, NO_PLACE, NOT_PERMITTED, Outside, READ_ONLY, SILENT,
};

/// What a shell says that cannot write a setting.
const WRITE_FAILS: &[&str] = &[READ_ONLY, DENIED, NO_PLACE];

/// Writes a setting that the host has, too.
const fn write(path: &'static str, script: &'static str) -> Attempt {
    let says = WRITE_FAILS;
    Attempt { name: path, how: Sh(script), says, outside: Outside::File(path) }
}

const fn row(name: &'static str, script: &'static str, says: &'static [&'static str]) -> Attempt {
    Attempt { name, how: Sh(script), says, outside: Outside::Canary }
}

const ATTEMPTS: &[Attempt] = &[
    // `h` prints a help text, should it get through.
    row("sysrq-trigger", "echo h > /proc/sysrq-trigger", WRITE_FAILS),
    write("/proc/sys/kernel/core_pattern", "echo '|/tmp/x' > /proc/sys/kernel/core_pattern"),
    write("/proc/sys/kernel/modprobe", "echo /tmp/x > /proc/sys/kernel/modprobe"),
    write("/proc/sys/kernel/hostname", "echo escaped > /proc/sys/kernel/hostname"),
    write("/proc/sys/kernel/domainname", "echo escaped > /proc/sys/kernel/domainname"),
    write("/proc/sys/kernel/sysrq", "echo 511 > /proc/sys/kernel/sysrq"),
    write("/proc/sys/kernel/pid_max", "echo 40001 > /proc/sys/kernel/pid_max"),
    row("the next pid", "echo 1 > /proc/sys/kernel/ns_last_pid", WRITE_FAILS),
    write("/proc/sys/kernel/yama/ptrace_scope", "echo 0 > /proc/sys/kernel/yama/ptrace_scope"),
    write("/proc/sys/vm/overcommit_memory", "echo 2 > /proc/sys/vm/overcommit_memory"),
    write("/proc/sys/vm/swappiness", "echo 7 > /proc/sys/vm/swappiness"),
    write("/proc/sys/vm/max_map_count", "echo 70001 > /proc/sys/vm/max_map_count"),
    write("/proc/sys/fs/file-max", "echo 70001 > /proc/sys/fs/file-max"),
    write("/proc/sys/fs/suid_dumpable", "echo 1 > /proc/sys/fs/suid_dumpable"),
    write("/proc/sys/fs/protected_symlinks", "echo 7 > /proc/sys/fs/protected_symlinks"),
    write("/proc/sys/net/ipv4/ip_forward", "echo 1 > /proc/sys/net/ipv4/ip_forward"),
    write("/proc/irq/default_smp_affinity", "echo 1 > /proc/irq/default_smp_affinity"),
    write("/sys/kernel/uevent_helper", "echo /tmp/x > /sys/kernel/uevent_helper"),
    write(
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "echo never > /sys/kernel/mm/transparent_hugepage/enabled",
    ),
    write("/sys/kernel/mm/ksm/run", "echo 1 > /sys/kernel/mm/ksm/run"),
    write("/sys/module/loop/parameters/max_part", "echo 3 > /sys/module/loop/parameters/max_part"),
    row("binfmt_misc", "echo x > /proc/sys/fs/binfmt_misc/register", WRITE_FAILS),
    row("drop caches", "echo 1 > /proc/sys/vm/drop_caches", &[READ_ONLY, DENIED]),
    row("sleep the host", "echo freeze > /sys/power/state", WRITE_FAILS),
    row("read the kernel's memory", "head -c 1 /proc/kcore | grep .", &[SILENT]),
    row("read keys", "head -c 1 /proc/keys | grep .", &[SILENT]),
    row("read timers", "head -c 1 /proc/timer_list | grep .", &[SILENT]),
    row("read the scheduler's list", "head -c 1 /proc/sched_debug | grep .", &[SILENT]),
    row("read the kernel's log", "dmesg", &[NOT_PERMITTED]),
    row("read the firmware", "ls /sys/firmware | grep .", &[SILENT]),
    row("read debugfs", "ls /sys/kernel/debug | grep .", &[SILENT]),
    row("read kernel addresses", "grep -v '^0000000000000000' /proc/kallsyms | grep .", &[SILENT]),
    row(
        "find a cgroup's limits",
        "find /sys/fs/cgroup /tmp -name '*limit*' -o -name '*.max' | grep .",
        &[SILENT],
    ),
    row(
        "find a release agent",
        "find / -name release_agent -o -name notify_on_release 2>/dev/null | grep .",
        &[SILENT],
    ),
    row("make a cgroup", "mkdir /sys/fs/cgroup/out", &[READ_ONLY, DENIED, NOT_PERMITTED, ABSENT]),
    row(
        "see its place among the host's cgroups",
        "grep dormouse /proc/self/cgroup /proc/1/cgroup",
        &[SILENT],
    ),
    row(
        "see places of the host among its mounts",
        "grep -E 'run/dormouse|machines/|dormouse-test' /proc/self/mountinfo",
        &[SILENT],
    ),
    row("map more users", "echo '0 0 4294967295' > /proc/self/uid_map", &[NOT_PERMITTED, DENIED]),
    row("be spared when RAM runs out", "echo -1000 > /proc/self/oom_score_adj", &[DENIED]),
];

#[test]
fn no_setting_of_the_kernel_is_changed_and_no_secret_read() {
    attempt("kernel files", ATTEMPTS);
}
