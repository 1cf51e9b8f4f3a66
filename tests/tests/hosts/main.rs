//! Other kinds of host than the one that the tests run on.
//!
//! * [`any_host`]: what must hold on every kind of host. It is tried on this one too.
//! * [`kinds`]: boots Debian's cloud kernel with one kind of cgroups each, and tries it there, with
//!   real daemons and a choice of the other tests.
//! * [`initramfs`]: the file system that it boots from, and the script that runs the tests.
//! * [`own_clock`]: what only a host with a clock of its own can try.
//! * [`world`]: a run of a machine below the daemon: image, disk, slot, cgroup.

mod any_host;
mod initramfs;
mod kinds;
mod own_clock;
mod world;
