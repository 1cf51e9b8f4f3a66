//! Opening the way to what a name stands for, before the machine is told.

use dns::{Machine, Pin, PinError};
use model::spec::egress::Domain;
use net::MachineAddrs;
use net::router::{PIN_TTL_MAX, PIN_TTL_MIN, Pinner};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Pins in the router namespace, in which this process lives.
#[derive(Clone, Debug)]
pub(super) struct Pins(Arc<Mutex<Pinner>>);

impl Pins {
    /// Opens the way to the rules.
    pub(super) fn open() -> net::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Pinner::open()?))))
    }
}

impl Pin for Pins {
    async fn pin(
        &self,
        asker: &Machine,
        domains: &[String],
        addresses: &[IpAddr],
        ttl: Duration,
    ) -> Result<Duration, PinError> {
        let ttl = ttl.clamp(PIN_TTL_MIN, PIN_TTL_MAX);
        let machine = MachineAddrs { v4: asker.v4, v6: asker.v6 };
        let answers: Vec<_> = addresses.iter().map(|address| (*address, ttl)).collect();
        let mut pinner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for domain in domains {
            let domain: Domain = domain.parse().map_err(|error| PinError(Box::new(error)))?;
            pinner.pin(&machine, &domain, &answers).map_err(|error| PinError(Box::new(error)))?;
        }
        Ok(ttl)
    }
}
