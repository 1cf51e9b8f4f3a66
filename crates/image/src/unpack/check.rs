//! The reader of archives without the tree that it fills, for checks over any bytes.

use super::failure::UnpackFailure;
use super::root::EntryPath;
use super::tar_stream::TarStream;
use std::io::Read;

/// What an archive was read as.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadArchive {
    /// Names of entries, as they stand there.
    pub(crate) paths: Vec<Vec<u8>>,
    /// Bytes of all contents.
    pub(crate) n_content: usize,
    /// Why it could not be read to its end.
    failure: Option<UnpackFailure>,
}

/// Reads an archive that comes `piece` bytes at a time.
pub(crate) fn read_entries(bytes: &[u8], piece: usize) -> ReadArchive {
    let mut read = ReadArchive::default();
    let mut stream = TarStream::new(Pieces { bytes, piece });
    let mut read_all = || -> Result<(), UnpackFailure> {
        while let Some(entry) = stream.next_entry()? {
            read.paths.push(entry.path);
            let mut content = Vec::new();
            let ended = stream.read_to_end(&mut content);
            read.n_content += content.len();
            ended.map_err(UnpackFailure::of_read)?;
        }
        Ok(())
    };
    let failure = read_all().err();
    ReadArchive { failure, ..read }
}

/// The name below the root that an entry's name means.
pub(crate) fn whole_name(path: &[u8]) -> Result<Vec<u8>, UnpackFailure> {
    EntryPath::parse(path).map(|path| path.as_bytes().to_vec())
}

/// A reader that gives little at a time.
struct Pieces<'a> {
    bytes: &'a [u8],
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n_bytes = buffer.len().min(self.piece);
        self.bytes.read(&mut buffer[..n_bytes])
    }
}
