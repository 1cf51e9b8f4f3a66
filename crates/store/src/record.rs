//! The record types: what is stored of each thing, and what can be asked and changed.
//!
//! Records are the store's own vocabulary. Where a value of the model is stored whole it is JSON,
//! and its most asked-for parts are plain columns beside it. Queries are methods of
//! [`Reader`](crate::Reader), changes are methods of [`Tx`](crate::Tx).

pub mod app;
pub mod app_secret;
pub mod checkpoint;
pub mod event;
pub mod hook;
pub mod hostname;
pub mod image;
pub mod machine;
pub mod message;
pub mod meta;
pub mod meter;
pub mod outbox;
pub mod plan;
pub mod policy;
pub mod retention;
pub mod secret;
pub mod secret_key;
pub mod selfhood;
pub mod token;
pub mod trace;
pub mod version;
