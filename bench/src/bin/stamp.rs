//! The program that every contender starts: its first instructions read CLOCK_MONOTONIC, then it
//! writes `stamp <nanoseconds>` to standard output and sleeps until a signal.
//!
//! No runtime and no libc start-up stand before the clock. The entry point is ours, and the code
//! uses no address that a loader would have to fill in, because there is no loader.

#![no_main]
#![allow(unsafe_code, reason = "system calls and an entry point without libc")]

#[cfg(not(target_arch = "x86_64"))]
compile_error!("bench-stamp knows the system calls of x86_64 only");

use std::arch::{asm, global_asm};

const SYS_WRITE: usize = 1;
const SYS_PAUSE: usize = 34;
const SYS_CLOCK_GETTIME: usize = 228;
const CLOCK_MONOTONIC: usize = 1;
const STDOUT: usize = 1;

/// Room for `stamp `, the 20 digits of the largest number, and a line end.
const TEXT_MAX_BYTES: usize = 32;

// The kernel enters with no frame below; the ABI wants 16 bytes of alignment before a call.
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {run}",
    "ud2",
    run = sym run,
);

extern "C" fn run() -> ! {
    let mut time = [0_u64; 2];
    let address = &raw mut time as usize;
    // SAFETY: clock_gettime writes two 64-bit numbers to `time`, which is that large.
    unsafe { call(SYS_CLOCK_GETTIME, CLOCK_MONOTONIC, address, 0) };
    let mut text = [0_u8; TEXT_MAX_BYTES];
    let start = write_line(time[0] * 1_000_000_000 + time[1], &mut text);
    let address = &raw const text as usize + start;
    // SAFETY: write reads the filled end of `text`.
    unsafe { call(SYS_WRITE, STDOUT, address, TEXT_MAX_BYTES - start) };
    loop {
        // SAFETY: pause touches no memory.
        unsafe { call(SYS_PAUSE, 0, 0, 0) };
    }
}

/// Writes the line at the end of `text`; returns where it begins.
fn write_line(mut stamp_ns: u64, text: &mut [u8; TEXT_MAX_BYTES]) -> usize {
    let mut places = text.iter_mut().enumerate().rev();
    let mut begin = TEXT_MAX_BYTES;
    // The line always fits; no index is checked, because a panic here would have no runtime.
    let mut put = |byte| {
        if let Some((at, place)) = places.next() {
            *place = byte;
            begin = at;
        }
    };
    put(b'\n');
    loop {
        put(b'0' + (stamp_ns % 10).to_le_bytes()[0]);
        stamp_ns /= 10;
        if stamp_ns == 0 {
            break;
        }
    }
    for byte in [b' ', b'p', b'm', b'a', b't', b's'] {
        put(byte);
    }
    begin
}

/// A system call with up to three arguments.
///
/// # Safety
/// Addresses among the arguments must be valid for what the call does with them.
unsafe fn call(number: usize, first: usize, second: usize, third: usize) -> usize {
    let result;
    // SAFETY: the kernel's convention on x86_64; it keeps all registers but rax, rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}
