//! How does one speak rtnetlink?
//!
//! A small synchronous netlink client: batches of changes in, one answer each. Links, addresses
//! and routes are here; for other families, [`Batch`], [`Socket`] and [`attribute`] are what
//! to build on.
//!
//! One `send` carries a whole batch and the kernel works it off before `send` returns; it answers the
//! last request, and those that it refuses. So a start pays two system calls per namespace however many
//! addresses and routes it sets. A socket stays in the network namespace it was opened in; any thread may
//! use it from elsewhere.

mod address;
mod error;
mod link;
mod message;
mod route;
mod socket;
mod uapi;

pub use address::{Prefix, add_address, addresses_of, delete_address, read_octets};
pub use error::{Error, Result};
pub use link::{
    Link, VethPair, add_veth, delete_link, link_named, link_names, set_down, set_hardware,
    set_no_arp, set_up,
};
pub use message::{Batch, Body, CREATE, attribute};
pub use route::{Route, Target, add_route, delete_route, routes_through};
pub use socket::{DUMP, Protocol, Socket};
