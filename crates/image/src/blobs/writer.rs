//! One blob on its way in: resumed where it was left, checked as a whole at its end.

use super::{Blobs, room};
use crate::DOOR;
use crate::content::digest_of_hash;
use crate::error::ImageError;
use crate::oci::BlobRef;
use model::ids::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes read at a time while a partial blob is hashed again.
const CHUNK_BYTES: usize = 256 * 1024;

/// Writes one blob; nobody else can while this lives. Dropped early, it leaves what it has, to be
/// resumed by the next writer of the same pull.
#[derive(Debug)]
pub struct BlobWriter {
    blobs: Arc<Blobs>,
    blob: BlobRef,
    path: PathBuf,
    file: File,
    hash: Sha256,
    offset: u64,
}

impl BlobWriter {
    /// Opens the partial blob and hashes what is there; the caller has entered it as under way.
    pub(super) fn open(blobs: Arc<Blobs>, blob: &BlobRef) -> Result<Self, ImageError> {
        let path = blobs.layout.partial(&blob.digest);
        // From here on the entry is given back by `drop`.
        let opened =
            File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|error| {
            blobs.release(&blob.digest);
            ImageError::io("open", &path)(error)
        })?;
        let (hash, offset) = (Sha256::new(), 0);
        let mut writer = Self { blobs, blob: blob.clone(), path, file, hash, offset };
        writer.take_up()?;
        failpoint::io("image.blob.reserve")
            .map_err(ImageError::io("reserve room for", &writer.path))?;
        room::reserve(&writer.file, &writer.path, blob.size_bytes)?;
        Ok(writer)
    }

    /// What is to be written.
    #[must_use]
    pub fn blob(&self) -> &BlobRef {
        &self.blob
    }

    /// Bytes that are here: fetch what comes after them.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// SHA-256 of the bytes that are here, to be gone on with by whoever checks what comes.
    #[must_use]
    pub fn hash(&self) -> Sha256 {
        self.hash.clone()
    }

    /// Forgets what is here, for a registry that sends everything again.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn restart(&mut self) -> Result<(), ImageError> {
        let begin = self.file.set_len(0).and_then(|()| self.file.rewind());
        begin.map_err(ImageError::io("empty", &self.path))?;
        (self.hash, self.offset) = (Sha256::new(), 0);
        Ok(())
    }

    /// Appends the next bytes.
    ///
    /// # Errors
    /// [`ImageError::BlobTooLong`] when there are more than the blob may have: nothing of them is
    /// written. [`ImageError::Io`]: what was written before stays.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), ImageError> {
        let n_bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if n_bytes > self.blob.size_bytes - self.offset {
            let (digest, size_bytes) = (self.blob.digest.clone(), self.blob.size_bytes);
            return Err(ImageError::BlobTooLong { digest, size_bytes });
        }
        let written = failpoint::io("image.blob.write").and_then(|()| self.file.write_all(chunk));
        if let Err(error) = written {
            // A part of the chunk may be there, and the hash does not have it.
            self.file
                .set_len(self.offset)
                .and_then(|()| self.file.seek(io::SeekFrom::Start(self.offset)))
                .map_err(ImageError::io("shorten", &self.path))?;
            return Err(ImageError::io("write", &self.path)(error));
        }
        self.hash.update(chunk);
        self.offset += n_bytes;
        Ok(())
    }

    /// Checks size and digest and makes the blob whole.
    ///
    /// # Errors
    /// [`ImageError::BlobTooShort`]: what is here stays, to be resumed.
    /// [`ImageError::DigestDiffers`]: what was here is gone, so that the next writer begins anew.
    pub fn finish(self) -> Result<(), ImageError> {
        if self.offset < self.blob.size_bytes {
            let (digest, size_bytes) = (self.blob.digest.clone(), self.blob.size_bytes);
            return Err(ImageError::BlobTooShort { digest, size_bytes, has_bytes: self.offset });
        }
        let actual = digest_of_hash(&self.hash.clone().finalize());
        if actual != self.blob.digest {
            durable::remove_file(&self.path)?;
            let (what, expected) = (self.path.display().to_string(), self.blob.digest.clone());
            return Err(ImageError::DigestDiffers { what, expected, actual });
        }
        let place = self.blobs.layout.blob(&self.blob.digest);
        Ok(DOOR.publish(&self.file, &self.path, &place)?)
    }

    /// Hashes what is here; more than there may be is as good as nothing.
    fn take_up(&mut self) -> Result<(), ImageError> {
        let has_bytes = self.file.metadata().map_err(ImageError::io("look at", &self.path))?.len();
        if has_bytes > self.blob.size_bytes {
            return self.restart();
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match self.file.read(&mut chunk).map_err(ImageError::io("read", &self.path))? {
                0 => return Ok(()),
                n => {
                    self.hash.update(&chunk[..n]);
                    self.offset += u64::try_from(n).expect("a chunk is small");
                }
            }
        }
    }

    /// What the blob is named by.
    fn digest(&self) -> &Digest {
        &self.blob.digest
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        self.blobs.release(self.digest());
    }
}
