//! Blobs by their digest: small documents that say where an image came from.

use crate::DOOR;
use crate::error::ImageError;
use crate::layout::Layout;
use model::ids::{Digest, hex_of};
use sha2::{Digest as _, Sha256};
use std::io::Read;

/// The digest with these 32 bytes.
pub(crate) fn digest_of_hash(hash: &[u8]) -> Digest {
    digest_of_hex(&hex_of(hash)).expect("a SHA-256 has 32 bytes")
}

/// The digest with these hex digits, if they are 64 of them.
pub(crate) fn digest_of_hex(hex: &str) -> Option<Digest> {
    format!("sha256:{hex}").parse().ok()
}

/// The digest of `bytes`.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    digest_of_hash(&Sha256::digest(bytes))
}

/// The digest of everything `reader` has.
pub(crate) fn digest_of_reader(mut reader: impl Read) -> std::io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match reader.read(&mut chunk)? {
            0 => return Ok(digest_of_hash(&hash.finalize())),
            n => hash.update(&chunk[..n]),
        }
    }
}

/// Keeps `bytes` under their digest; does nothing when they are kept already.
pub(crate) fn keep(layout: &Layout, bytes: &[u8]) -> Result<(), ImageError> {
    let path = layout.blob(&digest_of(bytes));
    if !path.exists() {
        let tmp = layout.temporary();
        DOOR.write_new(&tmp, bytes)?;
        DOOR.rename(&tmp, &path)?;
    }
    Ok(())
}
