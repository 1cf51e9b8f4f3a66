//! The processes of an instance: a supervisor that holds the listening socket, control, the proxy.
//!
//! `dormouse up` is the supervisor. It binds the API's TCP socket once and hands it to each control
//! process it starts, so that callers queue for the moment a crashed control needs to come back.
//! `dormouse proxy` keeps the doors of services and outlives control.
//! `dormouse control` opens the store, enters the instance's namespaces, recovers, and listens.
//!
//! * [`options`]: what both are told.
//! * [`supervisor`]: keeps both running.
//! * [`proxy_process`]: the proxy's life.
//! * [`control_process`]: control's life from its first line to its last.
//! * [`logging`]: the daemon's own log.
//! * [`down`]: the end of an instance: nothing of it is left but its data.

pub mod control_process;
pub mod down;
mod endpoint;
pub mod host;
pub mod logging;
pub mod options;
pub mod proxy_process;
pub mod supervisor;

pub use endpoint::{Endpoint, OWNER_TOKEN_FILE};
pub use options::{ProxySettings, UpOptions};
