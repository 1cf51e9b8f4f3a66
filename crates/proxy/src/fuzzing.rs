//! Ways in for what looks for input that breaks a promise; only in builds for that.

pub use crate::http::fuzzing::{Head, judge, pass_on};
pub use crate::persist::fuzzing::reread;

use model::spec::service::ProxyProto;
use std::net::SocketAddr;

/// The header that tells a program who its visitor is.
#[must_use]
pub fn proxy_header(version: ProxyProto, peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
    crate::visit::proxy_proto::header(version, peer, local)
}
