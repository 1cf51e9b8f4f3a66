//! The kernel's modules: `/modules/order` names them, a line each, and `/modules/<name>.ko` are they.

use super::Failure;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::system::finit_module;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

/// Loads each module, in order, and frees the RAM that its file takes.
pub(super) fn load() -> Result<(), Failure> {
    let order = read_order().map_err(Failure::of("read the list of modules"))?;
    for name in order.lines() {
        let path = format!("/modules/{name}.ko");
        let loaded = open(&path).and_then(|file| finit_module(file, c"", 0));
        match loaded {
            // It is part of this kernel, or another one has brought it.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Failure::of(format!("load the module `{name}`"))(errno)),
        }
        // It is a copy that nobody needs any more, and nobody's trouble if it stays.
        rustix::fs::unlink(&*path).ok();
    }
    Ok(())
}

fn read_order() -> Result<String, Errno> {
    let mut order = String::new();
    match File::from(open("/modules/order")?).read_to_string(&mut order) {
        Ok(_) => Ok(order),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

fn open(path: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}
