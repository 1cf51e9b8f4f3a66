//! The device fails to sync: a commit that is not on the disk is not answered with success.
//!
//! A seccomp filter makes every sync of the victim fail. A store that answers `Ok` then has not
//! even tried to reach the disk, which no kill of a process can show: the page cache survives it.

use crate::victim;
use store::{Store, StoreError};

#[test]
fn victim_loses_its_device() {
    let Some(dir) = victim::dir() else { return };
    let store = Store::open(&dir).expect("the store opens");
    store.write_blocking("before", |tx| tx.put_meta("before", "1")).expect("the device works");
    filter::fail_every_sync();
    let refused = store.write_blocking("after", |tx| tx.put_meta("after", "1"));
    assert!(matches!(refused, Err(StoreError::Database(_))), "answered unsynced: {refused:?}");
    assert!(store.read(|r| r.meta("before")).expect("reads go on").is_some());
    victim::say("result refused");
}

#[test]
fn a_commit_that_cannot_be_synced_is_not_answered_ok() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = victim::run("sync_failure::victim_loses_its_device", dir.path(), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(victim::said(&output, "result "), ["refused"]);
    let store = Store::open(dir.path()).expect("the store opens");
    assert!(store.read(|r| r.meta("before")).expect("reads").is_some());
}

mod filter {
    //! A filter for the whole process: `fsync` and `fdatasync` answer EIO, all else passes.

    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
    use libc::{SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, sock_filter, sock_fprog};

    pub(super) fn fail_every_sync() {
        let mut program = [
            statement(BPF_LD | BPF_W | BPF_ABS, 0), // the number of the call
            jump_if_equal(number(libc::SYS_fsync), 2, 0),
            jump_if_equal(number(libc::SYS_fdatasync), 1, 0),
            statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
            statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | libc::EIO.unsigned_abs()),
        ];
        let length = u16::try_from(program.len()).expect("five");
        let program = sock_fprog { len: length, filter: program.as_mut_ptr() };
        // SAFETY: the program and its instructions live until the calls return, and the kernel
        // copies them; no other memory is touched.
        unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            let installed = libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_TSYNC,
                &raw const program,
            );
            assert_eq!(installed, 0, "{}", std::io::Error::last_os_error());
        }
    }

    fn number(call: libc::c_long) -> u32 {
        u32::try_from(call).expect("calls have small numbers")
    }

    fn statement(code: u32, k: u32) -> sock_filter {
        sock_filter { code: u16::try_from(code).expect("a BPF code"), jt: 0, jf: 0, k }
    }

    fn jump_if_equal(k: u32, if_equal: u8, otherwise: u8) -> sock_filter {
        sock_filter { jt: if_equal, jf: otherwise, ..statement(BPF_JMP | BPF_JEQ | BPF_K, k) }
    }
}
