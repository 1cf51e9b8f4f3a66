//! Which name is whose address, and who may ask?
//!
//! The resolver that machines use: names under `.internal` are answered from a [`Zone`] of what
//! runs here, everything else is asked of the host's own resolvers. A machine sees the names of
//! its own private network only; all others look as if they did not exist.
//!
//! The centre is pure: [`answer()`] is a function of question, asker and zone. Around it stands a
//! shell with sockets: [`Server`] speaks UDP and TCP on what its caller has bound, [`Upstreams`]
//! asks the host's resolvers through sockets that its caller makes, since the two live in
//! different network namespaces. Messages are read and written by `hickory-proto` alone.
//!
//! Invariants: a question is answered only to the address of a known machine; every queue, wait,
//! cache and connection has a bound, and no machine can use up what others need; an answer about a
//! domain that a machine's rules name is sent after its addresses have been pinned ([`Pin`]), never
//! before.

mod answer;
mod bounds;
mod cache;
mod flight;
mod forward;
mod names;
mod reply;
mod request;
mod resolv_conf;
mod resolver;
mod rule;
mod screen;
mod server;
mod zone;

pub use answer::{Answer, OwnAnswer, RECORDS_MAX, TTL_SECS, answer};
pub use bounds::Limits;
pub use forward::exchange::{HostSockets, Sockets};
pub use forward::upstreams::{ATTEMPT_TIMEOUT, ATTEMPTS, Upstreams};
pub use forward::{Ask, Forward, ForwardError};
pub use resolv_conf::{UPSTREAMS_MAX, parse_resolv_conf};
pub use rule::{InvalidNameRule, NameRule, OtherNames, Pin, PinError, Unpinned};
pub use server::counters::Counts;
#[cfg(fuzzing)]
pub use server::fuzzing;
pub use server::{Doors, Options, ServeError, Server};
pub use zone::{Machine, Zone, ZoneHandle};
