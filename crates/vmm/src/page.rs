//! RAM in pages: which of them hold anything, and moving those.

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 * PAGE_BYTES;

/// Calls `take` with the offset and the bytes of each page of `file` that is not all zeros, in order.
pub(crate) fn each_filled(
    file: &File,
    mut take: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while let Some(start) = next_data(file, at)? {
        let end = seek(file, SeekFrom::Hole(start))?;
        // Holes of files are as large as blocks of their file system, which may be less than a page.
        at = start - start % PAGE_BYTES as u64;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let wanted = wanted.next_multiple_of(PAGE_BYTES);
            file.read_exact_at(&mut chunk[..wanted], at)?;
            for page in chunk[..wanted].chunks_exact(PAGE_BYTES) {
                if page.iter().any(|byte| *byte != 0) {
                    take(at, page)?;
                }
                at += PAGE_BYTES as u64;
            }
        }
    }
    Ok(())
}

fn next_data(file: &File, from: u64) -> io::Result<Option<u64>> {
    match seek(file, SeekFrom::Data(from)) {
        Ok(start) => Ok(Some(start)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_hold_nothing_are_passed_over() {
        let file = tempfile::tempfile().expect("a file");
        let n_pages = 1000_u64;
        file.set_len(n_pages * PAGE_BYTES as u64).expect("sparse");
        let offset = |page: u64| page * PAGE_BYTES as u64;
        file.write_all_at(b"first", offset(3) + 7).expect("written");
        file.write_all_at(&[0; PAGE_BYTES], offset(4)).expect("zeros are data to the file only");
        file.write_all_at(b"last", offset(n_pages) - 4).expect("written");
        let mut found = Vec::new();
        each_filled(&file, |at, page| {
            found.push((at, page.len(), page.iter().filter(|byte| **byte != 0).count()));
            Ok(())
        })
        .expect("read");
        assert_eq!(found, [(offset(3), PAGE_BYTES, 5), (offset(n_pages - 1), PAGE_BYTES, 4)]);
    }
}
