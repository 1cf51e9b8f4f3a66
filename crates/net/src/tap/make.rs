//! Making a tap, opening one that exists, opening its queue.
//!
//! A tap is whole when its link is up: that is the last step of making it and the first thing that
//! is asked when it is opened again. A crash before it persists leaves nothing at all.

use super::{MAC, Tap, tun};
use crate::error::{Error, Result};
use crate::namespace;
use crate::router::Router;
use crate::slot::link_name;
use model::SlotId;
use netlink::{Batch, Link, Socket, delete_link, link_named, routes_through, set_hardware, set_up};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

/// Makes a new tap; what an earlier attempt left under the same number is replaced.
pub(super) fn make(router: &Router, id: SlotId) -> Result<Tap> {
    let name = link_name(router.tag(), id);
    let mut batch = Batch::new();
    delete_link(&mut batch, &name);
    router.socket().apply(batch)?;
    let queue = router.open_in_router(|| tun::make(&name))??;

    let made = whole(id, link_named(&mut router.socket(), &name)?)?;
    let mut batch = Batch::new();
    set_hardware(&mut batch, &name, made.index, MAC);
    router.socket().apply(batch)?;
    tun::keep(queue.as_fd())?;
    drop(queue);
    let mut batch = Batch::new();
    set_up(&mut batch, &name, made.index);
    router.socket().apply(batch)?;
    Ok(Tap { id, link_name: name, router_index: made.index, carried: Vec::new() })
}

/// Opens the tap that an earlier daemon made.
pub(super) fn open(router: &Router, id: SlotId) -> Result<Tap> {
    let name = link_name(router.tag(), id);
    let mut socket = router.socket();
    let link = link_named(&mut socket, &name)?.filter(|link| link.is_tap && link.is_up);
    let router_index = whole(id, link)?.index;
    let carried = routes_through(&mut socket, router_index)?;
    drop(socket);
    Ok(Tap { id, link_name: name, router_index, carried })
}

/// Opens the only queue of the tap `name`, for a virtual machine monitor to inherit; closed on `exec`
/// until it is told otherwise. `router` is where the router's network namespace is pinned.
///
/// Each frame is preceded by the 10 bytes of `struct virtio_net_hdr`, unless the holder asks
/// for another form. The monitor needs no rights for what it does with the descriptor. Once it
/// is closed, frames to the machine are lost, and the queue may be opened again.
///
/// # Errors
/// [`Error::QueueInUse`] while the queue is open elsewhere, [`Error::SlotNotWhole`] when there is no such
/// tap.
pub fn open_queue(router: &Path, name: &str) -> Result<OwnedFd> {
    let slot = name.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
    let slot = SlotId(slot.unwrap_or_default());
    let netns = namespace::open(router)?;
    namespace::run_inside(netns.as_fd(), || {
        let mut socket = Socket::open()?;
        let mut index = || {
            let link = link_named(&mut socket, name)?.filter(|link| link.is_tap);
            Ok::<_, Error>(whole(slot, link)?.index)
        };
        let before = index()?;
        let queue = tun::attach(name)?.ok_or(Error::QueueInUse { slot })?;
        // Where the tap has gone, the kernel has made another link of its name, which ends with `queue`.
        if index()? == before {
            Ok(queue)
        } else {
            Err(Error::SlotNotWhole { slot, lacks: "its tap" })
        }
    })?
}

fn whole(slot: SlotId, link: Option<Link>) -> Result<Link> {
    link.ok_or(Error::SlotNotWhole { slot, lacks: "its tap" })
}
