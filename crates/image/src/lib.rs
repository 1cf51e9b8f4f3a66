//! What bytes does it run?
//!
//! This room turns image files (an OCI layout, a `docker save` tarball, a root file system tarball)
//! into one read-only EROFS image each, keeps them by content, and mounts each once per host.
//!
//! ```text
//! <data>/blobs/sha256/<hex>        manifests and configs, as they came
//! <data>/images/<hex>/image.erofs  the file system, with plain ids (0, 1000, …)
//! <data>/images/<hex>/meta.json    what it is; exists only beside a complete image
//! <data>/quarantine/images/…       what nobody knew; kept for a person to look at
//! <data>/tmp/image/                half-made things; emptied at open
//! <runtime>/images/<hex>           where it is mounted
//! ```
//!
//! Archives are hostile input. They are decompressed, parsed and unpacked by a throw-away child
//! process ([`unpack`]) that has a user namespace, a mount namespace and a root directory of its
//! own; this process reads only small JSON documents out of them, each verified by its digest.
//! Layers are not kept: they are verified while they are unpacked, and the image is what remains.

mod content;
mod detect;
mod durable;
mod error;
mod helper;
mod import;
mod layout;
mod limits;
mod meta;
mod mount;
mod name;
mod oci;
mod progress;
mod rootfs;
mod store;
pub mod unpack;

pub use error::ImageError;
pub use helper::Helper;
pub use import::{ImportSource, ImportedImage};
pub use limits::Limits;
pub use meta::ImageMeta;
pub use progress::{Progress, Step};
pub use store::ImageStore;
