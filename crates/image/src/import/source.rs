//! What the caller wants to be imported: it is read, or it is the caller's fault that it cannot be.

use crate::error::ImageError;
use crate::unpack::LayerJob;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where an image comes from.
pub enum ImportSource<'a> {
    /// An archive, or a directory with an OCI layout.
    Path(PathBuf),
    /// An archive as a stream.
    Reader(Box<dyn Read + Send + 'a>),
}

impl std::fmt::Debug for ImportSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Reader(_) => f.write_str("Reader"),
        }
    }
}

/// Whether what the caller has named is a directory, and not an archive. It can be read, whichever it
/// is.
pub(super) fn is_directory(path: &Path) -> Result<bool, ImageError> {
    let is_directory = match path.metadata().map_err(ImageError::unreadable(path))? {
        found if found.is_dir() => true,
        found if found.is_file() => false,
        _ => {
            let why = format!("`{}` is neither a file nor a directory", path.display());
            return Err(ImageError::NotAnImage { why });
        }
    };
    // Opening neither waits nor changes anything, now that it is known what it is.
    drop(File::open(path).map_err(ImageError::unreadable(path))?);
    Ok(is_directory)
}

/// The stream ends in the middle: its sender has left, or says nothing more.
pub(super) fn broken(source: io::Error) -> ImageError {
    ImageError::Unreadable { what: "the archive".to_owned(), source }
}

/// A file as a layer in its directory.
pub(super) fn split_path(path: &Path) -> Result<LayerJob, ImageError> {
    let parts = path.parent().zip(path.file_name().and_then(|name| name.to_str()));
    let (dir, name) = parts.ok_or_else(|| ImageError::NotAnImage {
        why: format!("`{}` is not a file with a plain name", path.display()),
    })?;
    Ok(LayerJob {
        dir: dir.to_owned(),
        name: name.to_owned(),
        sha256: None,
        diff_id: None,
        size_bytes: None,
    })
}
