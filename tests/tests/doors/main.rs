//! Doors that stay open: whatever becomes of control, the proxy and the supervisor, visitors of
//! machines that run are served.
//!
//! * `house`: the machines and processes of these tests.
//! * `load`: visitors that come all the while, and count what fails.

mod control_away;
mod house;
mod load;
mod proxy_away;
mod restart;
mod routes_file;
mod taken_port;
mod waking;
