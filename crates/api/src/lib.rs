//! What do we promise over HTTP?
//!
//! The Machines API under `/v1`, spoken over TCP (bearer tokens), over a unix socket (peer
//! credentials) and over the channel of a running machine (identity is the channel). This room owns
//! the wire types, the words of every error and the rights of every caller; it decides nothing about
//! a machine's life: each call becomes one call of [`control::Control`].
//!
//! * [`contract`]: the wire types, shared with the client.
//! * [`spec`]: from a configuration as written to a [`model::MachineSpec`].
//! * [`problem`]: every error that leaves, with its status, code and next step.
//! * [`auth`]: who calls, and what they may.
//! * [`v1`]: the routes, one table of operations. [`openapi`]: their description.
//! * [`server`]: connections and their bounds.

pub mod auth;
pub mod contract;
pub mod openapi;
pub mod problem;
pub mod server;
pub mod spec;
pub mod v1;

pub use auth::Identity;
pub use problem::Problem;
pub use server::Server;
