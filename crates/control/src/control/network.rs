//! What control does inside the network of its machines.

use super::{Answer, Control};
use crate::error::ControlError;
use net::router::{API_PORT, API_V6};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

impl Control {
    /// Listens where machines find the API, at `_api.internal`: inside the router, where nobody else
    /// gets in. Whoever calls there is a stranger without a token.
    ///
    /// # Errors
    /// The router cannot be entered, or its address is taken.
    pub fn listen_for_machines(&self) -> Answer<TcpListener> {
        let at = SocketAddr::from((API_V6, API_PORT));
        let listener = self.inner.router.open_in_router(|| TcpListener::bind(at))?;
        listener.map_err(|error| ControlError::host("listen on", Path::new(&at.to_string()), error))
    }
}
