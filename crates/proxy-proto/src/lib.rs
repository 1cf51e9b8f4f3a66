//! What do control and proxy say to each other?
//!
//! The proxy connects to control's socket and says [`FromProxy::Hello`]; control answers
//! [`ToProxy::Welcome`] and sends every record, then [`ToProxy::Complete`]: what was not sent again
//! is gone. From then on each change travels as one whole record with its generation; an older
//! generation than the one known is dropped. The other way go knocks, loads and the results of
//! checks.
//!
//! Frames are those of [`guest_proto::frame`], control frames only. A field that is new is ignored
//! by an older reader, a missing one takes its default; a record that cannot be read is set aside
//! alone, and the last good one stays in use.

pub mod link;
pub mod message;
pub mod route;

pub use link::{Link, LinkError, LinkReader, LinkWriter};
pub use message::{FromProxy, KnockOutcome, Load, RefusalScope, ToProxy};
pub use route::{AppRoute, MachineRoute, RouteState};

/// Version of this protocol that this build speaks.
pub const VERSION: u16 = 1;

/// Oldest version that this build still understands.
pub const VERSION_MIN: u16 = 1;
