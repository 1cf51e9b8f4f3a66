//! How is a virtual machine monitor driven?
//!
//! QEMU is a process of its own that is spoken to over one socket. It runs what a guest brings, so it is
//! trusted as little as the guest: all it says is bounded in length, in number and in time.
//!
//! * [`qmp`]: the socket, and the commands that we use.
//! * [`command_line`]: what QEMU is told when it is started.
//! * [`kernel`]: the kernel of guests, as a distribution ships it.
//! * [`initramfs`]: the file system that a guest boots from.
//! * [`guest_image`]: both, ready to be booted, by their content.
//! * [`rehearsal`]: the image of a machine that nobody owns.
//! * [`tsc`]: how fast the clock of an emulated processor runs.
//! * [`template`]: a booted guest that waits for its orders, kept in files and in RAM.
//! * [`delta`]: what a guest that sleeps on disk has changed of it.
//!
//! What starts the processes, and confines them, is `engine`.

pub mod command_line;
pub mod delta;
pub mod guest_image;
pub mod initramfs;
pub mod kernel;
mod page;
pub mod qmp;
pub mod rehearsal;
pub mod template;
pub mod tsc;

pub use page::PAGE_BYTES;

/// Largest state of a guest's devices, in bytes: they have about 64 KiB, and what writes it is not trusted.
pub const STATE_MAX_BYTES: u64 = 4 << 20;

/// How files of this room become visible.
const DOOR: durable::Door = durable::Door {
    write: "vmm.write",
    before_rename: "vmm.rename.before",
    after_rename: "vmm.rename.after",
};

/// Name of QEMU's program for this processor.
pub const QEMU: &str = "qemu-system-x86_64";

/// SHA-256 of all parts, one after the other, in hex.
fn sha256(parts: &[&[u8]]) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hex(&hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
