//! Routes of the main table.

use crate::address::{Prefix, family, octets, read_octets};
use crate::error::Result;
use crate::message::{Batch, Body, attribute, u32_at};
use crate::socket::{DUMP, Socket};
use crate::uapi::{
    AF_UNSPEC, NLM_F_CREATE, NLM_F_REPLACE, RT_SCOPE_LINK, RT_SCOPE_NOWHERE, RT_SCOPE_UNIVERSE,
    RT_TABLE_MAIN, RTA_DST, RTA_GATEWAY, RTA_OIF, RTA_PREFSRC, RTM_DELROUTE, RTM_GETROUTE,
    RTM_NEWROUTE, RTN_UNICAST, RTN_UNREACHABLE, RTN_UNSPEC, RTNH_F_ONLINK, RTPROT_STATIC,
};
use rustix::io::Errno;
use std::fmt;
use std::net::IpAddr;

/// Bytes of `struct rtmsg`.
const RTMSG_BYTES: usize = 12;

/// A route to be.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Destinations; host bits must be zero.
    pub to: Prefix,
    /// Where they are.
    pub target: Target,
    /// Source address of packets from this namespace; the kernel's choice when absent.
    pub source: Option<IpAddr>,
}

/// Where the destinations of a route are.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// At the other end of the link.
    Link(u32),
    /// Behind a gateway at the other end of the link; the gateway needs no route of its own.
    Gateway(u32, IpAddr),
    /// Nowhere: senders are told at once.
    Unreachable,
}

/// Adds the route, replacing another one to the same destinations.
pub fn add_route(batch: &mut Batch, route: &Route) {
    let (kind, scope, flags) = match route.target {
        Target::Link(_) => (RTN_UNICAST, RT_SCOPE_LINK, 0),
        Target::Gateway(..) => (RTN_UNICAST, RT_SCOPE_UNIVERSE, RTNH_F_ONLINK),
        Target::Unreachable => (RTN_UNREACHABLE, RT_SCOPE_UNIVERSE, 0),
    };
    let to = route.to;
    let doing = fmt::from_fn(move |f| write!(f, "add the route to {to}"));
    batch.push(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &[], doing, |body| {
        header(body, route.to, RTPROT_STATIC, scope, kind, flags);
        match route.target {
            Target::Link(index) => body.attribute(RTA_OIF, &index.to_ne_bytes()),
            Target::Gateway(index, gateway) => {
                body.attribute(RTA_OIF, &index.to_ne_bytes());
                body.attribute(RTA_GATEWAY, &octets(gateway));
            }
            Target::Unreachable => {}
        }
        if let Some(source) = route.source {
            body.attribute(RTA_PREFSRC, &octets(source));
        }
    });
}

/// Deletes the route to exactly `to` through the link `index`, if it is there.
pub fn delete_route(batch: &mut Batch, to: Prefix, index: u32) {
    let already: &[Errno] = &[Errno::SRCH];
    let doing = fmt::from_fn(move |f| write!(f, "delete the route to {to}"));
    batch.push(RTM_DELROUTE, 0, already, doing, |body| {
        header(body, to, 0, RT_SCOPE_NOWHERE, RTN_UNSPEC, 0);
        body.attribute(RTA_OIF, &index.to_ne_bytes());
    });
}

/// Where the routes of ours through the link `index` lead.
///
/// # Errors
/// [`crate::Error::Refused`] or [`crate::Error::Answer`].
pub fn routes_through(socket: &mut Socket, index: u32) -> Result<Vec<Prefix>> {
    let mut batch = Batch::new();
    batch.push(RTM_GETROUTE, DUMP, &[], "list routes".to_owned(), |body| {
        body.raw(&[AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    });
    let mut found = Vec::new();
    socket.dump(batch, |item| found.extend(read_route(item, index)))?;
    Ok(found)
}

fn read_route(item: &[u8], index: u32) -> Option<Prefix> {
    let &[_, len, _, _, RT_TABLE_MAIN, RTPROT_STATIC, ..] = item else { return None };
    let attributes = item.get(RTMSG_BYTES..)?;
    let link = u32_at(attribute(attributes, RTA_OIF)?, 0)?;
    let addr = read_octets(attribute(attributes, RTA_DST)?)?;
    (link == index).then_some(Prefix { addr, len })
}

/// Writes `struct rtmsg` and the destination.
fn header(body: &mut Body<'_>, to: Prefix, protocol: u8, scope: u8, kind: u8, flags: u32) {
    let [f0, f1, f2, f3] = flags.to_ne_bytes();
    let fixed = [family(to.addr), to.len, 0, 0, RT_TABLE_MAIN, protocol, scope, kind];
    body.raw(&fixed);
    body.raw(&[f0, f1, f2, f3]);
    if to.len > 0 {
        body.attribute(RTA_DST, &octets(to.addr));
    }
}
