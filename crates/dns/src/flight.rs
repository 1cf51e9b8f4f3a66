//! Equal questions at the same time are asked once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;

/// What is under way, by question. Each waiter holds its flight; the last one takes it away.
#[derive(Debug)]
pub(crate) struct Flights<K, V> {
    under_way: Mutex<HashMap<K, Arc<OnceCell<V>>>>,
}

impl<K: Clone + Eq + Hash, V: Clone> Flights<K, V> {
    pub(crate) fn new() -> Self {
        Self { under_way: Mutex::new(HashMap::new()) }
    }

    /// Carries `work` out, or waits for the one that is under way for the same `key`. When the
    /// waiter that does the work goes away, another one begins anew.
    pub(crate) async fn join(&self, key: &K, work: impl Future<Output = V>) -> V {
        let cell = Arc::clone(self.lock().entry(key.clone()).or_default());
        let seat = Seat { flights: self, key, cell };
        seat.cell.get_or_init(|| work).await.clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<OnceCell<V>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One waiter.
struct Seat<'a, K: Clone + Eq + Hash, V: Clone> {
    flights: &'a Flights<K, V>,
    key: &'a K,
    cell: Arc<OnceCell<V>>,
}

impl<K: Clone + Eq + Hash, V: Clone> Drop for Seat<'_, K, V> {
    /// Takes the flight away once it has landed, so that the next question is asked anew, or when
    /// nobody waits for it any more.
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        let is_ours = under_way.get(self.key).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        // Two holders: the table and this waiter. No other can appear while the table is locked.
        if is_ours && (self.cell.initialized() || Arc::strong_count(&self.cell) == 2) {
            under_way.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn equal_questions_are_asked_once_and_leave_nothing_behind() {
        let (flights, asked, landed) = (Flights::new(), AtomicU32::new(0), Notify::new());
        let ask = || async {
            asked.fetch_add(1, Ordering::SeqCst);
            landed.notified().await;
            7
        };
        let all = async {
            tokio::join!(flights.join(&"a", ask()), flights.join(&"a", ask()), async {
                landed.notify_one();
            })
        };
        assert_eq!(all.await, (7, 7, ()));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(flights.lock().is_empty());
    }

    #[tokio::test]
    async fn a_waiter_that_leaves_hands_the_work_on() {
        let flights = Flights::new();
        let never = flights.join(&"a", std::future::pending::<u8>());
        let mut never = Box::pin(never);
        assert!(is_pending_after_poll(&mut never).await);
        let mut second = Box::pin(flights.join(&"a", async { 3 }));
        assert!(is_pending_after_poll(&mut second).await);
        drop(never);
        assert_eq!(second.await, 3);
        assert!(flights.lock().is_empty());
    }

    /// Polls once.
    async fn is_pending_after_poll<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx)))
            .await
            .is_pending()
    }
}
