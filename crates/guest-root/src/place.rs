//! Where a root is put together: directories of a small file system that is nobody's root for long.

use std::ffi::CStr;

/// The image's layer.
pub const IMAGE: &CStr = c"/image";
/// The machine's disk.
pub const DISK: &CStr = c"/disk";
/// The overlay of both.
pub const ROOT: &CStr = c"/root";
/// `/proc` until there is a root.
pub const PROC: &CStr = c"/proc";
/// `/sys` until there is a root.
pub const SYS: &CStr = c"/sys";
/// `/dev` until there is a root.
pub const DEV: &CStr = c"/dev";
/// `/run` until there is a root.
pub const RUN: &CStr = c"/run";
/// `/.fly` until there is a root.
pub const OWN: &CStr = c"/own";

/// All of them.
pub const ALL: [&CStr; 8] = [IMAGE, DISK, ROOT, PROC, SYS, DEV, RUN, OWN];
