//! Notifications: what `notify` rules send, until it has arrived or is given up.
//!
//! A letter is put into the outbox in the transaction of the verdict that wants it sent, so it is sent
//! at least once, whatever dies meanwhile, always under the same id. It is signed with the secret of
//! its app by the scheme of Standard Webhooks and leaves through the router like what machines send,
//! to public addresses only, unless the operator has named its server, and only where the egress
//! policy of its machine lets that speak to. A `to` that is no URL is the name of one of the app's own
//! hooks, whose inbox it then fills.
//!
//! * `body`: what is sent. `backoff`: when again, and for how long.
//! * `delivery`: one try. `worker`: who tries what, and when.

mod backoff;
mod body;
mod delivery;
mod worker;

pub use backoff::{GIVE_UP_AFTER as NOTIFY_GIVE_UP_AFTER, WAIT_FIRST as NOTIFY_WAIT_FIRST};
pub(crate) use body::{letters, put, waiting, waybill};
pub(crate) use worker::deliver_for_ever;

use crate::error::ControlError;
use crate::pulls::way_inside;
use net::Router;
use net::router::Egress;
use registry::{AllowList, Courier, Dialer, Trust};
use std::sync::Arc;
use tokio::sync::Notify;

/// What the operator decides about notifications.
#[derive(Clone, Debug)]
pub struct NotifySettings {
    /// Servers that are reached from this host, wherever they are: on it, or in private networks.
    pub named: AllowList,
    /// Whose certificates count.
    pub trust: Trust,
}

/// The way out of notifications.
#[derive(Debug)]
pub(crate) struct Outbox {
    courier: Courier,
    /// Rung when a letter has been put into the outbox.
    rung: Notify,
}

impl Outbox {
    /// # Errors
    /// The router's namespace cannot be entered.
    pub(crate) fn open(
        settings: &NotifySettings,
        egress: Egress,
        router: &Router,
    ) -> Result<Self, ControlError> {
        let inside: Option<Arc<dyn Dialer>> = match egress {
            Egress::Nat => Some(Arc::new(way_inside(router)?)),
            Egress::Off => None,
        };
        let courier = Courier::new(settings.named.clone(), &settings.trust, inside);
        Ok(Self { courier, rung: Notify::new() })
    }

    /// There is a letter: call it when its transaction is committed.
    pub(crate) fn ring(&self) {
        self.rung.notify_one();
    }
}
