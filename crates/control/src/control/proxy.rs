//! The proxy: what it is told, and what it knows.

use super::Control;
use crate::proxy::{self, CheckResult, Proxies};
use model::MachineId;
use proxy_proto::message::Description;
use std::collections::BTreeMap;
use tokio::net::UnixListener;

impl Control {
    /// Speaks with the proxy that connects to `listener`, for as long as control lives. To be called
    /// after recovery: the records that it sends are taken for the truth.
    pub fn serve_proxy(&self, listener: UnixListener) {
        drop(tokio::spawn(proxy::serve_for_ever(self.clone(), listener)));
    }

    /// What the proxy with the doors knows, of one app or all; `None` when there is none, or it does not
    /// answer.
    pub async fn proxy_description(&self, app: Option<String>) -> Option<Description> {
        self.inner.proxy.describe(app).await
    }

    /// What all proxies know, of one app or all; `None` when there is none, or the one with the doors
    /// does not answer.
    pub async fn proxies(&self, app: Option<String>) -> Option<Proxies> {
        self.inner.proxy.describe_all(app).await
    }

    /// The last results of the machine's checks, by name.
    #[must_use]
    pub fn checks(&self, machine: &MachineId) -> BTreeMap<String, CheckResult> {
        self.inner.proxy.checks(machine)
    }
}
