//! Own names of apps: real certificates, real daemons, real visitors (curl, rustls).

mod api;
mod house;
mod kept;
mod pki;
mod refused;
mod served;
mod taken;
