//! A tar archive as a stream of entries, each with everything its extended headers say.
//!
//! Headers are decoded by the `tar` crate. The walk from header to header is ours: every extension
//! is bounded before it is read, PAX values may hold newlines, and a cut archive is told apart from
//! a finished one.

use super::failure::UnpackFailure;
use super::pax::PaxValues;
use crate::limits::EXTENSION_MAX_BYTES;
use std::io::{self, Read};
use tar::Header;

const BLOCK_BYTES: u64 = 512;
const BLOCK_LEN: usize = 512;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    /// A character or block device.
    Device,
}

/// One entry; its content follows in the stream.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// Target of a link.
    pub(super) link: Vec<u8>,
    /// Permission bits with set-id and sticky bits.
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// Whole seconds and nanoseconds.
    pub(super) mtime: (i64, u32),
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads entries one after the other; as a reader it gives the current entry's content.
pub(super) struct TarStream<R> {
    inner: R,
    /// Bytes of the current content that were not read yet, and its padding.
    content_left: u64,
    padding: u64,
    has_end_mark: bool,
}

impl<R: Read> TarStream<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, content_left: 0, padding: 0, has_end_mark: false }
    }

    /// Whether the archive's end was marked by a block of zeros, not just by the end of the file.
    pub(super) fn has_end_mark(&self) -> bool {
        self.has_end_mark
    }

    /// The next entry; what was left of the content before is skipped.
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>, UnpackFailure> {
        let mut pax = PaxValues::default();
        let (mut long_path, mut long_link) = (None, None);
        while let Some(header) = self.next_header()? {
            match header.as_old().linkflag[0] {
                b'x' => pax.read(&self.extension()?)?,
                b'L' => long_path = Some(c_string(self.extension()?)),
                b'K' => long_link = Some(c_string(self.extension()?)),
                // Values for all entries (a comment, as a rule), and the label of a tape.
                b'g' | b'V' => drop(self.extension()?),
                flag => {
                    pax.path = pax.path.or(long_path);
                    pax.link = pax.link.or(long_link);
                    return self.entry(&header, flag, pax).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn entry(&mut self, header: &Header, flag: u8, pax: PaxValues) -> Result<Entry, UnpackFailure> {
        let path = pax.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = kind_of(flag, &path)?;
        let old = header.as_old();
        let size = pax.size.map_or_else(|| number(header.entry_size(), &old.size), Ok)?;
        // Only files have content, whatever the headers of others say: a hard link may repeat the
        // size of its target, for one.
        self.expect_content(if kind == Kind::File { size } else { 0 })?;
        let link = header.link_name_bytes().map(std::borrow::Cow::into_owned);
        Ok(Entry {
            kind,
            link: pax.link.or(link).unwrap_or_default(),
            mode: number(header.mode(), &old.mode)? & 0o7777,
            uid: pax.uid.map_or_else(|| number(header.uid(), &old.uid), Ok)?,
            gid: pax.gid.map_or_else(|| number(header.gid(), &old.gid), Ok)?,
            mtime: pax.mtime.unwrap_or_else(|| (header_seconds(header), 0)),
            xattrs: pax.xattrs,
            path,
        })
    }

    /// The next header that is not the end; its content is expected to follow.
    fn next_header(&mut self) -> Result<Option<Header>, UnpackFailure> {
        self.skip_content()?;
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        if !read_block(&mut self.inner, block).map_err(UnpackFailure::of_read)? {
            return Ok(None);
        }
        if block.iter().all(|b| *b == 0) {
            self.has_end_mark = true;
            return Ok(None);
        }
        let is_intact = header.cksum().is_ok_and(|sum| sum == checksum(header.as_bytes()));
        if !is_intact {
            return Err(UnpackFailure::malformed("this is not a tar archive"));
        }
        let size = number(header.entry_size(), &header.as_old().size)?;
        self.expect_content(size)?;
        Ok(Some(header))
    }

    /// The whole content of an extension header.
    fn extension(&mut self) -> Result<Vec<u8>, UnpackFailure> {
        if self.content_left > EXTENSION_MAX_BYTES {
            return Err(UnpackFailure::too_large("an extended header", EXTENSION_MAX_BYTES));
        }
        let mut content = Vec::new();
        self.read_to_end(&mut content).map_err(UnpackFailure::of_read)?;
        Ok(content)
    }

    fn expect_content(&mut self, size: u64) -> Result<(), UnpackFailure> {
        let padded = size.checked_next_multiple_of(BLOCK_BYTES);
        let padded = padded.ok_or_else(|| UnpackFailure::malformed("an impossible size"))?;
        self.content_left = size;
        self.padding = padded - size;
        Ok(())
    }

    fn skip_content(&mut self) -> Result<(), UnpackFailure> {
        let left = self.content_left + self.padding;
        (self.content_left, self.padding) = (0, 0);
        let skipped = io::copy(&mut (&mut self.inner).take(left), &mut io::sink());
        match skipped.map_err(UnpackFailure::of_read)? {
            n if n == left => Ok(()),
            _ => Err(UnpackFailure::Truncated),
        }
    }
}

impl<R: Read> Read for TarStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.content_left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let n = self.inner.read(&mut buffer[..wanted])?;
        if n == 0 {
            return Err(io::Error::other(UnpackFailure::Truncated));
        }
        self.content_left -= u64::try_from(n).expect("not more than what was left");
        Ok(n)
    }
}

fn kind_of(flag: u8, path: &[u8]) -> Result<Kind, UnpackFailure> {
    Ok(match flag {
        // Before there were flags, a directory was a name that ends in a slash.
        b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
        b'0' | 0 | b'7' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' | b'4' => Kind::Device,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        b'S' => return Err(UnpackFailure::Unsupported { what: "a sparse entry".to_owned() }),
        _ => {
            let what = format!("an entry of type {:?}", char::from(flag));
            return Err(UnpackFailure::Unsupported { what });
        }
    })
}

/// The number in a header's field; a blank field means zero.
fn number<T: Default>(value: io::Result<T>, field: &[u8]) -> Result<T, UnpackFailure> {
    match value {
        Err(_) if field.iter().all(|b| matches!(b, 0 | b' ')) => Ok(T::default()),
        value => value.map_err(UnpackFailure::of_read),
    }
}

/// Fills `block`; `false` at the end of the stream, an error in the middle of a block.
fn read_block(inner: &mut impl Read, block: &mut [u8; BLOCK_LEN]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < BLOCK_LEN {
        match inner.read(&mut block[filled..])? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(io::Error::other(UnpackFailure::Truncated)),
            n => filled += n,
        }
    }
    Ok(true)
}

/// The sum of all bytes, those of the sum itself taken as spaces.
fn checksum(block: &[u8; BLOCK_LEN]) -> u32 {
    let sum: u32 = block[..148].iter().chain(&block[156..]).map(|b| u32::from(*b)).sum();
    sum + 8 * u32::from(b' ')
}

/// The modification time of a header; nonsense counts as the beginning of time.
fn header_seconds(header: &Header) -> i64 {
    header.mtime().ok().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0)
}

/// What stands before the first zero.
fn c_string(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}
