//! How is a virtual machine monitor driven?
//!
//! QEMU is a process of its own that is spoken to over one socket. It runs what a guest brings, so it is
//! trusted as little as the guest: all it says is bounded in length, in number and in time.
//!
//! * [`qmp`]: the socket, and the commands that we use.
//! * [`kernel`]: the kernel of guests, as a distribution ships it.
//! * [`initramfs`]: the file system that a guest boots from.

pub mod initramfs;
pub mod kernel;
pub mod qmp;
