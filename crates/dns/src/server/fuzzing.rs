//! A way in for what looks for input that breaks a promise; only in builds for that.

use super::desk::First;
use super::{Options, Server};
use crate::forward::{Ask, Forward, ForwardError};
use crate::reply::Way;
use crate::rule::Unpinned;
use crate::zone::ZoneHandle;
use hickory_proto::op::Message;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

/// An upstream that says the same to every question.
struct Says(Vec<u8>);

impl Forward for Says {
    async fn ask(&self, _: &Ask) -> Result<Message, ForwardError> {
        let upstream = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53);
        Message::from_vec(&self.0).map_err(|_noise| ForwardError::Unreadable { upstream })
    }
}

/// What a new resolver for `zone` replies to `message` of `source`, when its upstream says
/// `upstream` to everything. Needs a runtime with time.
pub async fn reply(
    zone: &ZoneHandle,
    message: &[u8],
    source: IpAddr,
    is_tcp: bool,
    upstream: &[u8],
) -> Option<Vec<u8>> {
    let way = if is_tcp { Way::Tcp } else { Way::Udp };
    let says = Says(upstream.to_vec());
    let server = Server::new(zone.clone(), says, Unpinned, Options::default());
    match server.first(message, source, way, Instant::now()) {
        First::Silence => None,
        First::Reply(bytes) => Some(bytes),
        First::Ask(job) => Some(server.finish(*job).await),
    }
}
