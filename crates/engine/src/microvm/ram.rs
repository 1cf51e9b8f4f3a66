//! The RAM of a guest, where its monitor has it mapped.
//!
//! A monitor maps the template's file privately: pages that are written to become its own, and all others
//! stay the file's. The kernel tells which is which. Source: `proc_pid_pagemap(5)`, `proc_pid_maps(5)`.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use vmm::PAGE_BYTES;

/// The file that is mapped, as the kernel names it.
const MAPPED: &str = "/memfd:ram (deleted)";

/// A page that is in RAM.
const PRESENT: u64 = 1 << 63;

/// A page that has been swapped out: one of a file would not be there.
const SWAPPED: u64 = 1 << 62;

/// A page of a file, or one that is shared.
const OF_FILE: u64 = 1 << 61;

/// Pages whose state is read at a time.
const PAGES_AT_A_TIME: usize = 8192;

/// The RAM of a guest.
#[derive(Debug)]
pub(super) struct GuestRam {
    mem: File,
    pagemap: File,
    pieces: Vec<Piece>,
}

/// A part that lies in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    /// Where, in the RAM of the guest, in bytes.
    at: u64,
    /// Where the monitor has it.
    addresses: Range<u64>,
}

impl GuestRam {
    /// That of the monitor with this number, which has `ram_bytes` of it.
    pub(super) fn of(pid: u32, ram_bytes: u64) -> io::Result<Self> {
        let pieces = pieces_in(&fs::read_to_string(format!("/proc/{pid}/maps"))?);
        let mut next = 0;
        let is_whole = pieces.iter().all(|piece| {
            let is_next = piece.at == next;
            next += piece.bytes();
            is_next
        });
        if !is_whole || next != ram_bytes {
            let why = "the monitor has not mapped all of it";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mem = File::options().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
        let pagemap = File::open(format!("/proc/{pid}/pagemap"))?;
        Ok(Self { mem, pagemap, pieces })
    }

    /// Where the pages lie that are its own, in order.
    pub(super) fn own_pages(&self) -> io::Result<Vec<Range<u64>>> {
        let mut rows: Vec<Range<u64>> = Vec::new();
        let mut states = vec![0; PAGES_AT_A_TIME * size_of::<u64>()];
        for piece in &self.pieces {
            let mut at = piece.at;
            while at < piece.end() {
                let n_pages = (piece.end() - at) / PAGE_BYTES as u64;
                let n_pages = usize::try_from(n_pages).unwrap_or(usize::MAX).min(PAGES_AT_A_TIME);
                let states = &mut states[..n_pages * size_of::<u64>()];
                let page = piece.address_of(at) / PAGE_BYTES as u64;
                self.pagemap.read_exact_at(states, page * size_of::<u64>() as u64)?;
                for state in states.as_chunks().0 {
                    let next = at + PAGE_BYTES as u64;
                    if is_own(u64::from_ne_bytes(*state)) {
                        match rows.last_mut() {
                            Some(row) if row.end == at => row.end = next,
                            _ => rows.push(at..next),
                        }
                    }
                    at = next;
                }
            }
        }
        Ok(rows)
    }

    /// Reads what lies at `at`.
    pub(super) fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let (mut at, mut rest) = (at, bytes);
        while !rest.is_empty() {
            let (address, n_bytes) = self.find(at, rest.len())?;
            let (here, behind) = rest.split_at_mut(n_bytes);
            self.mem.read_exact_at(here, address)?;
            (at, rest) = (at + n_bytes as u64, behind);
        }
        Ok(())
    }

    /// Writes to `at`: these pages become its own.
    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut at, mut rest) = (at, bytes);
        while !rest.is_empty() {
            let (address, n_bytes) = self.find(at, rest.len())?;
            let (here, behind) = rest.split_at(n_bytes);
            self.mem.write_all_at(here, address)?;
            (at, rest) = (at + n_bytes as u64, behind);
        }
        Ok(())
    }

    /// The address of `at`, and how many of so many bytes lie there.
    fn find(&self, at: u64, n_bytes: usize) -> io::Result<(u64, usize)> {
        let piece = self.pieces.iter().find(|piece| (piece.at..piece.end()).contains(&at));
        let piece = piece.ok_or(io::ErrorKind::InvalidInput)?;
        let left = usize::try_from(piece.end() - at).unwrap_or(usize::MAX);
        Ok((piece.address_of(at), n_bytes.min(left)))
    }
}

