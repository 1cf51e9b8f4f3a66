//! What does a machine's root look like?
//!
//! Two build it: the container's launcher out of the host's mounts, and the guest init out of the devices
//! of a virtual machine. What they have in common is here, so that one disk suits both and a program
//! finds the same with either.
//!
//! * [`mounts`]: small verbs over the new mount API.
//! * [`parts`]: what is mounted, with which options.
//! * [`place`]: where it is put together.
//!
//! The launcher uses all of it between `clone3` and `execve`: nothing here allocates or locks, but for
//! [`parts::Words::new`], which is for before.

pub mod mounts;
pub mod parts;
pub mod place;
