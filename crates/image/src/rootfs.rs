//! From a tree to an EROFS image.

use crate::error::ImageError;
use crate::helper::Helper;
use crate::unpack::{Job, MAPPED_ROOT};
use model::ids::Digest;
use std::fs::File;
use std::os::unix::fs::fchown;
use std::path::Path;

/// Makes the EROFS image `to` of `tree`, on the disk when this returns.
///
/// Uncompressed, so that pages are read without work. The same tree and digest give the same bytes.
pub(crate) fn pack(
    helper: &Helper,
    tree: &Path,
    digest: &Digest,
    to: &Path,
) -> Result<(), ImageError> {
    failpoint::io("image.pack").map_err(ImageError::io("write", to))?;
    let file = File::create_new(to).map_err(ImageError::io("create", to))?;
    let own = |id| fchown(&file, Some(id), Some(id)).map_err(ImageError::io("own", to));
    own(MAPPED_ROOT)?;
    let job = Job::Pack { tree: tree.to_owned(), image: to.to_owned(), uuid: uuid_of(digest) };
    helper.pack(&job)?;
    own(0)?;
    file.sync_all().map_err(ImageError::io("sync", to))
}

/// A UUID of version 8 (free form) made from the digest's first bytes. Source: RFC 9562.
fn uuid_of(digest: &Digest) -> String {
    let hex = digest.hex();
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30]);
    format!("{a}-{b}-8{c}-8{d}-{e}")
}
