//! Staying small: what only the start needed goes back to the kernel.

#![allow(unsafe_code, reason = "memory advice has no safe wrapper")]

/// Size of a page on x86-64.
const PAGE_BYTES: usize = 4096;

unsafe extern "C" {
    /// First byte of the program in memory; set by the linker.
    static __executable_start: u8;
    /// First byte behind its instructions; set by the linker.
    static etext: u8;
}

/// Gives back freed memory (orders of 3 MiB came and went) and forgets the pages of this program
/// that only the start needed. The kernel had mapped them by the dozen around each page that was
/// used; those in use are mapped again from the page cache, in a microsecond each.
pub(crate) fn trim() {
    // SAFETY: only releases free pages of the allocator.
    unsafe { libc::malloc_trim(0) };
    let start = (&raw const __executable_start).addr().next_multiple_of(PAGE_BYTES);
    let end = (&raw const etext).addr() / PAGE_BYTES * PAGE_BYTES;
    if let Some(length) = end.checked_sub(start) {
        let start = std::ptr::without_provenance_mut(start);
        // SAFETY: from its start to the end of its instructions the program is mapped read-only
        // from its file, so nothing that was written is lost.
        unsafe { libc::madvise(start, length, libc::MADV_DONTNEED) };
    }
}