impl Piece {
    fn bytes(&self) -> u64 {
        self.addresses.end - self.addresses.start
    }

    fn end(&self) -> u64 {
        self.at + self.bytes()
    }

    fn address_of(&self, at: u64) -> u64 {
        self.addresses.start + (at - self.at)
    }
}

const fn is_own(state: u64) -> bool {
    state & SWAPPED != 0 || state & (PRESENT | OF_FILE) == PRESENT
}

/// The parts of the RAM in a table of mappings, in their order in the RAM.
fn pieces_in(maps: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = maps.lines().filter_map(piece_of).collect();
    pieces.sort_by_key(|piece| piece.at);
    pieces
}

/// A line reads `begin-end permissions offset device inode    path`, numbers in hex.
fn piece_of(line: &str) -> Option<Piece> {
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let rest = line.strip_suffix(MAPPED)?;
    let mut words = rest.split_ascii_whitespace();
    let (begin, end) = words.next()?.split_once('-')?;
    let at = number(words.nth(1)?)?;
    Some(Piece { at, addresses: number(begin)?..number(end)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ram_is_found_among_mappings() {
        let maps = "\
5581c0000000-5581c0800000 r-xp 00000000 08:01 42    /usr/bin/qemu-system-x86_64
7f0010000000-7f0018000000 rw-p 08000000 00:01 7     /memfd:ram (deleted)
7f0000000000-7f0008000000 rw-p 00000000 00:01 7     /memfd:ram (deleted)
7f0020000000-7f0020001000 rw-p 00000000 00:01 8     /memfd:ramps (deleted)
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0     [stack]
";
        let first = Piece { at: 0, addresses: 0x7f00_0000_0000..0x7f00_0800_0000 };
        let second = Piece { at: 0x800_0000, addresses: 0x7f00_1000_0000..0x7f00_1800_0000 };
        assert_eq!(pieces_in(maps), [first, second]);
    }

    #[test]
    fn what_is_written_to_a_private_mapping_is_its_own() {
        use rustix::fs::{MemfdFlags, memfd_create};
        use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
        const PAGES: usize = 3 * PAGES_AT_A_TIME;
        let bytes = PAGES * PAGE_BYTES;
        let file = File::from(memfd_create("ram", MemfdFlags::CLOEXEC).expect("a file"));
        file.set_len(bytes as u64).expect("sparse");
        file.write_all_at(b"template", 5 * PAGE_BYTES as u64).expect("written");
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        #[allow(unsafe_code, reason = "maps a file, as a monitor does")]
        // SAFETY: the kernel chooses an address that is free, and nobody reads or writes there but it.
        let place = unsafe {
            mmap(std::ptr::null_mut(), bytes, flags, MapFlags::PRIVATE, &file, 0).expect("mapped")
        };
        let ram = GuestRam::of(std::process::id(), bytes as u64).expect("it is mapped");
        assert_eq!(ram.own_pages().expect("told"), []);
        let at = |page: usize| (page * PAGE_BYTES) as u64;
        let mut read = [0; 8];
        ram.read(at(5), &mut read).expect("read");
        assert_eq!(&read, b"template");
        assert_eq!(ram.own_pages().expect("told"), [], "what is only read is the file's");
        for page in [5, PAGES_AT_A_TIME - 1, PAGES_AT_A_TIME, PAGES - 1] {
            ram.write(at(page), b"own").expect("written");
        }
        let own = [at(5)..at(6), at(PAGES_AT_A_TIME - 1)..at(PAGES_AT_A_TIME + 1)];
        let last = at(PAGES - 1)..at(PAGES);
        assert_eq!(ram.own_pages().expect("told"), [&own[..], &[last]].concat());
        ram.read(at(5), &mut read).expect("read");
        assert_eq!(&read, b"ownplate");
        assert!(GuestRam::of(std::process::id(), 1).is_err(), "of another size");
        #[allow(unsafe_code, reason = "undoes the mapping above")]
        // SAFETY: as mapped above; nothing points there any more.
        unsafe {
            munmap(place, bytes).expect("unmapped")
        };
    }
}
