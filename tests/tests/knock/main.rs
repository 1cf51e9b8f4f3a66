//! Knock and it wakes: real visitors at the doors of real machines.
//!
//! Each machine runs `guest-server` (`src/bin/guest-server`), asleep at first.

mod balance;
mod bounds;
mod client;
mod hostile;
mod house;
mod interleaved;
mod plain;
mod protocols;
mod refused;
mod replay;
mod stalled;
mod wake;
