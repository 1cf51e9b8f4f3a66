//! What bytes does it run?
//!
//! This room turns image files (an OCI layout, a `docker save` tarball, a root file system tarball)
//! and the blobs of registries into one read-only EROFS image each, keeps them by content, mounts
//! each once per host, and forgets those that nobody needs. It knows nothing of networks.
//!
//! ```text
//! <data>/blobs/sha256/<hex>        manifests and configs, as they came; layers during a pull
//! <data>/blobs/partial/<hex>       a blob that is still coming
//! <data>/blobs/pulls/<hex>         why it is here
//! <data>/images/<hex>/image.erofs  the file system, with plain ids (0, 1000, …)
//! <data>/images/<hex>/meta.json    what it is; exists only beside a complete image
//! <data>/images/<hex>/unclaimed    mark of an image that no record needs
//! <data>/quarantine/images/…       what nobody knew; kept for a person to look at
//! <data>/tmp/image/                half-made things; emptied at open
//! <runtime>/images/<hex>           where it is mounted
//! ```
//!
//! Archives are hostile input. They are decompressed, parsed and unpacked by a throw-away child
//! process ([`unpack`]) that has a user namespace, a mount namespace and a root directory of its
//! own; this process reads only small JSON documents out of them, each verified by its digest.
//! Layers are not kept: they are verified while they are unpacked, and the image is what remains.
//! What is honoured and what is refused in them: `docs/images.md`.

mod blobs;
pub mod check;
mod content;
mod detect;
mod error;
mod gate;
mod gc;
mod helper;
mod import;
mod layout;
mod limits;
mod meta;
mod mount;
mod mounting;
mod name;
mod oci;
mod progress;
mod prune;
mod pull;
mod rootfs;
mod store;
mod tree;
pub mod unpack;
mod verity;

pub use blobs::{BlobState, BlobWriter, RESUME_WINDOW_MS};
pub use error::ImageError;
pub use gc::{Keep, PruneCandidate, PrunePlan, plan_prune};
pub use helper::Helper;
pub use import::{ImportSource, ImportedImage};
pub use limits::Limits;
pub use meta::ImageMeta;
pub use oci::{BlobRef, Document, ImageIndex, ImageManifest};
pub use progress::{Progress, Step};
pub use prune::PruneOutcome;
pub use pull::{Pull, config_of};
pub use store::{ImageSizes, ImageStore};

/// How files of this room become visible.
const DOOR: durable::Door = durable::Door {
    write: "image.write",
    before_rename: "image.rename.before",
    after_rename: "image.rename.after",
};
