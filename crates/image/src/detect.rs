//! What kind of image a directory holds.

use crate::error::ImageError;
use crate::oci::{
    ForeignDir, FoundImage, from_docker_save, from_layout, is_docker_save, is_layout,
};

/// The image in the directory; `None` when it is neither an OCI layout nor a `docker save` archive.
///
/// Newer `docker save` archives are both; the OCI layout wins because it has more digests.
pub(crate) fn find_image(dir: &ForeignDir, tag: &str) -> Result<Option<FoundImage>, ImageError> {
    if is_layout(dir) {
        from_layout(dir, tag).map(Some)
    } else if is_docker_save(dir) {
        from_docker_save(dir, tag).map(Some)
    } else {
        Ok(None)
    }
}
