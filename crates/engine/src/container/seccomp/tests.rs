//! The program does what the profile says, for every number: by our own interpreter, and as
//! another compiler understands the same profile.

use super::compile::{ARCH_I386, ARCH_X86_64, RETURN_ALLOW, RETURN_ERRNO, RETURN_KILL_PROCESS};
use super::profile::{self, ENOSYS, NEWEST_KNOWN, Test, Verdict, X32_BIT};
use crate::sys::BpfInstruction;
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;

/// Argument values that matter to some rule, and some that do not.
const ARGUMENTS: [u64; 16] = [
    0,
    1,
    2,
    8,
    16,
    38,
    40,
    0x11,
    0x0002_0000,
    0x0002_0008,
    0x1000_0000,
    0x0100_0000,
    0x4000_0000,
    0xffff_ffff,
    0xdead_0000_0000_0028,
    u64::MAX,
];

fn run(program: &[BpfInstruction], arch: u32, number: u32, argument: u64) -> u32 {
    let mut data = [0; 64];
    data[0..4].copy_from_slice(&number.to_le_bytes());
    data[4..8].copy_from_slice(&arch.to_le_bytes());
    for place in data[16..].chunks_exact_mut(8) {
        place.copy_from_slice(&argument.to_le_bytes());
    }
    let (mut at, mut word) = (0, 0);
    loop {
        let BpfInstruction { code, jump_true, jump_false, k } = program[at];
        at += 1;
        let mut jump_if = |condition| {
            at += usize::from(if condition { jump_true } else { jump_false });
        };
        match code {
            0x20 => {
                let from = usize::try_from(k).expect("an offset");
                word = u32::from_le_bytes(data[from..from + 4].try_into().expect("four bytes"));
            }
            0x05 => at += usize::try_from(k).expect("a distance"),
            0x15 => jump_if(word == k),
            0x35 => jump_if(word >= k),
            0x25 => jump_if(word > k),
            0x45 => jump_if(word & k != 0),
            0x54 => word &= k,
            0x06 => return k,
            other => panic!("an unknown instruction {other:#x}"),
        }
    }
}

fn expected(verdict: Verdict, argument: u64) -> u32 {
    let low = u32::try_from(argument & 0xffff_ffff).expect("half");
    match verdict {
        Verdict::Allow => RETURN_ALLOW,
        Verdict::Errno(errno) => RETURN_ERRNO | u32::from(errno),
        Verdict::Kill => RETURN_KILL_PROCESS,
        Verdict::If { passes, .. } => {
            let ok = match passes {
                Test::LacksBits(mask) => low & mask == 0,
                Test::IsAmong(values) => values.contains(&low),
                Test::Excludes(values) => !values.contains(&low),
            };
            if ok { RETURN_ALLOW } else { RETURN_ERRNO | 1 }
        }
    }
}

#[test]
fn every_call_gets_the_verdict_of_the_profile() {
    let program = super::filter();
    for number in (0..=600).chain([u32::MAX, X32_BIT - 1, X32_BIT, X32_BIT + 59]) {
        for argument in ARGUMENTS {
            let verdict = profile::verdict(number);
            let got = run(&program, ARCH_X86_64, number, argument);
            assert_eq!(got, expected(verdict, argument), "call {number} with {argument:#x}");
        }
    }
}

#[test]
fn other_architectures_get_nothing() {
    let program = super::filter();
    for number in [0, 11, 120, 465] {
        assert_eq!(run(&program, ARCH_I386, number, 0), RETURN_ERRNO | u32::from(ENOSYS));
        assert_eq!(run(&program, 0xC000_00B7, number, 0), RETURN_KILL_PROCESS);
    }
}

#[test]
fn the_program_is_small() {
    let program = super::filter();
    println!("{} instructions for {} segments", program.len(), profile::segments().len());
    assert!(program.len() <= 160, "{} instructions", program.len());
}

#[test]
fn dangerous_calls_are_refused() {
    let program = super::filter();
    let refused = [
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_bpf,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_perf_event_open,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_open_by_handle_at,
        libc::SYS_pivot_root,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_mount_setattr,
        libc::SYS_sethostname,
        libc::SYS_pidfd_getfd,
        libc::SYS_process_madvise,
        libc::SYS_syslog,
        libc::SYS_iopl,
    ];
    for call in refused {
        let number = u32::try_from(call).expect("a number");
        assert_eq!(run(&program, ARCH_X86_64, number, 0), RETURN_ERRNO | 1, "call {call}");
    }
}

/// The profile in the words of `seccompiler`, which knows one error for all mismatches: the
/// comparison is therefore "allowed or not".
fn oracle() -> Vec<BpfInstruction> {
    let condition = |argument, operation, value: u32| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operation, u64::from(value))
            .expect("a condition")
    };
    let rule = |conditions| SeccompRule::new(conditions).expect("a rule");
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for number in 0..=NEWEST_KNOWN {
        let allowed = match profile::verdict(number) {
            Verdict::Allow => vec![],
            Verdict::Errno(_) | Verdict::Kill => continue,
            Verdict::If { argument, passes: Test::LacksBits(mask) } => {
                let is_zero = SeccompCmpOp::MaskedEq(u64::from(mask));
                vec![rule(vec![condition(argument, is_zero, 0)])]
            }
            Verdict::If { argument, passes: Test::IsAmong(values) } => values
                .iter()
                .map(|value| rule(vec![condition(argument, SeccompCmpOp::Eq, *value)]))
                .collect(),
            Verdict::If { argument, passes: Test::Excludes(values) } => {
                let all = values.iter().map(|value| condition(argument, SeccompCmpOp::Ne, *value));
                vec![rule(all.collect())]
            }
        };
        rules.insert(i64::from(number), allowed);
    }
    let arch = seccompiler::TargetArch::x86_64;
    let filter = SeccompFilter::new(rules, SeccompAction::Errno(1), SeccompAction::Allow, arch)
        .expect("a filter");
    let program: seccompiler::BpfProgram = filter.try_into().expect("a program");
    let ours = |i: &seccompiler::sock_filter| BpfInstruction {
        code: i.code,
        jump_true: i.jt,
        jump_false: i.jf,
        k: i.k,
    };
    program.iter().map(ours).collect()
}

#[test]
fn another_compiler_allows_the_same() {
    let (ours, theirs) = (super::filter(), oracle());
    println!("{} instructions against {} in a chain", ours.len(), theirs.len());
    for number in 0..=NEWEST_KNOWN {
        for argument in ARGUMENTS {
            let allowed = |program| run(program, ARCH_X86_64, number, argument) == RETURN_ALLOW;
            assert_eq!(allowed(&ours), allowed(&theirs), "call {number} with {argument:#x}");
        }
    }
}

#[test]
fn installing_it_is_quick() {
    let program = super::filter();
    let building = std::time::Instant::now();
    assert_eq!(super::filter(), program);
    println!("built in {:?}", building.elapsed());
    // Confines this test's thread alone.
    rustix::thread::set_no_new_privs(true).expect("always allowed");
    let installing = std::time::Instant::now();
    crate::sys::set_seccomp_filter(&program).expect("the kernel takes it");
    println!("installed in {:?}", installing.elapsed());
    let refused = rustix::thread::move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&std::io::stdin()),
        None,
    );
    assert_eq!(refused, Err(rustix::io::Errno::PERM));
}
