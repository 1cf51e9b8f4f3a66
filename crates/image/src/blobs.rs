//! Blobs of registries while their image is being pulled: what is under way, and what it needs.
//!
//! ```text
//! <data>/blobs/pulls/<hex>     the record of one pull, by the digest of its manifest
//! <data>/blobs/partial/<hex>   a blob that is still coming; its length says how far it got
//! <data>/blobs/sha256/<hex>    a whole blob
//! ```
//!
//! Every partial or whole blob is explained by the record of a pull or by an image; what nothing
//! explains is removed at open. A pull that ended without its image (the registry was lost, the
//! process died) keeps its record, and so its blobs, for [`RESUME_WINDOW_MS`].

mod record;
mod room;
mod writer;

pub use writer::BlobWriter;

pub(crate) use record::PullRecord;
pub(crate) use room::expect_room;

use crate::DOOR;
use crate::content::digest_of_hex;
use crate::error::ImageError;
use crate::layout::Layout;
use crate::oci::BlobRef;
use model::ids::Digest;
use model::units::UnixMs;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the blobs of an unfinished pull are kept, in milliseconds: a day.
///
/// Long enough for a registry, a network or a person to come back; short enough that forgotten
/// pulls do not fill the disk.
pub const RESUME_WINDOW_MS: u64 = 24 * 60 * 60 * 1000;

/// Unit of `st_blocks`. Source: inode(7).
const STAT_BLOCK_BYTES: u64 = 512;

/// Where a blob of a pull is.
#[derive(Debug)]
pub enum BlobState {
    /// Here and whole.
    Present,
    /// To be fetched and written, from [`BlobWriter::offset`] on.
    Wanted(Box<BlobWriter>),
    /// Being written for another pull: wait for it and ask again.
    Elsewhere,
}

/// The blobs of one store. Shared by everybody who pulls.
#[derive(Debug)]
pub(crate) struct Blobs {
    layout: Arc<Layout>,
    under_way: Mutex<UnderWay>,
    /// Told whenever a blob's writer goes.
    changed: Condvar,
}

/// Digests that somebody in this process is at work on.
#[derive(Debug, Default)]
struct UnderWay {
    pulls: HashSet<Digest>,
    blobs: HashSet<Digest>,
}

impl Blobs {
    pub(crate) fn new(layout: Arc<Layout>) -> Self {
        Self { layout, under_way: Mutex::default(), changed: Condvar::new() }
    }

    /// Notes that the pull of `record` is under way, here and on the disk.
    pub(crate) fn begin(&self, record: &PullRecord) -> Result<(), ImageError> {
        if !self.under_way().pulls.insert(record.manifest.clone()) {
            return Err(ImageError::UnderWay { digest: record.manifest.clone() });
        }
        let path = self.layout.pull(&record.manifest);
        let noted = DOOR.replace(&self.layout.temporary(), &path, &record.to_bytes());
        if noted.is_err() {
            self.end(&record.manifest);
        }
        Ok(noted?)
    }

    /// Notes that nobody in this process is at work on the pull any more.
    pub(crate) fn end(&self, manifest: &Digest) {
        self.under_way().pulls.remove(manifest);
    }

    /// Where the blob is; the caller has a record that explains it.
    pub(crate) fn state(self: &Arc<Self>, blob: &BlobRef) -> Result<BlobState, ImageError> {
        if self.is_whole(blob) {
            return Ok(BlobState::Present);
        }
        if !self.under_way().blobs.insert(blob.digest.clone()) {
            return Ok(BlobState::Elsewhere);
        }
        // It may have become whole between the two looks.
        if self.is_whole(blob) {
            self.release(&blob.digest);
            return Ok(BlobState::Present);
        }
        let writer = BlobWriter::open(Arc::clone(self), blob)?;
        Ok(BlobState::Wanted(Box::new(writer)))
    }

    /// Whether the blob is here; its bytes were checked when it came, and are when it is used.
    pub(crate) fn is_whole(&self, blob: &BlobRef) -> bool {
        let path = self.layout.blob(&blob.digest);
        path.metadata().is_ok_and(|file| file.len() == blob.size_bytes)
    }

    /// How much of an unfinished blob has come.
    pub(crate) fn partial_bytes(&self, digest: &Digest) -> u64 {
        self.layout.partial(digest).metadata().map_or(0, |file| file.len())
    }

    /// How much room an unfinished blob has taken, for what has come and what has not.
    pub(crate) fn reserved_bytes(&self, digest: &Digest) -> u64 {
        self.layout.partial(digest).metadata().map_or(0, |file| file.blocks() * STAT_BLOCK_BYTES)
    }

    /// Waits until nobody writes the blob, at most for `patience`; tells whether that is so.
    pub(crate) fn wait(&self, digest: &Digest, patience: Duration) -> bool {
        let is_written = |under_way: &mut UnderWay| under_way.blobs.contains(digest);
        let waited = self.changed.wait_timeout_while(self.under_way(), patience, is_written);
        let (_guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }

    /// Notes that nobody writes the blob any more.
    fn release(&self, digest: &Digest) {
        self.under_way().blobs.remove(digest);
        self.changed.notify_all();
    }

    /// Removes records of pulls that nobody is at work on and that began before `expired`, then
    /// every blob that neither a record nor `used` explains.
    pub(crate) fn sweep(&self, used: &HashSet<Digest>, expired: UnixMs) -> Result<(), ImageError> {
        let under_way = self.under_way();
        let mut explained = used.clone();
        for name in durable::names_in(&self.layout.pulls())? {
            match self.load(&name) {
                Some(record) if !record.is_over(&under_way.pulls, expired) => {
                    explained.extend(record.into_blobs());
                }
                _ => durable::remove_file(&self.layout.pulls().join(&name))?,
            }
        }
        for dir in [self.layout.partials(), self.layout.blobs()] {
            for name in durable::names_in(&dir)? {
                // A name that is no digest is not ours.
                if digest_of_hex(&name).is_some_and(|digest| !explained.contains(&digest)) {
                    durable::remove_file(&dir.join(&name))?;
                }
            }
        }
        Ok(())
    }

    /// The record in the file `name`; `None` when it is not one.
    fn load(&self, name: &str) -> Option<PullRecord> {
        let manifest = digest_of_hex(name)?;
        let read = std::fs::read(self.layout.pull(&manifest)).map_err(|error| error.to_string());
        match read.and_then(|bytes| PullRecord::parse(&manifest, &bytes)) {
            Ok(record) => Some(record),
            Err(why) => {
                tracing::warn!(%manifest, why, "record of a pull removed");
                None
            }
        }
    }

    /// The sets are whole after each change, so a panic elsewhere does not spoil them.
    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
