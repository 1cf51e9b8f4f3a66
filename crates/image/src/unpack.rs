//! Unpacking hostile archives in a process that can do no harm.
//!
//! [`child_main`] is that process: the daemon's binary starts itself with the argument
//! `unpack-layer` and calls it before anything else. One process does one job:
//!
//! ```text
//! parent                                child (real root, one thread)
//!   job, one JSON line      ───stdin──▶   opens the tree and the layers
//!                                         own mount, network, IPC and UTS namespace; limits
//!                                         pivots into the tree: nothing else has a name any more
//!                           ◀──stdout──   Ready: has made a user namespace, owns nothing now
//!   writes its uid and gid maps
//!   `go`                    ───stdin──▶   becomes root of that namespace
//!                           ◀──stdout──   Progress …
//!                           ◀──stdout──   Unpacked(report) | Failed(why)
//! ```
//!
//! Even inside, every name is opened by `openat2` with RESOLVE_IN_ROOT and without magic links, so
//! an archive's own symbolic links lead nowhere but into the tree. Ids 0 to 65,535 of the archive
//! are mapped to a range of the host that nobody else uses; they are recorded as they were written
//! because the EROFS image is made in the same kind of namespace (the `Pack` job).
//!
//! What is kept: names, types, ownership, permissions with set-id bits, times, hard links,
//! `security.capability` and `user.*` attributes. What is dropped and counted: device nodes
//! (machines bring their own `/dev`) and all other attributes, `user.overlay.*` among them.

mod apply;
pub(crate) mod check;
mod child;
mod failure;
mod hashing;
mod jail;
mod job;
mod layer;
mod pax;
mod root;
mod tar_stream;

pub use child::child_main;
pub use failure::UnpackFailure;
pub(crate) use jail::MAPPED_ROOT;
pub(crate) use job::{GO, Job, LayerJob, MESSAGE_MAX_BYTES, Message, UnpackReport};
