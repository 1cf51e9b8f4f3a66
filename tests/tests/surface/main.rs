//! What clients of the Machines API find: secrets, tokens, lists, events, addresses, and every way in
//! which they spell what they want.

mod events;
mod index;
mod lists;
mod platform;
mod rate_limits;
mod rights;
mod secrets;
mod spelling;
mod tokens;
mod writers;
