//! Programs that decide about devices, for the kernel's eBPF machine: built by hand, loaded and
//! attached by bpf(2).
//!
//! A cgroup of v2 has no file that lists devices; a program of the type `CGROUP_DEVICE` is asked
//! instead. It gets a pointer in register 1 to `struct bpf_cgroup_dev_ctx { u32 access_type, major,
//! minor; }` and answers in register 0: 1 allows, 0 refuses. The answers of all cgroups on the way up
//! count; one refusal is enough.
//!
//! Source: the kernel's `include/uapi/linux/bpf.h`, RFC 9669 for the instructions.

#![allow(unsafe_code, reason = "bpf(2) has no safe wrapper")]

use rustix::io::Errno;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

/// Commands of bpf(2).
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;

/// `BPF_PROG_TYPE_CGROUP_DEVICE`.
const TYPE_CGROUP_DEVICE: u32 = 15;
/// `BPF_CGROUP_DEVICE`, the place to attach at.
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// `BPF_F_ALLOW_MULTI`: programs further up or down stay and are asked too.
const ALLOW_MULTI: u32 = 2;

/// An instruction. Layout of `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    code: u8,
    /// Source in the high half, destination in the low half.
    registers: u8,
    /// Of a jump: how many instructions are left out.
    offset: i16,
    constant: i32,
}

/// A register: 0 is the answer, 1 the context, 2 to 5 are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Register {
    Answer = 0,
    Context = 1,
    Access = 2,
    Kind = 3,
    Major = 4,
    Minor = 5,
}

impl Instruction {
    const fn new(code: u8, to: Register, offset: i16, constant: i32) -> Self {
        Self { code, registers: to as u8, offset, constant }
    }

    /// `to = constant`.
    pub(crate) const fn set(to: Register, constant: i32) -> Self {
        Self::new(0xb7, to, 0, constant)
    }

    /// `to = from`, 32 bits.
    pub(crate) const fn copy(to: Register, from: Register) -> Self {
        Self { code: 0xbc, registers: (from as u8) << 4 | to as u8, offset: 0, constant: 0 }
    }

    /// `to =` the 32-bit word at `offset` of what `from` points to.
    pub(crate) const fn load(to: Register, from: Register, offset: i16) -> Self {
        Self { code: 0x61, registers: (from as u8) << 4 | to as u8, offset, constant: 0 }
    }

    /// `to = to & constant`, 32 bits.
    pub(crate) const fn and(to: Register, constant: i32) -> Self {
        Self::new(0x54, to, 0, constant)
    }

    /// `to = to >> constant`, 32 bits.
    pub(crate) const fn shift_right(to: Register, constant: i32) -> Self {
        Self::new(0x74, to, 0, constant)
    }

    /// Leaves out `skipped` instructions if `register == constant`.
    pub(crate) const fn skip_if_equal(register: Register, constant: i32, skipped: i16) -> Self {
        Self::new(0x15, register, skipped, constant)
    }

    /// Leaves out `skipped` instructions if `register != constant`.
    pub(crate) const fn skip_if_other(register: Register, constant: i32, skipped: i16) -> Self {
        Self::new(0x55, register, skipped, constant)
    }

    /// Ends the program.
    pub(crate) const fn exit() -> Self {
        Self::new(0x95, Register::Answer, 0, 0)
    }
}

/// The part of `union bpf_attr` that loading uses, up to the program's name.
#[repr(C)]
struct LoadArguments {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// The part of `union bpf_attr` that attaching uses.
#[repr(C)]
struct AttachArguments {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

/// Loads a device program; it lives as long as the descriptor or a cgroup that it is attached to.
///
/// # Errors
/// `PERM` without the right to load programs, `INVAL` or `NOSYS` where the kernel knows none, and
/// whatever the verifier thinks of a wrong one.
pub(crate) fn load_device_program(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let arguments = LoadArguments {
        prog_type: TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(|_too_long| Errno::INVAL)?,
        insns: program.as_ptr().addr() as u64,
        license: c"Apache-2.0".as_ptr().addr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: *b"dormouse_device\0",
    };
    // SAFETY: `arguments` has the layout that the command reads; the instructions and the licence
    // outlive the call.
    let fd = unsafe { bpf(PROG_LOAD, &arguments)? };
    // SAFETY: the kernel returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets `program` decide about devices for everybody in `cgroup`, a v2 directory, and below.
///
/// # Errors
/// `PERM` also where a cgroup further up keeps the decision to itself.
pub(crate) fn attach_device_program(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let number = |fd: BorrowedFd<'_>| u32::try_from(fd.as_raw_fd()).expect("open descriptors");
    let arguments = AttachArguments {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: ALLOW_MULTI,
    };
    // SAFETY: `arguments` has the layout that the command reads and holds no pointer.
    unsafe { bpf(PROG_ATTACH, &arguments) }.map(drop)
}

/// # Safety
/// `T` is what `command` reads, and every pointer in it holds.
unsafe fn bpf<T>(command: libc::c_int, arguments: &T) -> Result<RawFd, Errno> {
    // SAFETY: the caller's promise; the kernel reads no more than the size that it is told.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(arguments), size_of::<T>())
    };
    match RawFd::try_from(result) {
        Ok(number) if number >= 0 => Ok(number),
        // SAFETY: the location of `errno` is always valid.
        _ => Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() })),
    }
}
