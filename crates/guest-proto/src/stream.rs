//! Streams: many byte flows over one channel.

use serde::{Deserialize, Serialize};

/// A flow of bytes within one connection. Even numbers are opened by the host (exec), odd numbers by
/// the guest (`/.fly/api`); [`StreamId::MAIN`] is the program's own output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub u32);

impl StreamId {
    /// The program's standard streams: its output becomes the machine's log.
    pub const MAIN: Self = Self(0);
}

/// Which pipe of a stream a data frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Channel {
    /// Toward the program, or the only direction of an `/.fly/api` connection.
    Stdin = 0,
    /// Standard output, or a terminal's output, or an answer.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

/// Bytes a sender may have in flight on one stream before it waits for [`credit`]. Each direction
/// of a stream starts with this much; the log on [`StreamId::MAIN`] has no window.
///
/// Four data frames: enough to keep a pipe busy, small enough that 64 streams cost 16 MiB at most.
///
/// [`credit`]: crate::message::ToGuest::Credit
pub const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// Streams open at once in one guest. Beyond it exec and API connections are refused.
pub const STREAMS_MAX: usize = 64;
