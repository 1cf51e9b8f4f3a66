//! A small synchronous netlink client: batches of changes in, one answer each.
//!
//! One `send` carries a whole batch and the kernel works it off before `send` returns, so a start
//! pays two system calls per namespace however many addresses and routes it sets. A socket stays
//! in the network namespace it was opened in; any thread may use it from elsewhere.

mod address;
mod conntrack;
mod link;
mod message;
mod route;
mod set_element;
mod socket;
mod tcp;
mod uapi;

pub(crate) use address::{Prefix, add_address, addresses_of, delete_address};
pub use conntrack::Flow;
pub(crate) use conntrack::flows;
pub(crate) use link::{Link, VethPair, add_veth, delete_link, link_named, set_up};
pub(crate) use message::Batch;
pub(crate) use route::{Route, Target, add_route, delete_route};
pub(crate) use set_element::{Element, begin_transaction, end_transaction, renew_elements};
pub(crate) use socket::Socket;
pub(crate) use tcp::end_connections;
