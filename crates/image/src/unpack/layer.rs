//! One layer: from a compressed file to entries, with its digests checked on the way.

use super::apply::Applier;
use super::failure::UnpackFailure;
use super::hashing::Hashing;
use super::job::{LayerJob, LayerReport};
use super::tar_stream::TarStream;
use crate::limits::Limits;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

/// Largest zstd window, as a power of two: 128 MiB, what `zstd --ultra -22` makes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Decompressed bytes between two reports of progress.
const PROGRESS_EVERY_BYTES: u64 = 16 << 20;

/// Bytes read from the file at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// What all layers of one image may still use, and who hears of it.
pub(super) struct Budget<'a> {
    pub(super) limits: Limits,
    /// Decompressed bytes of all layers so far.
    pub(super) n_bytes: &'a mut u64,
    pub(super) on_progress: &'a mut dyn FnMut(u64),
}

/// Applies the layer in `file` to the tree.
///
/// A layer without a promised digest must end as a tar archive ends, so that one cut short between
/// two entries is noticed.
pub(super) fn apply(
    job: &LayerJob,
    file: File,
    applier: &mut Applier,
    budget: Budget<'_>,
) -> Result<LayerReport, UnpackFailure> {
    let mut file = Hashing::new(file);
    let plain = decompress(BufReader::with_capacity(CHUNK_BYTES, &mut file))?;
    let mut plain = Hashing::new(Metered { inner: plain, budget });
    let mut archive = TarStream::new(&mut plain);
    applier.begin_layer();
    while let Some(entry) = archive.next_entry()? {
        applier.apply(&entry, &mut archive)?;
    }
    if !archive.has_end_mark() && job.diff_id.is_none() {
        return Err(UnpackFailure::Truncated);
    }
    let diff_id = plain.finish().map_err(UnpackFailure::of_read)?;
    let sha256 = file.finish().map_err(UnpackFailure::of_read)?;
    expect_digest(job.sha256.as_ref(), &sha256)?;
    expect_digest(job.diff_id.as_ref(), &diff_id)?;
    Ok(LayerReport { sha256, diff_id })
}

fn expect_digest(expected: Option<&String>, actual: &String) -> Result<(), UnpackFailure> {
    match expected {
        Some(expected) if expected != actual => {
            Err(UnpackFailure::DigestDiffers { expected: expected.clone(), actual: actual.clone() })
        }
        _ => Ok(()),
    }
}

/// The decompressed stream, by what its first bytes say.
fn decompress<'a>(mut file: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>, UnpackFailure> {
    let first = file.fill_buf().map_err(UnpackFailure::of_read)?;
    let unsupported = |what: &str| Err(UnpackFailure::Unsupported { what: what.to_owned() });
    match first {
        [0x1f, 0x8b, ..] => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(file).map_err(UnpackFailure::of_read)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(UnpackFailure::of_read)?;
            Ok(Box::new(decoder))
        }
        [0xfd, b'7', b'z', b'X', b'Z', ..] => unsupported("xz compression"),
        [b'B', b'Z', b'h', ..] => unsupported("bzip2 compression"),
        _ => Ok(Box::new(file)),
    }
}

/// Counts decompressed bytes against the budget.
struct Metered<'a, R> {
    inner: R,
    budget: Budget<'a>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let before = *self.budget.n_bytes;
        let after = before.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
        *self.budget.n_bytes = after;
        if after > self.budget.limits.total_bytes {
            let max = self.budget.limits.total_bytes;
            return Err(io::Error::other(UnpackFailure::too_large("the unpacked size", max)));
        }
        if before / PROGRESS_EVERY_BYTES != after / PROGRESS_EVERY_BYTES {
            (self.budget.on_progress)(after);
        }
        Ok(n)
    }
}
