//! What do host and guest say to each other?
//!
//! One bidirectional byte channel joins the shim with the guest init: a socket pair in a
//! container, a virtio-serial port in a virtual machine. Both sides speak frames ([`frame`]); a
//! frame carries either one JSON message ([`message`]) or raw bytes of a stream ([`stream`]).
//!
//! A serial port may lose the rest of a frame (a restored virtual machine). So every header carries
//! a magic number, an epoch and a checksum: the reader finds the next header by itself and drops
//! what belongs to an older epoch. On a socket the same is an error of the peer ([`Decoder`]).
//!
//! Order on a channel: the host says `Hello` first in each epoch (it may send `Boot` right behind
//! it), init answers. Both sides send with the newest epoch they have seen. Both sides go on
//! reading while they cannot write. Bytes of a stream other than the log wait for credit
//! ([`window`]). A new epoch drops all streams but the log.

pub mod frame;
pub mod message;
pub mod stream;
pub mod window;

pub use frame::{Decoder, Frame, FrameError, FrameKind, encode, encode_message};
pub use message::{FromGuest, Furnishing, LinkOrders, Orders, ToGuest};
pub use stream::{Channel, StreamId};
pub use window::{ReceiveWindow, SendWindow};

/// Version of this protocol that this build speaks.
pub const VERSION: u16 = 1;

/// Oldest version that this build still understands.
pub const VERSION_MIN: u16 = 1;
