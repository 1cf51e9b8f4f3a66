//! Names of others: remembered, or asked for once however many want to know.

use crate::cache::Cache;
use crate::flight::Flights;
use crate::forward::{Ask, Forward};
use crate::screen::{PrivateAnswers, Resolved, screen};
use crate::server::counters::Counters;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Longest time one question may be under way, whoever is asked: nobody waits for longer.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Resolves through `F`.
#[derive(Debug)]
pub(crate) struct Resolver<F> {
    forward: F,
    private: PrivateAnswers,
    cache: Mutex<Cache>,
    flights: Flights<Ask, Option<Resolved>>,
    counters: Arc<Counters>,
}

impl<F: Forward> Resolver<F> {
    pub(crate) fn new(forward: F, private: PrivateAnswers, counters: Arc<Counters>) -> Self {
        let (cache, flights) = (Mutex::default(), Flights::new());
        Self { forward, private, cache, flights, counters }
    }

    pub(crate) fn forward(&self) -> &F {
        &self.forward
    }

    /// The answer if it is remembered.
    pub(crate) fn remembered(&self, ask: &Ask) -> Option<Resolved> {
        let found = self.cache().get(ask, Instant::now());
        if found.is_some() {
            Counters::add(&self.counters.from_cache);
        }
        found
    }

    /// Asks. `None`: nobody could tell.
    pub(crate) async fn resolve(&self, ask: &Ask) -> Option<Resolved> {
        self.flights.join(ask, self.ask(ask)).await
    }

    async fn ask(&self, ask: &Ask) -> Option<Resolved> {
        // One flight may have landed between the look into the cache and this one's start.
        if let Some(resolved) = self.remembered(ask) {
            return Some(resolved);
        }
        Counters::add(&self.counters.forwarded);
        let resolved = match timeout(RESOLVE_TIMEOUT, self.forward.ask(ask)).await {
            Ok(Ok(message)) => {
                let n_bytes = message.to_vec().map_or(usize::MAX, |bytes| bytes.len());
                screen(ask, message, self.private).map(|resolved| (resolved, n_bytes))
            }
            Ok(Err(error)) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(name = %ask.query.name, error, "a name was not resolved");
                None
            }
            Err(_) => {
                tracing::debug!(name = %ask.query.name, "a name was not resolved in time");
                None
            }
        };
        let Some((resolved, n_bytes)) = resolved else {
            Counters::add(&self.counters.failed);
            return None;
        };
        self.cache().put(ask, &resolved, n_bytes, Instant::now());
        Some(resolved)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
